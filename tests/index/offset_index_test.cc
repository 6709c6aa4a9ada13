// The two indexes: their files' bytes, what of a damaged file is taken, what lookups answer.
#include "index/offset_index.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/support/limits.h"

namespace tidemark::index {
namespace {

constexpr int32_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr uint64_t kHugeLog = uint64_t{1} << 40;

std::vector<std::byte> FromInts(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

template <typename Index, typename Entry>
std::vector<std::byte> FileOf(const std::vector<Entry>& entries, size_t entry_bytes) {
  std::vector<std::byte> file(entries.size() * entry_bytes);
  for (size_t i = 0; i < entries.size(); ++i) Index::Encode(entries[i], &file[i * entry_bytes]);
  return file;
}
std::vector<std::byte> FileOf(const std::vector<OffsetEntry>& entries) {
  return FileOf<OffsetIndex>(entries, kOffsetEntryBytes);
}
std::vector<std::byte> FileOf(const std::vector<TimeEntry>& entries) {
  return FileOf<TimeIndex>(entries, kTimeEntryBytes);
}

template <typename Entry>
std::vector<Entry> Copy(std::span<const Entry> entries) {
  return {entries.begin(), entries.end()};
}

// Two entries as Kafka writes them: big-endian, offset before position.
const std::initializer_list<int> kOffsetFile = {0x00, 0x00, 0x00, 0x2a, 0x00, 0x00, 0x10, 0x05,  //
                                                0x01, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff};
const std::vector<OffsetEntry> kOffsetEntries = {{42, 4101}, {1 << 24, kMaxInt32}};

// Two entries as Kafka writes them: timestamp before offset.
const std::initializer_list<int> kTimeFile = {
    0x00, 0x00, 0x01, 0x93, 0x53, 0x75, 0x0c, 0x7b, 0x00, 0x00, 0x00, 0x07,  //
    0x00, 0x00, 0x01, 0x93, 0x53, 0x75, 0x0c, 0x7c, 0x7f, 0xff, 0xff, 0xff};
const std::vector<TimeEntry> kTimeEntries = {{1732272000123, 7}, {1732272000124, kMaxInt32}};

TEST(OffsetIndexTest, GoldenBytes) {
  EXPECT_EQ(FileOf(kOffsetEntries), FromInts(kOffsetFile));
  OffsetIndex index;
  EXPECT_EQ(index.Load(FromInts(kOffsetFile), kHugeLog), kOffsetFile.size());
  EXPECT_EQ(Copy(index.entries()), kOffsetEntries);
}

TEST(OffsetIndexTest, LoadTakesTheLongestValidPrefix) {
  OffsetIndex index;
  const std::vector<std::byte> file = FileOf({OffsetEntry{5, 100}, {9, 200}, {10, 201}});
  for (size_t length = 0; length <= file.size(); ++length) {
    const std::vector<std::byte> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(index.Load(cut, kHugeLog), length / 8 * 8);
    EXPECT_EQ(index.entries().size(), length / 8);
  }
  std::vector<std::byte> zero_tail = file;
  zero_tail.resize(4096);
  EXPECT_EQ(index.Load(zero_tail, kHugeLog), file.size());
  EXPECT_EQ(index.Load(std::vector<std::byte>(4096), kHugeLog), 0U);
  EXPECT_EQ(index.Load(std::vector<std::byte>(4096, std::byte{0xff}), kHugeLog), 0U);
  EXPECT_TRUE(index.entries().empty());
}

TEST(OffsetIndexTest, LoadStopsAtWhatCannotBe) {
  OffsetIndex index;
  const auto valid = [&index](const std::vector<OffsetEntry>& entries, uint64_t log_bytes) {
    return index.Load(FileOf(entries), log_bytes) / kOffsetEntryBytes;
  };
  EXPECT_EQ(valid({{5, 100}, {5, 200}}, kHugeLog), 1U);  // offset does not increase
  EXPECT_EQ(valid({{5, 100}, {6, 100}}, kHugeLog), 1U);  // position does not increase
  EXPECT_EQ(valid({{5, 100}, {4, 200}}, kHugeLog), 1U);
  EXPECT_EQ(valid({{5, 100}, {6, 99}}, kHugeLog), 1U);
  EXPECT_EQ(valid({{-1, 100}}, kHugeLog), 0U);
  EXPECT_EQ(valid({{5, -100}}, kHugeLog), 0U);
  EXPECT_EQ(valid({{5, 100}, {6, 200}, {7, 300}}, 200), 1U);  // behind the log's end
  EXPECT_EQ(valid({{5, 100}, {6, 200}, {7, 300}}, 201), 2U);
  EXPECT_EQ(valid({{5, 100}}, 0), 0U);
  EXPECT_EQ(valid({{0, 0}, {6, 200}}, kHugeLog), 0U);  // zeros: never written
  EXPECT_EQ(valid({{0, 70}, {6, 200}}, kHugeLog), 2U);
}

TEST(OffsetIndexTest, FloorIsTheLastEntryNotBehind) {
  OffsetIndex index;
  EXPECT_EQ(index.Floor(0), std::nullopt);
  EXPECT_EQ(index.Floor(kMaxInt32), std::nullopt);
  index.Add({10, 100});
  index.Add({20, 200});
  index.Add({kMaxInt32, 300});
  EXPECT_EQ(index.Floor(-1), std::nullopt);
  EXPECT_EQ(index.Floor(9), std::nullopt);
  EXPECT_EQ(index.Floor(10), (OffsetEntry{10, 100}));
  EXPECT_EQ(index.Floor(11), (OffsetEntry{10, 100}));
  EXPECT_EQ(index.Floor(19), (OffsetEntry{10, 100}));
  EXPECT_EQ(index.Floor(20), (OffsetEntry{20, 200}));
  EXPECT_EQ(index.Floor(kMaxInt32 - 1), (OffsetEntry{20, 200}));
  EXPECT_EQ(index.Floor(kMaxInt32), (OffsetEntry{kMaxInt32, 300}));
}

TEST(OffsetIndexTest, TruncateDropsWhatStandsAtOrBehind) {
  OffsetIndex index;
  ASSERT_EQ(index.Load(FileOf({OffsetEntry{5, 100}, {9, 200}, {10, 300}}), kHugeLog), 24U);
  index.TruncateToPosition(kHugeLog);
  index.TruncateToPosition(301);
  EXPECT_EQ(index.entries().size(), 3U);
  index.TruncateToPosition(300);
  EXPECT_EQ(index.entries().size(), 2U);
  index.TruncateToPosition(101);
  EXPECT_EQ(Copy(index.entries()), (std::vector<OffsetEntry>{{5, 100}}));
  index.TruncateToPosition(0);
  EXPECT_TRUE(index.entries().empty());
  index.Add({1, 1});  // smaller ones may follow again
}

TEST(OffsetIndexDeathTest, EntriesMustIncrease) {
  OffsetIndex index;
  EXPECT_DEATH(index.Add({-1, 5}), "check failed");
  index.Add({5, 100});
  EXPECT_DEATH(index.Add({5, 101}), "check failed");
  EXPECT_DEATH(index.Add({6, 100}), "check failed");
}

TEST(TimeIndexTest, GoldenBytes) {
  EXPECT_EQ(FileOf(kTimeEntries), FromInts(kTimeFile));
  TimeIndex index;
  EXPECT_EQ(index.Load(FromInts(kTimeFile), kMaxInt32), kTimeFile.size());
  EXPECT_EQ(Copy(index.entries()), kTimeEntries);
}

TEST(TimeIndexTest, LoadTakesTheLongestValidPrefix) {
  TimeIndex index;
  const std::vector<std::byte> file = FileOf({TimeEntry{0, 5}, {1, 9}, {kMaxInt64, 10}});
  for (size_t length = 0; length <= file.size(); ++length) {
    const std::vector<std::byte> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(index.Load(cut, 10), length / 12 * 12);
    EXPECT_EQ(index.entries().size(), length / 12);
  }
  std::vector<std::byte> zero_tail = file;
  zero_tail.resize(4096);
  EXPECT_EQ(index.Load(zero_tail, 10), file.size());
  EXPECT_EQ(index.Load(std::vector<std::byte>(4096, std::byte{0xff}), 10), 0U);
  // Zeros may be an entry, but only the first: less than the file.
  EXPECT_EQ(index.Load(std::vector<std::byte>(4096), 10), kTimeEntryBytes);
}

TEST(TimeIndexTest, LoadStopsAtWhatCannotBe) {
  TimeIndex index;
  const auto valid = [&index](const std::vector<TimeEntry>& entries, int32_t last_offset) {
    return index.Load(FileOf(entries), last_offset) / kTimeEntryBytes;
  };
  EXPECT_EQ(valid({{7, 5}, {7, 6}}, 100), 1U);  // timestamp does not increase
  EXPECT_EQ(valid({{7, 5}, {8, 5}}, 100), 1U);  // offset does not increase
  EXPECT_EQ(valid({{7, 5}, {6, 6}}, 100), 1U);
  EXPECT_EQ(valid({{7, 5}, {8, 4}}, 100), 1U);
  EXPECT_EQ(valid({{7, -5}}, 100), 0U);
  EXPECT_EQ(valid({{kNoTimestamp, 5}}, 100), 0U);
  EXPECT_EQ(valid({{kMinInt64, 5}}, 100), 0U);
  EXPECT_EQ(valid({{7, 5}, {8, 6}}, 6), 2U);
  EXPECT_EQ(valid({{7, 5}, {8, 6}}, 5), 1U);
  EXPECT_EQ(valid({{7, 5}, {8, 6}}, 4), 0U);
  EXPECT_EQ(valid({{7, 0}}, -1), 0U);  // an empty log
}

TEST(TimeIndexTest, OnlyLaterTimestampsAreAdded) {
  TimeIndex index;
  EXPECT_FALSE(index.MaybeAdd({kNoTimestamp, 1}));
  EXPECT_FALSE(index.MaybeAdd({kMinInt64, 1}));
  EXPECT_TRUE(index.MaybeAdd({0, 1}));
  EXPECT_FALSE(index.MaybeAdd({0, 2}));
  EXPECT_TRUE(index.MaybeAdd({50, 2}));
  EXPECT_FALSE(index.MaybeAdd({50, 2}));
  EXPECT_FALSE(index.MaybeAdd({49, 3}));
  EXPECT_FALSE(index.MaybeAdd({51, 2}));
  EXPECT_TRUE(index.MaybeAdd({51, 3}));
  EXPECT_EQ(Copy(index.entries()), (std::vector<TimeEntry>{{0, 1}, {50, 2}, {51, 3}}));
}

TEST(TimeIndexTest, TruncateDropsWhatStandsBehind) {
  TimeIndex index;
  ASSERT_EQ(index.Load(FileOf({TimeEntry{1, 5}, {2, 9}, {3, 10}}), 10), 36U);
  index.TruncateToOffset(10);
  EXPECT_EQ(index.entries().size(), 3U);
  index.TruncateToOffset(9);
  EXPECT_EQ(index.entries().size(), 2U);
  index.TruncateToOffset(8);
  EXPECT_EQ(Copy(index.entries()), (std::vector<TimeEntry>{{1, 5}}));
  index.TruncateToOffset(-1);
  EXPECT_TRUE(index.entries().empty());
}

// What is loaded is a valid index whatever the file holds, and writing it again gives those bytes.
RC_GTEST_PROP(IndexProperty, LoadingAnyBytesGivesAValidIndex, (const std::vector<uint8_t>& noise)) {
  std::vector<std::byte> file;
  const auto entries = *rc::gen::inRange<int32_t>(0, 20);
  for (int32_t i = 1; i <= entries; ++i) {
    const auto more = FileOf({OffsetEntry{i * 3, i * 100}});
    file.insert(file.end(), more.begin(), more.end());
  }
  for (const uint8_t byte : noise) file.push_back(std::byte{byte});
  const auto log_bytes = *rc::gen::inRange<uint64_t>(0, 3000);
  OffsetIndex index;
  const size_t valid = index.Load(file, log_bytes);
  RC_ASSERT(valid == index.entries().size() * kOffsetEntryBytes);
  RC_ASSERT(valid <= file.size());
  file.resize(valid);
  RC_ASSERT(FileOf(Copy(index.entries())) == file);
  OffsetIndex again;
  for (const OffsetEntry& entry : index.entries()) {
    RC_ASSERT(static_cast<uint64_t>(entry.position) < log_bytes);
    again.Add(entry);  // aborts if they did not increase
  }
}

}  // namespace
}  // namespace tidemark::index
