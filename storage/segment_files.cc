// Names of a segment's files, listing, cutting and removing them.
#include <algorithm>
#include <array>
#include <cstdio>

#include "storage/seal.h"
#include "storage/segment.h"
#include "storage/segment_index.h"

namespace tidemark::storage {
namespace {

// Kafka pads base offsets to the digits of the greatest int64, so that names sort as numbers do.
constexpr size_t kNameDigits = 20;
constexpr std::string_view kLogSuffix = ".log";
// The log last: an entry that outlives the bytes it names would be worse than one too few.
constexpr std::array kIndexesThenLog = {SegmentFile::offset_index, SegmentFile::time_index,
                                        SegmentFile::log};

std::string_view SuffixOf(SegmentFile kind) {
  switch (kind) {
    case SegmentFile::log:
      return kLogSuffix;
    case SegmentFile::offset_index:
      return ".index";
    case SegmentFile::time_index:
      return ".timeindex";
    case SegmentFile::seal:
      return ".seal";
  }
  return "";
}

Status Shorten(io::File& file, uint64_t bytes) {
  const auto size = file.Size();
  if (!size) return size.error();
  return *size > bytes ? file.Truncate(bytes) : Status();
}

// Cuts a file to `bytes` if it is there and longer, and flushes it in any case: who cut it before
// may have been killed before that, or have failed.
Status CutFile(io::FileSystem& files, const std::string& path, uint64_t bytes) {
  const auto exists = files.Exists(path);
  if (!exists) return exists.error();
  if (!*exists) return {};
  auto file = files.Open(path, {.write = true});
  if (!file) return file.error();
  Status cut = Shorten(**file, bytes);
  return cut.ok() ? (*file)->Flush() : cut;
}

// The offset behind the last batch of a log that ends at `log_bytes`, as far as its headers tell.
Result<int64_t> NextOffset(io::File& log, int64_t base_offset, uint64_t log_bytes,
                           const index::OffsetIndex& offsets) {
  int64_t next_offset = base_offset;
  const uint64_t from =
      offsets.entries().empty() ? 0 : static_cast<uint64_t>(offsets.entries().back().position);
  OffsetBounds bounds;
  if (from == 0) bounds.begin = base_offset;
  const auto visit = [&](const BatchAt& batch) {
    next_offset = batch.header.next_offset();
    return true;
  };
  const Status walked = WalkBatchHeaders(log, from, log_bytes, visit, bounds);
  if (!walked.ok() && walked.error().code() != ErrorCode::corrupt) return walked.error();
  return next_offset;
}

}  // namespace

std::string SegmentPath(const std::string& folder, int64_t base_offset, SegmentFile kind) {
  std::string name = std::to_string(base_offset);
  if (name.size() < kNameDigits) name.insert(0, kNameDigits - name.size(), '0');
  name += SuffixOf(kind);
  return io::JoinPath(folder, name);
}

std::optional<int64_t> ParseLogName(std::string_view name) {
  if (name.size() != kNameDigits + kLogSuffix.size() || !name.ends_with(kLogSuffix)) {
    return std::nullopt;
  }
  int64_t base_offset = 0;
  for (const char digit : name.substr(0, kNameDigits)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    if (__builtin_mul_overflow(base_offset, 10, &base_offset) ||
        __builtin_add_overflow(base_offset, digit - '0', &base_offset)) {
      return std::nullopt;
    }
  }
  return base_offset;
}

Result<std::vector<int64_t>> ListSegments(io::FileSystem& files, const std::string& folder) {
  const auto exists = files.Exists(folder);
  if (!exists) return exists.error();
  if (!*exists) return std::vector<int64_t>();
  const auto entries = files.List(folder);
  if (!entries) return entries.error();
  return SegmentsAmong(*entries);
}

std::vector<int64_t> SegmentsAmong(const std::vector<io::DirectoryEntry>& entries) {
  std::vector<int64_t> found;
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    if (const auto base_offset = ParseLogName(entry.name)) found.push_back(*base_offset);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Status CutSegment(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                  uint64_t log_bytes) {
  const std::string log_path = SegmentPath(folder, base_offset, SegmentFile::log);
  auto log = files.Open(log_path, {});
  if (!log) return log.error();
  const auto size = (*log)->Size();
  if (!size) return size.error();
  log_bytes = std::min(log_bytes, *size);  // a log that is shorter already stays as it is

  if (const auto removed = RemoveSeal(files, folder, base_offset); !removed) return removed.error();
  // In the order of kIndexesThenLog.
  auto indexes = LoadIndexes(files, folder, base_offset, **log, log_bytes);
  if (!indexes) return indexes.error();
  const auto next_offset = NextOffset(**log, base_offset, log_bytes, indexes->offsets);
  if (!next_offset) return next_offset.error();
  const int64_t last_relative_offset = *next_offset - 1 - base_offset;
  indexes->times.TruncateToOffset(
      static_cast<int32_t>(std::clamp<int64_t>(last_relative_offset, -1, INT32_MAX)));

  Status status = CutFile(files, SegmentPath(folder, base_offset, SegmentFile::offset_index),
                          indexes->offsets.entries().size() * index::kOffsetEntryBytes);
  if (!status.ok()) return status;
  status = CutFile(files, SegmentPath(folder, base_offset, SegmentFile::time_index),
                   indexes->times.entries().size() * index::kTimeEntryBytes);
  if (!status.ok()) return status;
  return CutFile(files, log_path, log_bytes);
}

Status EmptySegment(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  for (const SegmentFile kind : kIndexesThenLog) {
    const auto file =
        files.Open(SegmentPath(folder, base_offset, kind), {.write = true, .create = true});
    if (!file && file.error().code() == ErrorCode::disk_full) continue;
    if (!file) return file.error();
    if (Status cut = Shorten(**file, 0); !cut.ok()) return cut;
  }
  return {};
}

Status FlushSegment(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  for (const SegmentFile kind : kIndexesThenLog) {
    const std::string path = SegmentPath(folder, base_offset, kind);
    const auto exists = files.Exists(path);
    if (!exists) return exists.error();
    if (!*exists) continue;
    const auto file = files.Open(path, {.write = true});
    if (!file) return file.error();
    if (Status flushed = (*file)->Flush(); !flushed.ok()) return flushed;
  }
  return files.FlushDirectory(folder);
}

void RemoveOrphans(io::FileSystem& files, const std::string& folder,
                   const std::vector<io::DirectoryEntry>& entries, int64_t log_start_offset,
                   int64_t active_base_offset) {
  const std::vector<int64_t> bases = SegmentsAmong(entries);
  const auto is_part = [&](int64_t base) {
    const auto next = std::upper_bound(bases.begin(), bases.end(), base);
    const bool given_up = next != bases.end() && *next <= log_start_offset;
    return !given_up && base <= active_base_offset;
  };
  for (const io::DirectoryEntry& entry : entries) {
    for (const SegmentFile kind :
         {SegmentFile::offset_index, SegmentFile::time_index, SegmentFile::seal}) {
      if (entry.is_directory || !entry.name.ends_with(SuffixOf(kind))) continue;
      const std::string stem = entry.name.substr(0, entry.name.size() - SuffixOf(kind).size());
      const auto base = ParseLogName(stem + std::string(kLogSuffix));
      if (!base || is_part(*base) || std::binary_search(bases.begin(), bases.end(), *base))
        continue;
      static_cast<void>(files.Remove(io::JoinPath(folder, entry.name)));
    }
  }
}

Status RemoveSegment(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  for (const SegmentFile kind : kSegmentFiles) {
    const std::string path = SegmentPath(folder, base_offset, kind);
    const auto exists = files.Exists(path);
    if (!exists) return exists.error();
    if (!*exists) continue;
    if (Status status = files.Remove(path); !status.ok()) return status;
  }
  return {};
}

}  // namespace tidemark::storage
