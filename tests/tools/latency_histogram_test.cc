#include "tools/bench/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "tools/workload.h"

namespace tidemark::tools {
namespace {

TEST(LatencyHistogram, IsZeroWithoutAny) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.mean(), 0);
  EXPECT_EQ(histogram.Percentile(99), 0);
}

TEST(LatencyHistogram, SmallOnesAreExact) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Add(i);
  EXPECT_EQ(histogram.min(), 1);
  EXPECT_EQ(histogram.max(), 100);
  EXPECT_DOUBLE_EQ(histogram.mean(), 50.5);
  EXPECT_NEAR(histogram.deviation(), 28.866, 0.001);
  EXPECT_EQ(histogram.Percentile(1), 1);
  EXPECT_EQ(histogram.Percentile(50), 50);
  EXPECT_EQ(histogram.Percentile(100), 100);
}

// Against the sorted numbers themselves, over eleven powers of ten.
TEST(LatencyHistogram, PercentilesAreExactToOneAndAHalfPercent) {
  SeededRandom random(5);
  LatencyHistogram first;
  LatencyHistogram second;
  std::vector<int64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    const auto value = static_cast<int64_t>(std::pow(10, 11 * random.Unit()));
    all.push_back(value);
    (i % 2 == 0 ? first : second).Add(value);
  }
  first.Merge(second);
  std::sort(all.begin(), all.end());
  ASSERT_EQ(first.count(), all.size());
  for (const double percent : {0.01, 1.0, 25.0, 50.0, 90.0, 99.0, 99.99, 100.0}) {
    const auto rank = static_cast<size_t>(std::ceil(percent / 100 * 20'000)) - 1;
    const auto exact = static_cast<double>(all[rank]);
    const auto found = static_cast<double>(first.Percentile(percent));
    EXPECT_GE(found, exact) << percent;
    EXPECT_LE(found, exact * (1 + 1.0 / 64) + 1) << percent;
  }
}

TEST(LatencyHistogram, TakesWhateverAClockSays) {
  LatencyHistogram histogram;
  histogram.Add(-5);
  histogram.Add(INT64_MAX);
  histogram.Add(7, 0);
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.Percentile(50), 0);
  EXPECT_EQ(histogram.Percentile(100), INT64_MAX);
}

}  // namespace
}  // namespace tidemark::tools
