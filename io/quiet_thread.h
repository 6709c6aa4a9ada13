// Threads of our own, which never take part in the process's signal handling.
#pragma once

#include <functional>
#include <optional>
#include <thread>

namespace tidemark::io {

// Starts a thread in which all signals are blocked, so that SIGTERM interrupts the thread that
// waits for it; nothing when the system has no room for one more.
std::optional<std::thread> StartQuietThread(const char* name, std::function<void()> run);

// From now on the calling thread, and no other, works with what the others leave of the processors,
// and gives way to any that wakes up: at once, as far as the kernel has means for that. One with
// another policy than the usual keeps it.
void RunInBackground();

}  // namespace tidemark::io
