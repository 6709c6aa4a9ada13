#include "bench/scale_store.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>
#include <utility>

#include <fmt/core.h>

#include "base/clock.h"
#include "bench/child.h"
#include "bench/payloads.h"
#include "bench/sparse_files.h"
#include "bench/support.h"
#include "io/environment.h"
#include "io/loop.h"
#include "io/worker.h"
#include "storage/open.h"

namespace tidemark::bench {
namespace {

// A batch's header and what frames its one record, at most.
constexpr uint64_t kBatchFramingBytes = 80;
constexpr double kJournalShare = 0.3;

EngineOptions OptionsFor(const std::string& folder) {
  EngineOptions options;
  options.data_dir = folder;
  return options;
}

void Append(Engine& engine, Partition& partition, const Record& record) {
  for (;;) {
    const auto offset = partition.Append(record, Durability::buffered);
    if (offset.ok()) return;
    if (offset.error().code() != ErrorCode::busy) GiveUp(offset.error().ToString());
    engine.Poll(std::chrono::milliseconds(1));
    Must(engine.health());
  }
}

void Fill(Engine& engine, const StoreShape& shape) {
  TopicConfig config;
  config.compression = Compression::none;
  config.segment_bytes = shape.segment_bytes;
  config.retention_ms = -1;
  Topic& topic = *Must(engine.CreateTopic(shape.topic, shape.partitions, config));
  const uint64_t batches_a_segment = std::max<uint64_t>(
      1, static_cast<uint64_t>(shape.segment_bytes) / (shape.value_bytes + kBatchFramingBytes));
  const std::string zeros(shape.value_bytes, '\0');
  Record record;
  record.value = zeros;
  // Each partition's segments one after the other, as far as its records become segments at once.
  constexpr uint64_t kInARow = 16;
  const uint64_t records = static_cast<uint64_t>(shape.segments) * batches_a_segment + 1;
  for (uint64_t done = 0; done < records; done += kInARow) {
    for (int32_t index = 0; index < shape.partitions; ++index) {
      for (uint64_t i = done; i < std::min(records, done + kInARow); ++i) {
        Append(engine, *topic.partition(index), record);
      }
      engine.Poll(std::chrono::milliseconds(0));
    }
  }
}

Topic& TopicOf(Engine& engine, const std::string& name) {
  Topic* topic = engine.FindTopic(name);
  if (topic == nullptr) GiveUp("there is no topic " + name);
  return *topic;
}

}  // namespace

void MakeStore(const std::string& folder, const StoreShape& shape) {
  const auto loop = Must(io::MakeLoop(io::LoopKind::automatic));
  const auto worker = io::MakeThreadWorker(*loop);
  const io::Environment environment{SparseFiles(),
                                    *loop,
                                    *worker,
                                    base::SystemClock(),
                                    &io::SystemRandom64,
                                    io::CurrentProcessId(),
                                    io::CurrentBoot()};
  {
    EngineOptions options = OptionsFor(folder);
    options.memory_bytes = uint64_t{256} << 20;  // only now, so that the worker always has work
    options.scrub_bytes_per_second = 0;
    const auto engine = Must(storage::OpenEngine(environment, options));
    Fill(*engine, shape);
    Must(engine->Close());
  }
  const uint64_t wanted =
      static_cast<uint64_t>(shape.partitions) * static_cast<uint64_t>(shape.segments + 1);
  const uint64_t made = MeasureLog(folder).segments;
  if (made != wanted) GiveUp(fmt::format("{}: {} segments, not {}", folder, made, wanted));
}

LogSize MeasureLog(const std::string& folder) {
  LogSize size;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".log") {
      ++size.segments;
      size.bytes += entry.file_size();
    }
  }
  size.disk_bytes = DiskBytes(folder);
  return size;
}

std::unique_ptr<Engine> OpenStore(const std::string& folder, double* start) {
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

void AppendDurably(Engine& engine, Partition& partition) {
  Record record;
  record.key = "kitchen";
  record.value = "21.4";
  const int64_t offset = Must(partition.Append(record, Durability::durable));
  while (partition.durable_end_offset() <= offset) {
    engine.Poll(std::chrono::milliseconds(100));
    Must(engine.health());
  }
}

void AppendToEachAndDie(const std::string& folder, const std::string& topic) {
  double start = 0;
  const auto engine = OpenStore(folder, &start);
  Topic& to = TopicOf(*engine, topic);
  for (int32_t index = 0; index < to.partition_count(); ++index) {
    AppendDurably(*engine, *to.partition(index));
  }
  for (;;) raise(SIGKILL);
}

void FillJournalAndDie(const std::string& folder, const std::string& topic) {
  double start = 0;
  const auto engine = OpenStore(folder, &start);
  Topic& to = TopicOf(*engine, topic);
  constexpr size_t kPayloads = 4096;
  constexpr size_t kRecordBytes = 126;
  constexpr uint64_t kBurst = 100;
  Payloads payloads(PayloadKind::thermometers, kRecordBytes, kPayloads);
  for (uint64_t count = 0;; ++count) {
    Append(*engine, *to.partition(static_cast<int32_t>(count) % to.partition_count()),
           payloads.Next(kTimestampOfArrival));
    if (count % kBurst != 0) continue;
    engine->Poll(std::chrono::milliseconds(0));
    const EngineStats stats = engine->stats();
    const double used = static_cast<double>(stats.journal_used_bytes) /
                        static_cast<double>(stats.journal_capacity_bytes);
    if (used >= kJournalShare) raise(SIGKILL);
  }
}

}  // namespace tidemark::bench
