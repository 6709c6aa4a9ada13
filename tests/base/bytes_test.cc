#include "base/bytes.h"

#include <array>

#include <gtest/gtest.h>

namespace tidemark::base {
namespace {

TEST(Bytes, AreInTheOrderThatTheNameSays) {
  std::array<std::byte, 9> room{};
  StoreBig<uint32_t>(room.data() + 1, 0x01020304);  // not aligned
  EXPECT_EQ(room[1], std::byte{1});
  EXPECT_EQ(room[4], std::byte{4});
  EXPECT_EQ(LoadBig<uint32_t>(room.data() + 1), 0x01020304u);
  EXPECT_EQ(LoadLittle<uint32_t>(room.data() + 1), 0x04030201u);
  StoreLittle<int64_t>(room.data() + 1, -2);
  EXPECT_EQ(room[1], std::byte{0xfe});
  EXPECT_EQ(LoadLittle<int64_t>(room.data() + 1), -2);
  StoreBig<int16_t>(room.data(), -2);
  EXPECT_EQ(room[1], std::byte{0xfe});
  EXPECT_EQ(LoadBig<int16_t>(room.data()), -2);
  StoreBig<int8_t>(room.data(), -2);
  EXPECT_EQ(LoadBig<int8_t>(room.data()), -2);
}

TEST(Bytes, RoundUpToPowersOfTwo) {
  EXPECT_EQ(RoundUp(0, 4096), 0u);
  EXPECT_EQ(RoundUp(1, 4096), 4096u);
  EXPECT_EQ(RoundUp(4096, 4096), 4096u);
  EXPECT_EQ(RoundUp(4097, 4096), 8192u);
}

TEST(Bytes, AreTextAndBack) {
  const std::string_view text("a\0b", 3);
  EXPECT_EQ(AsBytes(text).size(), 3u);
  EXPECT_EQ(AsText(AsBytes(text)), text);
}

}  // namespace
}  // namespace tidemark::base
