// How other threads end the wait of a loop. An eventfd ends it, but writing to one is a system
// call: it is written only when the loop waits and nobody has written it yet. A loop that is busy
// anyway is woken for the price of one atomic operation.
#pragma once

#include <atomic>
#include <cstdint>

namespace tidemark::io {

class WakeSignal {
 public:
  // Why the loop was woken; they add up.
  enum Reason : uint32_t {
    none = 0,
    called = 1,     // Loop::Wake()
    completed = 2,  // an I/O thread has ended an operation
  };

  // `flags` are eventfd's.
  explicit WakeSignal(int flags);
  ~WakeSignal();
  WakeSignal(const WakeSignal&) = delete;
  WakeSignal& operator=(const WakeSignal&) = delete;

  // From any thread.
  void Wake(Reason reason);

  // From the loop's thread. BeginWait() says whether it may wait: not when it has been woken since
  // the last Take(). After the wait, and also when there was none, Take() returns the reasons so
  // far and forgets them. The descriptor may become readable once more after that; this means
  // nothing.
  bool BeginWait();
  uint32_t Take();

  // The eventfd, 0 or more, or -errno when there is none to be had.
  int descriptor() const { return descriptor_; }

 private:
  static constexpr uint32_t kWaiting = 1u << 31;

  std::atomic<uint32_t> state_{none};  // reasons, and whether the loop waits
  int descriptor_;
};

}  // namespace tidemark::io
