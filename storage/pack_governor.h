// How hard packing may try. The worker shares the processor with the commits, and on Linux 6.18 a
// commit was seen to wait up to a scheduler's tick (4 ms) for a core on which the worker
// compressed, whatever the worker's priority and scheduling class. So the levels that topics ask
// for are for a worker that is mostly idle, as it is under the load of a gateway; a busy one
// compresses faster. Belongs to the core's thread.
#pragma once

#include <cstdint>

#include "storage/context.h"

namespace tidemark::storage {

class PackGovernor {
 public:
  // Packing that has ended at `now_us` took `busy_us`.
  void Note(int64_t now_us, int64_t busy_us) {
    if (window_begin_us_ == kNever) window_begin_us_ = now_us - busy_us;
    busy_us_ += busy_us;
    const int64_t window_us = now_us - window_begin_us_;
    if (window_us < kWindowUs) return;
    if (busy_us_ * kTooBusyPart > window_us) {
      pressure_ = pressure_ == Pressure::none ? Pressure::some : Pressure::high;
    } else if (busy_us_ * kIdlePart < window_us) {
      pressure_ = pressure_ == Pressure::high ? Pressure::some : Pressure::none;
    }
    window_begin_us_ = now_us;
    busy_us_ = 0;
  }
  // none, some or high.
  Pressure pressure() const { return pressure_; }

 private:
  static constexpr int64_t kNever = INT64_MIN;
  // Longer than it takes to pack, at the highest level, what a reclaim finds in a journal full of
  // small commits.
  static constexpr int64_t kWindowUs = 250'000;
  // Above a half it is too busy. From one level to the next the work shrinks to a third or less, so
  // that below a sixteenth the higher level will not be too much.
  static constexpr int64_t kTooBusyPart = 2;
  static constexpr int64_t kIdlePart = 16;

  Pressure pressure_ = Pressure::none;
  int64_t window_begin_us_ = kNever;
  int64_t busy_us_ = 0;
};

}  // namespace tidemark::storage
