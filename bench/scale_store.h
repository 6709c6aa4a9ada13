// Stores of many segments, made quickly, and what becomes of them before they are measured.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tidemark/engine.h"

namespace tidemark::bench {

// Every value is zeros, which a sparse file holds without taking the disk's room, and every record
// a batch of its own, not compressed.
struct StoreShape {
  std::string topic;
  int32_t partitions = 1;
  int32_t segments = 1;  // sealed ones of each partition, beside the active one
  int64_t segment_bytes = 0;
  uint64_t value_bytes = 0;
};
// Two of them are too large for one batch (storage/run.h), so that with the smallest segment.bytes
// each is a segment.
inline constexpr uint64_t kSmallValueBytes = (uint64_t{64} << 10) + 1;
// The largest batch that records of usual size come to.
inline constexpr uint64_t kLargeValueBytes = (uint64_t{128} << 10) - 80;

// A new store, closed cleanly. Gives up when it has not become what was asked for.
void MakeStore(const std::string& folder, const StoreShape& shape);

// Bytes of all .log files: as they are read, and on the disk.
struct LogSize {
  uint64_t segments = 0;
  uint64_t bytes = 0;
  uint64_t disk_bytes = 0;  // of all files
};
LogSize MeasureLog(const std::string& folder);

// Opens a store whose last owner may have been killed: the kernel frees the lock only once that
// one's last write has landed. `*start` is the time of the try that succeeded.
std::unique_ptr<Engine> OpenStore(const std::string& folder, double* start);
// Appends a reading, durable when this returns.
void AppendDurably(Engine& engine, Partition& partition);

// Never return: they end as a gateway that is killed. The first when a durable record is in every
// partition, the second when the journal holds three tenths of what it can.
[[noreturn]] void AppendToEachAndDie(const std::string& folder, const std::string& topic);
[[noreturn]] void FillJournalAndDie(const std::string& folder, const std::string& topic);

}  // namespace tidemark::bench
