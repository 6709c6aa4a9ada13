// How other threads hand requests to the engine's thread, and wait for their answers. Without
// locks: with 64 threads that each append one record at a time, a lock would be fought over at
// every commit.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tidemark::storage {

// What a thread sleeps on. Its value changes whenever some request that waits on it may be done.
struct alignas(64) WaitWord {
  std::atomic<int> value{0};
};

// A request. It belongs to the thread that made it until it was pushed, then to the engine's thread
// until `done` is set, then to its maker again.
struct Request {
  enum class Kind : uint8_t { append, read, find_time, cursor, call, close, abandon };
  explicit Request(Kind its_kind) : kind(its_kind) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  const Kind kind;
  std::atomic<bool> done{false};
  WaitWord* wait_word = nullptr;  // where its maker sleeps
  Request* next = nullptr;        // in the queue
};

// A stack that is pushed to by any thread and taken whole by one, which turns it round: first come,
// first served.
class RequestQueue {
 public:
  // False, and nothing is done, when the queue is closed.
  bool Push(Request* request) {
    Request* head = head_.load(std::memory_order_relaxed);
    do {
      if (head == &closed_) return false;
      request->next = head;
    } while (!head_.compare_exchange_weak(head, request, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    return true;
  }

  // Everything pushed so far, oldest first, linked by `next`; nullptr: nothing.
  Request* TakeAll() { return Take(nullptr); }
  // The same, and nothing can be pushed any more.
  Request* Close() { return Take(&closed_); }

  bool empty() const { return head_.load(std::memory_order_seq_cst) == nullptr; }

 private:
  Request* Take(Request* replacement) {
    Request* newest = head_.exchange(replacement, std::memory_order_acq_rel);
    Request* oldest = nullptr;
    while (newest != nullptr && newest != &closed_) {
      Request* const before = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = before;
    }
    return oldest;
  }

  Request closed_{Request::Kind::close};  // as the head: the queue is closed
  std::atomic<Request*> head_{nullptr};
};

// Answers of requests that threads wait for. Those that are handed over in the same turn of the
// engine's thread are mostly answered in the same turn, too, by one commit: they sleep on one word,
// so that one call to the kernel wakes them all.
class Answers {
 public:
  // The word for a request that is pushed now. From any thread.
  WaitWord* CurrentWord() { return &words_[turn_.load(std::memory_order_relaxed) % kWords]; }

  // Sleeps until the request is done. From the thread that made it.
  static void Await(const Request& request) {
    for (;;) {
      const int seen = request.wait_word->value.load(std::memory_order_acquire);
      if (request.done.load(std::memory_order_acquire)) return;
      request.wait_word->value.wait(seen, std::memory_order_acquire);
    }
  }

  // The rest is for the engine's thread.
  void NextTurn() { turn_.fetch_add(1, std::memory_order_relaxed); }

  // Gives the request back to its maker, who may let it go at once, and is woken by the next
  // WakeAll().
  void Done(Request* request) {
    WaitWord* const word = request->wait_word;
    request->done.store(true, std::memory_order_release);
    to_wake_ |= uint64_t{1} << (word - words_.data());
  }
  bool any_to_wake() const { return to_wake_ != 0; }
  void WakeAll() {
    for (size_t i = 0; to_wake_ != 0; ++i, to_wake_ >>= 1) {
      if ((to_wake_ & 1) == 0) continue;
      words_[i].value.fetch_add(1, std::memory_order_release);
      words_[i].value.notify_all();
    }
  }

 private:
  static constexpr size_t kWords = 64;  // a bit each in `to_wake_`
  std::array<WaitWord, kWords> words_;
  std::atomic<uint32_t> turn_{0};
  uint64_t to_wake_ = 0;
};

}  // namespace tidemark::storage
