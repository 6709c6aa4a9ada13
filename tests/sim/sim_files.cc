#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "io/system_error.h"
#include "tests/sim/sim_file.h"
#include "tests/sim/sim_world.h"

namespace tidemark::sim {
namespace {

Status Told(int system_errno, const std::string& path, const char* what) {
  if (system_errno == 0) return {};
  return io::SystemError(system_errno, path + ": " + what + " failed");
}

}  // namespace

SimFile::SimFile(SimDisk& disk, std::string path, InodePointer inode, bool direct)
    : File(std::move(path), direct, kPageBytes), disk_(disk), inode_(std::move(inode)) {
  disk_.NoteOpened(*inode_, true);
}

SimFile::~SimFile() {
  if (locked_) inode_->locked = false;
  disk_.NoteOpened(*inode_, false);
}

SimFile& SimFile::From(io::File& file) { return dynamic_cast<SimFile&>(file); }

void SimFile::CheckAligned(uint64_t offset, base::ByteSpan memory) const {
  if (!direct()) return;
  TIDEMARK_CHECK(offset % kPageBytes == 0);
  TIDEMARK_CHECK(memory.size() % kPageBytes == 0);
  TIDEMARK_CHECK(reinterpret_cast<uintptr_t>(memory.data()) % kPageBytes == 0);
}

Result<uint64_t> SimFile::Size() {
  if (disk_.dead()) return Told(EIO, path(), "stat").error();
  return static_cast<uint64_t>(inode_->now.size()) + inode_->unkept_bytes;
}

Result<size_t> SimFile::ReadAt(uint64_t offset, base::MutableByteSpan into) {
  CheckAligned(offset, into);
  size_t read = 0;
  if (Status done = Told(disk_.Read(*inode_, offset, into, &read), path(), "read"); !done)
    return done.error();
  return read;
}

Status SimFile::WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable durable) {
  CheckAligned(offset, bytes);
  return Told(disk_.Write(*inode_, offset, bytes, durable == io::Durable::yes, direct()), path(),
              "write");
}

Status SimFile::Flush() { return Told(disk_.Flush(*inode_, direct()), path(), "flush"); }
Status SimFile::Truncate(uint64_t size) {
  return Told(disk_.Truncate(*inode_, size), path(), "truncate");
}
Status SimFile::Allocate(uint64_t offset, uint64_t length) {
  return Told(disk_.Allocate(*inode_, offset + length), path(), "allocation");
}

Status SimFile::Lock() {
  if (inode_->locked && !locked_) return Error(ErrorCode::locked, path() + ": locked");
  inode_->locked = locked_ = true;
  return {};
}

Result<std::unique_ptr<io::File>> SimFileSystem::Open(const std::string& path,
                                                      io::OpenOptions options) {
  if (disk_.dead()) return Told(EIO, path, "open").error();
  if (options.direct && disk_.profile().direct_refused) {
    return Error(ErrorCode::unsupported, path + ": direct I/O is refused", EINVAL);
  }
  InodePointer inode = disk_.Find(path);
  if (inode == nullptr) {
    if (!options.create) return Told(ENOENT, path, "open").error();
    if (Status made = Told(disk_.Create(path, &inode, /*directory=*/false), path, "open"); !made)
      return made.error();
  } else if (inode->directory) {
    return Told(EISDIR, path, "open").error();
  } else if (options.truncate && !inode->now.empty()) {
    if (Status cut = Told(disk_.Truncate(*inode, 0), path, "open"); !cut) return cut.error();
  }
  return std::unique_ptr<io::File>(new SimFile(disk_, path, inode, options.direct));
}

Result<bool> SimFileSystem::Exists(const std::string& path) {
  if (disk_.dead()) return Told(EIO, path, "stat").error();
  return disk_.Find(path) != nullptr;
}

Result<std::vector<io::DirectoryEntry>> SimFileSystem::List(const std::string& directory) {
  if (disk_.dead()) return Told(EIO, directory, "open of the directory").error();
  const InodePointer found = disk_.Find(directory);
  if (found == nullptr) return Told(ENOENT, directory, "open of the directory").error();
  std::vector<io::DirectoryEntry> entries;
  for (const auto& [name, inode] : found->entries) entries.push_back({name, inode->directory});
  return entries;
}

Status SimFileSystem::MakeDirectory(const std::string& path) {
  InodePointer inode = disk_.Find(path);
  if (inode != nullptr && inode->directory && !disk_.dead()) return {};
  return Told(inode != nullptr ? EEXIST : disk_.Create(path, &inode, /*directory=*/true), path,
              "making the directory");
}

Status SimFileSystem::Rename(const std::string& from, const std::string& to) {
  return Told(disk_.Rename(from, to), from, "rename");
}
Status SimFileSystem::Remove(const std::string& path) {
  return Told(disk_.Remove(path), path, "remove");
}
Status SimFileSystem::FlushDirectory(const std::string& directory) {
  return Told(disk_.FlushDirectory(directory), directory, "flush of the directory");
}
Status SimFileSystem::FlushAll(const std::string& directory) {
  return Told(disk_.FlushAll(), directory, "flush of the file system");
}

Result<io::DiskSpace> SimFileSystem::Space(const std::string& directory) {
  if (disk_.dead()) return Told(EIO, directory, "statfs").error();
  io::DiskSpace space;
  space.free_bytes = disk_.free_bytes();
  space.total_bytes = disk_.profile().capacity_bytes;
  space.type = "simulated";
  space.flush_all_counts = true;
  return space;
}

}  // namespace tidemark::sim
