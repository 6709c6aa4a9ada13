#include <algorithm>
#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/hash.h"

namespace tidemark::base {
namespace {

// XXH3_64bits of nothing, as xxHash's documentation and `xxhsum -H3` print it.
TEST(Xxh3, HasThePublishedHashOfNothing) { EXPECT_EQ(Xxh3({}), 0x2d06800538d394c2u); }

TEST(Xxh3, DependsOnTheSeed) {
  const ByteSpan bytes = AsBytes("tidemark");
  EXPECT_EQ(Xxh3(bytes), Xxh3(bytes, 0));
  EXPECT_NE(Xxh3(bytes, 1), Xxh3(bytes, 2));
}

TEST(Xxh3, PieceByPieceIsTheSame) {
  std::vector<std::byte> bytes(5'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  Xxh3Stream stream;
  EXPECT_EQ(stream.Sum(), Xxh3({}));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{300}, size_t{5'000}}) {
    stream.Clear();
    for (size_t at = 0; at < bytes.size(); at += piece)
      stream.Add(ByteSpan(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    EXPECT_EQ(stream.Sum(), Xxh3(bytes)) << piece;
  }
}

TEST(SystemClock, NeverStepsBack) {
  Clock& clock = SystemClock();
  int64_t before = clock.MonotonicUs();
  for (int i = 0; i < 10'000; ++i) {
    const int64_t now = clock.MonotonicUs();
    ASSERT_GE(now, before);
    before = now;
  }
}

TEST(SystemClock, CountsFrom1970) {
  using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::system_clock;
  const auto before = duration_cast<milliseconds>(system_clock::now().time_since_epoch());
  EXPECT_GE(SystemClock().WallMs(), before.count());
}

}  // namespace
}  // namespace tidemark::base
