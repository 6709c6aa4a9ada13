// zstd behind Compressor: round trips, foreign frames, damage, bombs.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <zstd.h>

#include "base/bytes.h"
#include "record/batch.h"

namespace tidemark::record {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

std::vector<std::byte> Bytes(const std::string& text) {
  const base::ByteSpan span = base::AsBytes(text);
  return {span.begin(), span.end()};
}

std::string Readings(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += R"({"device":"thermo-)" + std::to_string(i % 17) + R"(","t":)" +
            std::to_string(i * 7919 % 100) + "}\n";
  }
  return text;
}

// A frame as a producer's stream writes it: its header does not say how much it holds, and its
// window is that of the level however little that is.
std::vector<std::byte> StreamedFrame(const std::string& text, int level) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  std::vector<std::byte> frame(ZSTD_compressBound(text.size()));
  ZSTD_outBuffer out{frame.data(), frame.size(), 0};
  // Two calls, since one alone would tell zstd the size.
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_compressStream2(context.get(), &out, &in, ZSTD_e_continue);
  EXPECT_EQ(ZSTD_compressStream2(context.get(), &out, &in, ZSTD_e_end), 0U);
  frame.resize(out.pos);
  EXPECT_EQ(ZSTD_getFrameContentSize(frame.data(), frame.size()), ZSTD_CONTENTSIZE_UNKNOWN);
  return frame;
}

std::vector<std::byte> Compressed(const std::string& text, int level = 3) {
  Compressor compressor;
  std::vector<std::byte> output;
  EXPECT_TRUE(compressor.Compress(Codec::zstd, level, base::AsBytes(text), &output).ok());
  return output;
}

void ExpectHolds(const std::vector<std::byte>& frames, const std::string& text) {
  Compressor compressor;
  std::vector<std::byte> output = {std::byte{1}};  // to be replaced
  const Status status = compressor.Decompress(Codec::zstd, frames, 64 * kMiB, &output);
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_TRUE(base::AsText(output) == text);
}

void ExpectCorrupt(const std::vector<std::byte>& frames, size_t limit = 64 * kMiB) {
  const std::vector<std::byte> exact(frames.begin(), frames.end());
  Compressor compressor;
  std::vector<std::byte> output = {std::byte{1}};
  const Status status = compressor.Decompress(Codec::zstd, exact, limit, &output);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::corrupt) << status.error().message();
  EXPECT_TRUE(output.empty());
}

std::vector<std::byte> operator+(std::vector<std::byte> a, const std::vector<std::byte>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(CompressionTest, EveryLevelIsReadBack) {
  Compressor compressor;
  const std::string text = Readings(2000);
  for (int level = -5; level <= 19; ++level) {
    std::vector<std::byte> compressed = {std::byte{7}};
    ASSERT_TRUE(compressor.Compress(Codec::zstd, level, base::AsBytes(text), &compressed).ok());
    EXPECT_LT(compressed.size(), text.size() / 2);
    ASSERT_EQ(compressed.front(), std::byte{7});  // appended behind what was there
    std::vector<std::byte> output;
    ASSERT_TRUE(
        compressor
            .Decompress(Codec::zstd, base::ByteSpan(compressed).subspan(1), text.size(), &output)
            .ok());
    EXPECT_TRUE(base::AsText(output) == text) << level;
  }
}

TEST(CompressionTest, LevelsThatZstdDoesNotHaveAreRefused) {
  Compressor compressor;
  std::vector<std::byte> output;
  for (const int level : {23, 1000, ZSTD_minCLevel() - 1, INT32_MIN, INT32_MAX}) {
    const Status status = compressor.Compress(Codec::zstd, level, {}, &output);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), ErrorCode::invalid_argument);
    EXPECT_TRUE(output.empty());
  }
}

TEST(CompressionTest, NoneCopies) {
  Compressor compressor;
  const auto input = Bytes("0123456789");
  std::vector<std::byte> output = Bytes("abc");
  ASSERT_TRUE(compressor.Compress(Codec::none, 0, input, &output).ok());
  EXPECT_EQ(output, Bytes("abc0123456789"));
  ASSERT_TRUE(compressor.Decompress(Codec::none, input, 10, &output).ok());
  EXPECT_EQ(output, input);
  EXPECT_FALSE(compressor.Decompress(Codec::none, input, 9, &output).ok());
}

TEST(CompressionTest, OtherCodecsAreNotWritten) {
  Compressor compressor;
  std::vector<std::byte> output;
  for (const Codec codec : {Codec::gzip, Codec::snappy, Codec::lz4}) {
    EXPECT_FALSE(IsWritten(codec));
    const Status compressed = compressor.Compress(codec, 0, {}, &output);
    ASSERT_FALSE(compressed.ok());
    EXPECT_EQ(compressed.error().code(), ErrorCode::unsupported);
    EXPECT_THAT(compressed.error().message(), HasSubstr(std::string(CodecName(codec))));
  }
}

TEST(CompressionTest, ForeignFramesAreRead) {
  for (const int level : {1, 3, 19}) {
    ExpectHolds(StreamedFrame(Readings(10), level), Readings(10));
    ExpectHolds(StreamedFrame(Readings(50000), level), Readings(50000));
  }
  // Shrunk a thousandfold and more: room has to grow several times.
  ExpectHolds(StreamedFrame(std::string(20 * kMiB, 'a'), 3), std::string(20 * kMiB, 'a'));
  ExpectHolds(Compressed(std::string(20 * kMiB, 'a')), std::string(20 * kMiB, 'a'));
}

