#include "tools/workloads.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace tidemark::tools {
namespace {

std::unique_ptr<Workload> MustMake(const std::string& name, uint64_t seed = 1) {
  auto workload = MakeWorkload(name, {.seed = seed});
  EXPECT_TRUE(workload.ok());
  return std::move(*workload);
}

TEST(Workloads, TheSameSeedGivesTheSameReadings) {
  for (const std::string& name : WorkloadNames()) {
    const auto one = MustMake(name, 3);
    const auto same = MustMake(name, 3);
    const auto other = MustMake(name, 4);
    bool differs = false;
    for (int i = 0; i < 500; ++i) {
      const Reading& reading = one->Next();
      const Reading& again = same->Next();
      EXPECT_EQ(reading.key, again.key) << name;
      EXPECT_EQ(reading.value, again.value) << name;
      EXPECT_EQ(reading.timestamp_ms, again.timestamp_ms) << name;
      differs = differs || reading.value != other->Next().value;
    }
    EXPECT_TRUE(differs) << name;
  }
}

TEST(Workloads, AnotherNameIsAnErrorThatListsThem) {
  const auto none = MakeWorkload("weather", {});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(none.error().message().find("vibration"), std::string::npos);
}

TEST(Workloads, PlantHasAThousandTagsAtOneToTenHertz) {
  const auto plant = MustMake("plant");
  std::map<std::string, int> counts;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
  for (int i = 0; i < 55'000; ++i) {
    const Reading& reading = plant->Next();
    ASSERT_GE(reading.value.size(), 20U);
    ASSERT_LE(reading.value.size(), 60U);
    ASSERT_GE(reading.arrival_ms, last_ms);
    last_ms = reading.arrival_ms;
    if (i == 0) first_ms = last_ms;
    ++counts[reading.key];
  }
  EXPECT_EQ(counts.size(), 1'000U);
  const double seconds = static_cast<double>(last_ms - first_ms) / 1'000;
  EXPECT_NEAR(55'000 / seconds, 5'500, 550);
  for (const auto& [tag, count] : counts) {
    EXPECT_GE(count, seconds * 1 - 2) << tag;
    EXPECT_LE(count, seconds * 10 + 2) << tag;
  }
}

TEST(Workloads, VibrationSendsOneToFourKilobytes) {
  const auto vibration = MustMake("vibration");
  std::set<std::string> keys;
  size_t least = SIZE_MAX;
  size_t most = 0;
  for (int i = 0; i < 1'000; ++i) {
    const Reading& reading = vibration->Next();
    keys.insert(reading.key);
    least = std::min(least, reading.value.size());
    most = std::max(most, reading.value.size());
  }
  EXPECT_EQ(keys.size(), 10U);
  EXPECT_GE(least, 1'024U);
  EXPECT_LE(most, 4'096U);
  EXPECT_LT(least, 1'200U);
  EXPECT_GT(most, 3'900U);
}

// Device by device, all of a day, and within a minute.
TEST(Workloads, BurstIsADayInAMinute) {
  const auto burst = MustMake("burst");
  std::set<std::string> devices;
  std::string device;
  int64_t first_arrival_ms = 0;
  int64_t last_ms = 0;
  uint64_t readings = 0;
  for (;; ++readings) {
    const Reading& reading = burst->Next();
    if (readings == 0) first_arrival_ms = reading.arrival_ms;
    if (reading.arrival_ms >= first_arrival_ms + 3'600'000) break;  // the next day's
    EXPECT_LT(reading.arrival_ms, first_arrival_ms + 60'000);
    EXPECT_LT(reading.timestamp_ms, reading.arrival_ms);
    EXPECT_GT(reading.timestamp_ms, reading.arrival_ms - 172'800'000);
    if (reading.device != device) {
      EXPECT_TRUE(devices.insert(reading.device).second) << "comes again: " << reading.device;
      device = reading.device;
    } else {
      EXPECT_GE(reading.timestamp_ms, last_ms);
    }
    last_ms = reading.timestamp_ms;
  }
  EXPECT_EQ(devices.size(), 100U);
  EXPECT_NEAR(static_cast<double>(readings), 100 * 86'400.0 / 35, 10'000);
}

TEST(Workloads, StatusHasTenThousandKeys) {
  const auto status = MustMake("status");
  std::set<std::string> keys;
  for (int i = 0; i < 200'000; ++i) keys.insert(status->Next().key);
  EXPECT_EQ(keys.size(), 10'000U);
}

TEST(Workloads, SkewHasClocksAsTheyAre) {
  const auto skew = MustMake("skew");
  constexpr double kReadings = 200'000;
  int at_1970 = 0;
  int at_2106 = 0;
  int late = 0;
  for (int i = 0; i < kReadings; ++i) {
    const Reading& reading = skew->Next();
    const int64_t lag_ms = reading.arrival_ms - reading.timestamp_ms;
    if (reading.timestamp_ms == 0) {
      ++at_1970;
    } else if (reading.timestamp_ms == 4'294'967'295'000) {
      ++at_2106;
    } else if (lag_ms == 7'200'000) {
      ++late;
    } else {
      EXPECT_GE(lag_ms, 0);
      EXPECT_LE(lag_ms, 5'000);
    }
  }
  EXPECT_NEAR(late, kReadings / 100, 200);
  EXPECT_NEAR(at_1970, kReadings / 1'000, 60);
  EXPECT_NEAR(at_2106, kReadings / 10'000, 16);
}

}  // namespace
}  // namespace tidemark::tools
