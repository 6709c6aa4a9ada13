// Whole batches: the header field by field, the checksum, damage of every kind.
#include "record/batch.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/bytes.h"
#include "tests/record/arbitrary.h"
#include "tests/support/limits.h"

namespace tidemark::record {
namespace {

using ::testing::HasSubstr;

constexpr size_t kLimit = kMaxDecompressedBatchBytes;

// CRC-32C bit by bit, straight from its definition: independent of base/crc32c.cc.
uint32_t SlowCrc32c(base::ByteSpan bytes) {
  uint32_t crc = 0xffffffff;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

// A batch of three records written out by hand from Kafka's description of the format.
const std::vector<int> kGolden = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe8,  // base offset 1000
    0x00, 0x00, 0x00, 0x55,                          // 85 bytes follow
    0x00, 0x00, 0x00, 0x07,                          // leader epoch 7
    0x02,                                            // magic
    0x40, 0x4c, 0x40, 0x01,                          // CRC-32C of all that follows
    0x00, 0x00,                                      // attributes: no codec, CreateTime
    0x00, 0x00, 0x00, 0x04,                          // last offset delta 4
    0x00, 0x00, 0x01, 0x93, 0x53, 0x75, 0x0c, 0x7b,  // base timestamp 1732272000123
    0x00, 0x00, 0x01, 0x93, 0x53, 0x75, 0x0c, 0xdf,  // greatest timestamp, 100 ms later
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  // no producer id
    0xff, 0xff,                                      // no producer epoch
    0xff, 0xff, 0xff, 0xff,                          // no base sequence
    0x00, 0x00, 0x00, 0x03,                          // 3 records
    // Record 0: 20 bytes, attributes, timestamp +0, offset +0, key "key", value "21.5", 2 headers:
    // "q" = "1" and "r" = null.
    0x28, 0x00, 0x00, 0x00, 0x06, 0x6b, 0x65, 0x79, 0x08, 0x32, 0x31, 0x2e, 0x35,  //
    0x04, 0x02, 0x71, 0x02, 0x31, 0x02, 0x72, 0x01,
    // Record 1: 6 bytes, attributes, timestamp -3, offset +1, null key, empty value, no header.
    0x0c, 0x00, 0x05, 0x02, 0x01, 0x00, 0x00,
    // Record 2: 7 bytes, attributes, timestamp +100, offset +4, empty key, null value, no header.
    0x0e, 0x00, 0xc8, 0x01, 0x08, 0x00, 0x01, 0x00};

constexpr int64_t kGoldenTimestamp = 1732272000123;

std::vector<std::byte> GoldenBytes() {
  std::vector<std::byte> bytes;
  bytes.reserve(kGolden.size());
  for (const int value : kGolden) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

std::vector<OwnedRecord> GoldenRecords() {
  return {{"key", "21.5", kGoldenTimestamp, 1000, {{"q", "1"}, {"r", std::nullopt}}},
          {std::nullopt, "", kGoldenTimestamp - 3, 1001, {}},
          {"", std::nullopt, kGoldenTimestamp + 100, 1004, {}}};
}

// Stores the checksum that belongs to the bytes, so that a test reaches what lies behind that
// check.
std::vector<std::byte> Resealed(std::vector<std::byte> bytes) {
  base::StoreBig(bytes.data() + 17, SlowCrc32c(base::ByteSpan(bytes).subspan(kCrcCoversFrom)));
  return bytes;
}

template <typename T>
std::vector<std::byte> With(std::vector<std::byte> bytes, size_t at, T value) {
  base::StoreBig(bytes.data() + at, value);
  return Resealed(bytes);
}

Result<OpenedBatch> Open(base::ByteSpan bytes, std::vector<std::byte>* buffer) {
  Compressor compressor;
  return OpenBatch(bytes, kLimit, &compressor, buffer);
}

void ExpectError(const std::vector<std::byte>& bytes, const std::string& reason,
                 ErrorCode code = ErrorCode::corrupt) {
  const std::vector<std::byte> exact(bytes.begin(), bytes.end());
  std::vector<std::byte> buffer;
  const auto opened = Open(exact, &buffer);
  ASSERT_FALSE(opened.ok()) << reason;
  EXPECT_EQ(opened.error().code(), code) << opened.error().message();
  EXPECT_THAT(opened.error().message(), HasSubstr(reason));
}

TEST(BatchTest, GoldenBytesAreRead) {
  const std::vector<std::byte> bytes = GoldenBytes();
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  ASSERT_TRUE(batch.ok()) << batch.error().message();
  BatchHeader expected;
  expected.base_offset = 1000;
  expected.batch_length = 85;
  expected.leader_epoch = 7;
  expected.crc = 0x404c4001;
  expected.last_offset_delta = 4;
  expected.base_timestamp_ms = kGoldenTimestamp;
  expected.max_timestamp_ms = kGoldenTimestamp + 100;
  expected.record_count = 3;
  EXPECT_EQ(batch->header, expected);
  EXPECT_EQ(batch->header.last_offset(), 1004);
  EXPECT_EQ(batch->header.next_offset(), 1005);
  EXPECT_EQ(batch->header.total_bytes(), bytes.size());
  EXPECT_EQ(ReadAll(batch->encoded()), GoldenRecords());
  EXPECT_EQ(batch->header.crc, SlowCrc32c(base::ByteSpan(bytes).subspan(kCrcCoversFrom)));
  EXPECT_TRUE(buffer.empty());
}

TEST(BatchTest, GoldenBytesAreWritten) {
  BatchHeader header = HeaderFor(GoldenRecords(), 1000);
  header.leader_epoch = 7;
  const auto records = EncodeAll(GoldenRecords(), 1000, kGoldenTimestamp);
  std::vector<std::byte> output = {std::byte{0x77}};
  const auto written = AppendBatch(header, records, Codec::none, 0, nullptr, &output);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(output.front(), std::byte{0x77});  // appended behind what was there
  output.erase(output.begin());
  EXPECT_EQ(output, GoldenBytes());
  EXPECT_EQ(*written, *CheckBatch(GoldenBytes()));
}

// The empty batch that Kafka's compaction leaves behind for a producer's last sequence.
TEST(BatchTest, AnEmptiedBatchIsValid) {
  BatchHeader header;
  header.base_offset = 50;
  header.last_offset_delta = 9;
  header.base_timestamp_ms = -1;
  header.max_timestamp_ms = kGoldenTimestamp;
  header.producer_id = 4000;
  header.producer_epoch = 3;
  header.base_sequence = 17;
  Compressor compressor;
  std::vector<std::byte> bytes;
  ASSERT_TRUE(AppendBatch(header, {}, Codec::zstd, 3, &compressor, &bytes).ok());
  ASSERT_EQ(bytes.size(), kBatchHeaderBytes);
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->header.codec(), Codec::none);
  EXPECT_EQ(batch->header.next_offset(), 60);
  EXPECT_TRUE(ReadAll(batch->encoded()).empty());
  // Nothing is there to decompress, whatever codec the batch had.
  const auto lz4 = With<int16_t>(bytes, 21, 3);
  EXPECT_TRUE(Open(lz4, &buffer).ok());
}

TEST(BatchTest, EveryAttributeBitIsKept) {
  const std::vector<std::byte> bytes = With<uint16_t>(GoldenBytes(), 21, 0xfff8);
  const auto header = CheckBatch(bytes);
  ASSERT_TRUE(header.ok());
  EXPECT_TRUE(header->log_append_time());
  EXPECT_TRUE(header->transactional());
  EXPECT_TRUE(header->control());
  EXPECT_TRUE(header->has_delete_horizon());
  std::vector<std::byte> again(kBatchHeaderBytes);
  EncodeBatchHeader(*header, again.data());
  EXPECT_TRUE(std::equal(again.begin(), again.end(), bytes.begin()));
  std::vector<std::byte> repacked;
  const auto packed = AppendBatch(*header, base::ByteSpan(bytes).subspan(kBatchHeaderBytes),
                                  Codec::none, 0, nullptr, &repacked);
  ASSERT_TRUE(packed.ok());
  EXPECT_EQ(repacked, bytes);
}

TEST(BatchTest, UnderAppendTimeRecordsHaveTheBatchsGreatestTimestamp) {
  const std::vector<std::byte> bytes = With(GoldenBytes(), 21, kLogAppendTimeBit);
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  ASSERT_TRUE(batch.ok());
  for (const OwnedRecord& record : ReadAll(batch->encoded())) {
    EXPECT_EQ(record.timestamp_ms, kGoldenTimestamp + 100);
  }
}

// Kafka writes the deltas relative to the horizon then, so that nothing changes for a reader.
TEST(BatchTest, WithADeleteHorizonTimestampsCountFromIt) {
  std::vector<std::byte> bytes = With(GoldenBytes(), 21, kDeleteHorizonBit);
  bytes = With<int64_t>(bytes, 27, 5000);
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(ReadAll(batch->encoded())[2].timestamp_ms, 5100);
}

TEST(BatchTest, TrailingBytesAreLeftAlone) {
  std::vector<std::byte> bytes = GoldenBytes();
  bytes.insert(bytes.end(), 100, std::byte{0xee});
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(ReadAll(batch->encoded()), GoldenRecords());
}

TEST(BatchTest, OlderFormatsAreUnsupported) {
  for (const int magic : {0, 1}) {
    ExpectError(With(GoldenBytes(), 16, static_cast<int8_t>(magic)), "magic",
                ErrorCode::unsupported);
  }
  for (const int magic : {-128, -1, 3, 127})
    ExpectError(With(GoldenBytes(), 16, static_cast<int8_t>(magic)), "magic");
}

TEST(BatchTest, ImpossibleFieldsAreRefused) {
  const std::vector<std::byte> golden = GoldenBytes();
  for (const int32_t length : {INT32_MIN, -1, 0, 48, INT32_MAX, INT32_MAX - 11}) {
    ExpectError(With(golden, 8, length), "length");
  }
  ExpectError(With<int32_t>(golden, 8, 49), "CRC");  // cuts the records off
  ExpectError(With<int32_t>(golden, 8, 86), "ends after 97 of 98 bytes");
  ExpectError(With<int32_t>(golden, 8, INT32_MAX - 12), "ends after 97 of 2147483647 bytes");
  for (const int codec : {5, 6, 7}) {
    ExpectError(With(golden, 21, static_cast<int16_t>(codec)), "codec");
  }
  for (const int64_t offset : {int64_t{-1}, INT64_MIN, INT64_MAX, INT64_MAX - 4}) {
    ExpectError(With(golden, 0, offset), "offset");
  }
  EXPECT_TRUE(CheckBatch(With(golden, 0, INT64_MAX - 5)).ok());
  ExpectError(With<int32_t>(golden, 23, -1), "offset");
  ExpectError(With<int32_t>(golden, 23, 3), "offset");  // the last record is behind it
  ExpectError(With<int32_t>(golden, 57, -1), "count");
  ExpectError(With<int32_t>(golden, 57, 0), "left over");
  ExpectError(With<int32_t>(golden, 57, 2), "left over");
  ExpectError(With<int32_t>(golden, 57, 4), "record 3 of 4");
  ExpectError(With<int32_t>(golden, 57, 6), "count");  // more than there are offsets
}

TEST(BatchTest, RecordsThatAreNotWhatTheCodecSaysAreRefused) {
  const std::vector<std::byte> golden = GoldenBytes();
  ExpectError(With<int16_t>(golden, 21, 1), "gzip");
  ExpectError(With<int16_t>(golden, 21, 2), "snappy");
  ExpectError(With<int16_t>(golden, 21, 3), "lz4");
  ExpectError(With<int16_t>(golden, 21, 4), "zstd");
}

TEST(BatchTest, OtherCodecsAreNotWritten) {
  const std::vector<std::byte> golden = GoldenBytes();
  std::vector<std::byte> output(7);
  Compressor compressor;
  const auto result = AppendBatch({}, golden, Codec::gzip, 0, &compressor, &output);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::unsupported);
  EXPECT_EQ(output.size(), 7U);
}

TEST(BatchTest, EveryTruncationIsRefused) {
  const std::vector<std::byte> golden = GoldenBytes();
  for (size_t length = 0; length < golden.size(); ++length) {
    ExpectError({golden.begin(), golden.begin() + static_cast<ptrdiff_t>(length)}, "ends after");
  }
}

// The checksum sees every change behind it. Of the bytes before, length and magic show; base offset
// and leader epoch are protected by nothing, and a change there may pass.
TEST(BatchTest, EveryChangeOfOneByteIsSeenOrHarmless) {
  for (size_t at = 0; at < kGolden.size(); ++at) {
    for (int change = 1; change < 256; ++change) {
      std::vector<std::byte> bytes = GoldenBytes();
      bytes[at] ^= static_cast<std::byte>(change);
      std::vector<std::byte> buffer;
      const auto batch = Open(bytes, &buffer);
      const bool unprotected = at < 8 || (at >= 12 && at < 16);
      if (!batch.ok()) continue;
      EXPECT_TRUE(unprotected) << "byte " << at << " changed by " << change;
      EXPECT_EQ(ReadAll(batch->encoded()).size(), 3U);
    }
  }
}

TEST(BatchTest, CompressedBatchesAreReadBack) {
  std::vector<OwnedRecord> records;
  records.reserve(100);
  for (int i = 0; i < 100; ++i) {
    records.push_back({"sensors/thermo-0017",
                       R"({"device":"thermo-0017","t":21.37})",
                       kGoldenTimestamp + i,
                       1000 + i,
                       {}});
  }
  const BatchHeader header = HeaderFor(records, 1000);
  const auto encoded = EncodeAll(records, 1000, kGoldenTimestamp);
  Compressor compressor;
  std::vector<std::byte> bytes;
  const auto written = AppendBatch(header, encoded, Codec::zstd, 3, &compressor, &bytes);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(written->codec(), Codec::zstd);
  EXPECT_LT(bytes.size(), encoded.size() / 10);
  EXPECT_EQ(bytes.size(), written->total_bytes());
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->header, *written);
  EXPECT_EQ(ReadAll(batch->encoded()), records);
  // The limit holds to the byte.
  EXPECT_TRUE(OpenBatch(bytes, encoded.size(), &compressor, &buffer).ok());
  EXPECT_FALSE(OpenBatch(bytes, encoded.size() - 1, &compressor, &buffer).ok());
}

