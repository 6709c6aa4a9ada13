// The bytes of offset commits: golden ones, written out from Kafka's schemas, and what is refused.
#include "storage/cursor_format.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace tidemark::storage {
namespace {

using namespace std::string_literals;

const std::string kGoldenKey =
    "\x00\x01"
    "\x00\x05"
    "meter"
    "\x00\x03"
    "log"
    "\x00\x00\x01\x02"s;

const std::string kGoldenValue =
    "\x00\x03"
    "\x00\x00\x00\x00\x01\x02\x03\x04"
    "\xff\xff\xff\xff"
    "\x00\x02"
    "ok"
    "\x00\x00\x01\x93\x51\x00\x00\x7b"s;

TEST(CursorFormat, GoldenKey) {
  const CursorKey key{"meter", "log", 0x102};
  EXPECT_EQ(EncodeCursorKey(key), kGoldenKey);
  const auto decoded = DecodeCursorKey(kGoldenKey);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, key);
}

TEST(CursorFormat, GoldenValue) {
  const CursorValue value{0x01020304, -1, "ok", 0x01935100007b};
  EXPECT_EQ(EncodeCursorValue(value), kGoldenValue);
  const auto decoded = DecodeCursorValue(kGoldenValue);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, value);
}

// What older brokers have written.
TEST(CursorFormat, OlderVersions) {
  std::string key = kGoldenKey;
  key[1] = 0;
  ASSERT_TRUE(DecodeCursorKey(key).ok());
  EXPECT_EQ((*DecodeCursorKey(key))->group, "meter");

  const std::string without_epoch = kGoldenValue.substr(2, 8) + kGoldenValue.substr(14);
  for (const std::string& bytes :
       {"\x00\x00"s + without_epoch, "\x00\x02"s + without_epoch,
        "\x00\x01"s + without_epoch + "\x00\x00\x00\x00\x00\x00\x00\x09"s}) {
    const auto value = DecodeCursorValue(bytes);
    ASSERT_TRUE(value.ok());
    EXPECT_EQ(*value, (CursorValue{0x01020304, -1, "ok", 0x01935100007b}));
  }
}

// Kafka keeps a group's members in the same topic.
TEST(CursorFormat, KeysOfAnotherKindArePassedOver) {
  const auto key = DecodeCursorKey("\x00\x02\x00\x05meter"s);
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(*key, std::nullopt);
}

TEST(CursorFormat, ANewerValueIsUnsupported) {
  EXPECT_EQ(DecodeCursorValue("\x00\x04 whatever"s).error().code(), ErrorCode::unsupported);
}

TEST(CursorFormat, WhatIsCutOffOrTooLongIsCorrupt) {
  for (size_t length = 0; length < kGoldenKey.size(); ++length) {
    const auto key = DecodeCursorKey(kGoldenKey.substr(0, length));
    ASSERT_FALSE(key.ok()) << length;
    EXPECT_EQ(key.error().code(), ErrorCode::corrupt);
  }
  for (size_t length = 0; length < kGoldenValue.size(); ++length) {
    const auto value = DecodeCursorValue(kGoldenValue.substr(0, length));
    ASSERT_FALSE(value.ok()) << length;
    EXPECT_EQ(value.error().code(), ErrorCode::corrupt);
  }
  EXPECT_FALSE(DecodeCursorKey(kGoldenKey + "x").ok());
  EXPECT_FALSE(DecodeCursorValue(kGoldenValue + "x").ok());
}

