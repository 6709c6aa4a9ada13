#include "io/worker.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/io/loop_fixture.h"

namespace tidemark::io {
namespace {

class WorkerTest : public LoopTest {
 protected:
  // Runs the loop until nothing is pending any more.
  void Finish(Worker* worker) {
    while (worker->pending() > 0) {
      loop_->RunOnce(-1);
      worker->RunDone();
    }
  }
};

TIDEMARK_BOTH_LOOPS(WorkerTest);

TEST_P(WorkerTest, WorksElsewhereAndIsDoneHere) {
  const auto worker = MakeThreadWorker(*loop_);
  std::thread::id work_thread, done_thread;
  worker->Submit([&] { work_thread = std::this_thread::get_id(); },
                 [&] { done_thread = std::this_thread::get_id(); });
  EXPECT_EQ(worker->pending(), 1u);
  Finish(worker.get());
  EXPECT_NE(work_thread, std::this_thread::get_id());
  EXPECT_EQ(done_thread, std::this_thread::get_id());
}

// What a commit's p99 rests on while the worker compresses (docs/decisions.md).
TEST_P(WorkerTest, GivesWayToAllOthers) {
  const auto worker = MakeThreadWorker(*loop_);
  const int nice_here = getpriority(PRIO_PROCESS, 0);
  int nice = 0;
  int policy = -1;
  std::array<uint64_t, 6> attributes{};  // sched_setattr(2): the slice stands in the fourth
  worker->Submit(
      [&] {
        nice = getpriority(PRIO_PROCESS, 0);
        policy = sched_getscheduler(0);
        syscall(SYS_sched_getattr, 0, attributes.data(), sizeof attributes, 0);
      },
      [] {});
  Finish(worker.get());
  if (sched_getscheduler(0) != SCHED_OTHER)
    GTEST_SKIP() << "the tests run under a policy of their own";
  EXPECT_EQ(nice, 19);
  EXPECT_EQ(policy, SCHED_BATCH);
  // Before Linux 6.12 such threads have no slice of their own.
  constexpr uint64_t kLongestSliceNs = 100'000'000;
  if (attributes[3] != 0) {
    EXPECT_EQ(attributes[3], kLongestSliceNs);
  }
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), nice_here);
}

TEST_P(WorkerTest, KeepsTheOrder) {
  const auto worker = MakeThreadWorker(*loop_);
  std::vector<int> worked, done;
  for (int i = 0; i < 1000; ++i) {
    worker->Submit([&worked, i] { worked.push_back(i); }, [&done, i] { done.push_back(i); });
  }
  EXPECT_EQ(worker->pending(), 1000u);
  Finish(worker.get());
  EXPECT_EQ(worked.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(worked.begin(), worked.end()));
  EXPECT_EQ(done, worked);
}

TEST_P(WorkerTest, MoreMayBeSubmittedFromDone) {
  const auto worker = MakeThreadWorker(*loop_);
  int rounds = 0;
  std::function<void()> again = [&] {
    if (++rounds < 5) worker->Submit([] {}, again);
  };
  worker->Submit([] {}, again);
  Finish(worker.get());
  EXPECT_EQ(rounds, 5);
}

TEST_P(WorkerTest, DoneWaitsForRunDone) {
  const auto worker = MakeThreadWorker(*loop_);
  bool done = false;
  worker->Submit([] {}, [&] { done = true; });
  loop_->RunOnce(-1);  // woken by the end of the work
  EXPECT_FALSE(done);
  EXPECT_EQ(worker->RunDone(), 1u);
  EXPECT_TRUE(done);
  EXPECT_EQ(worker->RunDone(), 0u);
}

TEST_P(WorkerTest, ItsEndWaitsForThePieceThatRunsAndDropsTheRest) {
  auto worker = MakeThreadWorker(*loop_);
  std::promise<void> started, may_end;
  bool first_ended = false;
  bool second_ran = false;
  const auto held = std::make_shared<int>(0);
  worker->Submit(
      [&] {
        started.set_value();
        may_end.get_future().wait();
        first_ended = true;
      },
      [] { FAIL() << "nobody asked"; });
  worker->Submit([&second_ran, held] { second_ran = true; }, [held] {});
  started.get_future().wait();
  std::thread releaser([&] { may_end.set_value(); });
  worker.reset();
  releaser.join();
  EXPECT_TRUE(first_ended);
  // Whether the second began is a race that nobody decides; what it held is let go in either case.
  static_cast<void>(second_ran);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(WorkerTest, TheInlineOneWorksAtOnceAndIsDoneLater) {
  const auto worker = MakeInlineWorker(*loop_);
  std::vector<int> events;
  worker->Submit([&] { events.push_back(1); }, [&] { events.push_back(3); });
  worker->Submit([&] { events.push_back(2); }, [&] { events.push_back(4); });
  EXPECT_EQ(events, (std::vector{1, 2}));
  EXPECT_EQ(worker->pending(), 2u);
  loop_->RunOnce(-1);  // woken
  EXPECT_EQ(worker->RunDone(), 2u);
  EXPECT_EQ(worker->pending(), 0u);
  EXPECT_EQ(events, (std::vector{1, 2, 3, 4}));
}

}  // namespace
}  // namespace tidemark::io
