// The record format within a batch: what is written, what is read back, what is refused.
#include "tidemark/record.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "record/batch.h"
#include "tests/record/arbitrary.h"
#include "tests/support/limits.h"

namespace tidemark::record {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kMaxInt32 = std::numeric_limits<int32_t>::max();

std::vector<std::byte> FromInts(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

std::vector<std::byte> Encode(const Record& record, int64_t timestamp_delta, int32_t offset_delta) {
  std::vector<std::byte> bytes(EncodedRecordBytes(record, timestamp_delta, offset_delta));
  EXPECT_EQ(EncodeRecord(bytes.data(), record, timestamp_delta, offset_delta, bytes.size()),
            bytes.data() + bytes.size());
  return bytes;
}

std::vector<OwnedRecord> Read(base::ByteSpan bytes, int32_t count) {
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(bytes).data();
  encoded.count = count;
  return ReadAll(encoded);
}

void ExpectCorrupt(const std::vector<std::byte>& bytes, const std::string& reason,
                   int32_t count = 1, int32_t last_offset_delta = kMaxInt32) {
  // A copy of exactly the bytes' size lets the address sanitizer see the first read behind them.
  const std::vector<std::byte> exact(bytes.begin(), bytes.end());
  const auto result = CheckRecords(exact, count, last_offset_delta);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::corrupt);
  EXPECT_THAT(result.error().message(), HasSubstr(reason));
}

TEST(EncodeRecordTest, WritesKafkasFields) {
  const Header headers[] = {{"q", "1"}, {"r", std::nullopt}};
  const Record record{"key", "21.5", 0, headers};
  EXPECT_EQ(Encode(record, 100, 4), FromInts({
                                        0x2a,                        // 21 bytes follow
                                        0x00,                        // attributes
                                        0xc8, 0x01,                  // timestamp delta 100
                                        0x08,                        // offset delta 4
                                        0x06, 'k',  'e',  'y',       // key
                                        0x08, '2',  '1',  '.', '5',  // value
                                        0x04,                        // 2 headers
                                        0x02, 'q',  0x02, '1',       // "q": "1"
                                        0x02, 'r',  0x01,            // "r": null
                                    }));
}

TEST(EncodeRecordTest, TellsNullFromEmpty) {
  EXPECT_EQ(Encode({}, 0, 0), FromInts({0x0c, 0, 0, 0, 0x01, 0x01, 0}));
  const Record empty{"", "", 0, {}};
  EXPECT_EQ(Encode(empty, 0, 0), FromInts({0x0c, 0, 0, 0, 0x00, 0x00, 0}));
}

TEST(EncodeRecordTest, WritesNegativeAndExtremeDeltas) {
  EXPECT_EQ(Encode({}, -3, 0), FromInts({0x0c, 0, 0x05, 0, 0x01, 0x01, 0}));
  EXPECT_EQ(Encode({}, kMinInt64, kMaxInt32),
            FromInts({0x26, 0,                                                     //
                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,  //
                      0xfe, 0xff, 0xff, 0xff, 0x0f,                                //
                      0x01, 0x01, 0}));
}

// Lengths whose varints change their size, also the prefix of the whole record.
TEST(EncodeRecordTest, SizesMatchAtVarintBoundaries) {
  for (const int size : {0, 1, 50, 56, 57, 58, 63, 64, 8180, 8191, 8192, 1 << 20}) {
    const std::string value(static_cast<size_t>(size), 'v');
    const Record record{std::nullopt, value, 0, {}};
    const std::vector<std::byte> bytes = Encode(record, 0, 0);
    ASSERT_TRUE(CheckRecords(bytes, 1, 0).ok()) << size;
    EXPECT_EQ(Read(bytes, 1)[0].value, value) << size;
  }
}

TEST(CheckRecordsTest, SummarisesWhatItSaw) {
  std::vector<std::byte> bytes;
  for (const auto& [timestamp, offset] :
       std::vector<std::pair<int64_t, int32_t>>{{-5, 3}, {7, 4}, {7, 9}, {0, 12}}) {
    const std::vector<std::byte> record = Encode({}, timestamp, offset);
    bytes.insert(bytes.end(), record.begin(), record.end());
  }
  const auto summary = CheckRecords(bytes, 4, 20);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->count, 4);
  EXPECT_EQ(summary->first_offset_delta, 3);
  EXPECT_EQ(summary->last_offset_delta, 12);
  EXPECT_EQ(summary->max_timestamp_delta, 7);
  EXPECT_EQ(summary->max_timestamp_offset_delta, 4);
}

