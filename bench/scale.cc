// What a large store costs to open: a thousand partitions of a hundred segments each, and a log of
// 100 GB under the gateway; after a clean stop and after SIGKILL, the page cache dropped each time.
//
//   bench_scale --dir FOLDER [--partitions N] [--segments N] [--log-bytes N] [--rounds N]
//               [--tidemark BINARY] [--json]
//
// The stores are made by the engine, through a file system that flushes nothing and has holes where
// the logs hold zeros (bench/sparse_files.h): they read, and verify, as any other. --partitions 0
// or --log-bytes 0 leaves the one or the other out.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/child.h"
#include "bench/report.h"
#include "bench/scale_serve.h"
#include "bench/scale_store.h"
#include "bench/support.h"
#include "tidemark/engine.h"

namespace tidemark::bench {
namespace {

struct Options {
  std::string dir = ".";
  int32_t partitions = 1'000;
  int32_t segments = 100;
  uint64_t log_bytes = uint64_t{100'000'000'000};
  int32_t log_partitions = 4;
  std::string tidemark;  // the command; empty: the one beside this program
  int rounds = 3;
  bool json = false;
};

constexpr double kMostOpenMs = 2'000;
constexpr double kMostFiles = 511;
constexpr double kMostFirstRecordMs = 1'000;
constexpr int64_t kLeastSegmentBytes = 1024;  // segment.bytes has no smaller value

// --- Many partitions -----------------------------------------------------------------------------

// Open files and memory of this process, seen again and again from a thread of its own.
class Watch {
 public:
  Watch() : thread_([this] { Run(); }) {}
  ~Watch() {
    stopped_ = true;
    thread_.join();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  static int64_t OpenFiles() {
    int64_t files = -1;  // the folder that is being listed is one, too
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      static_cast<void>(entry);
      ++files;
    }
    return files;
  }
  int64_t most_files() const { return most_files_; }
  uint64_t most_memory_bytes() const { return most_memory_bytes_; }

