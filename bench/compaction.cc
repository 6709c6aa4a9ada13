// How fast a log of few keys is compacted, and what durable commits to another topic pay for it.
// Records of `--keys` keys are appended, the store is stopped cleanly, opened again without
// compaction, closed, and opened once more with it: one pass is timed from then on.
//
//   bench_compaction --dir FOLDER [--records N] [--keys N] [--compression none|zstd]
//                    [--bytes-per-second N] [--rounds N] [--quiet-seconds S] [--json]
//
// From the second opening on a record of 100 bytes is appended `--commits-per-second` times a
// second, and its latency is that from when it was due until it is durable. A steady rate, since
// one record after the other would count a stall as one late record however long it is, and would
// load disk and processor by itself. In each round there are `--quiet-seconds` without compaction,
// the pass, and the same without once more, so that a slow minute of the machine is in both.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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
  uint64_t bytes_per_second = uint64_t{1} << 50;  // no rate
  int rounds = 1;
  double quiet_seconds = 5;
  double commits_per_second = 500;
  bool json = false;
};

// The bar of the project: p99 of durable commits, beside that without compaction.
constexpr double kMostTimesP99 = 2;

// What passes have cost, and what commits have.
struct Figures {
  uint64_t log_bytes_before = 0;
  uint64_t log_bytes_after = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  EngineStats stats;
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

// Durable records of another topic, at a steady rate.
class Commits {
 public:
  Commits(Engine& engine, const CompactionOptions& options, Latencies& latencies, Latencies& all)
      : engine_(engine),
        partition_(*engine.FindTopic("commits")->partition(0)),
        period_(1 / options.commits_per_second),
        latencies_(latencies),
        all_(all),
        due_(NowSeconds()),
        durable_end_(partition_.durable_end_offset()) {}

  // A turn: takes in what is durable, appends what is due, and waits for the next of both.
  void Turn() {
    for (; due_ <= NowSeconds(); due_ += period_) {
      Record record;
      record.value = value_;
      Must(partition_.Append(record, Durability::durable));
      due_at_.push_back(due_);
    }
    const auto until_due = static_cast<int64_t>((due_ - NowSeconds()) * 1e6);
    engine_.Poll(std::chrono::microseconds(std::max<int64_t>(until_due, 0)));
    Must(engine_.health());
    const double now = NowSeconds();
    for (; durable_end_ < partition_.durable_end_offset(); ++durable_end_) {
      const auto microseconds = static_cast<int64_t>((now - due_at_.front()) * 1e6);
      latencies_.Add(microseconds);
      all_.Add(microseconds);
      due_at_.pop_front();
    }
  }
  void Run(double seconds) {
    const double end = NowSeconds() + seconds;
    while (NowSeconds() < end || !due_at_.empty()) Turn();
  }

