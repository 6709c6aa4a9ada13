// How many small records one core takes in: bulk appends `buffered`, counted once they are durable,
// packed and closed.
//
//   bench_ingest --dir FOLDER [--cpu N] [--records N] [--compression none|zstd|both]
//                [--payload thermometers|random|mixed|all] [--memory-bytes B] [--curve] [--json]
//
// The process and all its threads are bound to one processor. The kernel's own threads (the flush
// behind a write) are not its to bind; their time is in nobody's account.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/child.h"
#include "bench/payloads.h"
#include "bench/report.h"
#include "bench/support.h"
#include "tidemark/engine.h"

namespace tidemark::bench {
namespace {

struct Options {
  std::string dir = ".";
  int cpu = 0;
  uint64_t records = 10'000'000;
  size_t record_bytes = 100;
  int32_t partitions = 1;
  uint64_t memory_bytes = EngineOptions().memory_bytes;
  uint64_t journal_bytes = EngineOptions().journal_bytes;
  int32_t zstd_level = TopicConfig().zstd_level;
  std::string compression = "both";
  std::string payload = "all";
  int rounds = 1;
  bool curve = false;
  bool json = false;
};

// The bar of the project.
constexpr double kLeastRecordsPerSecond = 3e6;

constexpr std::array<PayloadKind, 3> kKinds = {PayloadKind::thermometers, PayloadKind::random,
                                               PayloadKind::mixed};
const char* NameOf(PayloadKind kind) {
  switch (kind) {
    case PayloadKind::thermometers:
      return "thermometers";
    case PayloadKind::random:
      return "random";
    case PayloadKind::mixed:
      return "mixed";
  }
  return "";
}
const char* NameOf(Compression compression) {
  return compression == Compression::zstd ? "zstd" : "none";
}

// One run, in a process of its own: the peak of its memory is its own, too.
class Ingest {
 public:
  Ingest(const Options& options, Compression compression, PayloadKind kind, std::string folder);
  Json Run();

 private:
  void AppendSome();
  void Watch(double now);

