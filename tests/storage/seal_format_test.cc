// The seal's bytes: golden ones, written out from docs/formats.md, and what the decoder refuses.
#include "storage/seal_format.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/hash.h"

namespace tidemark::storage {
namespace {

using ::testing::HasSubstr;
using SealFile = std::vector<std::byte>;

Seal GoldenSeal() {
  Seal seal;
  for (size_t i = 0; i < seal.owner.topic_id.bytes.size(); ++i)
    seal.owner.topic_id.bytes[i] = static_cast<std::byte>(0xa0 + i);
  seal.owner.partition = 3;
  seal.base_offset = 42;
  seal.end_offset = 0x142;
  seal.batch_count = 5;
  seal.record_count = 0x100;
  seal.least_base_timestamp_ms = -1;
  seal.max_timestamp_ms = 0x0102030405;
  seal.appended = {0x11, 0x12};
  seal.offset_index = {16, 0xaaaaaaaaaaaaaaaa};
  seal.time_index = {24, 0xbbbbbbbbbbbbbbbb};
  seal.log_bytes = 0x100001;
  seal.block_checksums = {0x1111111111111111, 0x2222222222222222};
  return seal;
}

std::string Hex(base::ByteSpan bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<size_t>(byte) >> 4];
    text += kDigits[std::to_integer<size_t>(byte) & 15];
  }
  return text;
}

// As an encoder that writes other things would have ended it.
SealFile WithChecksum(SealFile bytes) {
  const auto covered = base::ByteSpan(bytes).first(bytes.size() - sizeof(uint64_t));
  base::StoreLittle(bytes.data() + covered.size(), base::Xxh3(covered));
  return bytes;
}

template <typename T>
SealFile With(size_t at, T value) {
  SealFile bytes = EncodeSeal(GoldenSeal());
  base::StoreLittle(bytes.data() + at, value);
  return WithChecksum(bytes);
}

TEST(SealFormat, IsWhatTheTableSays) {
  const SealFile bytes = EncodeSeal(GoldenSeal());
  ASSERT_EQ(bytes.size(), 168u);
  EXPECT_EQ(Hex(base::ByteSpan(bytes).first(160)),
            "544d5345414c4544"                  // 0 magic "TMSEALED"
            "01000000"                          // 8 version
            "03000000"                          // 12 partition
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"  // 16 topic id
            "2a00000000000000"                  // 32 base offset
            "4201000000000000"                  // 40 end offset
            "0500000000000000"                  // 48 batches
            "0001000000000000"                  // 56 records
            "ffffffffffffffff"                  // 64 least base timestamp
            "0504030201000000"                  // 72 greatest timestamp
            "1100000000000000"                  // 80 first append
            "1200000000000000"                  // 88 last append
            "1000000000000000"                  // 96 bytes of .index
            "aaaaaaaaaaaaaaaa"                  // 104 its XXH3
            "1800000000000000"                  // 112 bytes of .timeindex
            "bbbbbbbbbbbbbbbb"                  // 120 its XXH3
            "0100100000000000"                  // 128 bytes of .log
            "00001000"                          // 136 bytes of a block
            "02000000"                          // 140 blocks
            "1111111111111111"                  // 144 XXH3 of the first
            "2222222222222222");                // 152 and of the second
  EXPECT_EQ(base::LoadLittle<uint64_t>(bytes.data() + 160),
            base::Xxh3(base::ByteSpan(bytes).first(160)));
  EXPECT_EQ(*DecodeSeal(bytes), GoldenSeal());
}

TEST(SealFormat, ASegmentOfSixteenMebibytesTakesAFewHundredBytes) {
  EXPECT_EQ(SealBytes(SealBlocks(uint64_t{16} << 20, kSealBlockBytes)), 280u);
}

TEST(SealFormat, AnyFlippedByteIsRefused) {
  const SealFile bytes = EncodeSeal(GoldenSeal());
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int flip = 1; flip < 256; ++flip) {
      SealFile flipped = bytes;
      flipped[at] ^= static_cast<std::byte>(flip);
      const auto seal = DecodeSeal(flipped);
      ASSERT_FALSE(seal.ok()) << at;
      ASSERT_EQ(seal.error().code(), ErrorCode::corrupt) << at;
    }
  }
}

TEST(SealFormat, AnyOtherLengthIsRefused) {
  const SealFile bytes = EncodeSeal(GoldenSeal());
  for (size_t length = 0; length < bytes.size(); ++length)
    ASSERT_FALSE(DecodeSeal(base::ByteSpan(bytes).first(length)).ok()) << length;
  SealFile longer = bytes;
  longer.resize(bytes.size() + 8);
  EXPECT_FALSE(DecodeSeal(longer).ok());
  EXPECT_FALSE(DecodeSeal(WithChecksum(longer)).ok());
}

TEST(SealFormat, ANewerVersionIsToldAsSuch) {
  for (const SealFile& newer : {With<uint32_t>(8, 3), WithChecksum([] {
                                  SealFile other = With<uint32_t>(8, 7);
                                  other.resize(60);
                                  return other;
                                }())}) {
    const auto seal = DecodeSeal(newer);
    ASSERT_FALSE(seal.ok());
    EXPECT_EQ(seal.error().code(), ErrorCode::unsupported);
    EXPECT_THAT(seal.error().message(), HasSubstr("newer"));
  }
  EXPECT_EQ(DecodeSeal(With<uint32_t>(8, 0)).error().code(), ErrorCode::corrupt);
}

