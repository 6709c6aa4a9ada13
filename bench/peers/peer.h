// A storage system as bench_peers sees it: the few verbs that its works need. One file for each
// system implements them as a sensible user of that system would.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark::bench {

struct PeerRecord {
  uint32_t partition = 0;
  uint64_t offset = 0;  // in its partition, from 0 on, without a gap
  int64_t timestamp_ms = 0;
  std::string_view key;  // may be empty
  std::string_view value;
};

enum class Safety {
  durable,  // flushed to the device when Append() returns
  relaxed,  // as the system does it when nobody asks for a flush
};

// Records under way at once, for the work of that name.
struct InFlight {
  uint32_t count = 1;
  uint32_t partitions = 1;
  double seconds = 1;
  std::span<const std::string> values;  // taken in turn
};
struct InFlightResult {
  uint64_t acknowledged = 0;
  double seconds = 0;
};

// Only what the bits of its variant name is called. Errors give up: a benchmark has no use for
// them.
class Peer {
 public:
  Peer() = default;
  virtual ~Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // In one batch or transaction where the system has those.
  virtual void Append(std::span<const PeerRecord> records, Safety safety) = 0;
  // Holds so many records under way, each durable, for so long. Here: as many threads, each with
  // one Append() after the other. Nothing was appended to these partitions before.
  virtual InFlightResult RunInFlight(const InFlight& load);
  // Whether relaxed records become durable within a second by themselves; else the caller gathers
  // a second's records and appends them durable.
  virtual bool KeepsWindow() const { return false; }
  // Lets time pass; a system without threads of its own works meanwhile.
  virtual void Wait(double seconds);

  // Visits every record of the partition in order and looks at its value; returns how many.
  virtual uint64_t ReadAll(uint32_t partition);
  virtual std::string ReadOne(uint32_t partition, uint64_t offset);
  // The offset of the first record at or after a time.
  virtual uint64_t FirstAtOrAfter(uint32_t partition, int64_t timestamp_ms);

  // What the system says that it has written to its files; 0: it does not say.
  virtual uint64_t BytesWritten() const { return 0; }
  // A clean stop: everything is durable afterwards.
  virtual void Close() = 0;
};

struct StoreOptions {
  std::string folder;  // is there; empty, or what the same variant has left
  uint32_t partitions = 1;
  bool by_time = false;  // FirstAtOrAfter() will be asked
};

// The works, as bits.
inline constexpr uint32_t kOneByOne = 1U << 0;     // a
inline constexpr uint32_t kInFlight = 1U << 1;     // b
inline constexpr uint32_t kBulk = 1U << 2;         // c
inline constexpr uint32_t kReadAll = 1U << 3;      // d
inline constexpr uint32_t kReadOne = 1U << 4;      // e
inline constexpr uint32_t kReadByTime = 1U << 5;   // f
inline constexpr uint32_t kKill = 1U << 6;         // g
inline constexpr uint32_t kSpaceEach = 1U << 7;    // h, durable one by one
inline constexpr uint32_t kSpaceWindow = 1U << 8;  // h, within a window of loss of 1 s
inline constexpr uint32_t kMemory = 1U << 9;       // i

// A system in one of its settings.
struct Variant {
  std::string system;
  std::string setting;
  uint32_t works = 0;
  Safety safety = Safety::relaxed;
  size_t bulk_records = 1000;  // in one Append() where many are at hand
  std::function<std::unique_ptr<Peer>(const StoreOptions&)> open;
};

// How a system's versions and variants are made known.
struct System {
  std::string name;
  std::string version;
  std::vector<Variant> variants;
};
System RawDeviceSystem();
System TidemarkSystem();
// zstd alone, over the batches that Tidemark has compressed.
System ZstdSystem();
System RocksDbSystem();
System LevelDbSystem();
System LmdbSystem();
System SqliteSystem();
// All that this program was built with; Tidemark first.
std::vector<System> Systems();

// Puts the records of all threads that wait into one Append(): what a user of a system with one
// writer at a time would build.
std::unique_ptr<Peer> GatherWrites(std::unique_ptr<Peer> inner);

// Tidemark's core, with its default settings.
std::unique_ptr<Peer> OpenTidemarkCore(const StoreOptions& options);

// An offset-like key: the partition in front, both big-endian, so that byte order is log order.
inline constexpr size_t kKeyBytes = 12;
void AppendBigEndian(uint64_t value, size_t bytes, std::string* to);
std::string RecordKey(uint32_t partition, uint64_t offset);
// The key of a secondary index by time: partition, timestamp, offset.
std::string TimeKey(uint32_t partition, int64_t timestamp_ms, uint64_t offset);
uint64_t OffsetOfTimeKey(std::string_view key);
// What a system without a key of the user's own stores as the value.
void JoinKeyAndValue(const PeerRecord& record, std::string* to);

// So that no compiler finds the reading needless.
void LookAt(std::string_view value);

}  // namespace tidemark::bench
