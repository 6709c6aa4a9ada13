#include "io/system_file.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/check.h"
#include "io/system_error.h"
#include "io/transfer.h"

namespace tidemark::io {
namespace {

// The smallest unit: the page of the processor and the sector of today's flash, even where the
// kernel would accept 512.
constexpr uint32_t kMinBlockBytes = 4096;
constexpr mode_t kFileMode = 0644;  // narrowed by the umask
constexpr uint64_t kZeroPieceBytes = uint64_t{256} * 1024;

int OpenFlags(const OpenOptions& options) {
  int flags = O_CLOEXEC | (options.write ? O_RDWR : O_RDONLY);
  if (options.create) flags |= O_CREAT;
  if (options.truncate) flags |= O_TRUNC;
  if (options.direct) flags |= O_DIRECT;
  return flags;
}

Error DirectRefused(const std::string& path, int system_errno) {
  return Error(ErrorCode::unsupported,
               path + ": open failed: the file system refuses direct I/O (O_DIRECT)", system_errno);
}

// The alignment that direct I/O asks for, or 0 when the file system says that it has none.
uint32_t DirectBlockBytes(int descriptor) {
#ifdef STATX_DIOALIGN  // since Linux 6.1; where the kernel is older the bit comes back unset
  struct statx about {};
  if (statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) == 0 &&
      (about.stx_mask & STATX_DIOALIGN) != 0) {
    if (about.stx_dio_offset_align == 0) return 0;
    const uint32_t unit = std::max(about.stx_dio_offset_align, about.stx_dio_mem_align);
    return std::max(kMinBlockBytes, std::bit_ceil(unit));
  }
#else
  static_cast<void>(descriptor);
#endif
  return kMinBlockBytes;
}

}  // namespace

Result<std::unique_ptr<File>> SystemFile::Open(const std::string& path, OpenOptions options) {
  int descriptor = -1;
  do {
    descriptor = open(path.c_str(), OpenFlags(options), kFileMode);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) {
    if (options.direct && errno == EINVAL) return DirectRefused(path, errno);
    return SystemError(errno, path + ": open failed");
  }
  uint32_t block_bytes = kMinBlockBytes;
  if (options.direct) {
    block_bytes = DirectBlockBytes(descriptor);
    if (block_bytes == 0) {
      close(descriptor);
      return DirectRefused(path, 0);
    }
  }
  return std::unique_ptr<File>(new SystemFile(path, options.direct, block_bytes, descriptor));
}

SystemFile::SystemFile(std::string path, bool direct, uint32_t block_bytes, int descriptor)
    : File(std::move(path), direct, block_bytes), descriptor_(descriptor) {}

// Linux has released the descriptor whatever close() answers, so that there is nothing to repeat;
// and what it says about unwritten data belongs to Flush().
SystemFile::~SystemFile() { close(descriptor_); }

SystemFile& SystemFile::From(File& file) {
  auto* const system_file = dynamic_cast<SystemFile*>(&file);
  TIDEMARK_CHECK(system_file != nullptr);
  return *system_file;
}

Error SystemFile::Failed(int system_errno, const std::string& what) const {
  return SystemError(system_errno, path() + ": " + what + " failed");
}

void SystemFile::CheckAligned(uint64_t offset, base::ByteSpan memory) const {
  const uint64_t unit = unit_bytes();
  TIDEMARK_CHECK(offset % unit == 0);
  TIDEMARK_CHECK(memory.size() % unit == 0);
  TIDEMARK_CHECK(reinterpret_cast<uintptr_t>(memory.data()) % unit == 0);
}

Result<uint64_t> SystemFile::Size() {
  struct stat about {};
  if (fstat(descriptor_, &about) != 0) return Failed(errno, "stat");
  return static_cast<uint64_t>(about.st_size);
}

Result<size_t> SystemFile::ReadAt(uint64_t offset, base::MutableByteSpan into) {
  CheckAligned(offset, into);
  const int64_t result = ReadFully(descriptor_, unit_bytes(), offset, into);
  if (result >= 0) return static_cast<size_t>(result);
  return Failed(static_cast<int>(-result),
                "read of " + std::to_string(into.size()) + " bytes at " + std::to_string(offset));
}

Status SystemFile::WriteAt(uint64_t offset, base::ByteSpan bytes, Durable durable) {
  CheckAligned(offset, bytes);
  const int64_t result = WriteFully(descriptor_, unit_bytes(), offset, bytes, durable);
  if (result >= 0) return {};
  return Failed(static_cast<int>(-result),
                "write of " + std::to_string(bytes.size()) + " bytes at " + std::to_string(offset));
}

// Without the flags that wait, sync_file_range(2) takes no write-back error from the descriptor:
// those stay for Flush() to tell.
void SystemFile::StartWriteback(uint64_t offset, uint64_t length) {
  (void)::sync_file_range(descriptor_, static_cast<off64_t>(offset), static_cast<off64_t>(length),
                          SYNC_FILE_RANGE_WRITE);
}

// Not repeated on EINTR, which fdatasync does not give on a disk: a failed flush must be seen as
// one.
Status SystemFile::Flush() {
  if (fdatasync(descriptor_) != 0) return Failed(errno, "flush");
  return {};
}

Status SystemFile::Truncate(uint64_t size) {
  while (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) {
    if (errno != EINTR) return Failed(errno, "truncate to " + std::to_string(size) + " bytes");
  }
  return {};
}

Status SystemFile::Allocate(uint64_t offset, uint64_t length) {
  const std::string what =
      "allocation of " + std::to_string(length) + " bytes at " + std::to_string(offset);
  while (fallocate(descriptor_, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
    if (errno == EINTR) continue;
    if (errno != EOPNOTSUPP && errno != ENOSYS) return Failed(errno, what);
    // No fallocate here (ext3, NFS before 4.2, FUSE): bytes that are written have blocks too. What
    // the file holds already is left alone.
    const Result<uint64_t> size = Size();
    if (!size) return size.error();
    const uint64_t end = offset + length;
    const uint64_t from = std::max(offset, *size);
    return from < end ? WriteZeros(from, end - from) : Status();
  }
  return {};
}

Status SystemFile::WriteZeros(uint64_t offset, uint64_t length) {
  const AlignedBuffer zeros = AllocateAligned(kZeroPieceBytes, block_bytes());
  while (length > 0) {
    const uint64_t piece = std::min(length, kZeroPieceBytes);
    Status written = WriteAt(offset, {zeros.get(), piece}, Durable::no);
    if (!written) return written;
    offset += piece;
    length -= piece;
  }
  return {};
}

Status SystemFile::Lock() {
  while (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      return Error(ErrorCode::locked, path() + ": another process has it open for writing");
    }
    return Failed(errno, "lock");
  }
  return {};
}

}  // namespace tidemark::io
