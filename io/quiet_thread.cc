#include "io/quiet_thread.h"

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX, which <csignal> need not be

#include <system_error>
#include <utility>

namespace tidemark::io {

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

}  // namespace tidemark::io
