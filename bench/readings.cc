// How many bytes a reading takes for good: the *thermometers* workload as MQTT would bring it, each
// reading durable on its own before the next, then a clean stop.
//
//   bench_readings --dir FOLDER [--count N] [--partitions N] [--zstd-level N] [--json]
#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/report.h"
#include "bench/support.h"
#include "tidemark/engine.h"
#include "tools/workload.h"

namespace tidemark::bench {
namespace {

struct Options {
  std::string dir = ".";
  uint64_t count = 100'000;
  int32_t partitions = 1;
  uint64_t seed = 1;
  bool arrival = false;
  int32_t zstd_level = TopicConfig().zstd_level;
  uint64_t journal_bytes = EngineOptions().journal_bytes;
  bool json = false;
};

// The bar of the project.
constexpr double kMostBytesPerReading = 18;

// As a PUBLISH of QoS 1 becomes a record, each device being a client.
Result<int64_t> Append(Topic& topic, const tools::Reading& reading, bool arrival,
                       Partition** where) {
  const std::array<Header, 2> headers = {{{"mqtt.client", reading.device}, {"mqtt.qos", "1"}}};
  Record record;
  record.key = reading.key;
  record.value = reading.value;
  record.timestamp_ms = arrival ? kTimestampOfArrival : reading.timestamp_ms;
  record.headers = headers;
  *where = topic.PartitionForKey(reading.key);
  return (*where)->Append(record, Durability::durable);
}

void MakeDurable(Engine& engine, Topic& topic, const tools::Reading& reading, bool arrival) {
  Partition* partition = nullptr;
  auto offset = Append(topic, reading, arrival, &partition);
  while (!offset.ok() && offset.error().code() == ErrorCode::busy) {
    engine.Poll(std::chrono::milliseconds(1));
    offset = Append(topic, reading, arrival, &partition);
  }
  const int64_t at = Must(std::move(offset));
  while (partition->durable_end_offset() <= at) {
    engine.Poll(std::chrono::milliseconds(100));
    Must(engine.health());
  }
}

void Run(const Options& options) {
  const ScratchDir scratch(options.dir);
  EngineOptions engine_options;
  engine_options.data_dir = scratch.Sub("store");
  engine_options.journal_bytes = options.journal_bytes;
  const auto engine = Must(Engine::Open(engine_options));
  TopicConfig config;
  config.zstd_level = options.zstd_level;
  Topic* topic = Must(engine->CreateTopic("mqtt", options.partitions, config));
  tools::Thermometers thermometers({.seed = options.seed});
  uint64_t value_bytes = 0;
  const double start = NowSeconds();
  for (uint64_t i = 0; i < options.count; ++i) {
    const tools::Reading& reading = thermometers.Next();
    value_bytes += reading.value.size();
    MakeDurable(*engine, *topic, reading, options.arrival);
  }
  const double durable_seconds = NowSeconds() - start;
  Must(engine->Close());
  const EngineStats stats = engine->stats();

  const uint64_t log = FileBytes(engine_options.data_dir, ".log");
  const uint64_t index = FileBytes(engine_options.data_dir, ".index");
  const uint64_t time_index = FileBytes(engine_options.data_dir, ".timeindex");
  const auto count = static_cast<double>(options.count);
  const double each = static_cast<double>(log + index + time_index) / count;
  Bars bars;
  bars.AtMost("bytes of segment per reading", each, kMostBytesPerReading);
  if (options.json) {
    const Json all = {{"readings", options.count},
                      {"partitions", options.partitions},
                      {"timestamps", options.arrival ? "arrival" : "reading"},
                      {"value_bytes", value_bytes},
                      {"encoded_bytes", stats.encoded_bytes},
                      {"log_bytes", log},
                      {"index_bytes", index},
                      {"timeindex_bytes", time_index},
                      {"bytes_per_reading", each},
                      {"carried_bytes", stats.carried_bytes},
                      {"journal_bytes_written", stats.journal_bytes_written},
                      {"commits", stats.commits},
                      {"durable_seconds", durable_seconds},
                      {"bars", bars.ToJson()}};
    fmt::print("{}\n", all.dump(2));
    return;
  }
  fmt::print("{} readings in {} partition(s), each durable on its own: {:.0f} readings/s; {}\n",
             options.count, options.partitions, count / durable_seconds, LoadText());
  fmt::print("a reading: {:.1f} bytes of JSON, {:.1f} encoded with key and headers\n",
             static_cast<double>(value_bytes) / count,
             static_cast<double>(stats.encoded_bytes) / count);
  fmt::print("on disk after a clean stop: .log {}, .index {}, .timeindex {} bytes\n", log, index,
             time_index);
  fmt::print("journal: {} commits, {:.1f} MB, {:.1f} MB of them carried\n", stats.commits,
             static_cast<double>(stats.journal_bytes_written) / 1e6,
             static_cast<double>(stats.carried_bytes) / 1e6);
  bars.Print();
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Bytes of segment per reading"};
  tidemark::bench::Options options;
  app.add_option("--dir", options.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--count", options.count, "Readings")->capture_default_str();
  app.add_option("--partitions", options.partitions, "Of the topic")->capture_default_str();
  app.add_option("--seed", options.seed, "Of the workload")->capture_default_str();
  app.add_option("--zstd-level", options.zstd_level, "Of the topic")->capture_default_str();
  app.add_option("--journal-bytes", options.journal_bytes, "As the engine's option")
      ->capture_default_str();
  app.add_flag("--arrival", options.arrival,
               "Timestamps of arrival, all within seconds, instead of the readings' own");
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::Run(options);
  return 0;
}