 private:
  void Run() {
    while (!stopped_) {
      most_files_ = std::max<int64_t>(most_files_, OpenFiles());
      most_memory_bytes_ = std::max<uint64_t>(most_memory_bytes_, AnonymousMemoryBytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  std::atomic<int64_t> most_files_ = 0;
  std::atomic<uint64_t> most_memory_bytes_ = 0;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

int64_t ReadOne(Engine& engine, Partition& partition, int64_t offset) {
  const auto reader = Must(engine.OpenReader(partition, offset));
  for (;;) {
    const ReadState state = Must(reader->Next());
    if (state == ReadState::batch) break;
    if (state == ReadState::at_end) GiveUp("a record is missing");
    engine.Poll(std::chrono::milliseconds(100));
  }
  for (const RecordView& record : reader->batch().records) return record.offset;
  GiveUp("a batch is empty");
}

// Opens, reads the first record of each partition, one from its middle and the last one, appends a
// durable one to each in turn, and closes.
Json OpenAndUse(const std::string& folder, const std::string& topic) {
  Watch watch;
  double start = 0;
  auto engine = OpenStore(folder, &start);
  const double opened = NowSeconds();
  const int64_t files_opened = Watch::OpenFiles();
  const uint64_t memory_opened = AnonymousMemoryBytes();
  const RecoveryReport& report = engine->recovery();
  if (!report.damage.empty()) GiveUp("there is damage: " + report.damage.front().cause);
  const bool clean = report.clean;
  const uint64_t records_replayed = report.records_replayed;
  Topic& all = *engine->FindTopic(topic);
  Latencies reads;
  Latencies appends;
  const auto timed = [](Latencies* latencies, const auto& work) {
    const double began = NowSeconds();
    work();
    latencies->Add(static_cast<int64_t>((NowSeconds() - began) * 1e6));
  };
  for (int32_t index = 0; index < all.partition_count(); ++index) {
    Partition& partition = *all.partition(index);
    const int64_t end = partition.durable_end_offset();
    for (const int64_t offset : {int64_t{0}, end / 2, end - 1}) {
      timed(&reads, [&] {
        if (ReadOne(*engine, partition, offset) != offset) GiveUp("another record was read");
      });
    }
  }
  const double appending = NowSeconds();
  for (int32_t index = 0; index < all.partition_count(); ++index) {
    timed(&appends, [&] { AppendDurably(*engine, *all.partition(index)); });
  }
  const double appended = NowSeconds();
  const uint64_t counted_memory = engine->stats().memory_bytes;
  const int64_t most_files_serving = watch.most_files();
  Must(engine->Close());
  engine.reset();
  return {{"open_ms", (opened - start) * 1e3},
          {"clean", clean},
          {"records_replayed", records_replayed},
          {"open_files", files_opened},
          {"most_open_files", most_files_serving},
          {"most_open_files_and_closing", watch.most_files()},
          {"memory_bytes", memory_opened},
          {"most_memory_bytes", watch.most_memory_bytes()},
          {"counted_memory_bytes", counted_memory},
          {"read_us_median", reads.Quantile(0.5)},
          {"read_us_p99", reads.Quantile(0.99)},
          {"append_us_median", appends.Quantile(0.5)},
          {"append_us_p99", appends.Quantile(0.99)},
          {"append_all_ms", (appended - appending) * 1e3},
          {"close_ms", (NowSeconds() - appended) * 1e3}};
}

StoreShape PartitionsShape(int32_t partitions, int32_t segments) {
  return {"many", partitions, segments, kLeastSegmentBytes, kSmallValueBytes};
}

struct Made {
  std::string folder;
  LogSize log;
  double seconds = 0;
  Json ToJson() const {
    return {{"segments", log.segments},
            {"log_bytes", log.bytes},
            {"disk_bytes", log.disk_bytes},
            {"made_seconds", seconds}};
  }
};

Made Make(const std::string& folder, const StoreShape& shape) {
  const double start = NowSeconds();
  RunInChild([&] {
    MakeStore(folder, shape);
    return Json();
  });
  return {folder, MeasureLog(folder), NowSeconds() - start};
}

void PrintMade(const std::string& what, const Made& made) {
  fmt::print("{}: {} segments, {:.2f} GB of .log, {:.2f} GB on the disk, made in {:.1f} s\n", what,
             made.log.segments, static_cast<double>(made.log.bytes) / 1e9,
             static_cast<double>(made.log.disk_bytes) / 1e9, made.seconds);
}

double MegabytesOf(const Json& run, const char* field) {
  return run.at(field).get<double>() / double{1 << 20};
}

void PrintRun(const Json& run) {
  fmt::print(
      "  {:<13} open {:>7.1f} ms, {} files ({} while used, {} with closing), memory {:.1f} MiB "
      "({:.1f} at most, {:.1f} counted)\n"
      "                {} records replayed; a read {} us (p99 {}), a durable append {} us (p99 "
      "{}), "
      "all {:.0f} ms; close {:.0f} ms\n",
      run.at("clean").get<bool>() ? "clean" : "after SIGKILL", run.at("open_ms").get<double>(),
      run.at("open_files").get<int64_t>(), run.at("most_open_files").get<int64_t>(),
      run.at("most_open_files_and_closing").get<int64_t>(), MegabytesOf(run, "memory_bytes"),
      MegabytesOf(run, "most_memory_bytes"), MegabytesOf(run, "counted_memory_bytes"),
      run.at("records_replayed").get<uint64_t>(), run.at("read_us_median").get<int64_t>(),
      run.at("read_us_p99").get<int64_t>(), run.at("append_us_median").get<int64_t>(),
      run.at("append_us_p99").get<int64_t>(), run.at("append_all_ms").get<double>(),
      run.at("close_ms").get<double>());
}

double MostOf(const std::vector<Json>& runs, const char* field) {
  double most = 0;
  for (const Json& run : runs) most = std::max(most, run.at(field).get<double>());
  return most;
}

Json RunPartitions(const Options& options, const std::string& scratch, Bars* bars) {
  const StoreShape shape = PartitionsShape(options.partitions, options.segments);
  const Made made = Make(scratch + "/many", shape);
  // What a process takes that has next to nothing open.
  const Made least = Make(scratch + "/least", PartitionsShape(1, 1));
  const Json with_least = RunInChild([&] { return OpenAndUse(least.folder, shape.topic); });
  if (!options.json) {
    PrintMade(fmt::format("{} partitions", options.partitions), made);
    fmt::print("  a store of one partition with one segment: memory at most {:.1f} MiB\n",
               MegabytesOf(with_least, "most_memory_bytes"));
  }
  std::vector<Json> runs;
  for (int round = 0; round < options.rounds; ++round) {
    for (const bool killed : {false, true}) {
      if (killed) RunUntilKilled([&] { AppendToEachAndDie(made.folder, shape.topic); });
      const bool cold = DropPageCache();
      Json run = RunInChild([&] { return OpenAndUse(made.folder, shape.topic); });
      run["page_cache"] = cold ? "dropped" : "warm";
      if (run.at("clean").get<bool>() == killed) GiveUp("the store was not left as meant");
      if (!options.json) PrintRun(run);
      runs.push_back(std::move(run));
    }
  }
  bars->AtMost("opening, the slowest, ms", MostOf(runs, "open_ms"), kMostOpenMs);
  bars->AtMost("open files, the most", MostOf(runs, "most_open_files_and_closing"), kMostFiles);
  bars->AtMost(
      "memory at most, beyond that of a store of one segment, of the option",
      (MostOf(runs, "most_memory_bytes") - with_least.at("most_memory_bytes").get<double>()) /
          static_cast<double>(EngineOptions().memory_bytes),
      1);
  std::filesystem::remove_all(made.folder);
  return {{"store", made.ToJson()}, {"least", with_least}, {"runs", runs}};
}

// --- A large log ---------------------------------------------------------------------------------

std::string BinaryOf(const Options& options) {
  if (!options.tidemark.empty()) return options.tidemark;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "tidemark";
}

Json RunLog(const Options& options, const std::string& scratch, Bars* bars) {
  StoreShape shape;
  shape.topic = "mqtt";  // where the gateway puts what is published
  shape.partitions = options.log_partitions;
  shape.segment_bytes = TopicConfig().segment_bytes;
  shape.value_bytes = kLargeValueBytes;
  const auto segment_bytes = static_cast<uint64_t>(shape.segment_bytes);
  shape.segments = static_cast<int32_t>(options.log_bytes / segment_bytes /
                                        static_cast<uint64_t>(options.log_partitions)) +
                   1;
  const Made made = Make(scratch + "/log", shape);
  if (!options.json) PrintMade("the log", made);
  const std::string binary = BinaryOf(options);
  std::vector<Json> runs;
  for (int round = 0; round < options.rounds; ++round) {
    for (const bool killed : {false, true}) {
      if (killed) RunUntilKilled([&] { FillJournalAndDie(made.folder, shape.topic); });
      const bool cold = DropPageCache();
      const FirstRecord first = ServeOnce(binary, made.folder);
      runs.push_back({{"stopped", killed ? "SIGKILL" : "clean"},
                      {"page_cache", cold ? "dropped" : "warm"},
                      {"ready_ms", first.ready_ms},
                      {"acknowledged_ms", first.acknowledged_ms}});
      if (options.json) continue;
      fmt::print("  {:<13} ready after {:>6.1f} ms, first record acknowledged after {:>6.1f} ms\n",
                 killed ? "after SIGKILL" : "clean", first.ready_ms, first.acknowledged_ms);
    }
  }
  bars->AtMost("from exec to the first acknowledged record, the slowest, ms",
               MostOf(runs, "acknowledged_ms"), kMostFirstRecordMs);
  return {{"store", made.ToJson()}, {"runs", runs}};
}

void Run(const Options& options) {
  const ScratchDir scratch(options.dir);
  Bars bars;
  Json all = {{"machine", LoadText()}};
  if (!options.json) fmt::print("{}\n\n", LoadText());
  if (options.partitions > 0) all["partitions"] = RunPartitions(options, scratch.path(), &bars);
  if (options.log_bytes > 0) all["log"] = RunLog(options, scratch.path(), &bars);
  if (options.json) {
    all["bars"] = bars.ToJson();
    fmt::print("{}\n", all.dump(2));
    return;
  }
  fmt::print("\n");
  bars.Print();
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Opening a store of many partitions, and one of a large log"};
  tidemark::bench::Options options;
  app.add_option("--dir", options.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--partitions", options.partitions, "Of the one store; 0: without it")
      ->capture_default_str();
  app.add_option("--segments", options.segments, "Sealed ones of each partition")
      ->capture_default_str();
  app.add_option("--log-bytes", options.log_bytes, "Of the other store; 0: without it")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--log-partitions", options.log_partitions, "Of the other store")
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Openings of each kind")->capture_default_str();
  app.add_option("--tidemark", options.tidemark, "The command; else the one beside this program");
  app.add_flag("--json", options.json, "JSON instead of text");
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::Run(options);
  return 0;
}
