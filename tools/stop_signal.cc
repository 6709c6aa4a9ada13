#include "tools/stop_signal.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace tidemark::tools {
namespace {

constexpr int kWritePatienceMs = 1000;

volatile std::sig_atomic_t stop_requested = 0;
// A signal may come between looking at the flag and waiting: the pipe's byte is there then, too.
std::array<int, 2> stop_pipe = {-1, -1};

void OnStopSignal(int /*signal*/) {
  const int saved_errno = errno;
  stop_requested = 1;
  const char byte = 0;
  (void)!::write(stop_pipe[1], &byte, 1);
  errno = saved_errno;
}

}  // namespace

void InstallStopSignals() {
  if (::pipe2(stop_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    return;  // signals then end us as usual
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one has its usual effect
  (void)sigemptyset(&action.sa_mask);
  (void)::sigaction(SIGINT, &action, nullptr);
  (void)::sigaction(SIGTERM, &action, nullptr);
}

bool StopRequested() { return stop_requested != 0; }

WaitResult WaitReadable(int descriptor, int timeout_ms, bool watch_stdout) {
  // poll(2) ignores negative descriptors. stdout is asked for nothing: only that it is in error,
  // which is always told.
  std::array<pollfd, 3> waits = {{{descriptor, POLLIN, 0},
                                  {stop_pipe[0], POLLIN, 0},
                                  {watch_stdout ? STDOUT_FILENO : -1, 0, 0}}};
  for (;;) {
    if (StopRequested()) return WaitResult::stopped;
    const int ready = ::poll(waits.data(), waits.size(), timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return WaitResult::timeout;
    if (waits[1].revents != 0) return WaitResult::stopped;
    if (waits[0].revents != 0) return WaitResult::ready;
    return WaitResult::output_gone;
  }
}

WaitResult WaitWritable(int descriptor) {
  std::array<pollfd, 2> waits = {{{descriptor, POLLOUT, 0}, {stop_pipe[0], POLLIN, 0}}};
  for (;;) {
    const bool stopping = StopRequested();
    const int ready =
        ::poll(waits.data(), stopping ? 1 : waits.size(), stopping ? kWritePatienceMs : -1);
    if (ready == 0) return WaitResult::stopped;
    if (ready > 0 && waits[0].revents != 0) return WaitResult::ready;
  }
}

}  // namespace tidemark::tools
