#include "storage/quarantine.h"

#include <algorithm>
#include <utility>

#include "storage/segment.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{256} << 10;

}  // namespace

Quarantine::Quarantine(io::Environment environment, std::string data_dir)
    : environment_(std::move(environment)), data_dir_(std::move(data_dir)) {}

// A path there that is not taken: the same place may be damaged more than once.
Result<std::string> Quarantine::PathFor(const std::string& name) {
  const std::string folder = io::JoinPath(data_dir_, "quarantine");
  if (Status made = environment_.files.MakeDirectory(folder); !made) return made.error();
  const std::string stem =
      io::JoinPath(folder, std::to_string(environment_.clock.WallMs()) + "-" + name);
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
  if (Status written = io::ReplaceFile(environment_.files, path + ".txt", note + "\n"); !written)
    return written;
  return environment_.files.FlushDirectory(data_dir_);
}

}  // namespace tidemark::storage
