#include "io/wake_signal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace tidemark::io {

WakeSignal::WakeSignal(int flags) : descriptor_(eventfd(0, flags)) {
  if (descriptor_ < 0) descriptor_ = -errno;
}

WakeSignal::~WakeSignal() {
  if (descriptor_ >= 0) close(descriptor_);
}

void WakeSignal::Wake(Reason reason) {
  const uint32_t before = state_.fetch_or(reason);
  if (before != kWaiting) return;  // it does not wait, or somebody has woken it already
  const uint64_t one = 1;
  ssize_t written = 0;
  do {
    written = write(descriptor_, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  // EAGAIN: 2^64 - 2 wakes that nobody has read. It is readable then, which is all that is needed.
  TIDEMARK_CHECK(written == sizeof one || errno == EAGAIN);
}

bool WakeSignal::BeginWait() {
  uint32_t expected = none;
  return state_.compare_exchange_strong(expected, kWaiting);
}

uint32_t WakeSignal::Take() { return state_.exchange(none) & ~kWaiting; }

}  // namespace tidemark::io
