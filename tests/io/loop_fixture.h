// Runs a test on both kinds of loop; skips the ring where this machine has none.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "io/loop.h"

namespace tidemark::io {

// An operation that remembers what came of it.
struct TestOperation : Operation {
  TestOperation() {
    done = [](Operation* operation) { ++static_cast<TestOperation*>(operation)->times_done; };
  }
  bool ended() const { return times_done > 0; }

  int times_done = 0;
};

class LoopTest : public testing::TestWithParam<LoopKind> {
 protected:
  void SetUp() override {
    auto made = MakeLoop(GetParam());
    if (!made && GetParam() == LoopKind::io_uring) GTEST_SKIP() << made.error().ToString();
    ASSERT_TRUE(made) << made.error().ToString();
    loop_ = *std::move(made);
  }

  // Runs the loop until `operation` has ended. No timeout: what hangs is ended by ctest.
  int64_t Finish(TestOperation* operation) {
    while (!operation->ended()) loop_->RunOnce(-1);
    EXPECT_EQ(operation->times_done, 1);
    return operation->result;
  }

  std::unique_ptr<Loop> loop_;
};

inline std::string KindName(const testing::TestParamInfo<LoopKind>& info) {
  return info.param == LoopKind::io_uring ? "io_uring" : "syscalls";
}

#define TIDEMARK_BOTH_LOOPS(Suite)           \
  INSTANTIATE_TEST_SUITE_P(BothLoops, Suite, \
                           testing::Values(LoopKind::io_uring, LoopKind::syscalls), KindName)

}  // namespace tidemark::io
