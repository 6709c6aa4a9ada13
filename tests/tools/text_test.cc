#include "tools/text.h"

#include <gtest/gtest.h>

namespace tidemark::tools {
namespace {

using Kind = StartOffset::Kind;

TEST(ParseSize, TakesUnitsOf1024AndOf1000) {
  EXPECT_EQ(*ParseSize("0"), 0U);
  EXPECT_EQ(*ParseSize("4096"), 4096U);
  EXPECT_EQ(*ParseSize("64MiB"), uint64_t{64} << 20);
  EXPECT_EQ(*ParseSize("64 MiB"), uint64_t{64} << 20);
  EXPECT_EQ(*ParseSize("3kB"), 3000U);
  EXPECT_EQ(*ParseSize("2TiB"), uint64_t{2} << 40);
  EXPECT_EQ(*ParseSize("7B"), 7U);
}

TEST(ParseSize, RefusesAnythingElse) {
  for (const char* text : {"", " 1", "-1", "1.5MiB", "MiB", "1mib", "1 M", "1MiBx", "0x10",
                           "18446744073709551616", "99999999999TiB"}) {
    EXPECT_FALSE(ParseSize(text).ok()) << text;
  }
}

TEST(ParseInteger, TakesWholeNumbersOnly) {
  EXPECT_EQ(*ParseInteger("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(*ParseInteger("17"), 17);
  for (const char* text : {"", "1 ", "+1", "1e3", "9223372036854775808", "one"}) {
    EXPECT_FALSE(ParseInteger(text).ok()) << text;
  }
}

TEST(ParseStartOffset, KnowsKcatsForms) {
  EXPECT_EQ(*ParseStartOffset("beginning"), (StartOffset{Kind::beginning, 0}));
  EXPECT_EQ(*ParseStartOffset("end"), (StartOffset{Kind::end, 0}));
  EXPECT_EQ(*ParseStartOffset("0"), (StartOffset{Kind::absolute, 0}));
  EXPECT_EQ(*ParseStartOffset("42"), (StartOffset{Kind::absolute, 42}));
  EXPECT_EQ(*ParseStartOffset("-5"), (StartOffset{Kind::from_end, 5}));
  EXPECT_EQ(*ParseStartOffset("-0"), (StartOffset{Kind::from_end, 0}));
  EXPECT_EQ(*ParseStartOffset("s@1732272000123"), (StartOffset{Kind::timestamp, 1732272000123}));
  EXPECT_EQ(*ParseStartOffset("s@-1"), (StartOffset{Kind::timestamp, -1}));
}

TEST(ParseStartOffset, RefusesAnythingElse) {
  for (const char* text : {"", "start", "5x", "s@", "s@now", "e@5", "--5", "-",
                           "-9223372036854775808", "99999999999999999999"}) {
    EXPECT_FALSE(ParseStartOffset(text).ok()) << text;
  }
}

TEST(ParseSetting, CutsAtTheFirstEqualsSign) {
  EXPECT_EQ(*ParseSetting("segment.bytes=16MiB"), (Setting{"segment.bytes", "16MiB"}));
  EXPECT_EQ(*ParseSetting("a="), (Setting{"a", ""}));
  EXPECT_EQ(*ParseSetting("a=b=c"), (Setting{"a", "b=c"}));
  EXPECT_FALSE(ParseSetting("segment.bytes").ok());
  EXPECT_FALSE(ParseSetting("=1").ok());
}

TEST(NormalizeSettingValue, TurnsSizesIntoBytesWhereBytesAreMeant) {
  EXPECT_EQ(NormalizeSettingValue("segment.bytes", "16MiB"), "16777216");
  EXPECT_EQ(NormalizeSettingValue("segment.bytes", "4096"), "4096");
  EXPECT_EQ(NormalizeSettingValue("retention.bytes", "-1"), "-1");
  EXPECT_EQ(NormalizeSettingValue("segment.bytes", "much"), "much");
  EXPECT_EQ(NormalizeSettingValue("flush.ms", "1kB"), "1kB");
}

TEST(Base64, IsThatOfRfc4648) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foo"), "Zm9v");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64("\xff\xfe\xfd"), "//79");
}

TEST(IsUtf8, FollowsRfc3629) {
  for (const char* text : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8c\x8a",
                           "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  EXPECT_TRUE(IsUtf8(std::string_view("a\0b", 3)));
  for (const char* text : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\xff", "\xe2\x82", "a\xf8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(text));
  }
}

TEST(OneLine, LeavesNothingThatBreaksALine) {
  EXPECT_EQ(OneLine("a\nb\tc\x1b[1m\x7f"), "a\\nb\\tc\\x1b[1m\\x7f");
  EXPECT_EQ(OneLine("\xc3\xa4"), "\xc3\xa4");
}

}  // namespace
}  // namespace tidemark::tools
