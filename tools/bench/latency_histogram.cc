#include "tools/bench/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace tidemark::tools {

// Values below kInPower have a bucket each; of every power of two above, the kBits behind the
// leading one say which.
size_t LatencyHistogram::BucketOf(uint64_t value) {
  if (value < kInPower) return static_cast<size_t>(value);
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
  return static_cast<size_t>(shift * kInPower + (value >> shift));
}

uint64_t LatencyHistogram::UpperEnd(size_t bucket) {
  if (bucket < kInPower) return bucket;
  const uint64_t shift = bucket / kInPower - 1;
  const uint64_t top = bucket - shift * kInPower;
  return ((top + 1) << shift) - 1;
}

void LatencyHistogram::Add(int64_t nanoseconds, uint64_t count) {
  if (count == 0) return;
  const int64_t value = std::max<int64_t>(nanoseconds, 0);
  buckets_[BucketOf(static_cast<uint64_t>(value))] += count;
  count_ += count;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  const auto number = static_cast<double>(value);
  sum_ += number * static_cast<double>(count);
  sum_of_squares_ += number * number * static_cast<double>(count);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  sum_of_squares_ += other.sum_of_squares_;
}

double LatencyHistogram::mean() const {
  return count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
}

double LatencyHistogram::deviation() const {
  if (count_ == 0) return 0;
  const double variance = sum_of_squares_ / static_cast<double>(count_) - mean() * mean();
  return std::sqrt(std::max(variance, 0.0));
}

int64_t LatencyHistogram::Percentile(double percent) const {
  TIDEMARK_CHECK(percent > 0 && percent <= 100);
  const auto wanted = static_cast<uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets && wanted > 0; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(static_cast<int64_t>(UpperEnd(i)), max_);
  }
  return 0;
}

}  // namespace tidemark::tools
