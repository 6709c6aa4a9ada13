#include "index/offset_index.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace tidemark::index {
namespace {

using base::LoadBig;
using base::StoreBig;

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

}  // namespace

// --- Entries -------------------------------------------------------------------------------------

OffsetEntry OffsetEntry::Decode(const std::byte* from) {
  return {LoadBig<int32_t>(from), LoadBig<int32_t>(from + sizeof(int32_t))};
}

bool OffsetEntry::MayFollow(const OffsetEntry* before, uint64_t log_bytes) const {
  if (relative_offset < 0 || position < 0) return false;
  if (static_cast<uint64_t>(position) >= log_bytes) return false;
  // No entry names the log's first batch: zeros are space that was allocated and never written.
  if (*this == OffsetEntry{}) return false;
  return before == nullptr ||
         (relative_offset > before->relative_offset && position > before->position);
}

TimeEntry TimeEntry::Decode(const std::byte* from) {
  return {LoadBig<int64_t>(from), LoadBig<int32_t>(from + sizeof(int64_t))};
}

bool TimeEntry::MayFollow(const TimeEntry* before) const {
  const TimeEntry last = before == nullptr ? TimeEntry{kNoTimestamp, -1} : *before;
  return timestamp_ms > last.timestamp_ms && relative_offset > last.relative_offset;
}

// --- OffsetIndex ---------------------------------------------------------------------------------

void OffsetIndex::Encode(OffsetEntry entry, std::byte* to) {
  StoreBig(to, entry.relative_offset);
  StoreBig(to + sizeof(int32_t), entry.position);
}

size_t OffsetIndex::Load(base::ByteSpan file, uint64_t log_bytes) {
  entries_.clear();
  const size_t count = file.size() / kOffsetEntryBytes;  // whole entries
  for (size_t i = 0; i < count; ++i) {
    const auto entry = OffsetEntry::Decode(file.data() + i * kOffsetEntryBytes);
    if (!entry.MayFollow(entries_.empty() ? nullptr : &entries_.back(), log_bytes)) break;
    entries_.push_back(entry);
  }
  return entries_.size() * kOffsetEntryBytes;
}

void OffsetIndex::Add(OffsetEntry entry) {
  TIDEMARK_CHECK(entry.relative_offset >= 0 && entry.position >= 0);
  TIDEMARK_CHECK(entries_.empty() || (entry.relative_offset > entries_.back().relative_offset &&
                                      entry.position > entries_.back().position));
  entries_.push_back(entry);
}

std::optional<OffsetEntry> OffsetIndex::Floor(int32_t relative_offset) const {
  const auto above = std::upper_bound(
      entries_.begin(), entries_.end(), relative_offset,
      [](int32_t offset, const OffsetEntry& entry) { return offset < entry.relative_offset; });
  if (above == entries_.begin()) return std::nullopt;
  return *(above - 1);
}

void OffsetIndex::TruncateToPosition(uint64_t log_bytes) {
  const auto cut = std::lower_bound(entries_.begin(), entries_.end(), log_bytes,
                                    [](const OffsetEntry& entry, uint64_t bytes) {
                                      return static_cast<uint64_t>(entry.position) < bytes;
                                    });
  entries_.erase(cut, entries_.end());
}

// --- TimeIndex -----------------------------------------------------------------------------------

void TimeIndex::Encode(TimeEntry entry, std::byte* to) {
  StoreBig(to, entry.timestamp_ms);
  StoreBig(to + sizeof(int64_t), entry.relative_offset);
}

size_t TimeIndex::Load(base::ByteSpan file, int32_t last_relative_offset) {
  entries_.clear();
  const size_t count = file.size() / kTimeEntryBytes;  // whole entries
  for (size_t i = 0; i < count; ++i) {
    const auto entry = TimeEntry::Decode(file.data() + i * kTimeEntryBytes);
    if (entry.relative_offset > last_relative_offset) break;
    if (!MaybeAdd(entry)) break;
  }
  return entries_.size() * kTimeEntryBytes;
}

bool TimeIndex::MaybeAdd(TimeEntry entry) {
  if (!entry.MayFollow(entries_.empty() ? nullptr : &entries_.back())) return false;
  entries_.push_back(entry);
  return true;
}

void TimeIndex::TruncateToOffset(int32_t last_relative_offset) {
  const auto cut = std::upper_bound(
      entries_.begin(), entries_.end(), last_relative_offset,
      [](int32_t offset, const TimeEntry& entry) { return offset < entry.relative_offset; });
  entries_.erase(cut, entries_.end());
}

// --- IndexBuilder --------------------------------------------------------------------------------

IndexBuilder::Due IndexBuilder::Add(const Batch& batch) {
  Due due;
  const std::optional<int32_t> relative_offset = Nameable(batch);
  if (relative_offset) {
    last_relative_offset_ = *relative_offset;
    if (batch.max_timestamp_ms > greatest_.timestamp_ms) {
      greatest_ = {batch.max_timestamp_ms, *relative_offset};
    }
    if (bytes_since_entry_ > interval_bytes_) {
      due.offset_entry = OffsetEntry{*relative_offset, static_cast<int32_t>(batch.position)};
      if (greatest_.timestamp_ms > last_entry_timestamp_) due.time_entry = greatest_;
      last_entry_timestamp_ = greatest_.timestamp_ms;
      bytes_since_entry_ = 0;
    }
  }
  bytes_since_entry_ += batch.bytes;
  return due;
}

std::optional<TimeEntry> IndexBuilder::Final() const {
  if (greatest_.timestamp_ms == kNoTimestamp) return std::nullopt;
  return greatest_;
}

// The batch's last offset relative to the segment's base, if an entry can name the batch at all.
std::optional<int32_t> IndexBuilder::Nameable(const Batch& batch) const {
  int64_t relative = 0;
  if (__builtin_sub_overflow(batch.last_offset, base_offset_, &relative)) return std::nullopt;
  if (relative <= last_relative_offset_ || relative > kMaxInt32) return std::nullopt;
  if (batch.position > static_cast<uint64_t>(kMaxInt32)) return std::nullopt;
  return static_cast<int32_t>(relative);
}

}  // namespace tidemark::index
