#include "storage/key_map.h"

#include <map>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace tidemark::testing {
namespace {

using storage::KeyMap;

constexpr uint64_t kMapSeed = 17;

TEST(KeyMapTest, KnowsTheLastOffsetOfEachKey) {
  KeyMap map(4096, kMapSeed);
  EXPECT_TRUE(map.Put("a", 3));
  EXPECT_TRUE(map.Put("b", 4));
  EXPECT_TRUE(map.Put("a", 9));
  EXPECT_TRUE(map.Put("a", 5));  // the greatest stays
  EXPECT_TRUE(map.Put("", 6));   // a key like any other
  EXPECT_EQ(map.Find("a"), 9);
  EXPECT_EQ(map.Find("b"), 4);
  EXPECT_EQ(map.Find(""), 6);
  EXPECT_EQ(map.Find("c"), std::nullopt);
  EXPECT_EQ(map.size(), 3U);
}

TEST(KeyMapTest, StaysWithinItsMemoryAndRefusesNewKeysWhenItIsFull) {
  constexpr uint64_t kMemoryBytes = 10'000;
  KeyMap map(kMemoryBytes, kMapSeed);
  EXPECT_LE(map.memory_bytes(), kMemoryBytes);
  ASSERT_GT(map.capacity(), 200U);
  for (uint64_t i = 0; i < map.capacity(); ++i)
    ASSERT_TRUE(map.Put("key-" + std::to_string(i), static_cast<int64_t>(i)));
  EXPECT_FALSE(map.Put("one more", 1'000'000));
  EXPECT_EQ(map.Find("one more"), std::nullopt);
  EXPECT_TRUE(map.Put("key-0", 1'000'000));  // it is there
  EXPECT_EQ(map.Find("key-0"), 1'000'000);
  for (uint64_t i = 1; i < map.capacity(); ++i)
    ASSERT_EQ(map.Find("key-" + std::to_string(i)), static_cast<int64_t>(i));
  EXPECT_LE(map.memory_bytes(), kMemoryBytes);
}

TEST(KeyMapTest, TheSmallestHoldsOneKey) {
  KeyMap map(0, kMapSeed);
  EXPECT_TRUE(map.Put("a", 1));
  EXPECT_FALSE(map.Put("b", 2));
  EXPECT_EQ(map.Find("a"), 1);
  EXPECT_EQ(map.Find("b"), std::nullopt);
}

RC_GTEST_PROP(KeyMapTest, IsAMapUntilItIsFull, (const std::vector<std::string>& keys)) {
  KeyMap map(*rc::gen::inRange<uint64_t>(0, 4096), *rc::gen::arbitrary<uint64_t>());
  std::map<std::string, int64_t> expected;
  int64_t offset = 0;
  for (const std::string& key : keys) {
    const bool known = expected.contains(key);
    const bool put = map.Put(key, offset);
    RC_ASSERT(put == (known || expected.size() < map.capacity()));
    if (put) expected[key] = offset;
    ++offset;
  }
  RC_ASSERT(map.size() == expected.size());
  for (const std::string& key : keys) {
    const auto known = expected.find(key);
    RC_ASSERT(map.Find(key) ==
              (known == expected.end() ? std::nullopt : std::optional(known->second)));
  }
}

}  // namespace
}  // namespace tidemark::testing
