// A few threads that do blocking reads and writes for the loop over plain system calls.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "io/operation_list.h"
#include "io/wake_signal.h"

namespace tidemark::io {

class IoThreads {
 public:
  // Wakes `wake` (completed) when there is something to take.
  explicit IoThreads(WakeSignal* wake) : wake_(wake) {}
  // Waits for the transfers that have begun; those that have not are dropped.
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  // From the loop's thread: runs the transfer that `operation` describes, and then hands it out
  // again by TakeEnded(). Starts a thread when all are busy and there may be another one.
  void Submit(Operation* operation);
  // Moves all that have ended to the end of `into`.
  void TakeEnded(OperationList* into);

 private:
  // Where no thread can be had at all, does what waits right here.
  void StartThread();
  void Run();

  WakeSignal* const wake_;
  std::mutex mutex_;
  std::condition_variable work_ready_;
  OperationList waiting_;
  OperationList ended_;
  size_t waiting_count_ = 0;
  size_t idle_threads_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // the loop's thread only
};

}  // namespace tidemark::io
