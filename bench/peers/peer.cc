#include "bench/peers/peer.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "bench/support.h"

namespace tidemark::bench {
namespace {

class Gathering : public Peer {
 public:
  explicit Gathering(std::unique_ptr<Peer> inner) : inner_(std::move(inner)) {}

  // The first one that finds nobody at work takes all that waits; the others wait for it.
  void Append(std::span<const PeerRecord> records, Safety safety) override {
    std::unique_lock lock(mutex_);
    waiting_.insert(waiting_.end(), records.begin(), records.end());
    const uint64_t mine = gathering_;
    while (done_ <= mine) {
      if (working_) {
        changed_.wait(lock);
        continue;
      }
      working_ = true;
      batch_.clear();
      std::swap(batch_, waiting_);
      ++gathering_;
      lock.unlock();
      inner_->Append(batch_, safety);
      lock.lock();
      working_ = false;
      ++done_;
      changed_.notify_all();
    }
  }
  void Close() override { inner_->Close(); }

 private:
  std::unique_ptr<Peer> inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PeerRecord> waiting_;
  std::vector<PeerRecord> batch_;  // of the one that works
  uint64_t gathering_ = 0;         // number of the batch that waiting_ becomes
  uint64_t done_ = 0;              // batches
  bool working_ = false;
};

std::atomic<uint64_t> looked_at{0};

}  // namespace

InFlightResult Peer::RunInFlight(const InFlight& load) {
  std::vector<std::atomic<uint64_t>> next_offsets(load.partitions);
  std::atomic<uint64_t> acknowledged{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < load.count; ++i) {
    threads.emplace_back([&, i] {
      PeerRecord record;
      record.partition = i % load.partitions;
      go.wait(false);
      for (size_t turn = i; !stop.load(std::memory_order_relaxed); ++turn) {
        record.offset = next_offsets[record.partition].fetch_add(1, std::memory_order_relaxed);
        record.timestamp_ms = static_cast<int64_t>(record.offset);
        record.value = load.values[turn % load.values.size()];
        Append({&record, 1}, Safety::durable);
        if (!stop.load(std::memory_order_relaxed)) {
          acknowledged.fetch_add(1, std::memory_order_relaxed);
        }
      }
    });
  }
  const double start = NowSeconds();
  go = true;
  go.notify_all();
  std::this_thread::sleep_for(std::chrono::duration<double>(load.seconds));
  stop = true;
  const double seconds = NowSeconds() - start;
  const uint64_t count = acknowledged.load();
  for (std::thread& thread : threads) thread.join();
  return {count, seconds};
}

void Peer::Wait(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

uint64_t Peer::ReadAll(uint32_t /*partition*/) { GiveUp("ReadAll() is not there"); }
std::string Peer::ReadOne(uint32_t /*partition*/, uint64_t /*offset*/) {
  GiveUp("ReadOne() is not there");
}
uint64_t Peer::FirstAtOrAfter(uint32_t /*partition*/, int64_t /*timestamp_ms*/) {
  GiveUp("FirstAtOrAfter() is not there");
}

std::unique_ptr<Peer> GatherWrites(std::unique_ptr<Peer> inner) {
  return std::make_unique<Gathering>(std::move(inner));
}

void AppendBigEndian(uint64_t value, size_t bytes, std::string* to) {
  constexpr unsigned kBitsOfByte = 8;
  for (size_t i = bytes; i-- > 0;) {
    to->push_back(static_cast<char>((value >> (i * kBitsOfByte)) & 0xff));
  }
}

std::string RecordKey(uint32_t partition, uint64_t offset) {
  std::string key;
  key.reserve(kKeyBytes);
  AppendBigEndian(partition, sizeof partition, &key);
  AppendBigEndian(offset, sizeof offset, &key);
  return key;
}

std::string TimeKey(uint32_t partition, int64_t timestamp_ms, uint64_t offset) {
  std::string key;
  AppendBigEndian(partition, sizeof partition, &key);
  AppendBigEndian(static_cast<uint64_t>(timestamp_ms), sizeof timestamp_ms, &key);
  AppendBigEndian(offset, sizeof offset, &key);
  return key;
}

uint64_t OffsetOfTimeKey(std::string_view key) {
  uint64_t offset = 0;
  for (const char byte : key.substr(key.size() - sizeof offset)) {
    offset = offset << 8 | static_cast<unsigned char>(byte);
  }
  return offset;
}

void JoinKeyAndValue(const PeerRecord& record, std::string* to) {
  to->assign(record.key);
  to->append(record.value);
}

void LookAt(std::string_view value) {
  const auto seen = value.empty() ? 0U : static_cast<unsigned char>(value.back());
  looked_at.store(looked_at.load(std::memory_order_relaxed) + value.size() + seen,
                  std::memory_order_relaxed);
}

std::vector<System> Systems() {
  std::vector<System> systems = {TidemarkSystem(), RawDeviceSystem(), ZstdSystem()};
#ifdef TIDEMARK_BENCH_ROCKSDB
  systems.push_back(RocksDbSystem());
#endif
#ifdef TIDEMARK_BENCH_LEVELDB
  systems.push_back(LevelDbSystem());
#endif
#ifdef TIDEMARK_BENCH_LMDB
  systems.push_back(LmdbSystem());
#endif
#ifdef TIDEMARK_BENCH_SQLITE
  systems.push_back(SqliteSystem());
#endif
  return systems;
}

}  // namespace tidemark::bench
