// gzip, snappy and lz4, which other producers write: bytes made by hand and by other programs, and
// what each library writes.
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lz4frame.h>
#include <rapidcheck/gtest.h>
#include <snappy.h>

#include "base/bytes.h"
#include "record/batch.h"

namespace tidemark::record {
namespace {

constexpr size_t kLimitBytes = size_t{64} << 20;
constexpr std::string_view kReadings = "temperature 21.4 temperature 21.5 temperature 21.6";

std::vector<std::byte> BytesOf(std::string_view text) {
  const base::ByteSpan span = base::AsBytes(text);
  return {span.begin(), span.end()};
}

std::vector<std::byte> BytesOfHex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::byte> Joined(std::vector<std::byte> a, const std::vector<std::byte>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::byte> ByZlib(const std::string& text) {
  constexpr int kGzip = 15 + 16;
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string input = text;
  std::vector<std::byte> output(deflateBound(&stream, input.size()) + 64);
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(output.data());
  stream.avail_out = static_cast<uInt>(output.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  output.resize(output.size() - stream.avail_out);
  deflateEnd(&stream);
  return output;
}

std::vector<std::byte> BySnappy(const std::string& text) {
  std::string output;
  snappy::Compress(text.data(), text.size(), &output);
  return BytesOf(output);
}

std::vector<std::byte> LengthOf(const std::vector<std::byte>& block) {
  std::vector<std::byte> length(sizeof(int32_t));
  base::StoreBig(length.data(), static_cast<int32_t>(block.size()));
  return length;
}

std::vector<std::byte> SnappyJavaHeader() { return BytesOfHex("82534e41505059000000000100000001"); }

// As snappy-java does it: blocks of 32 KiB, each behind its length.
std::vector<std::byte> BySnappyJava(const std::string& text) {
  constexpr size_t kBlockBytes = size_t{32} << 10;
  std::vector<std::byte> output = SnappyJavaHeader();
  for (size_t at = 0; at < text.size(); at += kBlockBytes) {
    const std::vector<std::byte> block = BySnappy(text.substr(at, kBlockBytes));
    output = Joined(Joined(std::move(output), LengthOf(block)), block);
  }
  return output;
}

std::vector<std::byte> ByLz4(const std::string& text, LZ4F_blockMode_t mode,
                             LZ4F_blockSizeID_t block) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockMode = mode;
  preferences.frameInfo.blockSizeID = block;
  std::vector<std::byte> output(LZ4F_compressFrameBound(text.size(), &preferences));
  const size_t bytes =
      LZ4F_compressFrame(output.data(), output.size(), text.data(), text.size(), &preferences);
  EXPECT_FALSE(LZ4F_isError(bytes));
  output.resize(bytes);
  return output;
}

struct Producer {
  std::string name;
  Codec codec = Codec::none;
  std::function<std::vector<std::byte>(const std::string& text)> compress;
};

const std::vector<Producer>& Producers() {
  static const std::vector<Producer> kProducers = {
      {"Gzip", Codec::gzip, ByZlib},
      {"BareSnappy", Codec::snappy, BySnappy},
      {"SnappyJava", Codec::snappy, BySnappyJava},
      {"Lz4", Codec::lz4,
       [](const std::string& text) { return ByLz4(text, LZ4F_blockIndependent, LZ4F_max64KB); }},
      {"Lz4OfLinkedBlocks", Codec::lz4,
       [](const std::string& text) { return ByLz4(text, LZ4F_blockLinked, LZ4F_max64KB); }},
      {"Lz4OfLargeBlocks", Codec::lz4,
       [](const std::string& text) { return ByLz4(text, LZ4F_blockLinked, LZ4F_max4MB); }},
  };
  return kProducers;
}

void ExpectRead(Codec codec, const std::vector<std::byte>& bytes, std::string_view text) {
  Compressor compressor;
  std::vector<std::byte> output = {std::byte{1}};  // to be replaced
  const Status status = compressor.Decompress(codec, bytes, kLimitBytes, &output);
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_TRUE(base::AsText(output) == text);
}

void ExpectRefused(Codec codec, const std::vector<std::byte>& bytes,
                   size_t limit_bytes = kLimitBytes) {
  const std::vector<std::byte> exact(bytes.begin(), bytes.end());  // without room behind it
  Compressor compressor;
  std::vector<std::byte> output = {std::byte{1}};
  const Status status = compressor.Decompress(codec, exact, limit_bytes, &output);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::corrupt) << status.error().message();
  EXPECT_THAT(status.error().message(), testing::HasSubstr(std::string(CodecName(codec))));
  EXPECT_TRUE(output.empty());
}

std::string ManyReadings(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += "t=" + std::to_string(i * 7919 % 1000) + ";";
  return text;
}

// --- Bytes from elsewhere ------------------------------------------------------------------------

// By Python's gzip module.
constexpr std::string_view kGzipHex =
    "1f8b08000000000002032b49cd2d482d4a2c292d4a553032d4335128411530451730030067916fef32000000";
// By the lz4 program.
constexpr std::string_view kLz4Hex =
    "04224d186440a71f000000fb0274656d70657261747572652032312e3420110018351100502032312e36000000008d"
    "93"
    "7495";

// By hand: literals of 17, 2 and 1 bytes, and two copies of 15 bytes from 17 before.
std::vector<std::byte> SnappyByHand() {
  return BytesOf(
      std::string("\x32\x40temperature 21.4 \x3a\x11\0\x04"
                  "5 \x3a\x11\0\0006",
                  30));
}

TEST(ForeignCodecsTest, BytesOfOtherProgramsAreRead) {
  ExpectRead(Codec::gzip, BytesOfHex(kGzipHex), kReadings);
  ExpectRead(Codec::lz4, BytesOfHex(kLz4Hex), kReadings);
  ExpectRead(Codec::snappy, SnappyByHand(), kReadings);
}

TEST(ForeignCodecsTest, SnappyBlocksFollowEachOtherBehindTheirLengths) {
  const std::vector<std::byte> block = Joined(LengthOf(SnappyByHand()), SnappyByHand());
  ExpectRead(Codec::snappy, SnappyJavaHeader(), "");
  ExpectRead(Codec::snappy, Joined(SnappyJavaHeader(), block), kReadings);
  const std::string twice = std::string(kReadings) + std::string(kReadings);
  ExpectRead(Codec::snappy, Joined(Joined(SnappyJavaHeader(), block), block), twice);
}

TEST(ForeignCodecsTest, GzipMembersMayFollowEachOther) {
  const std::string twice = std::string(kReadings) + std::string(kReadings);
  ExpectRead(Codec::gzip, Joined(BytesOfHex(kGzipHex), BytesOfHex(kGzipHex)), twice);
}

TEST(ForeignCodecsTest, WhatOnlyLooksAlikeIsRefused) {
  // zlib's format and bare deflate, which gzip's library reads as well.
  ExpectRefused(Codec::gzip, BytesOfHex("789c4b04000062000062"));
  ExpectRefused(Codec::gzip, BytesOfHex("4b0400"));
  // A bare LZ4 block, and the frames of the program's first versions.
  ExpectRefused(Codec::lz4, BytesOfHex("3061626300"));
  ExpectRefused(Codec::lz4, BytesOfHex("02214c180500000040616263640000"));
  // A stream of a snappy-java to come, lengths that cannot be, and a header that is cut off.
  ExpectRefused(Codec::snappy, BytesOfHex("82534e41505059000000000200000002"));
  ExpectRefused(Codec::snappy, Joined(SnappyJavaHeader(), BytesOfHex("ffffffff")));
  ExpectRefused(Codec::snappy, Joined(SnappyJavaHeader(), BytesOfHex("7fffffff00")));
  ExpectRefused(Codec::snappy, Joined(SnappyJavaHeader(), BytesOfHex("00000000")));
  ExpectRefused(Codec::snappy, BytesOfHex("82534e41505059000000000100"));
  for (const Codec codec : {Codec::gzip, Codec::snappy, Codec::lz4}) ExpectRefused(codec, {});
}

// A copy from before the block's beginning, and one that is longer than the block.
TEST(ForeignCodecsTest, SnappyCopiesStayInTheirBlock) {
  ExpectRefused(Codec::snappy, BytesOfHex("050061"
                                          "0e0200"));
  ExpectRefused(Codec::snappy, BytesOfHex("020061"
                                          "0e0100"));
  ExpectRead(Codec::snappy,
             BytesOfHex("050061"
                        "0e0100"),
             "aaaaa");
}

// What a header claims is not believed: no memory is taken for it.
TEST(ForeignCodecsTest, ClaimsAreNotBelievedEither) {
  Compressor compressor;
  std::vector<std::byte> output;
  for (const std::string_view claim : {"ffffffff0f0061",
                                       "80808018"
                                       "0061"}) {
    const auto block = BytesOfHex(claim);
    for (const auto& bytes : {block, Joined(Joined(SnappyJavaHeader(), LengthOf(block)), block)}) {
      ExpectRefused(Codec::snappy, bytes);
      EXPECT_FALSE(compressor.Decompress(Codec::snappy, bytes, kLimitBytes, &output).ok());
    }
  }
  EXPECT_EQ(output.capacity(), 0U);
}

// --- Whoever writes it ---------------------------------------------------------------------------

class ForeignCodecTest : public testing::TestWithParam<Producer> {};

INSTANTIATE_TEST_SUITE_P(Producers, ForeignCodecTest, testing::ValuesIn(Producers()),
                         [](const auto& producer) { return producer.param.name; });

TEST_P(ForeignCodecTest, AnythingIsReadBack) {
  for (const size_t count : {0U, 1U, 10U, 1000U, 100000U}) {
    const std::string text = ManyReadings(count);
    ExpectRead(GetParam().codec, GetParam().compress(text), text);
  }
  // Shrunk a thousandfold: room has to grow several times.
  const std::string same(size_t{20} << 20, 'a');
  ExpectRead(GetParam().codec, GetParam().compress(same), same);
}

TEST_P(ForeignCodecTest, EveryTruncationIsRefused) {
  const std::vector<std::byte> bytes = GetParam().compress(ManyReadings(200));
  for (size_t length = 0; length < bytes.size(); ++length) {
    // snappy-java's header alone is a whole stream; the records' count tells that something is
    // missing.
    if (GetParam().name == "SnappyJava" && length == SnappyJavaHeader().size()) continue;
    ExpectRefused(GetParam().codec,
                  {bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)});
  }
}

TEST_P(ForeignCodecTest, NothingMayStandBehindIt) {
  const std::vector<std::byte> bytes = GetParam().compress(ManyReadings(100));
  for (const size_t count : {1U, 3U, 4U, 17U}) {
    if (GetParam().name == "SnappyJava" && count == 4) continue;  // an empty block's length
    ExpectRefused(GetParam().codec, Joined(bytes, std::vector<std::byte>(count)));
    ExpectRefused(GetParam().codec, Joined(bytes, std::vector<std::byte>(count, std::byte{0xfd})));
  }
}

TEST_P(ForeignCodecTest, TheLimitHoldsToTheByte) {
  for (const size_t count : {10U, 30000U}) {
    const std::string text = ManyReadings(count);
    const std::vector<std::byte> bytes = GetParam().compress(text);
    Compressor compressor;
    std::vector<std::byte> output;
    EXPECT_TRUE(compressor.Decompress(GetParam().codec, bytes, text.size(), &output).ok());
    ExpectRefused(GetParam().codec, bytes, text.size() - 1);
    ExpectRefused(GetParam().codec, bytes, 1);
    ExpectRefused(GetParam().codec, bytes, 0);
  }
}

TEST_P(ForeignCodecTest, ABombIsRefusedWithinItsLimit) {
  const std::vector<std::byte> bomb = GetParam().compress(std::string(size_t{70} << 20, '\0'));
  Compressor compressor;
  std::vector<std::byte> output;
  constexpr size_t kSmallLimit = size_t{1} << 20;
  EXPECT_FALSE(compressor.Decompress(GetParam().codec, bomb, kSmallLimit, &output).ok());
  EXPECT_LE(output.capacity(), kSmallLimit + 1);
  ExpectRefused(GetParam().codec, bomb);
}

// Whatever is changed: an error or some bytes, and the next batch is not the worse for it.
TEST_P(ForeignCodecTest, AChangedByteHarmsNothingElse) {
  Compressor compressor;
  std::vector<std::byte> output;
  const std::string text = ManyReadings(100);
  const std::vector<std::byte> good = GetParam().compress(text);
  for (size_t at = 0; at < good.size(); ++at) {
    for (const std::byte change : {std::byte{0x01}, std::byte{0x10}, std::byte{0xff}}) {
      std::vector<std::byte> bad = good;
      bad[at] ^= change;
      (void)compressor.Decompress(GetParam().codec, bad, kLimitBytes, &output).ok();
    }
    ASSERT_TRUE(compressor.Decompress(GetParam().codec, good, kLimitBytes, &output).ok());
    ASSERT_TRUE(base::AsText(output) == text);
  }
}

RC_GTEST_PROP(ForeignCodecsProperty, AnyBytesAreReadBack, (const std::string& text)) {
  const Producer producer = *rc::gen::elementOf(Producers());
  Compressor compressor;
  std::vector<std::byte> output;
  const auto bytes = producer.compress(text);
  RC_ASSERT(compressor.Decompress(producer.codec, bytes, text.size(), &output).ok());
  RC_ASSERT(base::AsText(output) == text);
}

}  // namespace
}  // namespace tidemark::record