TEST(BatchTest, WhatDoesNotShrinkIsStoredAsItIs) {
  BatchHeader header = HeaderFor(GoldenRecords(), 1000);
  header.leader_epoch = 7;
  header.attributes = 4;  // whatever codec the caller's header named
  Compressor compressor;
  std::vector<std::byte> bytes;
  const auto records = EncodeAll(GoldenRecords(), 1000, kGoldenTimestamp);
  const auto written = AppendBatch(header, records, Codec::zstd, 3, &compressor, &bytes);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(bytes, GoldenBytes());
}

RC_GTEST_PROP(BatchProperty, WhatIsAppendedIsOpened, ()) {
  const auto base_offset = *rc::gen::inRange<int64_t>(0, kMaxInt64 / 2);
  const auto records = *ArbitraryRecords(base_offset);
  BatchHeader header = HeaderFor(records, base_offset);
  header.leader_epoch = *rc::gen::arbitrary<int32_t>();
  header.producer_id = *rc::gen::arbitrary<int64_t>();
  header.producer_epoch = *rc::gen::arbitrary<int16_t>();
  header.base_sequence = *rc::gen::arbitrary<int32_t>();
  header.attributes = *rc::gen::arbitrary<int16_t>();
  header.attributes &= static_cast<int16_t>(~kLogAppendTimeBit);
  const Codec codec = *rc::gen::element(Codec::none, Codec::zstd);
  const auto level = *rc::gen::inRange(-5, 7);
  const auto encoded = EncodeAll(records, base_offset, header.base_timestamp_ms);
  Compressor compressor;
  std::vector<std::byte> bytes;
  const auto written = AppendBatch(header, encoded, codec, level, &compressor, &bytes);
  RC_ASSERT(written.ok());
  RC_ASSERT((written->attributes & ~kCodecMask) == (header.attributes & ~kCodecMask));
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  RC_ASSERT(batch.ok());
  RC_ASSERT(batch->header == *written);
  RC_ASSERT(ReadAll(batch->encoded()) == records);
}

// With the checksum made right again, the checks behind it are on their own.
RC_GTEST_PROP(BatchProperty, DamageUnderARightChecksumIsRefusedOrHarmless, ()) {
  const auto records = *ArbitraryRecords(0);
  Compressor compressor;
  std::vector<std::byte> bytes;
  const auto written =
      AppendBatch(HeaderFor(records, 0), EncodeAll(records, 0, records.front().timestamp_ms),
                  *rc::gen::element(Codec::none, Codec::zstd), 3, &compressor, &bytes);
  RC_ASSERT(written.ok());
  const auto damage = *rc::gen::inRange<size_t>(1, 4);
  for (size_t i = 0; i < damage; ++i) {
    bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = std::byte{*rc::gen::arbitrary<uint8_t>()};
  }
  bytes = Resealed(bytes);
  std::vector<std::byte> buffer;
  const auto batch = Open(bytes, &buffer);
  if (!batch.ok()) return;
  RC_ASSERT(ReadAll(batch->encoded()).size() == static_cast<size_t>(batch->header.record_count));
}

}  // namespace
}  // namespace tidemark::record
