#include "storage/engine_thread.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace tidemark::storage {
namespace {

using std::chrono::microseconds;

// How long the thread sleeps when nothing wakes it; only so that it is seen to live.
constexpr microseconds kIdleWait = std::chrono::seconds(10);
// How soon an append is tried again that found the engine busy, if nothing happens before.
constexpr microseconds kRetryWait = std::chrono::milliseconds(10);
// Share of the engine's memory that appends may take in the queue before AppendAsync() answers
// busy.
constexpr uint64_t kAsyncShare = 4;

Error Closed() { return Error(ErrorCode::stopped, "the engine was closed before this was done"); }

}  // namespace

// --- Any thread ---------------------------------------------------------------------------------

EngineThread::EngineThread(EngineOptions options) : options_(std::move(options)) {}

Status EngineThread::Start() {
  CloseRequest opened;
  opened.wait_word = answers_.CurrentWord();
  try {
    thread_ = std::thread([this, &opened] { Main(&opened); });
  } catch (const std::system_error& failure) {
    return Error(ErrorCode::io_error, "the engine's thread could not be started",
                 failure.code().value());
  }
  Answers::Await(opened);
  if (!opened.result.ok()) thread_.join();
  return opened.result;
}

void EngineThread::Stop() {
  if (!thread_.joinable()) return;
  TIDEMARK_CHECK(!IsCurrent());
  Request abandon(Request::Kind::abandon);
  static_cast<void>(Push(&abandon));
  thread_.join();
}

bool EngineThread::Push(Request* request) {
  // Afterwards the request is the engine's thread's: nothing of it may be read.
  const bool can_wait_for_commit =
      request->kind == Request::Kind::append &&
      static_cast<const AppendRequest*>(request)->durability == Durability::durable;
  request->wait_word = answers_.CurrentWord();
  if (!queue_.Push(request)) return false;
  WakeIfAsleep(can_wait_for_commit);
  return true;
}

// The pusher pushes, then looks whether the thread sleeps; the thread says that it sleeps, then
// looks whether something was pushed: one of them sees the other.
void EngineThread::WakeIfAsleep(bool can_wait_for_commit) {
  Sleep sleep = sleep_.load(std::memory_order_seq_cst);
  if (sleep == Sleep::awake || (sleep == Sleep::for_commit && can_wait_for_commit)) return;
  // One of those who push wakes it, not all.
  if (!sleep_.compare_exchange_strong(sleep, Sleep::awake)) return;
  const std::lock_guard lock(wake_mutex_);
  if (to_wake_ != nullptr) to_wake_->Wake();
}

bool EngineThread::Ask(Request* request) {
  if (!Push(request)) return false;
  Answers::Await(*request);
  return true;
}

Status EngineThread::Send(std::unique_ptr<AsyncAppend> append) {
  const uint64_t bytes = append->held_bytes();
  append->counted_bytes = bytes;
  const uint64_t before = async_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  // A record that is larger than all of the room goes alone.
  if (before != 0 && before + bytes > options_.memory_bytes / kAsyncShare) {
    async_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return Error(ErrorCode::busy, "too many records wait to be appended");
  }
  if (!Push(append.get())) {
    async_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return Closed();
  }
  static_cast<void>(append.release());  // now its own
  return {};
}

// --- The engine's thread ------------------------------------------------------------------------

void EngineThread::Main(CloseRequest* opened) {
  id_ = std::this_thread::get_id();
  auto engine = Engine::Open(options_);
  if (engine) {
    engine_ = *std::move(engine);
    appends_.emplace(*engine_, answers_, async_bytes_);
    reads_.emplace(*engine_, answers_);
    cursors_.emplace(*engine_, answers_);
    const std::lock_guard lock(wake_mutex_);
    to_wake_ = engine_.get();
  } else {
    opened->result = engine.error();
  }
  const bool running = engine_ != nullptr;
  answers_.Done(opened);
  answers_.WakeAll();
  if (!running) return;
  while (phase_ == Phase::running) Turn();
  ShutDown();
}

void EngineThread::Turn() {
  answers_.NextTurn();
  Take(queue_.TakeAll());
  if (phase_ != Phase::running) return;
  if (appends_->any_blocked()) {
    reads_->DropIdle();  // what idle readers pin may be what is missing
    appends_->RetryBlocked(false);
  }
  reads_->Step();
  if (answers_.any_to_wake()) {
    // The next commit goes to the disk first; waking threads takes its time.
    if (appends_->TakeAppended()) Poll();
    answers_.WakeAll();
  }
  Poll();
}

