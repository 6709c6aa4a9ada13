// How fast a log of few keys is compacted: records of `--keys` keys are appended, the store is
// stopped cleanly and opened again, and one pass is timed from then on, without a rate.
//
//   bench_compaction --dir FOLDER [--records N] [--keys N] [--compression none|zstd] [--json]
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/report.h"
#include "bench/support.h"
#include "tidemark/engine.h"

namespace tidemark::bench {
namespace {

struct CompactionOptions {
  std::string dir = ".";
  uint64_t records = 10'000'000;
  uint64_t keys = 10'000;
  size_t record_bytes = 100;
  std::string compression = "zstd";
  int32_t zstd_level = TopicConfig().zstd_level;
  bool json = false;
};

std::unique_ptr<Engine> OpenStore(const std::string& folder, uint64_t bytes_per_second) {
  EngineOptions options;
  options.data_dir = folder;
  options.compaction_bytes_per_second = bytes_per_second;
  options.scrub_bytes_per_second = 0;
  return Must(Engine::Open(options));
}

TopicConfig ConfigOf(const CompactionOptions& options) {
  TopicConfig config;
  Must(config.Set("compression.type", options.compression));
  config.zstd_level = options.zstd_level;
  config.cleanup_policy = CleanupPolicy::compact;
  return config;
}

// A status of some device each: digits, so that they compress as such texts do.
std::string ValueOf(uint64_t number, size_t bytes) {
  std::string value = "{\"state\":" + std::to_string(number) + ",\"noise\":\"";
  for (uint64_t state = number + 1; value.size() + 2 < bytes;) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value.push_back(static_cast<char>('a' + (state >> 60)));
  }
  return value + "\"}";
}

void Fill(Engine& engine, const CompactionOptions& options) {
  Partition& partition = *Must(engine.CreateTopic("status", 1, ConfigOf(options)))->partition(0);
  for (uint64_t i = 0; i < options.records; ++i) {
    const std::string key = fmt::format("status/{:06}", i * 2654435761U % options.keys);
    const std::string value = ValueOf(i, options.record_bytes);
    Record record;
    record.key = key;
    record.value = value;
    for (;;) {
      const auto offset = partition.Append(record, Durability::buffered);
      if (offset.ok()) break;
      if (offset.error().code() != ErrorCode::busy) GiveUp(offset.error().ToString());
      engine.Poll(std::chrono::milliseconds(1));
    }
    if (i % 256 == 0) engine.Poll(std::chrono::milliseconds(0));
  }
}

void RunCompaction(const CompactionOptions& options) {
  const ScratchDir scratch(options.dir);
  const std::string folder = scratch.Sub("store");
  {
    const auto engine = OpenStore(folder, /*bytes_per_second=*/0);
    Fill(*engine, options);
    Must(engine->Close());
  }
  const uint64_t before = FileBytes(folder, ".log");
  constexpr uint64_t kNoRate = uint64_t{1} << 50;
  const auto engine = OpenStore(folder, kNoRate);
  const double began = NowSeconds();
  const double cpu_began = CpuSeconds();
  while (engine->stats().compaction_passes == 0) {
    engine->Poll(std::chrono::milliseconds(100));
    Must(engine->health());
  }
  const double seconds = NowSeconds() - began;
  const double cpu_seconds = CpuSeconds() - cpu_began;
  const EngineStats stats = engine->stats();
  Must(engine->Close());
  const uint64_t after = FileBytes(folder, ".log");
  const double mb_per_second = static_cast<double>(before) / seconds / 1e6;
  const double records_per_second = static_cast<double>(options.records) / seconds;
  if (options.json) {
    const Json all = {{"records", options.records},
                      {"keys", options.keys},
                      {"compression", options.compression},
                      {"log_bytes_before", before},
                      {"log_bytes_after", after},
                      {"records_removed", stats.compaction_records},
                      {"bytes_read_and_written", stats.compaction_bytes},
                      {"seconds", seconds},
                      {"cpu_seconds", cpu_seconds},
                      {"log_mb_per_second", mb_per_second},
                      {"records_per_second", records_per_second}};
    fmt::print("{}\n", all.dump(2));
    return;
  }
  fmt::print("{} records of {} keys, {}: .log of {:.1f} MB before, {:.1f} MB after; {}\n",
             options.records, options.keys, options.compression, static_cast<double>(before) / 1e6,
             static_cast<double>(after) / 1e6, LoadText());
  fmt::print(
      "one pass: {:.2f} s, {:.2f} s of a processor, {:.1f} MB of log/s, {:.0f} records/s; {} "
      "records removed, {:.1f} MB read and written\n",
      seconds, cpu_seconds, mb_per_second, records_per_second, stats.compaction_records,
      static_cast<double>(stats.compaction_bytes) / 1e6);
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Compaction of a log of few keys"};
  tidemark::bench::CompactionOptions options;
  app.add_option("--dir", options.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--records", options.records, "Appended")->capture_default_str();
  app.add_option("--keys", options.keys, "Of the records")->capture_default_str();
  app.add_option("--record-bytes", options.record_bytes, "Of a value")->capture_default_str();
  app.add_option("--compression", options.compression, "none or zstd")->capture_default_str();
  app.add_option("--zstd-level", options.zstd_level, "Of the topic")->capture_default_str();
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::RunCompaction(options);
  return 0;
}
