// A clock that moves only when a test says so; the wall clock independently, as a wrong one does.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace tidemark {

class ManualClock final : public base::Clock {
 public:
  int64_t WallMs() override { return wall_ms; }
  int64_t MonotonicUs() override { return now_us; }
  void AdvanceSeconds(int64_t seconds) { now_us += seconds * 1'000'000; }

  int64_t wall_ms = 1'732'272'000'000;
  int64_t now_us = 1'000'000'000;
};

}  // namespace tidemark
