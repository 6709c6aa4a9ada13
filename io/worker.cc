#include "io/worker.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "io/quiet_thread.h"

namespace tidemark::io {
namespace {

struct Piece {
  std::function<void()> work;
  std::function<void()> done;
};

class ThreadWorker final : public Worker {
 public:
  explicit ThreadWorker(Loop& loop) : loop_(loop) {}
  ~ThreadWorker() override;
  ThreadWorker(const ThreadWorker&) = delete;
  ThreadWorker& operator=(const ThreadWorker&) = delete;

  void Submit(std::function<void()> work, std::function<void()> done) override;
  size_t RunDone() override;
  size_t pending() const override { return pending_; }

 private:
  void Run();

  Loop& loop_;
  size_t pending_ = 0;                 // the loop's thread only
  std::optional<std::thread> thread_;  // the loop's thread only
  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::deque<Piece> waiting_;
  std::deque<std::function<void()>> ended_;
  bool stopping_ = false;
};

ThreadWorker::~ThreadWorker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_ready_.notify_one();
  if (thread_) thread_->join();
}

void ThreadWorker::Submit(std::function<void()> work, std::function<void()> done) {
  ++pending_;
  if (!thread_) thread_ = StartQuietThread("tidemark-worker", [this] { Run(); });
  if (!thread_) {  // no room for a thread: slow beats stuck
    work();
    const std::lock_guard lock(mutex_);
    ended_.push_back(std::move(done));
    loop_.Wake();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(work), std::move(done)});
  }
  work_ready_.notify_one();
}

size_t ThreadWorker::RunDone() {
  std::deque<std::function<void()>> ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
  }
  for (const auto& done : ended) {
    --pending_;
    done();
  }
  return ended.size();
}

void ThreadWorker::Run() {
  RunInBackground();
  std::unique_lock lock(mutex_);
  for (;;) {
    work_ready_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    Piece piece = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    piece.work();
    piece.work = nullptr;  // what it holds is let go here, before `done` can run
    lock.lock();
    ended_.push_back(std::move(piece.done));
    loop_.Wake();
  }
}

class InlineWorker final : public Worker {
 public:
  explicit InlineWorker(Loop& loop) : loop_(loop) {}

  void Submit(std::function<void()> work, std::function<void()> done) override {
    work();
    ended_.push_back(std::move(done));
    loop_.Wake();
  }

  size_t RunDone() override {
    std::deque<std::function<void()>> ended;
    ended.swap(ended_);
    running_ = ended.size();
    for (const auto& done : ended) {
      --running_;
      done();
    }
    return ended.size();
  }

  size_t pending() const override { return ended_.size() + running_; }

 private:
  Loop& loop_;
  std::deque<std::function<void()>> ended_;
  size_t running_ = 0;  // taken by RunDone(), and their `done` not yet called
};

}  // namespace

std::unique_ptr<Worker> MakeThreadWorker(Loop& loop) {
  return std::make_unique<ThreadWorker>(loop);
}

std::unique_ptr<Worker> MakeInlineWorker(Loop& loop) {
  return std::make_unique<InlineWorker>(loop);
}

}  // namespace tidemark::io