// Where others follow it a record is decoded in a faster way than at the end of a batch; both must
// find the same in it.
TEST(CheckRecordsTest, JudgesARecordAlikeWhereverItStands) {
  const std::vector<Header> headers = {{"mqtt.client", "thermo-0017"}, {"", std::nullopt}};
  const std::vector<Record> records = {
      {"sensors/thermo-0017", R"({"t":21.37,"h":48.2})", 0, headers},
      {std::nullopt, std::nullopt, 0, {}},
      {"k", "", 0, {}},
      {std::nullopt, std::string_view("v"), 0, std::span(headers).first(1)},
  };
  const std::vector<std::byte> follower = Encode({"key", std::string(100, 'v'), 0, {}}, 0, 2'000);
  for (const Record& record : records) {
    for (const auto& [timestamp, offset] :
         std::vector<std::pair<int64_t, int32_t>>{{0, 0}, {-70'000, 1'000}, {kMinInt64, 64}}) {
      const std::vector<std::byte> whole = Encode(record, timestamp, offset);
      const size_t prefix = static_cast<uint8_t>(whole[0]) < 0x80 ? 1 : 2;
      for (size_t at = prefix; at < whole.size(); ++at) {
        for (int value = 0; value < 256; ++value) {
          std::vector<std::byte> bytes = whole;
          bytes[at] = static_cast<std::byte>(value);
          const auto alone = CheckRecords(bytes, 1, 1'999);
          bytes.insert(bytes.end(), follower.begin(), follower.end());
          const auto followed = CheckRecords(bytes, 2, 2'000);
          ASSERT_EQ(alone.ok(), followed.ok()) << at << " " << value;
          if (!alone.ok()) continue;
          ASSERT_EQ(alone->last_offset_delta, followed->first_offset_delta) << at << " " << value;
          ASSERT_EQ(std::max<int64_t>(alone->max_timestamp_delta, 0), followed->max_timestamp_delta)
              << at << " " << value;
        }
      }
    }
  }
}

TEST(CheckRecordsTest, TimestampsMayAllBeNegative) {
  const auto summary = CheckRecords(Encode({}, kMinInt64, 2), 1, 2);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->max_timestamp_delta, kMinInt64);
  EXPECT_EQ(summary->max_timestamp_offset_delta, 2);
}

TEST(CheckRecordsTest, NoRecordsAreFine) {
  const auto summary = CheckRecords({}, 0, 0);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->count, 0);
}

TEST(CheckRecordsTest, RefusesCountsThatDoNotMatch) {
  const std::vector<std::byte> one = Encode({}, 0, 0);
  ExpectCorrupt(one, "left over", 0);
  ExpectCorrupt(one, "record 1 of 2", 2);
  ExpectCorrupt(one, "record 1 of 2147483647", kMaxInt32);
  ExpectCorrupt(one, "left over", -1);
  ExpectCorrupt({}, "left over", -1);
}

TEST(CheckRecordsTest, RefusesOffsetsOutOfOrder) {
  std::vector<std::byte> bytes = Encode({}, 0, 5);
  ExpectCorrupt(bytes, "offset", 1, 4);
  ASSERT_TRUE(CheckRecords(bytes, 1, 5).ok());
  const std::vector<std::byte> copy = bytes;
  bytes.insert(bytes.end(), copy.begin(), copy.end());
  ExpectCorrupt(bytes, "record 1 of 2: its offset", 2);
  ExpectCorrupt(FromInts({0x0c, 0, 0, 0x01, 0x01, 0x01, 0}), "offset");  // delta -1
}

TEST(CheckRecordsTest, TheGreatestOffsetDeltaLeavesNoRoomForAnother) {
  std::vector<std::byte> bytes = Encode({}, 0, kMaxInt32);
  ASSERT_TRUE(CheckRecords(bytes, 1, kMaxInt32).ok());
  const std::vector<std::byte> copy = bytes;
  bytes.insert(bytes.end(), copy.begin(), copy.end());
  ExpectCorrupt(bytes, "record 1 of 2: its offset", 2);
}

TEST(CheckRecordsTest, RefusesMalformedRecords) {
  ExpectCorrupt({}, "varint");
  ExpectCorrupt(FromInts({0x01}), "runs past the batch");  // length -1
  ExpectCorrupt(FromInts({0x0e, 0, 0, 0, 1, 1, 0}), "runs past the batch");
  ExpectCorrupt(FromInts({0x00}), "runs past its record");            // not even attributes
  ExpectCorrupt(FromInts({0x0e, 0, 0, 0, 1, 1, 0, 0}), "left over");  // a byte behind the headers
  ExpectCorrupt(FromInts({0x0c, 0, 0, 0, 0x02, 1, 0}),
                "varint");  // the key takes the value's length
  ExpectCorrupt(FromInts({0x0c, 0, 0, 0, 0x08, 1, 0}), "runs past its record");
  ExpectCorrupt(FromInts({0x0c, 0, 0, 0, 1, 0x7e, 0}), "runs past its record");
  ExpectCorrupt(FromInts({0x0c, 0, 0, 0, 1, 1, 0x01}), "header count");           // -1
  ExpectCorrupt(FromInts({0x0c, 0, 0, 0, 1, 1, 0x02}), "header count");           // 1, in no bytes
  ExpectCorrupt(FromInts({0x10, 0, 0, 0, 1, 1, 0x02, 0x01, 0x01}), "runs past");  // header key null
}

// Kafka reads an int32 from at most five bytes, an int64 from at most ten.
TEST(CheckRecordsTest, RefusesVarintsThatAreTooLong) {
  // The value's length, 0, in two and in five bytes is what Kafka accepts as well; in six it is
  // not.
  EXPECT_TRUE(CheckRecords(FromInts({0x0e, 0, 0, 0, 1, 0x80, 0x00, 0}), 1, 0).ok());
  EXPECT_TRUE(
      CheckRecords(FromInts({0x14, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x00, 0}), 1, 0).ok());
  ExpectCorrupt(FromInts({0x16, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0}), "varint");
  // More than 32 bits in five bytes.
  ExpectCorrupt(FromInts({0x14, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0}), "varint");
  // A timestamp delta of eleven bytes, and one of ten that holds more than 64 bits.
  ExpectCorrupt(FromInts({0x20, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00,
                          0, 1, 1, 0}),
                "varint");
  ExpectCorrupt(FromInts({0x1e, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02,  //
                          0, 1, 1, 0}),
                "varint");
}

// Kafka takes any negative length of a key or value for a null, and ignores record attributes.
TEST(CheckRecordsTest, AcceptsWhatKafkaAccepts) {
  const std::vector<std::byte> bytes = FromInts({0x0c, 0xff, 0, 0, 0x03, 0x05, 0});
  ASSERT_TRUE(CheckRecords(bytes, 1, 0).ok());
  const OwnedRecord record = Read(bytes, 1)[0];
  EXPECT_EQ(record.key, std::nullopt);
  EXPECT_EQ(record.value, std::nullopt);
}

TEST(RecordRangeTest, SumsWrapInsteadOfOverflowing) {
  const std::vector<std::byte> bytes = Encode({}, kMaxInt64, 3);
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(bytes).data();
  encoded.count = 1;
  encoded.base_timestamp_ms = 1;
  encoded.base_offset = kMaxInt64 - 4;
  const auto records = ReadAll(encoded);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].timestamp_ms, kMinInt64);
  EXPECT_EQ(records[0].offset, kMaxInt64 - 1);
}

