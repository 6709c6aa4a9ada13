// What a power cut in the middle of removing a segment leaves: files without their log.
#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "storage/segment.h"
#include "tests/support/damage_fixture.h"

namespace tidemark::testing {
namespace {

using storage::SegmentFile;

class LeftoversTest : public DamageFixture {
 protected:
  static constexpr std::array kSidecars = {SegmentFile::offset_index, SegmentFile::time_index,
                                           SegmentFile::seal};

  void SetUp() override {
    MakeSegments(32'000, int64_t{1} << 20);
    bases_ = SegmentBases();
    ASSERT_GT(bases_.size(), 2U);
  }
  void MakeLeftovers(int64_t base) {
    for (const SegmentFile kind : kSidecars) WriteFile(SegmentFilePath(base, kind), "left");
  }
  int CountSidecars(int64_t base) const {
    int count = 0;
    for (const SegmentFile kind : kSidecars)
      count += std::filesystem::exists(SegmentFilePath(base, kind)) ? 1 : 0;
    return count;
  }
  std::vector<int64_t> bases_;
};

// They would stay for ever, and count against the budgets.
TEST_F(LeftoversTest, OfSegmentsBehindTheActiveOneAreRemoved) {
  const int64_t behind = bases_.back() + 100'000;
  for (const bool clean : {true, false}) {
    SCOPED_TRACE(clean);
    MakeLeftovers(behind);
    Open();
    EXPECT_EQ(CountSidecars(behind), 0);
    if (clean) Crash();
  }
  CloseCleanly();
  EXPECT_EQ(SegmentBases(), bases_);
  for (const int64_t base : bases_) EXPECT_EQ(CountSidecars(base), base == bases_.back() ? 2 : 3);
}

TEST_F(LeftoversTest, SoAreThoseBelowTheLogStart) {
  Open();
  ASSERT_TRUE(PartitionOf("t").DeleteRecords(bases_[1] + 1).ok());
  while (SegmentBases().front() < bases_[1]) engine_->Poll(std::chrono::milliseconds(100));
  CloseCleanly();
  MakeLeftovers(0);
  Open();
  EXPECT_EQ(CountSidecars(0), 0);
  EXPECT_EQ(CountSidecars(bases_[1]), 3);
}

// They tell that its log is lost.
TEST_F(LeftoversTest, OfASegmentOfTheLogTheyStay) {
  std::filesystem::remove(LogPath(bases_[1]));
  Open();
  CloseCleanly();
  EXPECT_EQ(CountSidecars(bases_[1]), 3);
}

TEST_F(LeftoversTest, WhatIsNotTidemarksStays) {
  const std::vector<std::string> names = {"notes.index", "7.timeindex", "0000000000000000000x.seal",
                                          "00000000000000900000.index.old",
                                          "00000000000000900000.txnindex"};
  for (const std::string& name : names) WriteFile(PathOf("t-0/" + name), "mine");
  Open();
  CloseCleanly();
  for (const std::string& name : names) EXPECT_EQ(ReadFile(PathOf("t-0/" + name)), "mine") << name;
}

}  // namespace
}  // namespace tidemark::testing
