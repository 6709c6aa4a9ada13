#include "base/utf8.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace tidemark::base {
namespace {

std::vector<uint32_t> PointsOf(std::string_view text) {
  std::vector<uint32_t> points;
  for (size_t at = 0; at < text.size();) {
    const auto point = NextCodePoint(text, &at);
    if (!point) break;
    points.push_back(*point);
  }
  return points;
}

TEST(Utf8, CodePointsOfAllLengths) {
  EXPECT_EQ(PointsOf("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            (std::vector<uint32_t>{'a', 0xe9, 0x20ac, 0x1f600}));
  EXPECT_EQ(PointsOf(std::string_view("\0", 1)), std::vector<uint32_t>{0});
}

TEST(Utf8, TheEndsOfEachLengthAreTaken) {
  for (const char* text : {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(text)) << text;
}

TEST(Utf8, WhatIsNotWellFormedIsRefused) {
  for (const char* text :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xc3z"})
    EXPECT_FALSE(IsUtf8(text)) << text;
}

TEST(Utf8, ThePlaceStaysAtWhatIsNotWellFormed) {
  size_t at = 1;
  EXPECT_EQ(NextCodePoint("a\xff", &at), std::nullopt);
  EXPECT_EQ(at, 1U);
}

}  // namespace
}  // namespace tidemark::base
