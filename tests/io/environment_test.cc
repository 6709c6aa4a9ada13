#include "io/environment.h"

#include <unistd.h>

#include <set>

#include <gtest/gtest.h>

namespace tidemark::io {
namespace {

TEST(Environment, RandomNumbersDiffer) {
  std::set<uint64_t> drawn;
  for (int i = 0; i < 100; ++i) drawn.insert(SystemRandom64());
  EXPECT_EQ(drawn.size(), 100u);
}

TEST(Environment, KnowsItsProcess) { EXPECT_EQ(CurrentProcessId(), getpid()); }

}  // namespace
}  // namespace tidemark::io
