// The one background worker: what takes long (compression, segment writes and flushes, checkpoints)
// runs here, at a low priority, in the order in which it was submitted.
#pragma once

#include <functional>
#include <memory>

#include "io/loop.h"

namespace tidemark::io {

class Worker {
 public:
  virtual ~Worker() = default;
  // From the loop's thread. `work` runs on the worker's thread; afterwards `done` runs on the
  // loop's thread, from Loop::RunOnce() followed by RunDone(). Neither may throw.
  virtual void Submit(std::function<void()> work, std::function<void()> done) = 0;
  // Calls the `done` of all work that has ended; from the loop's thread. Returns how many.
  virtual size_t RunDone() = 0;
  // Work submitted whose `done` was not called yet.
  virtual size_t pending() const = 0;
};

// A thread that gives way to all others (RunInBackground()), started at the first Submit(), that
// wakes `loop` when work has ended. Its destructor waits for the running piece and drops the rest.
std::unique_ptr<Worker> MakeThreadWorker(Loop& loop);

// Runs `work` at once, inside Submit(), and wakes `loop` as the thread would: for tests.
std::unique_ptr<Worker> MakeInlineWorker(Loop& loop);

}  // namespace tidemark::io
