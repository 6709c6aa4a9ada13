// What it costs to make small records durable one by one: acknowledged records a second and device
// bytes per encoded byte, beside the raw limit of the same disk in the same minutes.
//
//   bench_commit --dir FOLDER [--seconds S] [--rounds N] [--record-bytes B] [--json]
//
// Rounds of raw commits (pwrite + fdatasync of 4 KiB) and of the engine take turns, and each of the
// engine's is compared with the mean of the two raw ones around it, so that a slow minute of the
// disk slows both.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/device.h"
#include "bench/payloads.h"
#include "bench/report.h"
#include "bench/support.h"
#include "tidemark/engine.h"

namespace tidemark::bench {
namespace {

using std::chrono::microseconds;

struct Options {
  std::string dir = ".";
  double seconds = 1;
  int rounds = 7;
  size_t record_bytes = 100;
  std::optional<size_t> only;
  bool json = false;
};

struct Case {
  const char* name;
  int32_t partitions;
  int64_t in_flight;  // in each of them
};
constexpr Case kCases[] = {{"1 partition, 1 in flight", 1, 1},
                           {"1 partition, 64 in flight", 1, 64},
                           {"64 partitions, 64 in flight", 64, 1},
                           {"1,000 partitions, 1,000 in flight", 1000, 1}};
constexpr size_t kOneInFlight = 0;
constexpr size_t kFirstWith64 = 1;
constexpr size_t kLastWith64 = 2;

// The bars of the project.
constexpr double kLeastOfRaw = 0.9;
constexpr double kMostDeviceBytesOfBlock = 1.15;
constexpr double kLeastOfRawWith64 = 40;

constexpr uint64_t kRawFileBytes = uint64_t{64} << 20;  // as large as the journal

// What a stretch of time has brought.
struct Figures {
  double seconds = 0;
  double cpu_seconds = 0;
  uint64_t acknowledged = 0;
  uint64_t device_bytes = 0;
  uint64_t encoded_bytes = 0;
  uint64_t commits = 0;
  uint64_t busy = 0;

  double rate() const { return static_cast<double>(acknowledged) / seconds; }
  double cpu_us() const { return cpu_seconds * 1e6 / static_cast<double>(acknowledged); }
};

double Ratio(uint64_t above, uint64_t below) {
  return below == 0 ? 0 : static_cast<double>(above) / static_cast<double>(below);
}

// Holds a number of records in flight in each partition of a topic.
class Load {
 public:
  Load(Engine& engine, Topic& topic, int64_t in_flight, Payloads& payloads, Latencies& latencies)
      : engine_(engine),
        topic_(topic),
        in_flight_(in_flight),
        payloads_(payloads),
        latencies_(latencies),
        states_(static_cast<size_t>(topic.partition_count())) {
    for (size_t i = 0; i < states_.size(); ++i) {
      states_[i].acknowledged_end = topic.partition(static_cast<int32_t>(i))->durable_end_offset();
      states_[i].appended_at.resize(static_cast<size_t>(in_flight));
    }
  }

  // For so long; returns once nothing is in flight any more. What becomes durable after the time is
  // not counted.
  Figures Run(double seconds);

 private:
  struct PartitionState {
    int64_t acknowledged_end = 0;
    std::vector<double> appended_at;  // by offset, modulo the number in flight
  };
  // Tops a partition up to its number in flight.
  void Append(Partition& partition, PartitionState& state, double now);
  uint64_t Acknowledge(Partition& partition, PartitionState& state, double now);
  void Drain();

