#include "io/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "io/disk_space.h"
#include "io/last_name.h"
#include "io/read_ahead.h"
#include "io/system_error.h"
#include "io/system_file.h"

namespace tidemark::io {
namespace {

constexpr mode_t kDirectoryMode = 0755;  // narrowed by the umask

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// Whether an entry is a directory or a link to one; d_type alone does not say on every file system.
bool IsDirectory(DIR* directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN && entry.d_type != DT_LNK) return entry.d_type == DT_DIR;
  struct stat about {};
  return fstatat(dirfd(directory), entry.d_name, &about, 0) == 0 && S_ISDIR(about.st_mode);
}

// Opens `directory`, lets `flush` loose on it and tells what came of it.
Status FlushThrough(const std::string& directory, int (*flush)(int), const char* what) {
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return SystemError(errno, directory + ": open for " + what + " failed");
  const int failure = flush(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  if (failure != 0) return SystemError(failure, directory + ": " + what + " failed");
  return {};
}

class MachineFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) override {
    return SystemFile::Open(path, options);
  }

  Result<bool> Exists(const std::string& path) override {
    struct stat about {};
    if (stat(path.c_str(), &about) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return SystemError(errno, path + ": stat failed");
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& directory) override;

  std::unique_ptr<ReadAhead> WillList(const std::vector<std::string>& directories) override {
    return std::make_unique<DirectoriesAhead>(directories);
  }

  Status MakeDirectory(const std::string& path) override {
    if (mkdir(path.c_str(), kDirectoryMode) == 0) return {};
    const int failure = errno;
    struct stat about {};
    if (failure == EEXIST && stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) return {};
    return SystemError(failure, path + ": making the directory failed");
  }

  Status Rename(const std::string& from, const std::string& to) override {
    const LastName replaced(to);
    if (rename(from.c_str(), to.c_str()) != 0)
      return SystemError(errno, from + ": rename to " + to + " failed");
    replaced.FreeInPieces();
    return {};
  }

  Status Remove(const std::string& path) override {
    const LastName removed(path);
    if (remove(path.c_str()) != 0) return SystemError(errno, path + ": remove failed");
    removed.FreeInPieces();
    return {};
  }

  Status FlushDirectory(const std::string& directory) override {
    return FlushThrough(directory, fsync, "flush of the directory");
  }

  // Since Linux 5.8 this also tells of pages that could not be written before, of any file there;
  // but each such failure is told once, to whoever asks first. What must be known about one file,
  // the Flush() of a descriptor that was open all the time tells.
  Status FlushAll(const std::string& directory) override {
    return FlushThrough(directory, syncfs, "flush of the file system");
  }

  Result<DiskSpace> Space(const std::string& directory) override {
    return ReadDiskSpace(directory);
  }
};

Result<std::vector<DirectoryEntry>> MachineFileSystem::List(const std::string& directory) {
  const std::unique_ptr<DIR, CloseDirectory> stream(opendir(directory.c_str()));
  if (!stream) return SystemError(errno, directory + ": open of the directory failed");
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;  // readdir tells its end from an error by errno alone
    const dirent* const entry = readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    entries.push_back({std::string(name), IsDirectory(stream.get(), *entry)});
  }
  if (errno != 0) return SystemError(errno, directory + ": reading the directory failed");
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

// "data/journal" -> "data", "journal" -> ".", "/journal" -> "/".
std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status WriteNew(FileSystem& files, const std::string& path, std::string_view content) {
  auto file = files.Open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  Status written = (*file)->WriteAt(0, base::AsBytes(content), Durable::no);
  if (!written) return written;
  return (*file)->Flush();
}

}  // namespace

FileSystem& SystemFiles() {
  static MachineFileSystem files;
  return files;
}

Result<uint64_t> SizeOf(FileSystem& files, const std::string& path) {
  auto file = files.Open(path, {});
  if (!file) return file.error();
  return (*file)->Size();
}

Result<std::string> ReadWholeFile(FileSystem& files, const std::string& path,
                                  uint64_t limit_bytes) {
  auto file = files.Open(path, {});
  if (!file) return file.error();
  const Result<uint64_t> size = (*file)->Size();
  if (!size) return size.error();
  if (*size > limit_bytes) {
    return Error(ErrorCode::corrupt, path + ": holds " + std::to_string(*size) +
                                         " bytes, more than the " + std::to_string(limit_bytes) +
                                         " that it may have");
  }
  std::string content(*size, '\0');
  const auto read = (*file)->ReadAt(0, std::as_writable_bytes(std::span(content)));
  if (!read) return read.error();
  content.resize(*read);  // it may have shrunk meanwhile
  return content;
}

Status ReplaceFile(FileSystem& files, const std::string& path, std::string_view content) {
  const std::string fresh = path + ".new";
  Status written = WriteNew(files, fresh, content);
  if (!written) {
    // Best effort: on a full disk the half-written file is in the way of what would make room.
    static_cast<void>(files.Remove(fresh));
    return written;
  }
  Status renamed = files.Rename(fresh, path);
  if (!renamed) return renamed;
  return files.FlushDirectory(ParentOf(path));
}

// calloc() rather than aligned_alloc(), since it hands out large blocks as zero pages that nobody
// has touched. Where the block really starts is kept in front of the aligned address.
AlignedBuffer AllocateAligned(size_t size_bytes, size_t alignment_bytes) {
  TIDEMARK_CHECK(std::has_single_bit(alignment_bytes));
  const size_t alignment = std::max(alignment_bytes, alignof(void*));
  void* const block = calloc(1, size_bytes + alignment + sizeof(void*));
  TIDEMARK_CHECK(block != nullptr);
  const auto earliest = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
  auto* const memory = static_cast<std::byte*>(block) +
                       (base::RoundUp(earliest, alignment) - reinterpret_cast<uintptr_t>(block));
  base::StoreLittle(memory - sizeof(void*), block);
  return AlignedBuffer(memory);
}

void AlignedFree::operator()(std::byte* memory) const {
  if (memory != nullptr) free(base::LoadLittle<void*>(memory - sizeof(void*)));
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

}  // namespace tidemark::io