 private:
  Engine& engine_;
  Partition& partition_;
  const double period_;
  Latencies& latencies_;
  Latencies& all_;
  double due_;  // of the next one
  int64_t durable_end_;
  std::deque<double> due_at_;  // of those that are not durable yet
  const std::string value_ = std::string(100, 'x');
};

// Latencies without compaction and during it: of a round, and of all.
struct BothLatencies {
  Latencies quiet;
  Latencies during;
  double TimesP99() const {
    return static_cast<double>(during.Quantile(0.99)) / static_cast<double>(quiet.Quantile(0.99));
  }
};

void RunQuiet(const std::string& folder, const CompactionOptions& options, BothLatencies& round,
              BothLatencies& all) {
  const auto engine = OpenStore(folder, /*bytes_per_second=*/0);
  Commits(*engine, options, round.quiet, all.quiet).Run(options.quiet_seconds);
  Must(engine->Close());
}

void RunPass(const std::string& folder, const CompactionOptions& options, BothLatencies& round,
             BothLatencies& all, Figures& figures) {
  figures.log_bytes_before += FileBytes(folder + "/status-0", ".log");
  const auto engine = OpenStore(folder, options.bytes_per_second);
  Commits commits(*engine, options, round.during, all.during);
  const double began = NowSeconds();
  const double cpu_began = CpuSeconds();
  while (engine->stats().compaction_passes == 0) commits.Turn();
  figures.seconds += NowSeconds() - began;
  figures.cpu_seconds += CpuSeconds() - cpu_began;
  const EngineStats stats = engine->stats();
  figures.stats.compaction_bytes += stats.compaction_bytes;
  figures.stats.compaction_records += stats.compaction_records;
  Must(engine->Close());
  figures.log_bytes_after += FileBytes(folder + "/status-0", ".log");
}

Json ToJson(const Latencies& latencies) {
  return {{"p50_us", latencies.Quantile(0.5)},
          {"p99_us", latencies.Quantile(0.99)},
          {"p999_us", latencies.Quantile(0.999)}};
}

Json ToJson(const BothLatencies& both) {
  return {{"without", ToJson(both.quiet)},
          {"during", ToJson(both.during)},
          {"times_p99", both.TimesP99()}};
}

std::string ToText(const Latencies& latencies) {
  return fmt::format("p50 {} us, p99 {} us, p99.9 {} us", latencies.Quantile(0.5),
                     latencies.Quantile(0.99), latencies.Quantile(0.999));
}

struct Measured {
  Figures figures;
  BothLatencies all;
  std::vector<BothLatencies> rounds;
  // Of the rounds: taken together, those of which a busy minute made the pass long would count
  // most.
  double MedianTimesP99() const {
    Samples times;
    for (const BothLatencies& round : rounds) times.Add(round.TimesP99());
    return times.Median();
  }
};

Measured Measure(const CompactionOptions& options) {
  Measured measured;
  for (int i = 0; i < options.rounds; ++i) {
    const ScratchDir scratch(options.dir);
    const std::string folder = scratch.Sub("store");
    {
      const auto engine = OpenStore(folder, /*bytes_per_second=*/0);
      Must(engine->CreateTopic("commits", 1, TopicConfig()));
      Fill(*engine, options);
      Must(engine->Close());
    }
    BothLatencies& round = measured.rounds.emplace_back();
    RunQuiet(folder, options, round, measured.all);
    RunPass(folder, options, round, measured.all, measured.figures);
    RunQuiet(folder, options, round, measured.all);
  }
  return measured;
}

void PrintJson(const CompactionOptions& options, const Measured& measured, const Bars& bars) {
  const Figures& figures = measured.figures;
  Json rounds = Json::array();
  for (const BothLatencies& round : measured.rounds) rounds.push_back(ToJson(round));
  const auto records = options.records * static_cast<uint64_t>(options.rounds);
  const Json all = {
      {"records", options.records},
      {"keys", options.keys},
      {"compression", options.compression},
      {"bytes_per_second", options.bytes_per_second},
      {"passes", options.rounds},
      {"log_bytes_before", figures.log_bytes_before},
      {"log_bytes_after", figures.log_bytes_after},
      {"records_removed", figures.stats.compaction_records},
      {"bytes_read_and_written", figures.stats.compaction_bytes},
      {"seconds", figures.seconds},
      {"cpu_seconds", figures.cpu_seconds},
      {"log_mb_per_second", static_cast<double>(figures.log_bytes_before) / figures.seconds / 1e6},
      {"records_per_second", static_cast<double>(records) / figures.seconds},
      {"commits_per_second", options.commits_per_second},
      {"commits", ToJson(measured.all)},
      {"commits_by_round", rounds},
      {"bars", bars.ToJson()}};
  fmt::print("{}\n", all.dump(2));
}

void PrintText(const CompactionOptions& options, const Measured& measured, const Bars& bars) {
  const Figures& figures = measured.figures;
  const auto records = options.records * static_cast<uint64_t>(options.rounds);
  fmt::print(
      "{} records of {} keys, {}, {} passes: .log of {:.1f} MB before, {:.1f} MB after; {}\n",
      options.records, options.keys, options.compression, options.rounds,
      static_cast<double>(figures.log_bytes_before) / 1e6,
      static_cast<double>(figures.log_bytes_after) / 1e6, LoadText());
  fmt::print(
      "the passes: {:.2f} s, {:.2f} s of a processor, {:.1f} MB of log/s, {:.0f} records/s; {} "
      "records removed, {:.1f} MB read and written\n",
      figures.seconds, figures.cpu_seconds,
      static_cast<double>(figures.log_bytes_before) / figures.seconds / 1e6,
      static_cast<double>(records) / figures.seconds, figures.stats.compaction_records,
      static_cast<double>(figures.stats.compaction_bytes) / 1e6);
  fmt::print("durable commits, {} a second\n  without compaction: {}\n  during a pass: {}\n",
             options.commits_per_second, ToText(measured.all.quiet), ToText(measured.all.during));
  for (const BothLatencies& round : measured.rounds)
    fmt::print("  of a round: p50 {} and {} us, p99 {} and {} us: {:.2f} times\n",
               round.quiet.Quantile(0.5), round.during.Quantile(0.5), round.quiet.Quantile(0.99),
               round.during.Quantile(0.99), round.TimesP99());
  bars.Print();
}

void RunCompaction(const CompactionOptions& options) {
  const Measured measured = Measure(options);
  Bars bars;
  bars.AtMost("p99 of durable commits during a pass, times that without, median of the rounds",
              measured.MedianTimesP99(), kMostTimesP99);
  if (options.json) return PrintJson(options, measured, bars);
  PrintText(options, measured, bars);
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
  app.add_option("--bytes-per-second", options.bytes_per_second,
                 "Of compaction; no rate unless set")
      ->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "Each with a store of its own")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--quiet-seconds", options.quiet_seconds, "Without compaction, before and after")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--commits-per-second", options.commits_per_second, "Meanwhile")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::RunCompaction(options);
  return 0;
}