TEST(CompressionTest, FramesMayFollowEachOther) {
  const std::string a = Readings(100);
  const std::string b(5000, 'b');
  ExpectHolds(Compressed(a) + Compressed(b), a + b);
  ExpectHolds(StreamedFrame(a, 3) + Compressed(b) + Compressed("") + StreamedFrame(a, 1),
              a + b + a);
  const std::vector<std::byte> skippable =
      Bytes(std::string("\x5f\x2a\x4d\x18\x03\x00\x00\x00xyz", 11));
  ExpectHolds(skippable + Compressed(a) + skippable, a);
  ExpectHolds({}, "");
  ExpectHolds(Compressed(""), "");
}

TEST(CompressionTest, AnythingButFramesIsRefused) {
  const std::vector<std::byte> frame = Compressed(Readings(100));
  for (const size_t garbage : {1U, 3U, 4U, 17U}) {
    ExpectCorrupt(frame + std::vector<std::byte>(garbage));
    ExpectCorrupt(frame + std::vector<std::byte>(garbage, std::byte{0xfd}));
    ExpectCorrupt(std::vector<std::byte>(garbage) + frame);
  }
  // A frame of zstd 0.7, which libzstd may still know how to read.
  ExpectCorrupt(Bytes("\x27\xb5\x2f\xfd") + std::vector<std::byte>(20));
}

TEST(CompressionTest, EveryTruncationIsRefused) {
  const std::vector<std::byte> frame = StreamedFrame(Readings(200), 3);
  for (size_t length = 1; length < frame.size(); ++length) {
    ExpectCorrupt({frame.begin(), frame.begin() + static_cast<ptrdiff_t>(length)});
  }
}

TEST(CompressionTest, TheLimitHoldsToTheByte) {
  const std::string text = Readings(1000);
  Compressor compressor;
  std::vector<std::byte> output;
  for (const auto& frame : {Compressed(text), StreamedFrame(text, 3)}) {
    EXPECT_TRUE(compressor.Decompress(Codec::zstd, frame, text.size(), &output).ok());
    ExpectCorrupt(frame, text.size() - 1);
    ExpectCorrupt(frame, 1);
    ExpectCorrupt(frame, 0);
  }
  EXPECT_TRUE(compressor.Decompress(Codec::zstd, Compressed(""), 0, &output).ok());
}

TEST(CompressionTest, BombsAreRefused) {
  const std::string zeros(70 * kMiB, '\0');
  const std::vector<std::byte> claimed = Compressed(zeros);
  const std::vector<std::byte> silent = StreamedFrame(zeros, 3);
  ASSERT_LT(claimed.size(), 64 * 1024U);
  ExpectCorrupt(claimed);
  ExpectCorrupt(silent);
}

// A header may claim what it likes: memory grows with what is there.
TEST(CompressionTest, ClaimsAreNotBelieved) {
  // A frame that claims 2^62 bytes in a window of as many, then one raw block of no bytes.
  std::vector<std::byte> frame = Bytes("\x28\xb5\x2f\xfd");
  frame.push_back(std::byte{0xe0});  // eight bytes of content size, single segment
  frame.resize(frame.size() + 8);
  base::StoreLittle(frame.data() + 5, uint64_t{1} << 62);
  frame.push_back(std::byte{0x01});
  frame.resize(frame.size() + 2);
  ExpectCorrupt(frame);
  base::StoreLittle(frame.data() + 5, uint64_t{60} << 20);
  Compressor compressor;
  std::vector<std::byte> output;
  EXPECT_FALSE(compressor.Decompress(Codec::zstd, frame, 64 * kMiB, &output).ok());
  EXPECT_LT(output.capacity(), kMiB);
}

TEST(CompressionTest, ABufferThatBecameHugeShrinksAgain) {
  Compressor compressor;
  std::vector<std::byte> output;
  const std::string huge(32 * kMiB, 'x');
  ASSERT_TRUE(compressor.Decompress(Codec::zstd, Compressed(huge), 64 * kMiB, &output).ok());
  EXPECT_GE(output.capacity(), 32 * kMiB);
  ASSERT_TRUE(compressor.Decompress(Codec::zstd, Compressed("small"), 64 * kMiB, &output).ok());
  EXPECT_EQ(base::AsText(output), "small");
  EXPECT_LT(output.capacity(), kMiB);
}

TEST(CompressionTest, AFailureLeavesNothingBehind) {
  Compressor compressor;
  std::vector<std::byte> output;
  const std::string text = Readings(100);
  const std::vector<std::byte> good = Compressed(text);
  for (size_t at = 0; at < good.size(); ++at) {
    std::vector<std::byte> bad = good;
    bad[at] ^= std::byte{0x10};
    // Without a checksum in the frame a changed literal may pass: the batch's CRC is there for
    // that.
    (void)compressor.Decompress(Codec::zstd, bad, 64 * kMiB, &output).ok();
    ASSERT_TRUE(compressor.Decompress(Codec::zstd, good, 64 * kMiB, &output).ok());
    ASSERT_TRUE(base::AsText(output) == text);
  }
}

RC_GTEST_PROP(CompressionProperty, AnyBytesAreReadBack, (const std::string& text)) {
  const auto level = *rc::gen::inRange(-5, 20);
  Compressor compressor;
  std::vector<std::byte> compressed;
  RC_ASSERT(compressor.Compress(Codec::zstd, level, base::AsBytes(text), &compressed).ok());
  std::vector<std::byte> output;
  RC_ASSERT(compressor.Decompress(Codec::zstd, compressed, text.size(), &output).ok());
  RC_ASSERT(base::AsText(output) == text);
}

}  // namespace
}  // namespace tidemark::record
