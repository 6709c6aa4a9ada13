#include "storage/pack_governor.h"

#include <gtest/gtest.h>

namespace tidemark::storage {
namespace {

// Packs every 10 ms, each time for a share of it.
void Work(PackGovernor& governor, int64_t& now_us, int64_t seconds, int64_t busy_percent) {
  for (int64_t i = 0; i < seconds * 100; ++i) {
    now_us += 10'000;
    governor.Note(now_us, busy_percent * 100);
  }
}

TEST(PackGovernorTest, AMostlyIdleWorkerTriesAsHardAsItIsAsked) {
  PackGovernor governor;
  int64_t now_us = 5'000'000;
  Work(governor, now_us, 60, 40);
  EXPECT_EQ(governor.pressure(), Pressure::none);
}

TEST(PackGovernorTest, OneReclaimIsNoLoad) {
  PackGovernor governor;
  int64_t now_us = 5'000'000;
  for (int reclaim = 0; reclaim < 20; ++reclaim) {
    for (int piece = 0; piece < 5; ++piece) governor.Note(now_us += 20'000, 20'000);
    now_us += 1'000'000;
  }
  EXPECT_EQ(governor.pressure(), Pressure::none);
}

TEST(PackGovernorTest, ABusyWorkerComesDownWithinASecondAndGoesUpWhenItIsIdle) {
  PackGovernor governor;
  int64_t now_us = 5'000'000;
  Work(governor, now_us, 1, 95);
  EXPECT_EQ(governor.pressure(), Pressure::high);
  Work(governor, now_us, 10, 20);  // at the fastest level: would be too much at a higher one
  EXPECT_EQ(governor.pressure(), Pressure::high);
  Work(governor, now_us, 1, 2);
  EXPECT_EQ(governor.pressure(), Pressure::none);
}

TEST(PackGovernorTest, ALongPauseIsIdleTime) {
  PackGovernor governor;
  int64_t now_us = 5'000'000;
  Work(governor, now_us, 1, 95);
  now_us += 3'600'000'000;
  governor.Note(now_us, 1'000);
  EXPECT_EQ(governor.pressure(), Pressure::some);
}

}  // namespace
}  // namespace tidemark::storage
