#include "tools/store_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "tools/local_protocol.h"

namespace tidemark::tools {
namespace {

constexpr std::string_view kJournalName = "journal";
constexpr int kLookAnywayMs = 2'000;
constexpr int kLookWithoutEventsMs = 250;

}  // namespace

StoreWatch::StoreWatch(const std::string& data_dir)
    : events_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (!events_.is_open()) return;
  // A process that has written closes the journal; `serve` makes its socket.
  if (::inotify_add_watch(events_.descriptor(), data_dir.c_str(), IN_CLOSE_WRITE | IN_CREATE) < 0) {
    events_.Close();
  }
}

bool StoreWatch::Drain() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  bool of_interest = false;
  ssize_t got = 0;
  while ((got = ::read(events_.descriptor(), buffer.data(), buffer.size())) > 0) {
    for (size_t at = 0; at < static_cast<size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      // The name is padded with zeros.
      const std::string_view name =
          event.len == 0 ? std::string_view() : buffer.data() + at + sizeof event;
      const bool closed = (event.mask & IN_CLOSE_WRITE) != 0 && name == kJournalName;
      const bool serves = (event.mask & IN_CREATE) != 0 && name == kSocketName;
      of_interest = of_interest || closed || serves;
      at += sizeof event + event.len;
    }
  }
  return of_interest;
}

void StoreWatch::Forget() {
  if (events_.is_open()) (void)Drain();
}

WaitResult StoreWatch::Wait() {
  if (!events_.is_open()) return WaitReadable(-1, kLookWithoutEventsMs, true);
  for (;;) {
    const WaitResult result = WaitReadable(events_.descriptor(), kLookAnywayMs, true);
    if (result != WaitResult::ready || Drain()) return result;
  }
}

}  // namespace tidemark::tools
