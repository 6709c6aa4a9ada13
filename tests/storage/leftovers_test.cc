// What a power cut in the middle of removing a segment leaves: files without their log.
#include <array>
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
  static constexpr int64_t kGoneBase = 7;  // within the first segment
  static constexpr std::array kSidecars = {SegmentFile::offset_index, SegmentFile::time_index,
                                           SegmentFile::seal};

  void MakeLeftovers() {
    for (const SegmentFile kind : kSidecars) WriteFile(SegmentFilePath(kGoneBase, kind), "left");
  }
  int CountLeftovers() const {
    int count = 0;
    for (const SegmentFile kind : kSidecars)
      count += std::filesystem::exists(SegmentFilePath(kGoneBase, kind)) ? 1 : 0;
    return count;
  }
};

// They would stay for ever, and count against the budgets.
TEST_F(LeftoversTest, AnOpeningRemovesWhatHasNoLog) {
  MakeSegments(20'000, int64_t{768} << 10);
  const std::vector<int64_t> bases = SegmentBases();
  ASSERT_GT(bases.size(), 1U);
  for (const bool clean : {true, false}) {
    SCOPED_TRACE(clean);
    MakeLeftovers();
    Open();
    EXPECT_EQ(CountLeftovers(), 0);
    if (clean) Crash();
  }
  CloseCleanly();
  EXPECT_EQ(SegmentBases(), bases);
  for (const int64_t base : bases) {
    EXPECT_TRUE(std::filesystem::exists(SegmentFilePath(base, SegmentFile::offset_index)));
    EXPECT_TRUE(std::filesystem::exists(SegmentFilePath(base, SegmentFile::time_index)));
  }
  EXPECT_TRUE(std::filesystem::exists(SegmentFilePath(bases[0], SegmentFile::seal)));
}

TEST_F(LeftoversTest, WhatIsNotTidemarksStays) {
  MakeSegments(10);
  const std::vector<std::string> names = {"notes.index", "7.timeindex", "0000000000000000000x.seal",
                                          "00000000000000000007.index.old",
                                          "00000000000000000007.txnindex"};
  for (const std::string& name : names) WriteFile(PathOf("t-0/" + name), "mine");
  Open();
  CloseCleanly();
  for (const std::string& name : names) EXPECT_EQ(ReadFile(PathOf("t-0/" + name)), "mine") << name;
}

}  // namespace
}  // namespace tidemark::testing
