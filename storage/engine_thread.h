// The thread that runs an Engine for a ConcurrentEngine: takes requests, polls, answers.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "storage/concurrent_appends.h"
#include "storage/concurrent_cursors.h"
#include "storage/concurrent_reads.h"
#include "storage/request_queue.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

struct CallRequest : Request {
  explicit CallRequest(const std::function<void(Engine&)>& its_call)
      : Request(Kind::call), call(&its_call) {}
  const std::function<void(Engine&)>* call;
  Status result;
};

struct CloseRequest : Request {
  CloseRequest() : Request(Kind::close) {}
  Status result;
};

class EngineThread {
 public:
  explicit EngineThread(EngineOptions options);
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;
  // The thread must have ended (Stop).
  ~EngineThread() = default;

  // Starts the thread and waits until it has opened the engine.
  Status Start();
  // Ends the thread, if it still runs, as a crash would; answers all. Not from the thread itself.
  void Stop();

  // Hands a request over and waits until it is done. False: nothing was done, the engine is closed.
  bool Ask(Request* request);
  // Hands it over without waiting. busy or stopped: nothing was done.
  Status Send(std::unique_ptr<AsyncAppend> append);

  // Whether the caller is the thread itself, which must not wait for itself.
  bool IsCurrent() const { return std::this_thread::get_id() == id_; }

 private:
  enum class Phase { running, closing, abandoned };
  // Whether a push has to wake the thread.
  enum class Sleep : int {
    awake,
    for_commit,  // until a commit is complete: more durable appends can wait for that, too
    idle,
  };
  bool Push(Request* request);
  void WakeIfAsleep(bool can_wait_for_commit);

  void Main(CloseRequest* opened);
  void Turn();
  void Take(Request* oldest);
  void Poll();
  std::chrono::microseconds MaxWait() const;
  void AfterCalls();
  void CheckHealth();
  void ShutDown();
  void FinishBlocked();
  void DestroyEngine();

  const EngineOptions options_;
  RequestQueue queue_;
  Answers answers_;
  std::atomic<uint64_t> async_bytes_{0};
  std::atomic<Sleep> sleep_{Sleep::awake};
  std::mutex wake_mutex_;
  Engine* to_wake_ = nullptr;  // under wake_mutex_; nullptr once the engine is being destroyed
  std::thread thread_;
  std::thread::id id_;

  // The engine's thread only.
  std::unique_ptr<Engine> engine_;
  std::optional<ConcurrentAppends> appends_;
  std::optional<ConcurrentReads> reads_;
  std::optional<ConcurrentCursors> cursors_;
  bool failed_ = false;  // health() was found bad
  Phase phase_ = Phase::running;
  CloseRequest* close_ = nullptr;  // who asked for the end
};

}  // namespace tidemark::storage
