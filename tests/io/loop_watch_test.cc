#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "io/socket.h"
#include "tests/io/loop_fixture.h"
#include "tests/io/temporary_directory.h"

namespace tidemark::io {
namespace {

// The two ends of a connection.
struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
      abort();
    here = Socket(ends[0]);
    there = Socket(ends[1]);
  }
  Socket here, there;
};

// Waits its turn when the other end is behind.
void SendByte(const Socket& socket) {
  Transfer state = Transfer::would_block;
  while (state == Transfer::would_block) state = Send(socket, base::AsBytes("x")).state;
  ASSERT_EQ(state, Transfer::done);
}

class LoopWatchTest : public LoopTest {
 protected:
  // One turn, which is enough for whatever is ready already.
  void ExpectNothingEnds() { EXPECT_EQ(loop_->RunOnce(0), 0u); }
};

TIDEMARK_BOTH_LOOPS(LoopWatchTest);

TEST_P(LoopWatchTest, EndsWhenBytesArrive) {
  Pair pair;
  TestOperation watch;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  ExpectNothingEnds();
  EXPECT_FALSE(watch.ended());
  SendByte(pair.there);
  EXPECT_NE(Finish(&watch) & POLLIN, 0);
}

TEST_P(LoopWatchTest, EndsAtOnceWhenReadyAlready) {
  Pair pair;
  SendByte(pair.there);
  TestOperation readable, writable;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &readable);
  EXPECT_EQ(Finish(&readable), POLLIN);
  loop_->Watch(pair.here.descriptor(), Readiness::writable, &writable);
  EXPECT_EQ(Finish(&writable), POLLOUT);
}

TEST_P(LoopWatchTest, IsOneShot) {
  Pair pair;
  TestOperation first, second;
  SendByte(pair.there);
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &first);
  Finish(&first);
  ExpectNothingEnds();  // although the byte is still there
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &second);
  Finish(&second);
  EXPECT_EQ(first.times_done, 1);
}

TEST_P(LoopWatchTest, BothReadinessesOfOneDescriptorAreApart) {
  Pair pair;
  TestOperation readable, writable;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &readable);
  loop_->Watch(pair.here.descriptor(), Readiness::writable, &writable);
  EXPECT_EQ(Finish(&writable), POLLOUT);
  EXPECT_FALSE(readable.ended());
  SendByte(pair.there);
  EXPECT_EQ(Finish(&readable), POLLIN);
}

TEST_P(LoopWatchTest, AHangupIsReadiness) {
  Pair pair;
  TestOperation watch;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  pair.there.Close();
  EXPECT_GT(Finish(&watch), 0);
  std::array<std::byte, 1> room{};
  EXPECT_EQ(Receive(pair.here, room).state, Transfer::closed);
}

TEST_P(LoopWatchTest, TellsThatADescriptorIsNone) {
  const int closed = Pair().here.descriptor();  // a number that is free again
  TestOperation never_open, watch;
  loop_->Watch(closed, Readiness::readable, &watch);
  EXPECT_EQ(Finish(&watch), -EBADF);
  loop_->Watch(-1, Readiness::readable, &never_open);
  EXPECT_EQ(Finish(&never_open), -EBADF);
}

