// The seam to the disk: everything that durability rests on goes through these two classes, so that
// a simulated disk can stand in their place. These calls block: they belong to opening, closing,
// administration and the background worker. What the core's thread does while it serves goes
// through io::Loop instead.
//
// Paths are given as the caller wants them named in errors; every Error names the path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "tidemark/error.h"

namespace tidemark::io {

struct OpenOptions {
  bool write = false;     // else read only
  bool create = false;    // make the file when it is missing (its directory entry is not flushed)
  bool truncate = false;  // drop what it holds
  bool direct = false;    // O_DIRECT; where it is refused, Open fails with unsupported
};

// Whether a write is on the device when it is reported done (RWF_DSYNC), or only handed to the
// kernel.
enum class Durable : bool { no, yes };

// An open file. Closed (never flushed) by its destructor. Calls on one File may come from several
// threads as long as their ranges do not overlap.
class File {
 public:
  virtual ~File() = default;

  virtual Result<uint64_t> Size() = 0;
  // Reads until `into` is full or the file ends; returns the bytes read. Short transfers and EINTR
  // are dealt with here.
  virtual Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) = 0;
  // Writes all of `bytes` or fails; after a failure any part of it may have been written.
  virtual Status WriteAt(uint64_t offset, base::ByteSpan bytes, Durable durable) = 0;
  // Asks the kernel to begin writing back [offset, offset + length) now, and does not wait: a later
  // Flush() finds less to do. A hint, on which nothing may rest; where there is no such thing,
  // nothing happens.
  virtual void StartWriteback(uint64_t /*offset*/, uint64_t /*length*/) {}
  // fdatasync: data, and the size if it has changed. After a failure the unflushed bytes are in an
  // unknown state, and a later Flush() that succeeds says nothing about them.
  virtual Status Flush() = 0;
  virtual Status Truncate(uint64_t size) = 0;
  // Makes [offset, offset + length) real blocks (posix fallocate), extending the file.
  virtual Status Allocate(uint64_t offset, uint64_t length) = 0;
  // flock(LOCK_EX | LOCK_NB) on this very open file; held until it is closed, by the kernel even
  // after SIGKILL until the last write has landed. Code locked when somebody else has it.
  virtual Status Lock() = 0;

  const std::string& path() const { return path_; }
  bool direct() const { return direct_; }
  // The unit for offsets, lengths and addresses on this file: the larger of 4,096 and what statx
  // says for a direct file.
  uint32_t block_bytes() const { return block_bytes_; }

 protected:
  File(std::string path, bool direct, uint32_t block_bytes)
      : path_(std::move(path)), direct_(direct), block_bytes_(block_bytes) {}

 private:
  std::string path_;
  bool direct_;
  uint32_t block_bytes_;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

struct DiskSpace {
  uint64_t free_bytes = 0;  // for a process without privileges
  uint64_t total_bytes = 0;
  bool copy_on_write =
      false;         // btrfs, zfs, bcachefs, overlay upon them: overwriting allocates there
  std::string type;  // "ext4", or the magic number in hexadecimal
  // FlushAll() does there what the flushes of all files and directories one by one would do, and
  // fails when one of these would.
  bool flush_all_counts = false;
};

// For as long as it lives something is read before it is asked for.
class ReadAhead {
 public:
  virtual ~ReadAhead() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  // Sorted by name; without "." and "..".
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& directory) = 0;
  // These are going to be listed, in this order: a disk can read several at a time. A hint, on
  // which nothing may rest; where there is no such thing, nothing happens (nullptr).
  virtual std::unique_ptr<ReadAhead> WillList(const std::vector<std::string>& /*directories*/) {
    return nullptr;
  }
  virtual Status MakeDirectory(const std::string& path) = 0;  // ok when it is there already
  // What goes by these two is freed in pieces where it is large (io/last_name.h).
  virtual Status Rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  virtual Status Remove(const std::string& path) = 0;  // a file or an empty directory
  // fsync of a directory: its entries (new, renamed, removed files) are on the device.
  virtual Status FlushDirectory(const std::string& directory) = 0;
  // syncfs of the file system that holds `directory`: cheaper than flushing many files one by one,
  // and in their place where DiskSpace::flush_all_counts.
  virtual Status FlushAll(const std::string& directory) = 0;
  virtual Result<DiskSpace> Space(const std::string& directory) = 0;
};

// The machine's own file system. Thread-safe, lives for ever.
FileSystem& SystemFiles();

// The size of the file at `path`.
Result<uint64_t> SizeOf(FileSystem& files, const std::string& path);

// Reads a whole file of at most `limit_bytes`; larger is an error (corrupt).
Result<std::string> ReadWholeFile(FileSystem& files, const std::string& path, uint64_t limit_bytes);

// Replaces `path` by `content` so that after a crash either the old or the new is there whole:
// writes `path`.new, flushes it, renames it and flushes the directory.
Status ReplaceFile(FileSystem& files, const std::string& path, std::string_view content);

// Memory aligned for direct I/O.
struct AlignedFree {
  void operator()(std::byte* memory) const;
};
using AlignedBuffer = std::unique_ptr<std::byte[], AlignedFree>;
// `size_bytes` zeroed bytes (untouched pages take no memory) at a multiple of `alignment_bytes`.
AlignedBuffer AllocateAligned(size_t size_bytes, size_t alignment_bytes);

// "dir/name"
std::string JoinPath(std::string_view directory, std::string_view name);

}  // namespace tidemark::io
