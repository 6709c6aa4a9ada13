// The choice between the two loops. Each case runs in a child process of its own, since a filter on
// system calls cannot be taken back; its exit status and its stderr say how it went.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "io/loop.h"
#include "tests/io/loop_fixture.h"

namespace tidemark::io {
namespace {

// From here on `system_call` fails with `failure` in this process. False when that is not to be
// had.
bool Deny(uint32_t system_call, uint32_t failure) {
  std::array filter = {
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, system_call},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | failure},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

constexpr int kAsExpected = 0;
constexpr int kOtherwise = 1;
constexpr int kNoFilters = 77;

// Says on stderr which loop `kind` gives, or why none; the exit status is kAsExpected for a loop
// that can be used.
[[noreturn]] void DescribeAndExit(LoopKind kind) {
  auto loop = MakeLoop(kind);
  if (!loop) {
    std::fprintf(stderr, "error %s\n", loop.error().ToString().c_str());
    std::_Exit(kOtherwise);
  }
  std::fprintf(stderr, "loop %s\n", (*loop)->description().text.c_str());
  (*loop)->Wake();
  (*loop)->RunOnce(-1);
  std::_Exit(kAsExpected);
}

[[noreturn]] void DenyDescribeAndExit(uint32_t system_call, uint32_t failure, LoopKind kind) {
  unsetenv("TIDEMARK_IO");
  if (!Deny(system_call, failure)) {
    std::fprintf(stderr, "no filters\n");
    std::_Exit(kNoFilters);
  }
  DescribeAndExit(kind);
}

// Ends with the status that was expected, or because this machine has no filters.
bool EndedWith(int status, int expected) {
  return testing::ExitedWithCode(expected)(status) || testing::ExitedWithCode(kNoFilters)(status);
}
bool AsExpected(int status) { return EndedWith(status, kAsExpected); }
bool Otherwise(int status) { return EndedWith(status, kOtherwise); }

class MakeLoopDeathTest : public testing::Test {
 protected:
  MakeLoopDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(MakeLoopDeathTest, FallsBackWhereIoUringIsForbidden) {
  EXPECT_EXIT(DenyDescribeAndExit(SYS_io_uring_setup, EPERM, LoopKind::automatic), AsExpected,
              "loop syscalls \\(io_uring_setup: Operation not permitted; .*"
              "(seccomp filter|io_uring_disabled is)|no filters");
}

TEST_F(MakeLoopDeathTest, FallsBackWhereIoUringIsUnknown) {
  EXPECT_EXIT(DenyDescribeAndExit(SYS_io_uring_setup, ENOSYS, LoopKind::automatic), AsExpected,
              "loop syscalls \\(io_uring_setup: Function not implemented; .*older|no filters");
}

TEST_F(MakeLoopDeathTest, FallsBackWhereMemoryCannotBeLocked) {
  EXPECT_EXIT(DenyDescribeAndExit(SYS_io_uring_setup, ENOMEM, LoopKind::automatic), AsExpected,
              "loop syscalls \\(io_uring_setup: Cannot allocate memory; .*memory|no filters");
}

TEST_F(MakeLoopDeathTest, FallsBackWhereTheRingMayBeMadeButNotUsed) {
  // Where there is no ring at all, that is what is said.
  EXPECT_EXIT(DenyDescribeAndExit(SYS_io_uring_enter, EPERM, LoopKind::automatic), AsExpected,
              "loop syscalls \\(io_uring_|no filters");
}

TEST_F(MakeLoopDeathTest, IsAnErrorWhereIoUringIsAskedForByName) {
  EXPECT_EXIT(DenyDescribeAndExit(SYS_io_uring_setup, EPERM, LoopKind::io_uring), Otherwise,
              "error unsupported: io_uring was asked for, but io_uring_setup: Operation not "
              "permitted|no filters");
}

[[noreturn]] void SetVariableDescribeAndExit(const char* value, LoopKind kind) {
  setenv("TIDEMARK_IO", value, 1);
  DescribeAndExit(kind);
}

TEST_F(MakeLoopDeathTest, TheEnvironmentDecidesInPlaceOfAutomatic) {
  EXPECT_EXIT(SetVariableDescribeAndExit("syscalls", LoopKind::automatic),
              testing::ExitedWithCode(kAsExpected), "loop syscalls \\(TIDEMARK_IO=syscalls\\)");
  EXPECT_EXIT(SetVariableDescribeAndExit("epoll", LoopKind::automatic),
              testing::ExitedWithCode(kOtherwise), "error invalid_argument: .*\"epoll\"");
  // What the code asks for by name stands.
  EXPECT_EXIT(SetVariableDescribeAndExit("epoll", LoopKind::syscalls),
              testing::ExitedWithCode(kAsExpected), "loop syscalls\n");
}

TEST_P(LoopTest, SaysOfWhichKindItIs) {
  EXPECT_EQ(loop_->description().uses_io_uring, GetParam() == LoopKind::io_uring);
  EXPECT_EQ(loop_->description().text, GetParam() == LoopKind::io_uring ? "io_uring" : "syscalls");
}

TIDEMARK_BOTH_LOOPS(LoopTest);

}  // namespace
}  // namespace tidemark::io
