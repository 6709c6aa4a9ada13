// Tidemark: its core on the caller's thread, and the thread-safe class.
#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "bench/peers/peer.h"
#include "bench/support.h"
#include "tidemark/concurrent_engine.h"
#include "tidemark/engine.h"

namespace tidemark::bench {
namespace {

using std::chrono::microseconds;

constexpr const char* kTopic = "readings";
constexpr microseconds kLongWait(100'000);
constexpr microseconds kBusyWait(1'000);

EngineOptions OptionsFor(const StoreOptions& options) {
  EngineOptions engine_options;
  engine_options.data_dir = options.folder;
  return engine_options;
}

// A store whose last owner was killed is locked until that one's last write has landed.
std::unique_ptr<Engine> OpenEngine(const StoreOptions& options) {
  constexpr double kPatienceSeconds = 10;
  const double deadline = NowSeconds() + kPatienceSeconds;
  for (;;) {
    auto engine = Engine::Open(OptionsFor(options));
    const bool locked = !engine.ok() && engine.error().code() == ErrorCode::locked;
    if (!locked || NowSeconds() > deadline) return Must(std::move(engine));
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

Record RecordOf(const PeerRecord& from) {
  Record record;
  if (!from.key.empty()) record.key = from.key;
  record.value = from.value;
  record.timestamp_ms = from.timestamp_ms;
  return record;
}

class TidemarkCore : public Peer {
 public:
  TidemarkCore(const StoreOptions& options, Compression compression)
      : engine_(OpenEngine(options)), topic_(engine_->FindTopic(kTopic)) {
    TopicConfig config;
    config.compression = compression;
    if (topic_ == nullptr) {
      topic_ = Must(engine_->CreateTopic(kTopic, static_cast<int32_t>(options.partitions), config));
    }
  }
  ~TidemarkCore() override { reader_.reset(); }
  TidemarkCore(const TidemarkCore&) = delete;
  TidemarkCore& operator=(const TidemarkCore&) = delete;

  void Append(std::span<const PeerRecord> records, Safety safety) override {
    const Durability durability =
        safety == Safety::durable ? Durability::durable : Durability::buffered;
    offsets_.clear();
    for (const PeerRecord& record : records) offsets_.push_back(AppendOne(record, durability));
    if (safety == Safety::relaxed) {
      engine_->Poll(microseconds(0));
      return;
    }
    for (size_t i = 0; i < records.size(); ++i) {
      const Partition& partition = PartitionOf(records[i].partition);
      while (partition.durable_end_offset() <= offsets_[i]) Turn(kLongWait);
    }
  }

  InFlightResult RunInFlight(const InFlight& load) override;
  bool KeepsWindow() const override { return true; }

  void Wait(double seconds) override {
    for (const double end = NowSeconds() + seconds; NowSeconds() < end;) Turn(kBusyWait);
  }

  uint64_t ReadAll(uint32_t partition) override {
    const auto reader = Must(engine_->OpenReader(PartitionOf(partition), 0));
    uint64_t count = 0;
    while (NextBatch(*reader)) {
      for (const RecordView& record : reader->batch().records) {
        LookAt(*record.value);
        ++count;
      }
    }
    return count;
  }

  std::string ReadOne(uint32_t partition, uint64_t offset) override {
    Reader& reader = ReaderOf(partition);
    Must(reader.Seek(static_cast<int64_t>(offset)));
    if (!NextBatch(reader)) GiveUp("Tidemark: a record is missing");
    return std::string(*(*reader.batch().records.begin()).value);
  }

  uint64_t FirstAtOrAfter(uint32_t partition, int64_t timestamp_ms) override {
    Reader& reader = ReaderOf(partition);
    Must(reader.SeekToTimestamp(timestamp_ms));
    if (!NextBatch(reader)) GiveUp("Tidemark: no record at or after a time");
    return static_cast<uint64_t>((*reader.batch().records.begin()).offset);
  }

  uint64_t BytesWritten() const override {
    const EngineStats stats = engine_->stats();
    return stats.journal_bytes_written + stats.segment_bytes_written;
  }

  void Close() override {
    reader_.reset();
    Must(engine_->Close());
  }

 private:
  Partition& PartitionOf(uint32_t index) const {
    return *topic_->partition(static_cast<int32_t>(index));
  }
  void Turn(microseconds wait) {
    engine_->Poll(wait);
    Must(engine_->health());
  }
  int64_t AppendOne(const PeerRecord& record, Durability durability) {
    for (;;) {
      const auto offset = TryAppend(PartitionOf(record.partition), RecordOf(record), durability);
      if (offset) return *offset;
      Turn(kBusyWait);
    }
  }
  // Nothing: busy.
  static std::optional<int64_t> TryAppend(Partition& partition, const Record& record,
                                          Durability durability) {
    const auto offset = partition.Append(record, durability);
    if (offset.ok()) return *offset;
    if (offset.error().code() != ErrorCode::busy) GiveUp(offset.error().ToString());
    return std::nullopt;
  }
  // False: at the end.
  bool NextBatch(Reader& reader) {
    for (;;) {
      const ReadState state = Must(reader.Next());
      if (state != ReadState::pending) return state == ReadState::batch;
      engine_->Poll(kLongWait);
    }
  }
  Reader& ReaderOf(uint32_t partition) {
    if (!reader_) reader_ = Must(engine_->OpenReader(PartitionOf(partition), 0));
    return *reader_;
  }

  std::unique_ptr<Engine> engine_;
  Topic* topic_;
  std::vector<int64_t> offsets_;    // of what Append() is at
  std::unique_ptr<Reader> reader_;  // of the one partition that single records are read from
};

// Tops every partition up to its share of the records under way whenever its durable end has moved.
InFlightResult TidemarkCore::RunInFlight(const InFlight& load) {
  std::vector<int64_t> ends(load.partitions);
  size_t next_value = 0;
  auto top_up = [&](uint32_t index) {
    Partition& partition = PartitionOf(index);
    const int64_t share = std::max<int64_t>(load.count / std::max(load.partitions, 1U), 1);
    while (partition.end_offset() - ends[index] < share) {
      Record record;
      record.value = load.values[next_value];
      record.timestamp_ms = partition.end_offset();
      if (!TryAppend(partition, record, Durability::durable)) return false;
      next_value = next_value + 1 == load.values.size() ? 0 : next_value + 1;
    }
    return true;
  };
  InFlightResult result;
  bool refused = true;  // some partition may have room: look at all of them
  for (const double start = NowSeconds(); result.seconds < load.seconds;
       result.seconds = NowSeconds() - start) {
    if (refused) {
      refused = false;
      for (uint32_t i = 0; i < load.partitions && !refused; ++i) refused = !top_up(i);
    }
    for (Partition* partition : engine_->Poll(refused ? kBusyWait : kLongWait)) {
      const auto index = static_cast<uint32_t>(partition->index());
      const int64_t end = partition->durable_end_offset();
      result.acknowledged += static_cast<uint64_t>(end - ends[index]);
      ends[index] = end;
      refused = !top_up(index) || refused;
    }
    Must(engine_->health());
  }
  return result;
}

// As many threads as records under way, through the thread-safe class.
class TidemarkThreads : public Peer {
 public:
  explicit TidemarkThreads(const StoreOptions& options)
      : engine_(Must(ConcurrentEngine::Open(OptionsFor(options)))) {
    Must(engine_->EnsureTopic(kTopic, static_cast<int32_t>(options.partitions)));
  }
  void Append(std::span<const PeerRecord> records, Safety safety) override {
    for (const PeerRecord& record : records) {
      Must(engine_->Append(kTopic, static_cast<int32_t>(record.partition), RecordOf(record),
                           safety == Safety::durable ? Durability::durable : Durability::buffered));
    }
  }
  void Close() override { Must(engine_->Close()); }

 private:
  std::unique_ptr<ConcurrentEngine> engine_;
};

std::unique_ptr<Peer> OpenUncompressed(const StoreOptions& options) {
  return std::make_unique<TidemarkCore>(options, Compression::none);
}

}  // namespace

std::unique_ptr<Peer> OpenTidemarkCore(const StoreOptions& options) {
  return std::make_unique<TidemarkCore>(options, Compression::zstd);
}

System TidemarkSystem() {
  System system{"Tidemark", "", {}};
  system.variants.push_back({.system = system.name,
                             .setting = "durable (the default), core on one thread",
                             .works = kOneByOne | kInFlight | kSpaceEach,
                             .safety = Safety::durable,
                             .open = OpenTidemarkCore});
  system.variants.push_back({.system = system.name,
                             .setting = "durable, thread-safe class, a thread each",
                             .works = kOneByOne | kInFlight,
                             .safety = Safety::durable,
                             .open = [](const StoreOptions& options) -> std::unique_ptr<Peer> {
                               return std::make_unique<TidemarkThreads>(options);
                             }});
  system.variants.push_back({.system = system.name,
                             .setting = "buffered, not compressed",
                             .works = kBulk | kReadAll | kReadOne | kReadByTime | kKill,
                             .open = OpenUncompressed});
  system.variants.push_back(
      {.system = system.name,
       .setting = "buffered, zstd (the default)",
       .works = kBulk | kReadAll | kReadOne | kReadByTime | kSpaceWindow | kMemory,
       .open = OpenTidemarkCore});
  return system;
}

}  // namespace tidemark::bench
