#include "io/quiet_thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX, which <csignal> need not be
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <system_error>
#include <utility>

namespace tidemark::io {
namespace {

constexpr int kLowestPriority = 19;
// The longest that sched_setattr(2) takes. Not for the sake of long slices: since Linux 6.12 a
// thread that wakes up takes the processor from one with a longer slice than its own, and otherwise
// only when that has had its slice, which is looked at once a tick. (Older kernels pay no attention
// to it.) What ends a flushed write may be a kernel's thread that is bound to the very processor.
// Beside such a thread the whole process (its autogroup, or its control group) counts, not this
// thread's priority; but of a group's threads the shortest slice counts.
constexpr uint64_t kLongestSliceNs = 100'000'000;

// sched_setattr(2)'s, in its first form. <linux/sched/types.h> cannot stand beside <sched.h>.
struct SchedulerAttributes {
  uint32_t size = sizeof(SchedulerAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulerAttributes) == 48);

}  // namespace

std::optional<std::thread> StartQuietThread(const char* name, std::function<void()> run) {
  sigset_t all{};
  sigset_t before{};
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // a new thread inherits the mask
  std::optional<std::thread> thread;
  try {
    thread.emplace(std::move(run));
    pthread_setname_np(thread->native_handle(), name);
  } catch (const std::system_error&) {
    thread.reset();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

void RunInBackground() {
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  SchedulerAttributes attributes;
  attributes.policy = SCHED_BATCH;
  attributes.nice = kLowestPriority;
  attributes.runtime_ns = kLongestSliceNs;
  // glibc has no function for it before 2.41. 0 is this thread alone, in all these calls.
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0)
    static_cast<void>(setpriority(PRIO_PROCESS, 0, kLowestPriority));
}

}  // namespace tidemark::io
