#include "tools/request_queue.h"

#include <utility>

#include "io/environment.h"

namespace tidemark::tools {

void RequestQueue::Push(Message message) {
  waiting_bytes_ += message.body.size();
  Slot slot;
  slot.message = std::move(message);
  slots_.push_back(std::move(slot));
}

void RequestQueue::Stir(std::span<Partition* const> moved) {
  for (Slot& slot : slots_) {
    if (slot.work != nullptr) slot.work->Stir(moved);
  }
}

Json RequestQueue::AnswerHello(const Json& head) {
  const auto version = RequiredInteger(head, "version");
  if (version.ok() && *version == kProtocolVersion) {
    greeted_ = true;
    Json response;
    response["ok"] = true;
    response["server"] = "tidemark " TIDEMARK_VERSION;
    response["version"] = kProtocolVersion;
    response["process_id"] = io::CurrentProcessId();
    return response;
  }
  must_close_ = true;
  if (!version.ok()) return ErrorResponse(version.error());
  return ErrorResponse(
      Error(ErrorCode::unsupported, "version " + std::to_string(*version) +
                                        " of the local protocol is not spoken here, only version " +
                                        std::to_string(kProtocolVersion)));
}

Result<std::unique_ptr<Request>> RequestQueue::MakeRequest(Slot& slot, const std::string& name) {
  if (name == "produce") return MakeProduceRequest(context_, std::move(slot.message));
  if (name == "fetch") return MakeFetchRequest(context_, slot.message.head);
  if (auto request = MakeTopicRequest(context_.engine, name, slot.message.head)) return request;
  auto request = MakeCursorRequest(context_.engine, name, slot.message.head);
  if (!request.ok() || *request != nullptr) return request;
  return Error(ErrorCode::unsupported, "the request '" + name + "' is not known");
}

void RequestQueue::Begin(Slot& slot) {
  slot.begun = true;
  waiting_bytes_ -= slot.message.body.size();
  const auto name = RequiredText(slot.message.head, "request");
  std::optional<Json> answer;
  if (!name.ok()) {
    answer = ErrorResponse(name.error());
  } else if (*name == "hello") {
    answer = AnswerHello(slot.message.head);
  } else if (!greeted_) {
    must_close_ = true;
    answer = ErrorResponse(Error(ErrorCode::invalid_argument, "the first request must be 'hello'"));
  } else {
    answer = AnswerTopicRequest(context_.engine, *name, slot.message.head);
  }
  if (!answer) {
    auto work = MakeRequest(slot, *name);
    if (work.ok()) {
      slot.work = std::move(*work);
    } else {
      answer = ErrorResponse(work.error());
    }
  }
  slot.message = Message();
  if (answer) slot.response = Message{std::move(*answer), {}};
}

// Produces follow each other to the disk; anything else sees what was asked for before it done.
bool RequestQueue::IsProduce(const Slot& slot) {
  const auto name = OptionalText(slot.message.head, "request");
  return name.ok() && *name == "produce";
}

void RequestQueue::Advance() {
  bool all_answered = true;
  for (Slot& slot : slots_) {
    if (!slot.begun && (must_close_ || (!all_answered && !IsProduce(slot)))) break;
    if (!slot.begun) Begin(slot);
    if (slot.work != nullptr) {
      slot.response = slot.work->Advance();
      if (slot.response) slot.work.reset();
    }
    if (!slot.response && !slot.work->lets_next_begin()) break;
    all_answered = all_answered && slot.response;
  }
}

std::optional<Message> RequestQueue::PopResponse() {
  if (slots_.empty() || !slots_.front().response) return std::nullopt;
  Message response = std::move(*slots_.front().response);
  slots_.pop_front();
  return response;
}

bool RequestQueue::only_waits_for_records() const {
  return !slots_.empty() && slots_.front().work != nullptr &&
         slots_.front().work->waits_for_records();
}

}  // namespace tidemark::tools
