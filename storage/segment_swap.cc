#include "storage/segment_swap.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "storage/log_digest.h"
#include "storage/seal.h"

namespace tidemark::storage {
namespace {

constexpr std::string_view kCleanedSuffix = ".cleaned";
constexpr std::string_view kSwapSuffix = ".seal.swap";

std::optional<int64_t> ParseSwapName(std::string_view name) {
  if (!name.ends_with(kSwapSuffix)) return std::nullopt;
  name.remove_suffix(kSwapSuffix.size());
  return ParseLogName(std::string(name) + ".log");
}

// The sources but the first, whose files are replaced.
Status RemoveSources(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                     int64_t end_offset) {
  const auto bases = ListSegments(files, folder);
  if (!bases) return bases.error();
  for (const int64_t base : *bases) {
    if (base <= base_offset || base >= end_offset) continue;
    if (Status removed = RemoveSegment(files, folder, base); !removed.ok()) return removed;
  }
  return files.FlushDirectory(folder);
}

// A file of the draft gets its name, unless it has it already.
Status MoveDraft(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                 SegmentFile kind) {
  const std::string from = CleanedPath(folder, base_offset, kind);
  const auto exists = files.Exists(from);
  if (!exists) return exists.error();
  return *exists ? files.Rename(from, SegmentPath(folder, base_offset, kind)) : Status();
}

// What is left to do once the log has its name.
Status FinishBehindLog(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                       int64_t end_offset) {
  for (const SegmentFile kind : {SegmentFile::offset_index, SegmentFile::time_index}) {
    if (Status moved = MoveDraft(files, folder, base_offset, kind); !moved.ok()) return moved;
  }
  if (Status flushed = files.FlushDirectory(folder); !flushed.ok()) return flushed;
  return RemoveSources(files, folder, base_offset, end_offset);
}

// Everything behind the decision, whatever was done of it before. The folder is flushed where a
// later step relies on an earlier one: nothing else is touched before the log has its name, so that
// a draft of it means that all sources are whole; sources go when all names are there, and the
// marker when they are gone.
Status DoSwap(io::FileSystem& files, const std::string& folder, int64_t base_offset,
              int64_t end_offset) {
  Status done = MoveDraft(files, folder, base_offset, SegmentFile::log);
  if (done.ok()) done = files.FlushDirectory(folder);
  if (done.ok()) done = FinishBehindLog(files, folder, base_offset, end_offset);
  if (!done.ok()) return done;
  Status moved = files.Rename(SwapPath(folder, base_offset),
                              SegmentPath(folder, base_offset, SegmentFile::seal));
  return moved.ok() ? files.FlushDirectory(folder) : moved;
}

// The seal under a marker's name.
Result<Seal> ReadMarker(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  const auto text = io::ReadWholeFile(files, SwapPath(folder, base_offset), kMaxSealBytes);
  if (!text) return text.error();
  auto seal = DecodeSeal(base::AsBytes(*text));
  if (seal && seal->base_offset != base_offset)
    return Error(ErrorCode::corrupt, "it is that of another segment");
  return seal;
}

// What the marker was written for: a draft that nothing has happened to since. Asked while it has
// not got its name yet, so that all sources are there.
bool DraftIsWhole(io::FileSystem& files, const std::string& path, const Seal& seal) {
  const auto log = files.Open(path, {});
  if (!log) return false;
  LogDigest digest;
  std::vector<std::byte> block(kSealBlockBytes);
  for (uint64_t position = 0; position < seal.log_bytes; position += kSealBlockBytes) {
    const auto read = (*log)->ReadAt(position, block);
    if (!read) return false;
    digest.AddBytes(base::ByteSpan(block).first(*read));
  }
  const auto size = (*log)->Size();
  const Seal found = digest.ToSeal();
  return size && *size == seal.log_bytes && found.log_bytes == seal.log_bytes &&
         found.block_checksums == seal.block_checksums;
}

// A successor that is decided: its marker, if that can be read and the draft is what it says.
Result<Seal> ReadDecided(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  auto seal = ReadMarker(files, folder, base_offset);
  if (!seal) return seal;
  const std::string draft = CleanedPath(folder, base_offset, SegmentFile::log);
  const auto exists = files.Exists(draft);
  if (!exists) return exists.error();
  if (*exists && !DraftIsWhole(files, draft, *seal))
    return Error(ErrorCode::corrupt, draft + ": it is not what was sealed");
  return seal;
}

// Where a successor ends whose marker cannot be read, by its log; nullopt: that has not got its
// name yet, so that all sources are there.
Result<std::optional<int64_t>> EndByLog(io::FileSystem& files, const std::string& folder,
                                        int64_t base_offset) {
  const auto draft = files.Exists(CleanedPath(folder, base_offset, SegmentFile::log));
  if (!draft) return draft.error();
  if (*draft) return std::optional<int64_t>();
  const auto prefix = MeasureIntactPrefix(files, folder, base_offset);
  if (!prefix) return prefix.error();
  return std::optional<int64_t>(prefix->next_offset);
}

// A marker that is damaged, or whose draft is, says nothing; what it stood for is seen by the
// files.
Status SettleDamaged(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  const auto end = EndByLog(files, folder, base_offset);
  if (!end) return end.error();
  if (*end) {
    // A seal that it has is that of the first source.
    const auto unsealed = RemoveSeal(files, folder, base_offset);
    if (!unsealed) return unsealed.error();
    Status finished = FinishBehindLog(files, folder, base_offset, **end);
    if (!finished.ok()) return finished;
  }
  if (Status removed = files.Remove(SwapPath(folder, base_offset)); !removed.ok()) return removed;
  return files.FlushDirectory(folder);
}

Result<std::vector<int64_t>> ListMarkers(io::FileSystem& files, const std::string& folder) {
  std::vector<int64_t> bases;
  const auto exists = files.Exists(folder);
  if (!exists) return exists.error();
  if (!*exists) return bases;
  const auto entries = files.List(folder);
  if (!entries) return entries.error();
  for (const io::DirectoryEntry& entry : *entries) {
    if (const auto base = ParseSwapName(entry.name)) bases.push_back(*base);
  }
  return bases;
}

}  // namespace

std::string CleanedPath(const std::string& folder, int64_t base_offset, SegmentFile kind) {
  return SegmentPath(folder, base_offset, kind) + std::string(kCleanedSuffix);
}

std::string SwapPath(const std::string& folder, int64_t base_offset) {
  return SegmentPath(folder, base_offset, SegmentFile::seal) + ".swap";
}

SwapResult SwapSegments(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                        int64_t end_offset) {
  SwapResult result;
  result.status = files.FlushDirectory(folder);
  if (!result.status.ok()) return result;
  result.status = files.Rename(CleanedPath(folder, base_offset, SegmentFile::seal),
                               SwapPath(folder, base_offset));
  if (!result.status.ok()) return result;
  result.decided = true;
  result.status = files.FlushDirectory(folder);
  if (result.status.ok()) result.status = DoSwap(files, folder, base_offset, end_offset);
  if (!result.status.ok()) {
    const auto draft = files.Exists(CleanedPath(folder, base_offset, SegmentFile::log));
    result.log_in_place = draft.ok() && !*draft;
  }
  return result;
}

Status ReplaceSeal(io::FileSystem& files, const std::string& folder, const Seal& seal) {
  const std::string draft = CleanedPath(folder, seal.base_offset, SegmentFile::seal);
  {
    auto file = files.Open(draft, {.write = true, .create = true, .truncate = true});
    if (!file) return file.error();
    Status written = (*file)->WriteAt(0, EncodeSeal(seal), io::Durable::no);
    if (written.ok()) written = (*file)->Flush();
    if (!written.ok()) return written;
  }
  const Status moved =
      files.Rename(draft, SegmentPath(folder, seal.base_offset, SegmentFile::seal));
  return moved.ok() ? files.FlushDirectory(folder) : moved;
}

Result<bool> RemoveCleaned(io::FileSystem& files, const std::string& folder) {
  auto exists = files.Exists(folder);
  if (!exists || !*exists) return exists;
  const auto entries = files.List(folder);
  if (!entries) return entries.error();
  bool any = false;
  for (const io::DirectoryEntry& entry : *entries) {
    if (!entry.name.ends_with(kCleanedSuffix)) continue;
    any = true;
    if (Status removed = files.Remove(io::JoinPath(folder, entry.name)); !removed.ok())
      return removed.error();
  }
  return any;
}

Status SettleSwaps(io::FileSystem& files, const std::string& folder) {
  const auto markers = ListMarkers(files, folder);
  if (!markers) return markers.error();
  // Who was killed may have left a marker whose name is not on the device; the log's may get there.
  if (!markers->empty()) {
    if (Status flushed = files.FlushDirectory(folder); !flushed.ok()) return flushed;
  }
  for (const int64_t base : *markers) {
    const auto seal = ReadDecided(files, folder, base);
    const bool unreadable = !seal && seal.error().code() == ErrorCode::io_error;
    if (unreadable) return seal.error();
    Status settled =
        seal ? DoSwap(files, folder, base, seal->end_offset) : SettleDamaged(files, folder, base);
    if (!settled.ok()) return settled;
  }
  const auto removed = RemoveCleaned(files, folder);
  return removed ? Status() : removed.error();
}

bool HasSwaps(const std::vector<io::DirectoryEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const io::DirectoryEntry& entry) {
    return entry.name.ends_with(kCleanedSuffix) || ParseSwapName(entry.name);
  });
}

Result<std::vector<FoundSwap>> FindSwaps(io::FileSystem& files, const std::string& folder) {
  const auto markers = ListMarkers(files, folder);
  if (!markers) return markers.error();
  std::vector<FoundSwap> found;
  for (const int64_t base : *markers) {
    FoundSwap swap;
    swap.base_offset = base;
    const auto draft = files.Exists(CleanedPath(folder, base, SegmentFile::log));
    if (!draft) return draft.error();
    swap.log_in_place = !*draft;
    if (const auto seal = ReadDecided(files, folder, base)) {
      swap.counts = true;
      swap.end_offset = seal->end_offset;
    } else if (swap.log_in_place) {
      swap.counts = true;
      const auto prefix = MeasureIntactPrefix(files, folder, base);
      swap.end_offset = prefix ? prefix->next_offset : base;
    }
    found.push_back(swap);
  }
  return found;
}

}  // namespace tidemark::storage