TEST_P(LoopWatchTest, AFileIsAlwaysReady) {
  TemporaryDirectory directory;
  Socket file(open(directory.File("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  TestOperation watch;
  loop_->Watch(file.descriptor(), Readiness::readable, &watch);
  EXPECT_NE(Finish(&watch) & POLLIN, 0);
}

// Sockets are closed and their numbers given anew; a number's past must not matter.
TEST_P(LoopWatchTest, ADescriptorMayBeClosedAndItsNumberUsedAgain) {
  for (int round = 0; round < 50; ++round) {
    Pair pair;
    TestOperation readable, writable;
    loop_->Watch(pair.here.descriptor(), Readiness::readable, &readable);
    loop_->Watch(pair.there.descriptor(), Readiness::writable, &writable);
    Finish(&writable);
    SendByte(pair.there);
    Finish(&readable);
  }
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_P(LoopWatchTest, ManyAtOnce) {
  constexpr size_t kCount = 400;  // more than the ring's submission queue holds
  std::vector<Pair> pairs(kCount);
  std::vector<TestOperation> watches(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    loop_->Watch(pairs[i].here.descriptor(), Readiness::readable, &watches[i]);
  }
  ExpectNothingEnds();
  EXPECT_EQ(loop_->in_flight(), kCount);
  for (size_t i = 0; i < kCount; i += 2) SendByte(pairs[i].there);
  size_t ended = 0;
  while (ended < kCount / 2) ended += loop_->RunOnce(-1);
  for (size_t i = 0; i < kCount; ++i) EXPECT_EQ(watches[i].times_done, i % 2 == 0 ? 1 : 0);
  for (size_t i = 1; i < kCount; i += 2) loop_->Cancel(&watches[i]);
  while (loop_->in_flight() > 0) loop_->RunOnce(-1);
  for (size_t i = 1; i < kCount; i += 2) EXPECT_EQ(watches[i].result, -ECANCELED);
}

TEST_P(LoopWatchTest, CancelEndsItInALaterTurn) {
  Pair pair;
  TestOperation watch, again;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  ExpectNothingEnds();
  loop_->Cancel(&watch);
  EXPECT_FALSE(watch.ended());
  EXPECT_EQ(Finish(&watch), -ECANCELED);
  // The descriptor can be watched again.
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &again);
  SendByte(pair.there);
  EXPECT_NE(Finish(&again) & POLLIN, 0);
  EXPECT_EQ(watch.times_done, 1);
}

TEST_P(LoopWatchTest, CancelBeforeTheFirstTurn) {
  Pair pair;
  TestOperation watch;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  loop_->Cancel(&watch);
  EXPECT_EQ(Finish(&watch), -ECANCELED);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_P(LoopWatchTest, CancelLeavesTheOtherReadinessAlone) {
  Pair pair;
  // Nothing more fits, so that neither watch is ready.
  const std::vector<std::byte> much(1 << 20);
  ASSERT_EQ(Send(pair.here, much).state, Transfer::would_block);
  TestOperation readable, writable;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &readable);
  loop_->Watch(pair.here.descriptor(), Readiness::writable, &writable);
  ExpectNothingEnds();
  loop_->Cancel(&writable);
  EXPECT_EQ(Finish(&writable), -ECANCELED);
  EXPECT_FALSE(readable.ended());
  SendByte(pair.there);
  EXPECT_EQ(Finish(&readable), POLLIN);
}

TEST_P(LoopWatchTest, CancelOfOneThatIsReadyEndsItOnce) {
  Pair pair;
  TestOperation watch;
  SendByte(pair.there);
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  loop_->Cancel(&watch);
  const int64_t result = Finish(&watch);
  EXPECT_TRUE(result == -ECANCELED || result == POLLIN) << result;
  ExpectNothingEnds();
  EXPECT_EQ(watch.times_done, 1);
}

TEST_P(LoopWatchTest, CancelFromTheDoneOfAnother) {
  struct Canceller : Operation {
    Loop* loop = nullptr;
    Operation* victim = nullptr;
  };
  Pair pair, other;
  TestOperation victim;
  Canceller canceller;
  canceller.loop = loop_.get();
  canceller.victim = &victim;
  canceller.done = [](Operation* operation) {
    auto* const self = static_cast<Canceller*>(operation);
    self->loop->Cancel(self->victim);
  };
  loop_->Watch(other.here.descriptor(), Readiness::readable, &victim);
  loop_->Watch(pair.here.descriptor(), Readiness::writable, &canceller);
  EXPECT_EQ(Finish(&victim), -ECANCELED);
  EXPECT_EQ(loop_->in_flight(), 0u);
}

TEST_P(LoopWatchTest, EndsWithWatchesInFlight) {
  Pair pair;
  TestOperation watch;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  loop_->RunOnce(0);
  loop_.reset();
  EXPECT_FALSE(watch.ended());
}

TEST_P(LoopWatchTest, ATurnWithoutWaitingReturns) {
  ExpectNothingEnds();
  Pair pair;
  TestOperation watch;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  ExpectNothingEnds();
}

TEST_P(LoopWatchTest, AWaitEndsAtItsTimeout) {
  Pair pair;
  TestOperation watch;
  loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
  const int64_t before = base::SystemClock().MonotonicUs();
  EXPECT_EQ(loop_->RunOnce(3000), 0u);
  EXPECT_GE(base::SystemClock().MonotonicUs() - before, 3000);  // not early; how late, who knows
}

// Sent until it is handled: ThreadSanitizer puts a handler off to the thread's next atomic
// operation, which it does not come to while it waits in the ring's own system call.
TEST_P(LoopWatchTest, ASignalDoesNotEndTheWaitButItsHandlerMay) {
  static Loop* to_wake = nullptr;
  static std::atomic<int> signals = 0;
  to_wake = loop_.get();
  signals = 0;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {
    if (++signals == 2) to_wake->Wake();
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const pthread_t here = pthread_self();
  std::thread sender([&] {
    for (int sent = 1; sent <= 2; ++sent) {
      while (signals < sent) {
        pthread_kill(here, SIGUSR1);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  });
  EXPECT_EQ(loop_->RunOnce(-1), 0u);
  EXPECT_GE(signals, 2);
  sender.join();
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(LoopWatchTest, AWakeIsRememberedForTheNextTurn) {
  for (int round = 0; round < 100; ++round) {
    loop_->Wake();
    EXPECT_EQ(loop_->RunOnce(-1), 0u);
  }
}

TEST_P(LoopWatchTest, AnotherThreadEndsTheWait) {
  for (int round = 0; round < 200; ++round) {
    std::thread waker([&] { loop_->Wake(); });
    EXPECT_EQ(loop_->RunOnce(-1), 0u);
    waker.join();
  }
}

// Each wake-up belongs to one message, and none may be left lying: were one lost, the loop would
// wait for ever.
TEST_P(LoopWatchTest, NoWakeIsLost) {
  constexpr int kMessages = 20'000;
  std::atomic<int> sent{0};
  std::atomic<int> seen{0};
  std::thread sender([&] {
    for (int i = 1; i <= kMessages; ++i) {
      sent.store(i);
      loop_->Wake();
      if (i % 16 == 0) {
        while (seen.load() < i) std::this_thread::yield();
      }
    }
  });
  while (seen.load() < kMessages) {
    loop_->RunOnce(-1);
    seen.store(sent.load());
  }
  sender.join();
}

TEST_P(LoopWatchTest, WakesAndCompletionsMix) {
  Pair pair;
  std::thread waker([&] {
    for (int i = 0; i < 1000; ++i) loop_->Wake();
  });
  std::thread sender([&] {
    for (int i = 0; i < 1000; ++i) SendByte(pair.there);
  });
  size_t received = 0;
  while (received < 1000) {
    TestOperation watch;
    loop_->Watch(pair.here.descriptor(), Readiness::readable, &watch);
    Finish(&watch);
    std::array<std::byte, 64> room{};
    received += Receive(pair.here, room).bytes;
  }
  waker.join();
  sender.join();
}

}  // namespace
}  // namespace tidemark::io
