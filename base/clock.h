// Time as the engine sees it. Comes in through the seam, so that a simulator can make it jump.
#pragma once

#include <cstdint>

namespace tidemark::base {

class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds since 1970 by the machine's clock, which may be wrong and may jump.
  virtual int64_t WallMs() = 0;
  // Microseconds of a clock that never steps back; its zero means nothing.
  virtual int64_t MonotonicUs() = 0;
};

// The machine's own clocks. Thread-safe, lives for ever.
Clock& SystemClock();

}  // namespace tidemark::base
