#include "base/clock.h"

#include <ctime>

#include "base/check.h"

namespace tidemark::base {
namespace {

timespec Now(clockid_t which) {
  timespec now{};
  TIDEMARK_CHECK(clock_gettime(which, &now) == 0);
  return now;
}

class MachineClock final : public Clock {
 public:
  int64_t WallMs() override {
    const timespec now = Now(CLOCK_REALTIME);
    return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  }

  // CLOCK_BOOTTIME rather than CLOCK_MONOTONIC: it goes on while the machine is suspended, and a
  // record ages during that time too.
  int64_t MonotonicUs() override {
    const timespec now = Now(CLOCK_BOOTTIME);
    return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  }
};

}  // namespace

Clock& SystemClock() {
  static MachineClock clock;
  return clock;
}

}  // namespace tidemark::base
