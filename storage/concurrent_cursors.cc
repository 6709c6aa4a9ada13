#include "storage/concurrent_cursors.h"

#include <algorithm>
#include <utility>

namespace tidemark::storage {

void ConcurrentCursors::Start(CursorRequest* request) {
  Call call{request, std::nullopt};
  if (!Advance(&call)) calls_.push_back(call);
}

void ConcurrentCursors::Step() {
  std::erase_if(calls_, [this](Call& call) { return Advance(&call); });
}

bool ConcurrentCursors::any_blocked() const {
  return std::any_of(calls_.begin(), calls_.end(), [](const Call& call) { return !call.ticket; });
}

bool ConcurrentCursors::Advance(Call* call) {
  if (!call->ticket) {
    const auto ticket = call->request->call(engine_);
    if (!ticket && ticket.error().code() == ErrorCode::busy) return false;
    if (!ticket) return Answer(*call, ticket.error());
    call->ticket = *ticket;
  }
  return call->ticket->durable() && Answer(*call, {});
}

bool ConcurrentCursors::Answer(const Call& call, Status result) {
  call.request->result = std::move(result);
  answers_.Done(call.request);
  return true;
}

void ConcurrentCursors::FailCommits(const Error& error) {
  std::erase_if(calls_, [&](const Call& call) { return call.ticket && Answer(call, error); });
}

void ConcurrentCursors::FailBlocked(const Error& error) {
  std::erase_if(calls_, [&](const Call& call) { return !call.ticket && Answer(call, error); });
}

void ConcurrentCursors::SettleClosed() {
  std::erase_if(calls_, [&](const Call& call) { return call.ticket && Answer(call, {}); });
}

}  // namespace tidemark::storage