  const Options& options_;
  Compression compression_;
  PayloadKind kind_;
  std::string folder_;
  std::unique_ptr<Engine> engine_;
  Topic* topic_ = nullptr;
  Payloads payloads_;
  uint64_t rss_before_ = 0;
  double start_ = 0;
  uint64_t appended_ = 0;
  uint64_t durable_ = 0;
  uint64_t busy_ = 0;
  uint64_t most_memory_ = 0;
  int32_t next_partition_ = 0;
  std::vector<int64_t> durable_ends_;
  double next_mark_ = 0;
  std::vector<uint64_t> curve_;
};

constexpr size_t kPayloads = 16'384;
// Records between two turns of the engine, and before another partition is taken.
constexpr uint64_t kBurst = 1'000;

Ingest::Ingest(const Options& options, Compression compression, PayloadKind kind,
               std::string folder)
    : options_(options),
      compression_(compression),
      kind_(kind),
      folder_(std::move(folder)),
      payloads_(kind, options.record_bytes, kPayloads) {
  rss_before_ = ProcessMemoryBytes("VmRSS");
  EngineOptions engine_options;
  engine_options.data_dir = folder_;
  engine_options.memory_bytes = options.memory_bytes;
  engine_options.journal_bytes = options.journal_bytes;
  engine_ = Must(Engine::Open(engine_options));
  TopicConfig config;
  config.compression = compression;
  config.zstd_level = options.zstd_level;
  topic_ = Must(engine_->CreateTopic("bulk", options.partitions, config));
  durable_ends_.resize(static_cast<size_t>(options.partitions));
}

void Ingest::AppendSome() {
  Partition& partition = *topic_->partition(next_partition_);
  next_partition_ = next_partition_ + 1 == options_.partitions ? 0 : next_partition_ + 1;
  const uint64_t end = std::min(appended_ + kBurst, options_.records);
  // As a device's clock would have it, a few records a millisecond.
  constexpr int64_t kFirstMs = 1'732'272'000'000;
  for (; appended_ < end; ++appended_) {
    const int64_t timestamp_ms = kFirstMs + static_cast<int64_t>(appended_ / 1'000);
    const auto offset = partition.Append(payloads_.Next(timestamp_ms), Durability::buffered);
    if (offset.ok()) continue;
    if (offset.error().code() != ErrorCode::busy) GiveUp(offset.error().ToString());
    ++busy_;
    return;
  }
}

void Ingest::Watch(double now) {
  most_memory_ = std::max(most_memory_, engine_->stats().memory_bytes);
  if (now < next_mark_) return;
  next_mark_ = now + 1;
  curve_.push_back(durable_);
  BindThreadsToProcessor(options_.cpu);
}

Json Ingest::Run() {
  const double cpu_before = CpuSeconds();
  start_ = NowSeconds();
  next_mark_ = start_;
  while (appended_ < options_.records) {
    const uint64_t busy_before = busy_;
    AppendSome();
    const auto moved = engine_->Poll(std::chrono::milliseconds(busy_ != busy_before ? 10 : 0));
    for (Partition* partition : moved) {
      int64_t& end = durable_ends_[static_cast<size_t>(partition->index())];
      durable_ += static_cast<uint64_t>(partition->durable_end_offset() - end);
      end = partition->durable_end_offset();
    }
    Watch(NowSeconds());
  }
  // All of them are durable, and packed, at its end. (To wait for that before would be to measure
  // flush.ms: nothing but the clock makes the last few due.)
  Must(engine_->Close());
  const double seconds = NowSeconds() - start_;
  const double cpu_seconds = CpuSeconds() - cpu_before;
  const EngineStats stats = engine_->stats();
  const auto records = static_cast<double>(options_.records);
  Json curve = Json::array();
  for (size_t i = 1; i < curve_.size(); ++i) curve.push_back(curve_[i] - curve_[i - 1]);
  return {{"compression", NameOf(compression_)},
          {"payload", NameOf(kind_)},
          {"records", options_.records},
          {"records_per_s", records / seconds},
          {"records_per_cpu_s", records / cpu_seconds},
          {"cpu_share", cpu_seconds / seconds},
          {"busy", busy_},
          {"encoded_bytes_per_record", static_cast<double>(stats.encoded_bytes) / records},
          {"log_bytes_per_record", static_cast<double>(FileBytes(folder_, ".log")) / records},
          {"journal_bytes_per_record", static_cast<double>(stats.journal_bytes_written) / records},
          {"commits", stats.commits},
          {"checkpoints", stats.checkpoints},
          {"memory_option", options_.memory_bytes},
          {"memory_bytes_most", most_memory_},
          {"rss_before", rss_before_},
          {"rss_peak", ProcessMemoryBytes("VmHWM")},
          {"durable_records_each_second", curve}};
}

Json RunAlone(const Options& options, Compression compression, PayloadKind kind) {
  const ScratchDir scratch(options.dir);
  return RunInChild([&] {
    BindToProcessor(options.cpu);
    return Ingest(options, compression, kind, scratch.Sub("store")).Run();
  });
}

void Print(const Json& run, bool curve) {
  constexpr double kMiB = 1 << 20;
  fmt::print(
      "{:<5} {:<13} {:>6.2f} M/s  {:>6.2f} M per cpu s "
      "(share {:.2f})\n",
      run["compression"].get<std::string>(), run["payload"].get<std::string>(),
      run["records_per_s"].get<double>() / 1e6, run["records_per_cpu_s"].get<double>() / 1e6,
      run["cpu_share"].get<double>());
  fmt::print(
      "      bytes per record: encoded {:.1f}, journal {:.1f}, log {:.1f}; busy {} times, "
      "{} commits, {} checkpoints\n",
      run["encoded_bytes_per_record"].get<double>(), run["journal_bytes_per_record"].get<double>(),
      run["log_bytes_per_record"].get<double>(), run["busy"].get<uint64_t>(),
      run["commits"].get<uint64_t>(), run["checkpoints"].get<uint64_t>());
  fmt::print(
      "      memory: {:.1f} MiB of the {:.0f} of the option; resident {:.1f} MiB at most, "
      "{:.1f} of them before\n",
      run["memory_bytes_most"].get<double>() / kMiB, run["memory_option"].get<double>() / kMiB,
      run["rss_peak"].get<double>() / kMiB, run["rss_before"].get<double>() / kMiB);
  if (curve) fmt::print("      each second: {}\n", run["durable_records_each_second"].dump());
}

void Run(const Options& options) {
  if (!options.json) {
    fmt::print(
        "{} records of {} bytes, buffered, {} partition(s), processor {}; {}\n"
        "from the first append to the end of Close(), packing included\n\n",
        options.records, options.record_bytes, options.partitions, options.cpu, LoadText());
  }
  Json runs = Json::array();
  std::map<std::string, Samples> rates;
  for (int round = 0; round < options.rounds; ++round) {
    for (const Compression compression : {Compression::none, Compression::zstd}) {
      if (options.compression != "both" && options.compression != NameOf(compression)) continue;
      for (const PayloadKind kind : kKinds) {
        if (options.payload != "all" && options.payload != NameOf(kind)) continue;
        const Json run = RunAlone(options, compression, kind);
        if (!options.json) Print(run, options.curve);
        rates[fmt::format("{}, {}", NameOf(compression), NameOf(kind))].Add(
            run["records_per_s"].get<double>() / 1e6);
        runs.push_back(run);
      }
    }
  }
  Bars bars;
  for (const auto& [name, samples] : rates) {
    bars.AtLeast(name + ": million records/s on one core", samples.Median(),
                 kLeastRecordsPerSecond / 1e6);
  }
  if (options.json) {
    fmt::print("{}\n",
               Json({{"machine", LoadText()}, {"runs", runs}, {"bars", bars.ToJson()}}).dump(2));
  } else {
    fmt::print("\n");
    bars.Print();
  }
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Bulk ingest on one core"};
  tidemark::bench::Options options;
  app.add_option("--dir", options.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--cpu", options.cpu, "Processor to be bound to")->capture_default_str();
  app.add_option("--records", options.records, "Of each run")->capture_default_str();
  app.add_option("--record-bytes", options.record_bytes, "Key and value")->capture_default_str();
  app.add_option("--partitions", options.partitions, "Of the topic")->capture_default_str();
  app.add_option("--memory-bytes", options.memory_bytes, "As the engine's option")
      ->capture_default_str();
  app.add_option("--journal-bytes", options.journal_bytes, "As the engine's option")
      ->capture_default_str();
  app.add_option("--zstd-level", options.zstd_level, "Of the topic")->capture_default_str();
  app.add_option("--compression", options.compression)
      ->check(CLI::IsMember({"none", "zstd", "both"}))
      ->capture_default_str();
  app.add_option("--payload", options.payload)
      ->check(CLI::IsMember({"thermometers", "random", "mixed", "all"}))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Repetitions of all")->capture_default_str();
  app.add_flag("--curve", options.curve, "Durable records of each second");
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::Run(options);
  return 0;
}