  Engine& engine_;
  Topic& topic_;
  int64_t in_flight_;
  Payloads& payloads_;
  Latencies& latencies_;
  std::vector<PartitionState> states_;
  bool busy_ = false;
  uint64_t busy_answers_ = 0;
};

void Load::Append(Partition& partition, PartitionState& state, double now) {
  while (partition.end_offset() - state.acknowledged_end < in_flight_) {
    const auto offset = partition.Append(payloads_.Next(kTimestampOfArrival), Durability::durable);
    if (!offset.ok()) {
      if (offset.error().code() != ErrorCode::busy) GiveUp(offset.error().ToString());
      busy_ = true;
      ++busy_answers_;
      return;
    }
    state.appended_at[static_cast<size_t>(*offset % in_flight_)] = now;
  }
}

uint64_t Load::Acknowledge(Partition& partition, PartitionState& state, double now) {
  const int64_t end = partition.durable_end_offset();
  const auto count = static_cast<uint64_t>(end - state.acknowledged_end);
  for (; state.acknowledged_end < end; ++state.acknowledged_end) {
    const auto slot = static_cast<size_t>(state.acknowledged_end % in_flight_);
    latencies_.Add(static_cast<int64_t>((now - state.appended_at[slot]) * 1e6));
  }
  return count;
}

Figures Load::Run(double seconds) {
  Figures figures;
  busy_answers_ = 0;
  const EngineStats before = engine_.stats();
  const double cpu_before = CpuSeconds();
  const double start = NowSeconds();
  for (int32_t i = 0; i < topic_.partition_count(); ++i) {
    Append(*topic_.partition(i), states_[static_cast<size_t>(i)], start);
  }
  double now = start;
  while (now < start + seconds) {
    const auto moved = engine_.Poll(microseconds(100'000));
    now = NowSeconds();
    for (Partition* partition : moved) {
      PartitionState& state = states_[static_cast<size_t>(partition->index())];
      figures.acknowledged += Acknowledge(*partition, state, now);
      Append(*partition, state, now);
    }
    if (busy_) {
      busy_ = false;
      for (int32_t i = 0; i < topic_.partition_count() && !busy_; ++i) {
        Append(*topic_.partition(i), states_[static_cast<size_t>(i)], now);
      }
    }
  }
  figures.seconds = now - start;
  figures.cpu_seconds = CpuSeconds() - cpu_before;
  figures.busy = busy_answers_;
  const EngineStats after = engine_.stats();
  figures.encoded_bytes = after.encoded_bytes - before.encoded_bytes;
  figures.commits = after.commits - before.commits;
  Drain();
  return figures;
}

// Waits for what is in flight, and a moment for the background's work, which would else take its
// time from the raw round that follows.
void Load::Drain() {
  constexpr double kSettleSeconds = 0.05;
  for (const double end = NowSeconds() + kSettleSeconds;;) {
    const auto moved = engine_.Poll(microseconds(10'000));
    const double now = NowSeconds();
    bool waiting = false;
    for (Partition* partition : moved) {
      Acknowledge(*partition, states_[static_cast<size_t>(partition->index())], now);
    }
    for (int32_t i = 0; i < topic_.partition_count(); ++i) {
      const Partition& partition = *topic_.partition(i);
      waiting = waiting || partition.durable_end_offset() < partition.end_offset();
    }
    Must(engine_.health());
    if (!waiting && now >= end) return;
  }
}

struct CaseResult {
  Case what{};
  Samples raw_rate;
  Samples raw_cpu_us;
  Samples raw_device_per_block;
  Samples rate;
  Samples cpu_us;
  Samples of_raw;  // the engine's rate by the raw one of the same moment
  Samples device_per_encoded;
  Samples device_per_record;
  Samples records_per_commit;
  uint64_t busy = 0;
  Latencies latencies;
  // From the first append to the end of Close().
  double whole_device_per_encoded = 0;
  double whole_device_per_record = 0;
  EngineStats stats;
};

Figures RawRound(RawCommits& raw, const BlockDevice& device, double seconds) {
  Figures figures;
  const uint64_t bytes_before = device.BytesWritten();
  const double cpu_before = CpuSeconds();
  const double start = NowSeconds();
  figures.acknowledged = raw.Run(seconds);
  figures.seconds = NowSeconds() - start;
  figures.cpu_seconds = CpuSeconds() - cpu_before;
  figures.device_bytes = device.BytesWritten() - bytes_before;
  figures.commits = figures.acknowledged;
  return figures;
}

void AddRaw(const Figures& figures, CaseResult* result) {
  result->raw_rate.Add(figures.rate());
  result->raw_cpu_us.Add(figures.cpu_us());
  result->raw_device_per_block.Add(
      Ratio(figures.device_bytes, figures.acknowledged * RawCommits::kBlockBytes));
}

void AddRound(const Figures& figures, double raw_rate, CaseResult* result) {
  result->rate.Add(figures.rate());
  result->cpu_us.Add(figures.cpu_us());
  result->of_raw.Add(figures.rate() / raw_rate);
  result->device_per_encoded.Add(Ratio(figures.device_bytes, figures.encoded_bytes));
  result->device_per_record.Add(Ratio(figures.device_bytes, figures.acknowledged));
  result->records_per_commit.Add(Ratio(figures.acknowledged, figures.commits));
  result->busy += figures.busy;
}

CaseResult Measure(const Case& what, const Options& options, const std::string& folder,
                   RawCommits& raw, const BlockDevice& device) {
  CaseResult result;
  result.what = what;
  EngineOptions engine_options;
  engine_options.data_dir = folder;
  const auto engine = Must(Engine::Open(engine_options));
  Topic* topic = Must(engine->CreateTopic("readings", what.partitions, TopicConfig()));
  constexpr size_t kPayloads = 4096;
  Payloads payloads(PayloadKind::thermometers, options.record_bytes, kPayloads);
  Latencies warm_latencies;
  Load(*engine, *topic, what.in_flight, payloads, warm_latencies).Run(options.seconds / 4);

  const EngineStats stats_before = engine->stats();
  Load load(*engine, *topic, what.in_flight, payloads, result.latencies);
  Figures raw_before = RawRound(raw, device, options.seconds);
  AddRaw(raw_before, &result);
  uint64_t engine_device_bytes = 0;
  for (int round = 0; round < options.rounds; ++round) {
    const uint64_t bytes_before = device.BytesWritten();
    Figures figures = load.Run(options.seconds);
    figures.device_bytes = device.BytesWritten() - bytes_before;
    engine_device_bytes += figures.device_bytes;
    const Figures raw_after = RawRound(raw, device, options.seconds);
    AddRaw(raw_after, &result);
    AddRound(figures, (raw_before.rate() + raw_after.rate()) / 2, &result);
    raw_before = raw_after;
  }
  const uint64_t bytes_before = device.BytesWritten();
  Must(engine->Close());
  engine_device_bytes += device.BytesWritten() - bytes_before;
  result.stats = engine->stats();
  result.whole_device_per_encoded =
      Ratio(engine_device_bytes, result.stats.encoded_bytes - stats_before.encoded_bytes);
  result.whole_device_per_record =
      Ratio(engine_device_bytes, result.stats.records_appended - stats_before.records_appended);
  return result;
}

void Print(const CaseResult& result) {
  const auto& stats = result.stats;
  fmt::print("{}\n", result.what.name);
  fmt::print(
      "  raw      {:>9.0f} commits/s  ({:.0f} to {:.0f})  {:.1f} us of processor each, "
      "{:.2f} device bytes per byte\n",
      result.raw_rate.Median(), result.raw_rate.Min(), result.raw_rate.Max(),
      result.raw_cpu_us.Median(), result.raw_device_per_block.Median());
  fmt::print(
      "  engine   {:>9.0f} records/s  ({:.0f} to {:.0f})  {:.1f} us of processor each, "
      "{:.1f} records per commit\n",
      result.rate.Median(), result.rate.Min(), result.rate.Max(), result.cpu_us.Median(),
      result.records_per_commit.Median());
  fmt::print("  ratio    {:>9.3f}            ({:.3f} to {:.3f}), pair by pair\n",
             result.of_raw.Median(), result.of_raw.Min(), result.of_raw.Max());
  fmt::print("  latency  p50 {} us, p99 {} us, p99.9 {} us; busy {} times\n",
             result.latencies.Quantile(0.5), result.latencies.Quantile(0.99),
             result.latencies.Quantile(0.999), result.busy);
  fmt::print("  device bytes per encoded byte: {:.2f} (least {:.2f}; with the clean stop {:.2f})\n",
             result.device_per_encoded.Median(), result.device_per_encoded.Min(),
             result.whole_device_per_encoded);
  fmt::print("  device bytes per record: {:.0f} (least {:.0f}; with the clean stop {:.0f})\n",
             result.device_per_record.Median(), result.device_per_record.Min(),
             result.whole_device_per_record);
  fmt::print(
      "  engine's own: {} commits, journal {:.1f} MB ({:.1f} MB carried), segments {:.1f} "
      "MB, {} checkpoints, encoded {:.1f} MB\n\n",
      stats.commits, static_cast<double>(stats.journal_bytes_written) / 1e6,
      static_cast<double>(stats.carried_bytes) / 1e6,
      static_cast<double>(stats.segment_bytes_written) / 1e6, stats.checkpoints,
      static_cast<double>(stats.encoded_bytes) / 1e6);
}

Json SamplesJson(const Samples& samples) {
  return {{"median", samples.Median()}, {"min", samples.Min()}, {"max", samples.Max()}};
}

Json ToJson(const CaseResult& result) {
  const auto& stats = result.stats;
  return {{"case", result.what.name},
          {"partitions", result.what.partitions},
          {"in_flight", result.what.in_flight * result.what.partitions},
          {"raw_commits_per_s", SamplesJson(result.raw_rate)},
          {"raw_cpu_us", SamplesJson(result.raw_cpu_us)},
          {"raw_device_bytes_per_byte", SamplesJson(result.raw_device_per_block)},
          {"records_per_s", SamplesJson(result.rate)},
          {"cpu_us", SamplesJson(result.cpu_us)},
          {"of_raw", SamplesJson(result.of_raw)},
          {"of_raw_rounds", result.of_raw.values()},
          {"records_per_commit", SamplesJson(result.records_per_commit)},
          {"latency_us",
           {{"p50", result.latencies.Quantile(0.5)},
            {"p99", result.latencies.Quantile(0.99)},
            {"p99.9", result.latencies.Quantile(0.999)}}},
          {"busy", result.busy},
          {"device_bytes_per_encoded_byte", SamplesJson(result.device_per_encoded)},
          {"device_bytes_per_encoded_byte_with_close", result.whole_device_per_encoded},
          {"device_bytes_per_record", SamplesJson(result.device_per_record)},
          {"device_bytes_per_record_with_close", result.whole_device_per_record},
          {"engine",
           {{"commits", stats.commits},
            {"encoded_bytes", stats.encoded_bytes},
            {"journal_bytes_written", stats.journal_bytes_written},
            {"carried_bytes", stats.carried_bytes},
            {"segment_bytes_written", stats.segment_bytes_written},
            {"checkpoints", stats.checkpoints}}}};
}

void Judge(size_t index, const CaseResult& result, bool counters, Bars* bars) {
  const std::string name = result.what.name;
  if (index == kOneInFlight) {
    bars->AtLeast(name + ": records/s by raw commits/s", result.of_raw.Median(), kLeastOfRaw);
    constexpr double kBlock = RawCommits::kBlockBytes;
    if (counters) {
      bars->AtMost(name + ": device bytes by the 4 KiB of each commit, least of the rounds",
                   result.device_per_record.Min() / kBlock, kMostDeviceBytesOfBlock);
      bars->AtMost(name + ": device bytes by the 4 KiB of each commit, median",
                   result.device_per_record.Median() / kBlock, kMostDeviceBytesOfBlock);
    }
  }
  if (index >= kFirstWith64 && index <= kLastWith64) {
    bars->AtLeast(name + ": records/s by raw commits/s", result.of_raw.Median(), kLeastOfRawWith64);
  }
}

void Run(const Options& options) {
  const ScratchDir scratch(options.dir);
  const BlockDevice device(scratch.path());
  constexpr double kIdleSeconds = 2;
  const double idle = IdleBytesPerSecond(device, kIdleSeconds);
  const std::string counters = device.missing().empty() ? device.name() : device.missing();
  if (!options.json) {
    fmt::print(
        "records of {} bytes; rounds of {} s, {} of them; {}\n"
        "device {}: others wrote {:.0f} KB/s to it before we began\n\n",
        options.record_bytes, options.seconds, options.rounds, LoadText(), counters, idle / 1e3);
  }
  RawCommits raw(scratch.Sub("raw"), kRawFileBytes);
  Bars bars;
  Json cases = Json::array();
  for (size_t i = 0; i < std::size(kCases); ++i) {
    if (options.only && *options.only != i) continue;
    const CaseResult result =
        Measure(kCases[i], options, scratch.Sub("store-" + std::to_string(i)), raw, device);
    Judge(i, result, device.missing().empty(), &bars);
    cases.push_back(ToJson(result));
    if (!options.json) Print(result);
  }
  if (options.json) {
    const Json all = {{"record_bytes", options.record_bytes},
                      {"round_seconds", options.seconds},
                      {"rounds", options.rounds},
                      {"machine", LoadText()},
                      {"device", counters},
                      {"idle_device_bytes_per_s", idle},
                      {"cases", cases},
                      {"bars", bars.ToJson()}};
    fmt::print("{}\n", all.dump(2));
  } else {
    bars.Print();
  }
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Durable commits beside the raw limit of the disk"};
  tidemark::bench::Options options;
  app.add_option("--dir", options.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--seconds", options.seconds, "Length of a round")->capture_default_str();
  app.add_option("--rounds", options.rounds, "Rounds of each case")->capture_default_str();
  app.add_option("--record-bytes", options.record_bytes, "Key and value")->capture_default_str();
  app.add_option("--case", options.only, "Only this case, counted from 0");
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::Run(options);
  return 0;
}
