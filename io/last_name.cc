#include "io/last_name.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

namespace tidemark::io {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{256} << 10;

}  // namespace

LastName::LastName(const std::string& path) {
  descriptor_ = open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat about {};
  if (descriptor_ < 0 || fstat(descriptor_, &about) != 0 || !S_ISREG(about.st_mode)) return;
  size_bytes_ = static_cast<uint64_t>(about.st_size);
}

LastName::~LastName() {
  if (descriptor_ >= 0) close(descriptor_);
}

void LastName::FreeInPieces() const {
  struct stat about {};
  if (size_bytes_ <= kPieceBytes || fstat(descriptor_, &about) != 0 || about.st_nlink != 0) return;
  // A write lease is refused while any other open file, in any process, is on the inode. Without a
  // name nobody can open it after that but through /proc, which the kernel would tell by a signal:
  // by SIGIO, which ends a process that does not expect it, unless another is asked for.
  if (fcntl(descriptor_, F_SETSIG, SIGURG) != 0) return;
  if (fcntl(descriptor_, F_SETLEASE, F_WRLCK) != 0) return;
  for (uint64_t left = size_bytes_; left > kPieceBytes;) {
    left -= kPieceBytes;
    if (ftruncate(descriptor_, static_cast<off_t>(left)) != 0) return;
  }
}

}  // namespace tidemark::io