class RecordRangeWindowTest : public testing::Test {
 protected:
  RecordRangeWindowTest() {
    for (const int32_t offset_delta : {0, 2, 3, 7}) {
      const std::vector<std::byte> record = Encode({}, 0, offset_delta);
      bytes_.insert(bytes_.end(), record.begin(), record.end());
    }
  }

  std::vector<int64_t> Offsets(int64_t first_offset, int64_t end_offset) const {
    RecordRange::Encoded encoded;
    encoded.records = base::AsText(bytes_).data();
    encoded.count = 4;
    encoded.base_offset = 100;
    encoded.first_offset = first_offset;
    encoded.end_offset = end_offset;
    std::vector<int64_t> offsets;
    for (const RecordView& view : RecordRange(encoded)) offsets.push_back(view.offset);
    return offsets;
  }

 private:
  std::vector<std::byte> bytes_;
};

TEST_F(RecordRangeWindowTest, ShowsOnlyOffsetsWithin) {
  EXPECT_THAT(Offsets(kMinInt64, kMaxInt64), ElementsAre(100, 102, 103, 107));
  EXPECT_THAT(Offsets(101, 107), ElementsAre(102, 103));
  EXPECT_THAT(Offsets(102, 103), ElementsAre(102));
  EXPECT_THAT(Offsets(107, 108), ElementsAre(107));
  EXPECT_THAT(Offsets(104, 107), ElementsAre());
  EXPECT_THAT(Offsets(108, kMaxInt64), ElementsAre());
  EXPECT_THAT(Offsets(kMinInt64, 100), ElementsAre());
}

