#include "base/varint.h"

#include <array>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tidemark::base {
namespace {

std::vector<std::byte> Encoded(int64_t value) {
  std::array<std::byte, kMaxVarlongBytes> room{};
  return {room.data(), PutVarint(room.data(), value)};
}

std::vector<std::byte> EncodedUnsigned(uint64_t value) {
  std::array<std::byte, kMaxVarlongBytes> room{};
  return {room.data(), PutUnsignedVarint(room.data(), value)};
}

std::vector<std::byte> Bytes(const std::vector<int>& values) {
  std::vector<std::byte> bytes;
  bytes.reserve(values.size());
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

// From Kafka's ByteUtilsTest.
TEST(Varint, EncodesAsKafkaDoes) {
  EXPECT_EQ(Encoded(0), Bytes({0x00}));
  EXPECT_EQ(Encoded(-1), Bytes({0x01}));
  EXPECT_EQ(Encoded(1), Bytes({0x02}));
  EXPECT_EQ(Encoded(63), Bytes({0x7e}));
  EXPECT_EQ(Encoded(-64), Bytes({0x7f}));
  EXPECT_EQ(Encoded(64), Bytes({0x80, 0x01}));
  EXPECT_EQ(Encoded(-65), Bytes({0x81, 0x01}));
  EXPECT_EQ(Encoded(8191), Bytes({0xfe, 0x7f}));
  EXPECT_EQ(Encoded(8192), Bytes({0x80, 0x80, 0x01}));
  EXPECT_EQ(Encoded(INT32_MAX), Bytes({0xfe, 0xff, 0xff, 0xff, 0x0f}));
  EXPECT_EQ(Encoded(INT32_MIN), Bytes({0xff, 0xff, 0xff, 0xff, 0x0f}));
  EXPECT_EQ(Encoded(INT64_MAX),
            Bytes({0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}));
  EXPECT_EQ(Encoded(INT64_MIN),
            Bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}));
}

// Values of every length, which uniform ones are not.
rc::Gen<int64_t> AnyLength() {
  return rc::gen::map(
      rc::gen::pair(rc::gen::arbitrary<int64_t>(), rc::gen::inRange(0, 64)),
      [](const std::pair<int64_t, int>& drawn) { return drawn.first >> drawn.second; });
}

RC_GTEST_PROP(Varint, ComesBackAsItWas, ()) {
  const int64_t value = *AnyLength();
  const auto bytes = Encoded(value);
  RC_ASSERT(bytes.size() == VarintSize(value));
  int64_t decoded = 0;
  RC_ASSERT(GetVarlong(bytes.data(), bytes.data() + bytes.size(), &decoded) ==
            bytes.data() + bytes.size());
  RC_ASSERT(decoded == value);
}

RC_GTEST_PROP(Varint, UnsignedComesBackAsItWas, ()) {
  const auto value = static_cast<uint64_t>(*AnyLength());
  const auto bytes = EncodedUnsigned(value);
  RC_ASSERT(bytes.size() == UnsignedVarintSize(value));
  uint64_t decoded = 0;
  RC_ASSERT(GetUnsignedVarint(bytes.data(), bytes.data() + bytes.size(), &decoded) ==
            bytes.data() + bytes.size());
  RC_ASSERT(decoded == value);
}

RC_GTEST_PROP(Varint, RefusesBytesThatEndEarly, ()) {
  const auto bytes = Encoded(*AnyLength());
  for (size_t length = 0; length < bytes.size(); ++length) {
    int64_t wide = 0;
    int32_t narrow = 0;
    RC_ASSERT(GetVarlong(bytes.data(), bytes.data() + length, &wide) == nullptr);
    RC_ASSERT(GetVarint(bytes.data(), bytes.data() + length, &narrow) == nullptr);
  }
}

RC_GTEST_PROP(Varint, NarrowOnesTakeWhatFitsInt32, ()) {
  const int64_t value = *AnyLength();
  const auto bytes = Encoded(value);
  int32_t decoded = 0;
  const bool fits = value >= INT32_MIN && value <= INT32_MAX;
  RC_ASSERT((GetVarint(bytes.data(), bytes.data() + bytes.size(), &decoded) != nullptr) == fits);
  if (fits) RC_ASSERT(decoded == value);
}

TEST(Varint, RefusesMoreThan64Bits) {
  uint64_t value = 0;
  const auto too_big = Bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02});
  EXPECT_EQ(GetUnsignedVarint(too_big.data(), too_big.data() + too_big.size(), &value), nullptr);
  const auto too_long = Bytes({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00});
  EXPECT_EQ(GetUnsignedVarint(too_long.data(), too_long.data() + too_long.size(), &value), nullptr);
}

TEST(Varint, StopsAtItsLastByte) {
  const auto bytes = Bytes({0x80, 0x01, 0x7f});
  int32_t value = 0;
  EXPECT_EQ(GetVarint(bytes.data(), bytes.data() + bytes.size(), &value), bytes.data() + 2);
  EXPECT_EQ(value, 64);
}

}  // namespace
}  // namespace tidemark::base
