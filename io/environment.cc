#include "io/environment.h"

#include <sys/random.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace tidemark::io {

uint64_t SystemRandom64() {
  uint64_t value = 0;
  ssize_t got = 0;
  do {
    got = getrandom(&value, sizeof value, 0);
  } while (got < 0 && errno == EINTR);
  TIDEMARK_CHECK(got == sizeof value);  // up to 256 bytes are given whole, once the kernel has any
  return value;
}

int64_t CurrentProcessId() { return getpid(); }

std::string CurrentBoot() {
  constexpr uint64_t kMaxIdBytes = 64;
  auto id = ReadWholeFile(SystemFiles(), "/proc/sys/kernel/random/boot_id", kMaxIdBytes);
  if (!id) return {};
  std::erase(*id, '\n');
  char name[kMaxIdBytes];
  const ssize_t length = readlink("/proc/self/ns/time", name, sizeof name);
  if (length > 0) *id += "/" + std::string(name, static_cast<size_t>(length));
  return *id;
}

}  // namespace tidemark::io
