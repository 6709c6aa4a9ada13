// The config file of `serve`: TOML. Its keys with their defaults are listed in docs/operations.md;
// an unknown one is refused, so that a typing error does not pass silently.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/route.h"
#include "tidemark/error.h"
#include "tidemark/options.h"

namespace tidemark::tools {

// A topic that `serve` creates when it is missing. Those that are there keep their settings.
struct TopicToCreate {
  std::string name;
  int32_t partitions = 1;
  TopicConfig config;
};

struct ServeConfig {
  // [storage]; data_dir is the command line's.
  EngineOptions storage;

  // [mqtt]
  std::vector<std::string> mqtt_listen = {"127.0.0.1:1883"};
  bool mqtt_allow_anonymous = false;
  size_t mqtt_max_connections = 10'000;
  size_t mqtt_max_packet_bytes = size_t{1} << 20;
  std::vector<ingest::Route> mqtt_routes;  // [[mqtt.route]]
  ingest::Route mqtt_default_route;        // [mqtt] topic, key

  // [log] level: "debug", "info", "warning" or "error"
  std::string log_level = "info";

  // [[topic]]
  std::vector<TopicToCreate> topics;
};

// Every Error is "FILE:LINE: what is wrong with which key".
Result<ServeConfig> ParseConfig(std::string_view text, const std::string& file_name);
Result<ServeConfig> ReadConfig(const std::string& path);

}  // namespace tidemark::tools
