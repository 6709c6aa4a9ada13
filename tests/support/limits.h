// The ends of the numbers that offsets and timestamps are made of.
#pragma once

#include <cstdint>
#include <limits>

namespace tidemark {

inline constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kMinInt64 = std::numeric_limits<int64_t>::min();

}  // namespace tidemark
