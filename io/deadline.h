// Until when RunOnce() may wait.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace tidemark::io {

class Deadline {
 public:
  // As Loop::RunOnce() takes it: 0 has passed already, a negative one never does.
  explicit Deadline(int64_t max_wait_us) : max_wait_us_(std::min(max_wait_us, kLongestUs)) {
    if (max_wait_us_ > 0) end_us_ = base::SystemClock().MonotonicUs() + max_wait_us_;
  }

  bool never() const { return max_wait_us_ < 0; }
  // 0 once it has passed; not to be asked when it never does.
  int64_t LeftUs() const {
    if (max_wait_us_ == 0) return 0;
    return std::max<int64_t>(0, end_us_ - base::SystemClock().MonotonicUs());
  }
  bool Passed() const { return !never() && LeftUs() == 0; }

 private:
  static constexpr int64_t kLongestUs = int64_t{1} << 50;  // 35 years: nothing overflows

  int64_t max_wait_us_;
  int64_t end_us_ = 0;
};

}  // namespace tidemark::io
