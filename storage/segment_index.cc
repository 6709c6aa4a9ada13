#include "storage/segment_index.h"

#include <algorithm>

namespace tidemark::storage {
namespace {

using index::IndexBuilder;
using index::OffsetEntry;
using index::TimeEntry;

uint64_t PositionOf(const OffsetEntry& entry) { return static_cast<uint64_t>(entry.position); }

// None when the file is missing or cannot be read.
std::vector<std::byte> ReadHint(io::FileSystem& files, const std::string& path,
                                uint64_t limit_bytes) {
  auto bytes = ReadIndexFile(files, path, limit_bytes);
  return bytes ? *std::move(bytes) : std::vector<std::byte>();
}

// The batch at the position that an entry names; nullopt when that is not the batch the entry
// means.
Result<std::optional<record::BatchHeader>> BatchOf(io::File& log, int64_t base_offset,
                                                   uint64_t log_bytes, OffsetEntry entry) {
  auto header = ReadBatchHeader(log, PositionOf(entry), log_bytes);
  if (!header) return header.error();
  if (*header && (*header)->last_offset() - base_offset != entry.relative_offset) header->reset();
  return header;
}

Status DropUnprovenOffsets(io::File& log, int64_t base_offset, uint64_t log_bytes,
                           index::OffsetIndex* offsets) {
  while (!offsets->entries().empty()) {
    const OffsetEntry last = offsets->entries().back();
    const auto batch = BatchOf(log, base_offset, log_bytes, last);
    if (!batch) return batch.error();
    if (*batch) break;
    offsets->TruncateToPosition(PositionOf(last));
  }
  return {};
}

// The first offset entry at or behind an offset: where the index rule looked at a time entry of it.
std::optional<OffsetEntry> FirstFrom(const index::OffsetIndex& offsets, int32_t relative_offset) {
  const auto entries = offsets.entries();
  const auto found = std::lower_bound(
      entries.begin(), entries.end(), relative_offset,
      [](const OffsetEntry& entry, int32_t offset) { return entry.relative_offset < offset; });
  if (found == entries.end()) return std::nullopt;
  return *found;
}

// Whether a time entry is what the rule made: a batch ends at its offset and has its timestamp,
// those before are earlier, and none up to the offset entry that came with it is later. Only the
// batches between the two offset entries around it are looked at.
Result<bool> IsProven(io::File& log, int64_t base_offset, uint64_t log_bytes,
                      const index::OffsetIndex& offsets, TimeEntry entry) {
  const auto floor = offsets.Floor(entry.relative_offset);
  const auto indexed = FirstFrom(offsets, entry.relative_offset);
  bool found = false;
  bool contradicted = false;
  const auto visit = [&](const BatchAt& batch) {
    const int64_t relative_offset = batch.header.last_offset() - base_offset;
    const int64_t timestamp_ms = batch.header.max_timestamp_ms;
    if (relative_offset < entry.relative_offset) {
      contradicted = timestamp_ms >= entry.timestamp_ms;
    } else if (relative_offset == entry.relative_offset) {
      found = timestamp_ms == entry.timestamp_ms;
      contradicted = !found;
    } else {
      contradicted = !found || timestamp_ms > entry.timestamp_ms;
    }
    if (contradicted) return false;
    return indexed ? batch.position < PositionOf(*indexed) : !found;
  };
  OffsetBounds bounds;
  if (!floor) bounds.begin = base_offset;
  const Status walked =
      WalkBatchHeaders(log, floor ? PositionOf(*floor) : 0, log_bytes, visit, bounds);
  if (!walked.ok() && walked.error().code() != ErrorCode::corrupt) return walked.error();
  return walked.ok() && found && !contradicted;
}

Status DropUnprovenTimes(io::File& log, int64_t base_offset, uint64_t log_bytes,
                         const index::OffsetIndex& offsets, index::TimeIndex* times) {
  // One time entry at most comes with an offset entry, and one more at a roll.
  const size_t most = offsets.entries().size() + 1;
  if (times->entries().size() > most) {
    times->TruncateToOffset(times->entries()[most].relative_offset - 1);
  }
  while (!times->entries().empty()) {
    const TimeEntry last = times->entries().back();
    const auto proven = IsProven(log, base_offset, log_bytes, offsets, last);
    if (!proven) return proven.error();
    if (*proven) break;
    times->TruncateToOffset(last.relative_offset - 1);
  }
  return {};
}

IndexResumption FromTheStart(int64_t base_offset, uint32_t interval_bytes) {
  return {IndexBuilder(base_offset, interval_bytes), 0, base_offset};
}

// The state behind an indexed batch: its own bytes are all that count since the last entry, and the
// greatest timestamp so far has its time entry. The builder is brought there by two batches, one
// for all that came before and the indexed one.
IndexResumption Behind(OffsetEntry entry, const record::BatchHeader& header,
                       std::optional<TimeEntry> greatest, int64_t base_offset,
                       uint32_t interval_bytes) {
  IndexResumption resumption = FromTheStart(base_offset, interval_bytes);
  IndexBuilder::Batch before{0, uint64_t{interval_bytes} + 1, base_offset, index::kNoTimestamp};
  if (greatest && greatest->relative_offset < entry.relative_offset) {
    before.last_offset = base_offset + greatest->relative_offset;
    before.max_timestamp_ms = greatest->timestamp_ms;
  }
  static_cast<void>(resumption.builder.Add(before));
  static_cast<void>(resumption.builder.Add(
      {PositionOf(entry), header.total_bytes(), header.last_offset(), header.max_timestamp_ms}));
  resumption.position = PositionOf(entry) + header.total_bytes();
  resumption.next_offset = header.next_offset();
  return resumption;
}

}  // namespace

Result<std::vector<std::byte>> ReadIndexFile(io::FileSystem& files, const std::string& path,
                                             uint64_t limit_bytes) {
  auto file = files.Open(path, {});
  if (!file) return file.error();
  const auto size = (*file)->Size();
  if (!size) return size.error();
  std::vector<std::byte> bytes(std::min(*size, limit_bytes));
  const auto read = (*file)->ReadAt(0, bytes);
  if (!read) return read.error();
  bytes.resize(*read);
  return bytes;
}

Result<SegmentIndexes> LoadIndexes(io::FileSystem& files, const std::string& folder,
                                   int64_t base_offset, io::File& log, uint64_t log_bytes) {
  // No log has more entries than batches: what stands behind so many is not worth the memory.
  const uint64_t most_entries = log_bytes / record::kBatchHeaderBytes + 1;
  SegmentIndexes indexes;
  indexes.offset_file = ReadHint(files, SegmentPath(folder, base_offset, SegmentFile::offset_index),
                                 most_entries * index::kOffsetEntryBytes);
  indexes.time_file = ReadHint(files, SegmentPath(folder, base_offset, SegmentFile::time_index),
                               most_entries * index::kTimeEntryBytes);
  indexes.offsets.Load(indexes.offset_file, log_bytes);
  Status status = DropUnprovenOffsets(log, base_offset, log_bytes, &indexes.offsets);
  if (!status.ok()) return status.error();
  indexes.times.Load(indexes.time_file, INT32_MAX);
  status = DropUnprovenTimes(log, base_offset, log_bytes, indexes.offsets, &indexes.times);
  if (!status.ok()) return status.error();
  return indexes;
}

Result<IndexResumption> ResumeBehindProvenEntry(io::File& log, int64_t base_offset,
                                                uint64_t log_bytes, uint32_t interval_bytes,
                                                SegmentIndexes* indexes) {
  // A clean stop has left a final time entry, which stands behind the last offset entry.
  const auto offsets = indexes->offsets.entries();
  indexes->times.TruncateToOffset(offsets.empty() ? -1 : offsets.back().relative_offset);
  const Status status =
      DropUnprovenTimes(log, base_offset, log_bytes, indexes->offsets, &indexes->times);
  if (!status.ok()) return status.error();

  if (!indexes->times.entries().empty()) {
    const TimeEntry greatest = indexes->times.entries().back();
    const auto indexed = FirstFrom(indexes->offsets, greatest.relative_offset);
    const auto header = BatchOf(log, base_offset, log_bytes, *indexed);
    if (!header) return header.error();
    if (*header) {
      indexes->offsets.TruncateToPosition(PositionOf(*indexed) + 1);
      return Behind(*indexed, **header, greatest, base_offset, interval_bytes);
    }
  }
  indexes->offsets.TruncateToPosition(0);
  indexes->times.TruncateToOffset(-1);
  return FromTheStart(base_offset, interval_bytes);
}

void AddToIndexes(const BatchAt& batch, IndexResumption* resumption, SegmentIndexes* indexes) {
  const auto due =
      resumption->builder.Add({batch.position, batch.header.total_bytes(),
                               batch.header.last_offset(), batch.header.max_timestamp_ms});
  if (due.offset_entry) indexes->offsets.Add(*due.offset_entry);
  if (due.time_entry) indexes->times.MaybeAdd(*due.time_entry);
  resumption->position = batch.position + batch.header.total_bytes();
  resumption->next_offset = batch.header.next_offset();
}

Result<uint64_t> UpdateIndexFile(io::FileSystem& files, const std::string& path,
                                 base::ByteSpan present, base::ByteSpan content) {
  auto file = files.Open(path, {.write = true, .create = true});
  if (!file) return file.error();
  const auto size = (*file)->Size();
  if (!size) return size.error();
  const auto same =
      std::mismatch(present.begin(), present.end(), content.begin(), content.end()).second;
  const auto kept = static_cast<size_t>(same - content.begin());
  if (*size > content.size()) {
    if (Status status = (*file)->Truncate(content.size()); !status.ok()) return status.error();
  }
  const base::ByteSpan fresh = content.subspan(kept);
  if (!fresh.empty()) {
    const Status written = (*file)->WriteAt(kept, fresh, io::Durable::no);
    if (!written.ok()) return written.error();
  }
  return uint64_t{fresh.size()};
}

std::vector<std::byte> EncodeOffsetEntries(const index::OffsetIndex& offsets) {
  std::vector<std::byte> bytes(offsets.entries().size() * index::kOffsetEntryBytes);
  std::byte* to = bytes.data();
  for (const OffsetEntry& entry : offsets.entries()) {
    index::OffsetIndex::Encode(entry, to);
    to += index::kOffsetEntryBytes;
  }
  return bytes;
}

std::vector<std::byte> EncodeTimeEntries(const index::TimeIndex& times) {
  std::vector<std::byte> bytes(times.entries().size() * index::kTimeEntryBytes);
  std::byte* to = bytes.data();
  for (const TimeEntry& entry : times.entries()) {
    index::TimeIndex::Encode(entry, to);
    to += index::kTimeEntryBytes;
  }
  return bytes;
}

}  // namespace tidemark::storage
