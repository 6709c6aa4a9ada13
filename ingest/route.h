// Which log topic an MQTT message goes to, and which key its record gets: a list of routes, the
// first whose filter matches wins, behind them the default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/error.h"
#include "tidemark/record.h"

namespace tidemark::ingest {

enum class KeySource : uint8_t {
  topic,   // the whole MQTT topic
  client,  // the client identifier
  level,   // one level of the MQTT topic; the whole topic when it has not so many levels
};

struct Route {
  std::string filter = "#";        // with MQTT's wildcards + and #
  std::string log_topic = "mqtt";  // an existing topic's name by Kafka's rule
  KeySource key = KeySource::topic;
  uint32_t level = 0;  // KeySource::level: counted from 0
};

// "topic", "client" or "level N" (counted from 0), as the config writes it.
Status ParseRouteKey(std::string_view text, Route* route);

// Whether an MQTT topic filter is one [MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1].
Status CheckTopicFilter(std::string_view filter);
// Whether `filter` matches `topic`, by MQTT's rules; a wildcard at the start does not match a topic
// that starts with $ [MQTT-4.7.2-1].
bool TopicMatches(std::string_view filter, std::string_view topic);

class RouteTable {
 public:
  // Checks all routes; an Error names the first bad one by its number, counted from 1. `fallback`
  // takes what no route wants; its filter is not used.
  static Result<RouteTable> Make(std::vector<Route> routes, Route fallback);

  struct Match {
    size_t route = 0;  // an index into log_topics()
    Bytes key;         // in `topic` or `client_id`
  };
  Match Find(std::string_view topic, std::string_view client_id) const;

  // One for each route in their order, the default's last.
  const std::vector<Route>& routes() const { return routes_; }

 private:
  explicit RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {}
  std::vector<Route> routes_;
};

}  // namespace tidemark::ingest
