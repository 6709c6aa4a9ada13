#include "base/crc32c.h"

#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tidemark::base {
namespace {

std::vector<std::byte> Filled(size_t size, uint8_t value) {
  return std::vector<std::byte>(size, std::byte{value});
}

// Bytes without a pattern that a mistake in the order of words could hide behind.
std::vector<std::byte> Noise(size_t size) {
  std::vector<std::byte> bytes(size);
  uint64_t state = 0x9e37'79b9'7f4a'7c15;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

struct Vector {
  const char* name;
  std::vector<std::byte> bytes;
  uint32_t crc;
};

// RFC 3720, appendix B.4, where the checksums are printed byte by byte, lowest first; and the check
// value of the Castagnoli polynomial.
std::vector<Vector> PublishedVectors() {
  std::vector<std::byte> rising(32);
  std::vector<std::byte> falling(32);
  for (size_t i = 0; i < 32; ++i) {
    rising[i] = static_cast<std::byte>(i);
    falling[i] = static_cast<std::byte>(31 - i);
  }
  std::vector<std::byte> read_command = Filled(48, 0);
  read_command[0] = std::byte{0x01};
  read_command[1] = std::byte{0xc0};
  read_command[16] = std::byte{0x14};
  read_command[22] = std::byte{0x04};
  read_command[27] = std::byte{0x14};
  read_command[31] = std::byte{0x18};
  read_command[32] = std::byte{0x28};
  read_command[40] = std::byte{0x02};
  const ByteSpan digits = AsBytes("123456789");
  return {{"32 zeros", Filled(32, 0x00), 0x8a9136aa},
          {"32 ones", Filled(32, 0xff), 0x62a8ab43},
          {"rising", rising, 0x46dd794e},
          {"falling", falling, 0x113fdb5c},
          {"iSCSI read command", read_command, 0xd9963a56},
          {"123456789", {digits.begin(), digits.end()}, 0xe3069283},
          {"nothing", {}, 0}};
}

TEST(Crc32c, HasThePublishedChecksums) {
  for (const Vector& vector : PublishedVectors()) {
    EXPECT_EQ(Crc32c(vector.bytes), vector.crc) << vector.name;
    EXPECT_EQ(Crc32cPortable(vector.bytes), vector.crc) << vector.name;
  }
}

TEST(Crc32c, AgreesWithThePortableOneAtEveryAlignmentAndShortLength) {
  const std::vector<std::byte> bytes = Noise(1100);  // beyond one stripe of short streams (768)
  for (size_t start = 0; start < 8; ++start) {
    for (size_t length = 0; start + length <= bytes.size(); ++length) {
      const ByteSpan part(bytes.data() + start, length);
      ASSERT_EQ(Crc32c(part), Crc32cPortable(part)) << "start " << start << " length " << length;
    }
  }
}

TEST(Crc32c, AgreesWithThePortableOneAroundTheStripes) {
  const std::vector<std::byte> bytes = Noise(80'000);
  for (const size_t stripe : {size_t{3} * 256, size_t{3} * 4096}) {
    for (size_t stripes = 1; stripes <= 6; ++stripes) {
      for (size_t start = 0; start < 8; ++start) {
        for (size_t length = stripes * stripe - 9; length <= stripes * stripe + 9; ++length) {
          const ByteSpan part(bytes.data() + start, length);
          ASSERT_EQ(Crc32c(part, 7), Crc32cPortable(part, 7)) << start << " " << length;
        }
      }
    }
  }
}

RC_GTEST_PROP(Crc32c, GoesOnWhereItStopped, (const std::vector<uint8_t>& bytes)) {
  const ByteSpan all = std::as_bytes(std::span(bytes));
  const size_t cut = bytes.empty() ? 0 : *rc::gen::inRange<size_t>(0, bytes.size());
  RC_ASSERT(Crc32c(all) == Crc32c(all.subspan(cut), Crc32c(all.first(cut))));
  RC_ASSERT(Crc32c(all) == Crc32cPortable(all.subspan(cut), Crc32cPortable(all.first(cut))));
}

}  // namespace
}  // namespace tidemark::base