TEST(CursorFormat, NegativeNumbersAreCorrupt) {
  const auto flipped = [](std::string bytes, size_t at) {
    bytes[at] = '\xff';
    return bytes;
  };
  EXPECT_FALSE(DecodeCursorKey(flipped(kGoldenKey, 0)).ok());       // version
  EXPECT_FALSE(DecodeCursorKey(flipped(kGoldenKey, 2)).ok());       // the group's length
  EXPECT_FALSE(DecodeCursorKey(flipped(kGoldenKey, 9)).ok());       // the topic's
  EXPECT_FALSE(DecodeCursorKey(flipped(kGoldenKey, 14)).ok());      // partition
  EXPECT_FALSE(DecodeCursorValue(flipped(kGoldenValue, 0)).ok());   // version
  EXPECT_FALSE(DecodeCursorValue(flipped(kGoldenValue, 2)).ok());   // offset
  EXPECT_FALSE(DecodeCursorValue(flipped(kGoldenValue, 14)).ok());  // the metadata's length
}

RC_GTEST_PROP(CursorFormatProperty, WhatWasWrittenIsRead, ()) {
  const auto group = *rc::gen::arbitrary<std::string>();
  const auto topic = *rc::gen::arbitrary<std::string>();
  const auto partition = *rc::gen::inRange(0, INT32_MAX);
  const CursorKey key{group, topic, partition};
  const std::string key_bytes = EncodeCursorKey(key);
  const auto key_again = DecodeCursorKey(key_bytes);
  RC_ASSERT(key_again.ok());
  RC_ASSERT(*key_again == key);

  const auto metadata = *rc::gen::arbitrary<std::string>();
  const CursorValue value{*rc::gen::inRange(int64_t{0}, INT64_MAX), *rc::gen::arbitrary<int32_t>(),
                          metadata, *rc::gen::arbitrary<int64_t>()};
  const std::string value_bytes = EncodeCursorValue(value);
  const auto value_again = DecodeCursorValue(value_bytes);
  RC_ASSERT(value_again.ok());
  RC_ASSERT(*value_again == value);
}

// String.hashCode() of each, by the rule in Java's documentation.
TEST(CursorFormat, GroupsGoToPartitionsAsWithKafka) {
  constexpr int32_t kPartitions = 50;
  EXPECT_EQ(PartitionForGroup("hello", kPartitions), 99'162'322 % kPartitions);
  EXPECT_EQ(PartitionForGroup("\xc3\xa9", kPartitions), 233 % kPartitions);
  // Two UTF-16 units.
  EXPECT_EQ(PartitionForGroup("\xf0\x9f\x98\x80", kPartitions), 1'772'899 % kPartitions);
  // A negative number, and the least there is.
  EXPECT_EQ(PartitionForGroup("gateway-7", kPartitions), 1'354'642'706 % kPartitions);
  EXPECT_EQ(PartitionForGroup("polygenelubricants", kPartitions), 0);
  EXPECT_EQ(PartitionForGroup("polygenelubricants", 7), 0);
  EXPECT_EQ(PartitionForGroup("whatever", 1), 0);
}

TEST(CursorFormat, NamesOfGroups) {
  for (const char* name : {"g", "a group with spaces", "a/b", "Z\xc3\xa4hler"})
    EXPECT_TRUE(CheckGroupName(name).ok()) << name;
  EXPECT_TRUE(CheckGroupName(std::string(kMaxGroupBytes, 'g')).ok());
  for (const std::string& name :
       {""s, std::string(kMaxGroupBytes + 1, 'g'), "\0"s, "a\nb"s, "\x7f"s, "\xc2\x85"s, "\xff"s}) {
    const Status checked = CheckGroupName(name);
    ASSERT_FALSE(checked.ok()) << name;
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
  }
}

TEST(CursorFormat, Metadata) {
  EXPECT_TRUE(CheckCursorMetadata("").ok());
  EXPECT_TRUE(CheckCursorMetadata("two\nlines").ok());
  EXPECT_TRUE(CheckCursorMetadata(std::string(kMaxCursorMetadataBytes, 'm')).ok());
  EXPECT_FALSE(CheckCursorMetadata(std::string(kMaxCursorMetadataBytes + 1, 'm')).ok());
  EXPECT_FALSE(CheckCursorMetadata("\xff").ok());
}

}  // namespace
}  // namespace tidemark::storage