// Version 2: two fields more, before the checksums of the blocks.
TEST(SealFormat, OfACompactedSegmentIsWhatTheTableSays) {
  Seal seal = GoldenSeal();
  seal.compacted = CompactedPart{0x100, 0x0706050403020100};
  const SealFile bytes = EncodeSeal(seal);
  ASSERT_EQ(bytes.size(), 184u);
  SealFile expected = EncodeSeal(GoldenSeal());
  expected.insert(expected.begin() + 144, 16, std::byte{0});
  base::StoreLittle<uint32_t>(expected.data() + 8, 2);
  base::StoreLittle<uint64_t>(expected.data() + 144, 0x100);               // clean to here
  base::StoreLittle<uint64_t>(expected.data() + 152, 0x0706050403020100);  // the last horizon
  EXPECT_EQ(Hex(bytes), Hex(WithChecksum(expected)));
  EXPECT_EQ(*DecodeSeal(bytes), seal);
  // Neither is taken for the other.
  EXPECT_EQ(DecodeSeal(With<uint32_t>(8, 2)).error().code(), ErrorCode::corrupt);
  SealFile as_plain = bytes;
  base::StoreLittle<uint32_t>(as_plain.data() + 8, 1);
  EXPECT_EQ(DecodeSeal(WithChecksum(as_plain)).error().code(), ErrorCode::corrupt);
}

TEST(SealFormat, CleanIsNothingOutsideOfTheSegment) {
  Seal seal = GoldenSeal();
  for (const int64_t clean_end : {int64_t{41}, int64_t{0x143}}) {
    seal.compacted = CompactedPart{0x100, 0};
    SealFile bytes = EncodeSeal(seal);
    base::StoreLittle(bytes.data() + 144, clean_end);
    EXPECT_EQ(DecodeSeal(WithChecksum(bytes)).error().code(), ErrorCode::corrupt);
    seal.compacted->clean_end_offset = clean_end;
    EXPECT_FALSE(IsSound(seal));
  }
}

TEST(SealFormat, WhatContradictsItselfIsRefused) {
  const auto refused = [](const SealFile& bytes) {
    const auto seal = DecodeSeal(bytes);
    return !seal.ok() && seal.error().code() == ErrorCode::corrupt;
  };
  EXPECT_TRUE(refused(With<int64_t>(32, -1)));
  EXPECT_TRUE(refused(With<int64_t>(40, 42)));                           // ends where it begins
  EXPECT_TRUE(refused(With<int64_t>(40, 42 + (int64_t{1} << 31) + 1)));  // further than int32
  EXPECT_TRUE(refused(With<int64_t>(40, INT64_MAX)));
  EXPECT_TRUE(refused(With<uint64_t>(48, 0)));
  EXPECT_TRUE(refused(With<uint64_t>(48, 1 << 20)));  // more batches than fit
  EXPECT_TRUE(refused(With<uint64_t>(96, 15)));
  EXPECT_TRUE(refused(With<uint64_t>(96, 48)));  // more entries than batches
  EXPECT_TRUE(refused(With<uint64_t>(112, 25)));
  EXPECT_TRUE(refused(With<uint64_t>(112, 72)));
  EXPECT_TRUE(refused(With<uint64_t>(128, 0x100000)));  // one block too many
  EXPECT_TRUE(refused(With<uint64_t>(128, UINT64_MAX)));
  EXPECT_TRUE(refused(With<uint32_t>(136, 0)));
  EXPECT_TRUE(refused(With<uint32_t>(136, (1 << 20) + 1)));
  EXPECT_TRUE(refused(With<uint32_t>(136, 1 << 16)));
  EXPECT_TRUE(refused(With<uint32_t>(140, 3)));
  EXPECT_TRUE(refused(With<uint32_t>(140, UINT32_MAX)));
  EXPECT_TRUE(DecodeSeal(With<int64_t>(40, 42 + (int64_t{1} << 31))).ok());
}

RC_GTEST_PROP(SealFormatProperty, WhatIsWrittenIsRead, ()) {
  Seal seal;
  seal.owner.partition = *rc::gen::arbitrary<int32_t>();
  seal.base_offset = *rc::gen::inRange<int64_t>(0, INT64_MAX - INT32_MAX - 2);
  seal.end_offset = seal.base_offset + 1 + *rc::gen::inRange<int64_t>(0, INT32_MAX);
  seal.log_bytes = *rc::gen::inRange<uint64_t>(61, uint64_t{40} << 20);
  seal.batch_count = *rc::gen::inRange<uint64_t>(1, seal.log_bytes / 61 + 1);
  seal.record_count = *rc::gen::arbitrary<uint64_t>();
  seal.least_base_timestamp_ms = *rc::gen::arbitrary<int64_t>();
  seal.max_timestamp_ms = *rc::gen::arbitrary<int64_t>();
  seal.appended = {*rc::gen::arbitrary<int64_t>(), *rc::gen::arbitrary<int64_t>()};
  seal.offset_index = {*rc::gen::inRange<uint64_t>(0, seal.batch_count + 1) * 8,
                       *rc::gen::arbitrary<uint64_t>()};
  seal.time_index = {*rc::gen::inRange<uint64_t>(0, seal.batch_count + 1) * 12,
                     *rc::gen::arbitrary<uint64_t>()};
  seal.block_checksums = *rc::gen::container<std::vector<uint64_t>>(
      SealBlocks(seal.log_bytes, seal.block_bytes), rc::gen::arbitrary<uint64_t>());
  if (*rc::gen::arbitrary<bool>()) {
    seal.compacted = {*rc::gen::inRange<int64_t>(seal.base_offset, seal.end_offset + 1),
                      *rc::gen::arbitrary<int64_t>()};
  }
  const SealFile bytes = EncodeSeal(seal);
  const auto read = DecodeSeal(bytes);
  RC_ASSERT(read.ok());
  RC_ASSERT(*read == seal);
}

}  // namespace
}  // namespace tidemark::storage
