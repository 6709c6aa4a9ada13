// Which base offsets are believed.
#include "storage/offset_chain.h"

#include <gtest/gtest.h>

namespace tidemark::storage {
namespace {

constexpr int64_t kNoLimit = INT64_MAX;

record::BatchHeader Batch(int64_t base_offset, int32_t offsets) {
  record::BatchHeader header;
  header.base_offset = base_offset;
  header.last_offset_delta = offsets - 1;
  return header;
}

TEST(OffsetChainTest, WhatGoesOnIsBelieved) {
  OffsetChain chain(10);
  EXPECT_TRUE(chain.Believes(Batch(10, 5), 15));
  EXPECT_TRUE(chain.Believes(Batch(10, 5), 3));  // the next one is wrong
  chain.Take(Batch(10, 5));
  EXPECT_EQ(chain.next_offset(), 15);
  EXPECT_FALSE(chain.Believes(Batch(14, 5), 19));
}

TEST(OffsetChainTest, AGapIsBelievedIfTheNextBatchLeavesRoomForIt) {
  const OffsetChain chain(10);
  EXPECT_TRUE(chain.Believes(Batch(20, 5), 25));
  EXPECT_TRUE(chain.Believes(Batch(20, 5), 30));
  EXPECT_TRUE(chain.Believes(Batch(20, 5), std::nullopt));
  EXPECT_TRUE(chain.Believes(Batch(20, 5), 3));
  EXPECT_FALSE(chain.Believes(Batch(20, 5), 15));
}

TEST(OffsetChainTest, BehindOneTooHighTheNextIsBelievedWhereItFits) {
  OffsetChain chain(10);
  EXPECT_FALSE(chain.Believes(Batch(500, 5), 15));
  chain.Reject(Batch(500, 5), kNoLimit);
  EXPECT_TRUE(chain.Believes(Batch(15, 5), 22));  // the rejected one has exactly left its place
  EXPECT_FALSE(chain.Believes(Batch(16, 5), 22));
  EXPECT_TRUE(chain.Believes(Batch(16, 5), 21));
}

TEST(OffsetChainTest, OneBehindTheLimitIsTheWrongOneItself) {
  OffsetChain chain(10);
  chain.Reject(Batch(500, 5), 100);
  EXPECT_TRUE(chain.Believes(Batch(20, 5), std::nullopt));
  EXPECT_TRUE(chain.Believes(Batch(20, 5), 30));
  EXPECT_FALSE(chain.Believes(Batch(20, 5), 22));
}

TEST(OffsetChainTest, OfTwoThatContradictEachOtherNeitherIsBelieved) {
  OffsetChain chain(10);
  EXPECT_FALSE(chain.Believes(Batch(20, 10), 12));
  chain.Reject(Batch(20, 10), kNoLimit);
  EXPECT_FALSE(chain.Believes(Batch(12, 10), 40));
  chain.Reject(Batch(12, 10), kNoLimit);
  EXPECT_TRUE(chain.Believes(Batch(40, 10), 50));
}

// What stood between them had an offset of its own. (A sector of zeroes may end one batch and begin
// the next, whose base offset is then 0.)
TEST(OffsetChainTest, BehindDamageNoneStandsWhereTheDamagedOneBelongs) {
  OffsetChain chain(0);
  chain.SkipDamage();
  EXPECT_FALSE(chain.Believes(Batch(0, 5), 15));
  EXPECT_TRUE(chain.Believes(Batch(10, 5), 15));
  chain.Take(Batch(10, 5));
  EXPECT_TRUE(chain.Believes(Batch(15, 5), 20));
}

TEST(OffsetChainTest, FromTheMiddleOnlyWhatFollowsTells) {
  const OffsetChain chain;
  EXPECT_TRUE(chain.Believes(Batch(20, 5), 25));
  EXPECT_FALSE(chain.Believes(Batch(20, 5), 24));
}

}  // namespace
}  // namespace tidemark::storage
