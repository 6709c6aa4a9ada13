#include "storage/quarantine.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>
#include <vector>

#include "storage/segment.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{256} << 10;
constexpr const char* kNoteSuffix = ".txt";

}  // namespace

Quarantine::Quarantine(io::Environment environment, std::string data_dir)
    : environment_(std::move(environment)), data_dir_(std::move(data_dir)) {}

// A path there that is not taken: the same place may be damaged more than once.
Result<std::string> Quarantine::PathFor(const std::string& name) {
  if (Status made = environment_.files.MakeDirectory(Folder()); !made) return made.error();
  const std::string stem =
      io::JoinPath(Folder(), std::to_string(environment_.clock.WallMs()) + "-" + name);
  std::string path = stem;
  for (int attempt = 2;; ++attempt) {
    auto taken = environment_.files.Exists(path);
    if (!taken) return taken.error();
    if (!*taken) return path;
    path = stem + "." + std::to_string(attempt);
  }
}

Status Quarantine::Copy(io::File& file, uint64_t from, uint64_t to, const std::string& name,
                        const std::string& note) {
  auto path = PathFor(name);
  if (!path) return path.error();
  auto copy = environment_.files.Open(*path, {.write = true, .create = true, .truncate = true});
  if (!copy) return copy.error();
  // The source may be open for direct I/O: its units, wherever the range begins.
  const uint64_t block = file.block_bytes();
  io::AlignedBuffer buffer = io::AllocateAligned(kCopyBytes, block);
  uint64_t written = 0;
  for (uint64_t at = from / block * block; at < to; at += kCopyBytes) {
    auto read = file.ReadAt(at, {buffer.get(), kCopyBytes});
    if (!read) return read.error();
    const uint64_t begin = std::max(at, from);
    const uint64_t end = std::min(at + *read, to);
    if (begin >= end) break;
    Status wrote =
        (*copy)->WriteAt(written, {buffer.get() + (begin - at), end - begin}, io::Durable::no);
    if (!wrote) return wrote;
    written += end - begin;
  }
  if (Status flushed = (*copy)->Flush(); !flushed) return flushed;
  return WriteNote(*path, note);
}

Status Quarantine::KeepNewest(const std::string& kind, size_t most) {
  io::FileSystem& files = environment_.files;
  const auto exists = files.Exists(Folder());
  if (!exists) return exists.error();
  if (!*exists) return {};
  const auto entries = files.List(Folder());
  if (!entries) return entries.error();
  std::vector<std::pair<uint64_t, std::string>> copies;  // by number
  for (const io::DirectoryEntry& entry : *entries) {
    const size_t at = entry.name.find(kind);
    if (at == std::string::npos || entry.name.ends_with(kNoteSuffix)) continue;
    const char* number = entry.name.data() + at + kind.size();
    uint64_t value = 0;
    if (std::from_chars(number, entry.name.data() + entry.name.size(), value).ec == std::errc())
      copies.emplace_back(value, entry.name);
  }
  std::sort(copies.begin(), copies.end(), std::greater<>());
  for (size_t i = most; i < copies.size(); ++i) {
    const std::string path = io::JoinPath(Folder(), copies[i].second);
    const auto has_note = files.Exists(path + kNoteSuffix);
    if (!has_note) return has_note.error();
    Status removed = *has_note ? files.Remove(path + kNoteSuffix) : Status();
    if (removed.ok()) removed = files.Remove(path);
    if (!removed.ok()) return removed;
  }
  return {};
}

Status Quarantine::Move(const std::string& path, const std::string& name, const std::string& note) {
  auto to = PathFor(name);
  if (!to) return to.error();
  if (Status moved = environment_.files.Rename(path, *to); !moved) return moved;
  return WriteNote(*to, note);
}

Status Quarantine::MoveSegment(const std::string& folder, int64_t base_offset,
                               const std::string& cause) {
  for (const SegmentFile kind : kSegmentFiles) {
    const std::string path = SegmentPath(folder, base_offset, kind);
    const auto exists = environment_.files.Exists(path);
    if (!exists) return exists.error();
    if (!*exists) continue;
    if (Status moved = Move(path, NameFor(path), path + ": " + cause); !moved) return moved;
  }
  return {};
}

Status Quarantine::MoveSegments(const std::string& folder, const std::string& cause) {
  const auto bases = ListSegments(environment_.files, folder);
  if (!bases) return bases.error();
  if (bases->empty()) return {};
  for (const int64_t base : *bases) {
    if (Status moved = MoveSegment(folder, base, cause); !moved) return moved;
  }
  return environment_.files.FlushDirectory(folder);
}

std::string Quarantine::NameFor(const std::string& path) const {
  std::string name = path.substr(data_dir_.size() + 1);
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

Status Quarantine::WriteNote(const std::string& path, const std::string& note) {
  if (Status written = io::ReplaceFile(environment_.files, path + kNoteSuffix, note + "\n");
      !written)
    return written;
  return environment_.files.FlushDirectory(data_dir_);
}

}  // namespace tidemark::storage
