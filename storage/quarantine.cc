#include "storage/quarantine.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/segment.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{256} << 10;
constexpr const char* kNoteSuffix = ".txt";

// Whether an entry is of that name: "TIME-NAME", or "TIME-NAME.2" and so on.
bool IsNamed(std::string_view entry, std::string_view name) {
  entry.remove_prefix(std::min(entry.find('-'), entry.size() - 1) + 1);
  if (!entry.starts_with(name)) return false;
  entry.remove_prefix(name.size());
  if (entry.starts_with('.')) entry.remove_prefix(1);
  return entry.find_first_not_of("0123456789") == std::string_view::npos;
}

// A range of a file, piece by piece. The file may be open for direct I/O: its units, wherever the
// range begins.
class RangeReader {
 public:
  RangeReader(io::File& file, uint64_t from, uint64_t to)
      : file_(file),
        from_(from),
        to_(to),
        at_(from / file.block_bytes() * file.block_bytes()),
        buffer_(io::AllocateAligned(kCopyBytes, file.block_bytes())) {}

  // Empty: the range, or the file, is at its end.
  Result<base::ByteSpan> Next() {
    if (at_ >= to_) return base::ByteSpan();
    auto read = file_.ReadAt(at_, {buffer_.get(), kCopyBytes});
    if (!read) return read.error();
    const uint64_t begin = std::max(at_, from_);
    const uint64_t end = std::min(at_ + *read, to_);
    const base::ByteSpan piece =
        begin < end ? base::ByteSpan(buffer_.get() + (begin - at_), end - begin) : base::ByteSpan();
    at_ += kCopyBytes;
    return piece;
  }

 private:
  io::File& file_;
  uint64_t from_;
  uint64_t to_;
  uint64_t at_;
  io::AlignedBuffer buffer_;
};

// Whether `copy` holds the range's first bytes and nothing else.
Result<bool> IsBegun(RangeReader range, io::File& copy, uint64_t copy_bytes) {
  std::vector<std::byte> held;
  for (uint64_t at = 0; at < copy_bytes; at += held.size()) {
    const auto piece = range.Next();
    if (!piece) return piece.error();
    if (piece->empty()) return false;
    held.resize(std::min<uint64_t>(piece->size(), copy_bytes - at));
    const auto read = copy.ReadAt(at, held);
    if (!read) return read.error();
    if (*read < held.size() || !std::equal(held.begin(), held.end(), piece->begin())) return false;
  }
  return true;
}

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

// A copy of this very range, whole or cut off on its way: an opening that never comes to its end,
// since the power is cut each time, must not fill the disk with one more.
Result<std::optional<Quarantine::Found>> Quarantine::FindCopy(io::File& file, uint64_t from,
                                                              uint64_t to,
                                                              const std::string& name) {
  std::optional<Found> none;
  const auto exists = environment_.files.Exists(Folder());
  if (!exists) return exists.error();
  if (!*exists) return none;
  const auto entries = environment_.files.List(Folder());
  if (!entries) return entries.error();
  for (const io::DirectoryEntry& entry : *entries) {
    if (entry.is_directory || !IsNamed(entry.name, name)) continue;
    const std::string path = io::JoinPath(Folder(), entry.name);
    auto copy = environment_.files.Open(path, {});
    if (!copy) return copy.error();
    const auto copy_bytes = (*copy)->Size();
    if (!copy_bytes) return copy_bytes.error();
    const auto has_note = environment_.files.Exists(path + kNoteSuffix);
    if (!has_note) return has_note.error();
    // With its note it is whole, and another range's if that is longer.
    if (*has_note && *copy_bytes != to - from) continue;
    const auto begun = IsBegun(RangeReader(file, from, to), **copy, *copy_bytes);
    if (!begun) return begun.error();
    if (*begun) return std::optional(Found{path, *has_note});
  }
  return none;
}

Status Quarantine::Copy(io::File& file, uint64_t from, uint64_t to, const std::string& name,
                        const std::string& note) {
  const auto file_bytes = file.Size();
  if (!file_bytes) return file_bytes.error();
  to = std::max(from, std::min(to, *file_bytes));
  const auto found = FindCopy(file, from, to, name);
  if (!found) return found.error();
  if (*found && (*found)->has_note) return FlushFolders();
  const auto path = *found ? Result((*found)->path) : PathFor(name);
  if (!path) return path.error();
  auto copy = environment_.files.Open(*path, {.write = true, .create = true});
  if (!copy) return copy.error();
  RangeReader range(file, from, to);
  for (uint64_t written = 0;;) {
    const auto piece = range.Next();
    if (!piece) return piece.error();
    if (piece->empty()) break;
    if (Status wrote = (*copy)->WriteAt(written, *piece, io::Durable::no); !wrote) return wrote;
    written += piece->size();
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

Result<bool> Quarantine::MoveSegments(const std::string& folder, const std::string& cause) {
  const auto bases = ListSegments(environment_.files, folder);
  if (!bases) return bases.error();
  if (bases->empty()) return false;
  for (const int64_t base : *bases) {
    if (Status moved = MoveSegment(folder, base, cause); !moved) return moved.error();
  }
  if (Status flushed = environment_.files.FlushDirectory(folder); !flushed) return flushed.error();
  return true;
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

// Of a note that is there nothing tells whether whoever wrote it was killed before this.
Status Quarantine::FlushFolders() {
  if (Status flushed = environment_.files.FlushDirectory(Folder()); !flushed) return flushed;
  return environment_.files.FlushDirectory(data_dir_);
}

}  // namespace tidemark::storage