void EngineThread::Take(Request* oldest) {
  bool called = false;
  while (oldest != nullptr) {
    Request* const request = oldest;
    oldest = request->next;
    switch (request->kind) {
      case Request::Kind::append:
        appends_->Start(static_cast<AppendRequest*>(request));
        break;
      case Request::Kind::read:
        reads_->Start(static_cast<ReadRequest*>(request));
        break;
      case Request::Kind::find_time:
        reads_->Start(static_cast<FindTimeRequest*>(request));
        break;
      case Request::Kind::cursor:
        cursors_->Start(static_cast<CursorRequest*>(request));
        break;
      case Request::Kind::call:
        (*static_cast<CallRequest*>(request)->call)(*engine_);
        called = true;
        answers_.Done(request);
        break;
      case Request::Kind::close:
        if (close_ == nullptr) {
          close_ = static_cast<CloseRequest*>(request);
          if (phase_ == Phase::running) phase_ = Phase::closing;
        } else {
          static_cast<CloseRequest*>(request)->result = Closed();
          answers_.Done(request);
        }
        break;
      case Request::Kind::abandon:
        phase_ = Phase::abandoned;
        break;
    }
  }
  if (called) AfterCalls();
}

// A call may have polled, deleted topics, anything.
void EngineThread::AfterCalls() {
  appends_->SettleAll();
  reads_->LookAgain();
}

microseconds EngineThread::MaxWait() const {
  if (answers_.any_to_wake() || reads_->ready()) return microseconds(0);
  const bool blocked = appends_->any_blocked() || cursors_->any_blocked();
  microseconds wait = blocked ? kRetryWait : kIdleWait;
  if (const auto deadline = reads_->NextDeadline()) {
    const auto left = *deadline - std::chrono::steady_clock::now();
    wait = std::clamp(std::chrono::ceil<microseconds>(left), microseconds(0), wait);
  }
  return wait;
}

void EngineThread::Poll() {
  microseconds wait = MaxWait();
  if (wait > microseconds(0)) {
    sleep_.store(appends_->any_soon() ? Sleep::for_commit : Sleep::idle, std::memory_order_seq_cst);
    if (!queue_.empty()) {
      sleep_.store(Sleep::awake, std::memory_order_relaxed);
      wait = microseconds(0);
    }
  }
  static_cast<void>(appends_->TakeAppended());
  const auto moved = engine_->Poll(wait);
  sleep_.store(Sleep::awake, std::memory_order_relaxed);
  for (Partition* const partition : moved) appends_->Settle(partition);
  cursors_->Step();
  CheckHealth();
}

void EngineThread::CheckHealth() {
  if (failed_) return;
  const Status health = engine_->health();
  if (health.ok()) return;
  failed_ = true;
  appends_->SettleAll();
  const Error stopped(ErrorCode::stopped, health.error().message(), health.error().system_errno());
  appends_->FailAll(stopped);
  cursors_->FailCommits(stopped);
}

// --- The end ------------------------------------------------------------------------------------

void EngineThread::ShutDown() {
  Take(queue_.Close());
  reads_->EndAll(Closed());
  cursors_->FailBlocked(Closed());
  Status closed = Closed();
  if (phase_ == Phase::closing) {
    FinishBlocked();
    answers_.WakeAll();  // closing may take long
    closed = engine_->Close();
    if (closed.ok()) appends_->SettleClosed();
    if (closed.ok()) cursors_->SettleClosed();
  } else {
    appends_->SettleAll();
  }
  appends_->FailAll(Closed());
  cursors_->FailCommits(Closed());
  DestroyEngine();
  if (close_ != nullptr) {
    close_->result = closed;
    answers_.Done(close_);
  }
  answers_.WakeAll();
}

// Appends that wait for room were accepted before the end: they still go in, unless the disk is
// full.
void EngineThread::FinishBlocked() {
  while (appends_->any_blocked() && !failed_) {
    appends_->RetryBlocked(true);
    Poll();
    answers_.WakeAll();
  }
}

void EngineThread::DestroyEngine() {
  {
    const std::lock_guard lock(wake_mutex_);
    to_wake_ = nullptr;
  }
  appends_.reset();
  reads_.reset();
  cursors_.reset();
  engine_.reset();
}

}  // namespace tidemark::storage
