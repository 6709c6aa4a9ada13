#include "io/io_threads.h"

#include <optional>

#include "io/quiet_thread.h"
#include "io/system_file.h"
#include "io/transfer.h"

namespace tidemark::io {
namespace {

// One for the commit in flight and a few for readers. A commit never waits behind more than the
// reads that were started before it.
constexpr size_t kMaxThreads = 4;

void RunTransfer(Operation* operation) {
  const auto& work = operation->loop;
  const uint32_t unit_bytes = work.file->direct() ? work.file->block_bytes() : 1;
  if (static_cast<Direction>(work.kind) == Direction::read) {
    operation->result =
        ReadFully(work.descriptor, unit_bytes, work.offset, {work.data, work.length});
  } else {
    operation->result =
        WriteFully(work.descriptor, unit_bytes, work.offset, {work.data, work.length},
                   work.durable ? Durable::yes : Durable::no);
  }
}

}  // namespace

IoThreads::~IoThreads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void IoThreads::Submit(Operation* operation) {
  bool more_threads = false;
  {
    const std::lock_guard lock(mutex_);
    waiting_.PushBack(operation);
    ++waiting_count_;
    more_threads = waiting_count_ > idle_threads_;
  }
  work_ready_.notify_one();
  if (more_threads && threads_.size() < kMaxThreads) StartThread();
}

void IoThreads::StartThread() {
  std::optional<std::thread> thread = StartQuietThread("tidemark-io", [this] { Run(); });
  if (thread) {
    threads_.push_back(*std::move(thread));
    return;
  }
  if (!threads_.empty()) return;  // fewer will do
  const std::lock_guard lock(mutex_);
  while (Operation* const operation = waiting_.PopFront()) {
    --waiting_count_;
    RunTransfer(operation);
    ended_.PushBack(operation);
  }
  wake_->Wake(WakeSignal::completed);
}

void IoThreads::TakeEnded(OperationList* into) {
  const std::lock_guard lock(mutex_);
  into->Append(&ended_);
}

void IoThreads::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_threads_;
    work_ready_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    --idle_threads_;
    if (stopping_) return;
    Operation* const operation = waiting_.PopFront();
    --waiting_count_;
    lock.unlock();
    RunTransfer(operation);
    lock.lock();
    ended_.PushBack(operation);
    // Under the lock, so that the loop cannot take the last operation and end us before this is
    // done.
    wake_->Wake(WakeSignal::completed);
  }
}

}  // namespace tidemark::io
