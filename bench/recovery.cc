// How long opening takes after a kill: of a small log and of a large one, with alike journals.
//
//   bench_recovery --dir FOLDER [--small-bytes N] [--large-bytes N] [--rounds N] [--json]
//
// A process of its own fills the log to its size, goes on until the journal holds three tenths of
// what it can, and kills itself with SIGKILL; then the store is opened here. The two stores take
// turns. The page cache is dropped before each opening where that is allowed.

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

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
  uint64_t small_bytes = uint64_t{64} << 20;
  uint64_t large_bytes = uint64_t{5} << 30;
  int rounds = 5;
  bool json = false;
};

// The bar: a log of eighty times the size may cost a little, such as longer directories.
constexpr double kMostOfSmall = 1.5;
constexpr double kJournalShare = 0.3;
constexpr int32_t kPartitions = 4;

EngineOptions OptionsFor(const std::string& folder) {
  EngineOptions options;
  options.data_dir = folder;
  return options;
}

void AppendSome(Partition& partition, Payloads& payloads) {
  constexpr int kBurst = 1'000;
  for (int i = 0; i < kBurst; ++i) {
    const auto offset = partition.Append(payloads.Next(kTimestampOfArrival), Durability::buffered);
    if (offset.ok()) continue;
    if (offset.error().code() != ErrorCode::busy) GiveUp(offset.error().ToString());
    return;
  }
}

// Opens a store whose last owner was killed: the kernel frees the lock only once that one's last
// write has landed. `*start` is the time of the try that succeeded.
std::unique_ptr<Engine> OpenAfterKill(const std::string& folder, double* start) {
  constexpr double kPatienceSeconds = 10;
  const double deadline = NowSeconds() + kPatienceSeconds;
  for (;;) {
    *start = NowSeconds();
    auto engine = Engine::Open(OptionsFor(folder));
    const bool locked = !engine.ok() && engine.error().code() == ErrorCode::locked;
    if (!locked || *start > deadline) return Must(std::move(engine));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Never returns: ends as a gateway that is killed.
[[noreturn]] void FillAndDie(const std::string& folder, uint64_t log_bytes) {
  double start = 0;
  const auto engine = OpenAfterKill(folder, &start);
  Topic* topic = engine->FindTopic("readings");
  if (topic == nullptr) {
    TopicConfig config;
    config.compression = Compression::none;  // bytes shall become log quickly
    topic = Must(engine->CreateTopic("readings", kPartitions, config));
  }
  constexpr size_t kPayloads = 4096;
  constexpr size_t kRecordBytes = 1024;
  Payloads payloads(PayloadKind::thermometers, kRecordBytes, kPayloads);
  uint64_t on_disk = FileBytes(folder, ".log");
  for (int32_t next = 0;; next = (next + 1) % kPartitions) {
    AppendSome(*topic->partition(next), payloads);
    engine->Poll(std::chrono::milliseconds(1));
    Must(engine->health());
    const EngineStats stats = engine->stats();
    if (on_disk + stats.segment_bytes_written < log_bytes) continue;
    const double used = static_cast<double>(stats.journal_used_bytes) /
                        static_cast<double>(stats.journal_capacity_bytes);
    if (used >= kJournalShare) raise(SIGKILL);
  }
}

struct StoreResult {
  std::string name;
  std::string folder;
  uint64_t log_bytes = 0;
  Samples open_ms;
  Samples first_record_ms;  // from the start of opening until a record is acknowledged as durable
  Samples replayed_mb;
  Samples ms_per_replayed_mb;
  uint64_t records = 0;
};

void OpenOnce(StoreResult* store) {
  double start = 0;
  const auto engine = OpenAfterKill(store->folder, &start);
  const double opened = NowSeconds();
  Partition& partition = *engine->FindTopic("readings")->partition(0);
  Record record;
  record.value = "21.4";
  const int64_t offset = Must(partition.Append(record, Durability::durable));
  while (partition.durable_end_offset() <= offset) {
    engine->Poll(std::chrono::milliseconds(100));
    Must(engine->health());
  }
  const double acknowledged = NowSeconds();
  const RecoveryReport& report = engine->recovery();
  if (report.clean || report.commits_replayed == 0) GiveUp("nothing had to be recovered");
  if (!report.damage.empty()) GiveUp("a kill has left damage: " + report.damage.front().cause);
  const double megabytes = static_cast<double>(report.journal_bytes_replayed) / 1e6;
  store->open_ms.Add((opened - start) * 1e3);
  store->first_record_ms.Add((acknowledged - start) * 1e3);
  store->replayed_mb.Add(megabytes);
  store->ms_per_replayed_mb.Add((opened - start) * 1e3 / megabytes);
  store->log_bytes = FileBytes(store->folder, ".log");
  store->records = report.records_replayed;
}

Json ToJson(const StoreResult& store) {
  return {{"log", store.name},
          {"log_bytes", store.log_bytes},
          {"open_ms", store.open_ms.values()},
          {"open_ms_median", store.open_ms.Median()},
          {"first_record_ms_median", store.first_record_ms.Median()},
          {"replayed_mb", store.replayed_mb.values()},
          {"ms_per_replayed_mb_median", store.ms_per_replayed_mb.Median()}};
}

void Print(const StoreResult& store) {
  fmt::print(
      "{:<6} log of {:>7.0f} MB: open in {:>6.1f} ms ({:.1f} to {:.1f}), first record acknowledged "
      "after {:.1f} ms\n       {:.1f} MB of journal replayed ({} records in the last round), "
      "{:.2f} ms for each\n",
      store.name, static_cast<double>(store.log_bytes) / 1e6, store.open_ms.Median(),
      store.open_ms.Min(), store.open_ms.Max(), store.first_record_ms.Median(),
      store.replayed_mb.Median(), store.records, store.ms_per_replayed_mb.Median());
}

void Run(const Options& options) {
  const ScratchDir scratch(options.dir);
  std::array<StoreResult, 2> stores;
  stores[0].name = "small";
  stores[1].name = "large";
  const std::array<uint64_t, 2> sizes = {options.small_bytes, options.large_bytes};
  bool cold = true;
  for (int round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < stores.size(); ++i) {
      stores[i].folder = scratch.Sub(stores[i].name);
      RunUntilKilled([&] { FillAndDie(stores[i].folder, sizes[i]); });
      cold = DropPageCache() && cold;
      OpenOnce(&stores[i]);
    }
  }
  Bars bars;
  bars.AtMost("opening the large log by opening the small one, per byte of journal replayed",
              stores[1].ms_per_replayed_mb.Median() / stores[0].ms_per_replayed_mb.Median(),
              kMostOfSmall);
  if (options.json) {
    const Json all = {{"machine", LoadText()},
                      {"page_cache", cold ? "dropped" : "warm"},
                      {"stores", {ToJson(stores[0]), ToJson(stores[1])}},
                      {"bars", bars.ToJson()}};
    fmt::print("{}\n", all.dump(2));
    return;
  }
  fmt::print("opening after SIGKILL, {} rounds, page cache {}; {}\n\n", options.rounds,
             cold ? "dropped before each" : "warm", LoadText());
  for (const StoreResult& store : stores) Print(store);
  fmt::print("\n");
  bars.Print();
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Opening after a kill, of a small and of a large log"};
  tidemark::bench::Options options;
  app.add_option("--dir", options.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--small-bytes", options.small_bytes, "Of the small log")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--large-bytes", options.large_bytes, "Of the large log")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Openings of each")->capture_default_str();
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::Run(options);
  return 0;
}