TEST(RecordRangeTest, EmptyRangesEndAtOnce) {
  EXPECT_TRUE(RecordRange().begin() == RecordRange().end());
  EXPECT_TRUE(HeaderRange().begin() == HeaderRange().end());
  EXPECT_TRUE(HeaderRange().empty());
}

RC_GTEST_PROP(RecordProperty, WhatIsEncodedIsReadBack, ()) {
  const int64_t base_offset = *rc::gen::inRange<int64_t>(0, kMaxInt64 / 2);
  const auto base_timestamp = *rc::gen::arbitrary<int64_t>();
  const auto records = *ArbitraryRecords(base_offset);
  const std::vector<std::byte> bytes = EncodeAll(records, base_offset, base_timestamp);
  const auto count = static_cast<int32_t>(records.size());
  const auto last_delta = static_cast<int32_t>(records.back().offset - base_offset);
  const auto summary = CheckRecords(bytes, count, last_delta);
  RC_ASSERT(summary.ok());
  RC_ASSERT(summary->count == count);
  RC_ASSERT(summary->last_offset_delta == last_delta);
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(bytes).data();
  encoded.count = count;
  encoded.base_offset = base_offset;
  encoded.base_timestamp_ms = base_timestamp;
  RC_ASSERT(ReadAll(encoded) == records);
}

RC_GTEST_PROP(RecordProperty, AppendTimeReplacesEveryTimestamp, ()) {
  auto records = *ArbitraryRecords(0);
  const std::vector<std::byte> bytes = EncodeAll(records, 0, 0);
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(bytes).data();
  encoded.count = static_cast<int32_t>(records.size());
  encoded.append_timestamp_ms = *rc::gen::arbitrary<int64_t>();
  for (OwnedRecord& record : records) record.timestamp_ms = *encoded.append_timestamp_ms;
  RC_ASSERT(ReadAll(encoded) == records);
}

// Whatever CheckRecords lets pass can be walked over: the address sanitizer watches.
RC_GTEST_PROP(RecordProperty, DamagedBytesAreRefusedOrHarmless, ()) {
  const auto records = *ArbitraryRecords(0);
  std::vector<std::byte> bytes = EncodeAll(records, 0, 0);
  const auto damage = *rc::gen::inRange<size_t>(1, 4);
  for (size_t i = 0; i < damage; ++i) {
    bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = std::byte{*rc::gen::arbitrary<uint8_t>()};
  }
  const std::vector<std::byte> exact(bytes.begin(), bytes.end());
  const auto count = static_cast<int32_t>(records.size());
  const auto summary = CheckRecords(exact, count, kMaxInt32);
  if (summary.ok()) {
    RC_ASSERT(Read(exact, count).size() == records.size());
  } else {
    RC_ASSERT(summary.error().code() == ErrorCode::corrupt);
  }
}

RC_GTEST_PROP(RecordProperty, EveryTruncationIsRefused, ()) {
  const auto records = *ArbitraryRecords(0);
  const std::vector<std::byte> bytes = EncodeAll(records, 0, 0);
  const auto length = *rc::gen::inRange<size_t>(0, bytes.size());
  const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
  RC_ASSERT(!CheckRecords(cut, static_cast<int32_t>(records.size()), kMaxInt32).ok());
}

}  // namespace
}  // namespace tidemark::record
