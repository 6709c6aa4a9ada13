// Calls on cursors that other threads wait for, on the engine's thread.
#pragma once

#include <functional>
#include <list>
#include <optional>

#include "storage/request_queue.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

// What an Engine answers to such a call, or the ticket of nothing for one that only reads.
using CursorCall = std::function<Result<CursorTicket>(Engine&)>;

struct CursorRequest : Request {
  explicit CursorRequest(CursorCall its_call) : Request(Kind::cursor), call(std::move(its_call)) {}
  CursorCall call;
  Status result;
};

class ConcurrentCursors {
 public:
  // Both must outlive this.
  ConcurrentCursors(Engine& engine, Answers& answers) : engine_(engine), answers_(answers) {}

  void Start(CursorRequest* request);
  // Tries those again that found the engine busy, and answers those whose commits are durable. To
  // be called after each Poll().
  void Step();
  // Whether some wait for the engine not to be busy any more.
  bool any_blocked() const;

  // Those whose commits are under way.
  void FailCommits(const Error& error);
  // Those that were not begun.
  void FailBlocked(const Error& error);
  // After a clean stop, when all is durable and the engine may not be asked any more.
  void SettleClosed();

 private:
  struct Call {
    CursorRequest* request = nullptr;
    std::optional<CursorTicket> ticket;  // once it was begun
  };
  // True: it is answered.
  bool Advance(Call* call);
  bool Answer(const Call& call, Status result);

  Engine& engine_;
  Answers& answers_;
  std::list<Call> calls_;
};

}  // namespace tidemark::storage
