// Kafka's sparse indexes in memory, and their bytes as the files hold them. No I/O here.
//
// .index: 8 bytes an entry, int32 offset relative to the segment's base, int32 file position. An
// entry names the last offset of the batch that starts at that position. .timeindex: 12 bytes,
// int64 greatest timestamp so far, int32 relative last offset of the earliest batch that holds it.
// Both strictly increase. Source: Kafka's OffsetIndex, TimeIndex and LogSegment; docs/formats.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace tidemark::index {

inline constexpr size_t kOffsetEntryBytes = 8;
inline constexpr size_t kTimeEntryBytes = 12;
// Kafka's "no timestamp". What is not greater, times before 1970 among it, never gets a time entry.
inline constexpr int64_t kNoTimestamp = -1;

struct OffsetEntry {
  int32_t relative_offset = 0;
  int32_t position = 0;
  bool operator==(const OffsetEntry&) const = default;

  static OffsetEntry Decode(const std::byte* from);
  // Whether it may stand behind `before` (nullptr: as the first one) in the index of a log of
  // `log_bytes`.
  bool MayFollow(const OffsetEntry* before, uint64_t log_bytes) const;
};

struct TimeEntry {
  int64_t timestamp_ms = 0;
  int32_t relative_offset = 0;
  bool operator==(const TimeEntry&) const = default;

  static TimeEntry Decode(const std::byte* from);
  bool MayFollow(const TimeEntry* before) const;
};

class OffsetIndex {
 public:
  // Takes the longest valid prefix of a file's bytes: whole entries, both fields strictly
  // increasing, positions below `log_bytes`. An entry of zeros is not valid: no entry names the
  // log's first batch, so that it is space never written. Returns how many bytes were valid.
  size_t Load(base::ByteSpan file, uint64_t log_bytes);
  // Must be greater than the last entry in both fields (checked).
  void Add(OffsetEntry entry);
  // The last entry whose relative offset is <= `relative_offset`: its position is at or before the
  // batch that holds that offset, whichever that is (at it when they are equal, since an entry
  // names its batch's last offset); nullopt: start at position 0.
  std::optional<OffsetEntry> Floor(int32_t relative_offset) const;
  // Drops entries at or behind a log position.
  void TruncateToPosition(uint64_t log_bytes);

  std::span<const OffsetEntry> entries() const { return entries_; }
  static void Encode(OffsetEntry entry, std::byte* to);

 private:
  std::vector<OffsetEntry> entries_;
};

class TimeIndex {
 public:
  // As OffsetIndex::Load: timestamps (from 0 on) and offsets strictly increase, offsets stay at or
  // below `last_relative_offset`. Zeros are a valid first entry, so that of a file of zeros one
  // entry is taken: that the result is less than the file's size tells.
  size_t Load(base::ByteSpan file, int32_t last_relative_offset);
  // Ignored (returns false) unless timestamp and offset are greater than the last entry's, and the
  // timestamp greater than kNoTimestamp.
  bool MaybeAdd(TimeEntry entry);
  void TruncateToOffset(int32_t last_relative_offset);

  std::span<const TimeEntry> entries() const { return entries_; }
  static void Encode(TimeEntry entry, std::byte* to);

 private:
  std::vector<TimeEntry> entries_;
};

// Decides which batches get entries, exactly as Kafka's recovery of a .log does (and its append
// where it goes by batch; checked against 4.1), so that both make the same files. For each batch,
// in this order:
//   1. If its greatest timestamp exceeds the greatest so far, that becomes this timestamp with this
//      batch's last offset. "So far" starts at kNoTimestamp.
//   2. If more than `interval_bytes` stand between the start of the last indexed batch (the log's
//      start when there is none yet) and the start of this one, this batch gets an offset entry;
//      and the greatest so far, this batch counted, a time entry, if it is later than that of the
//      last one.
//   3. Only now do its own bytes count, so that the first batch never has an entry.
// A batch that an entry cannot name (its last offset too far from the base or not behind that of
// the batch before, its position beyond int32) is passed over; Kafka would refuse such a segment.
class IndexBuilder {
 public:
  explicit IndexBuilder(int64_t base_offset, uint32_t interval_bytes)
      : base_offset_(base_offset), interval_bytes_(interval_bytes) {}

  struct Batch {
    uint64_t position = 0;
    uint64_t bytes = 0;
    int64_t last_offset = 0;
    int64_t max_timestamp_ms = 0;
  };
  struct Due {
    std::optional<OffsetEntry> offset_entry;
    std::optional<TimeEntry> time_entry;
  };
  // To be called for every batch in the log's order; says what is to be added to the two indexes.
  Due Add(const Batch& batch);
  // The entry that a roll or a close adds to the time index; nullopt when no batch had a timestamp.
  // (Whether it is greater than the last one, TimeIndex::MaybeAdd decides.)
  std::optional<TimeEntry> Final() const;

 private:
  std::optional<int32_t> Nameable(const Batch& batch) const;

  int64_t base_offset_;
  uint32_t interval_bytes_;
  uint64_t bytes_since_entry_ = 0;
  int64_t last_relative_offset_ = -1;            // of the batch before
  TimeEntry greatest_{kNoTimestamp, 0};          // so far
  int64_t last_entry_timestamp_ = kNoTimestamp;  // of the last time entry that was due
};

}  // namespace tidemark::index
