// The requests of one conversation, answered in the order in which they came.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "tools/request.h"

namespace tidemark::tools {

class RequestQueue {
 public:
  // Records of so many requests may be on their way to the disk at once.
  static constexpr size_t kMaxRequests = 64;
  // So many bytes of requests may wait for their turn.
  static constexpr size_t kMaxWaitingBytes = kMaxRequestBodyBytes;

  explicit RequestQueue(Engine& engine) : context_(engine) {}

  // Whether nothing more is to be pushed for now: the caller stops reading.
  bool full() const { return slots_.size() >= kMaxRequests || waiting_bytes_ >= kMaxWaitingBytes; }
  bool empty() const { return slots_.empty(); }
  void Push(Message message);

  // Partitions whose durable end has moved.
  void Stir(std::span<Partition* const> moved);
  // Lets the requests go on as far as they can without waiting. Afterwards PopResponse() has what
  // is answered.
  void Advance();
  std::optional<Message> PopResponse();

  // All that is left waits for records that nobody may ever send.
  bool only_waits_for_records() const;
  // The client speaks another version of the protocol, or none: answer, then close.
  bool must_close() const { return must_close_; }

 private:
  struct Slot {
    Message message;
    bool begun = false;
    std::unique_ptr<Request> work;  // while begun and not answered
    std::optional<Message> response;
  };
  void Begin(Slot& slot);
  static bool IsProduce(const Slot& slot);
  Json AnswerHello(const Json& head);
  Result<std::unique_ptr<Request>> MakeRequest(Slot& slot, const std::string& name);

  RequestContext context_;
  std::deque<Slot> slots_;
  size_t waiting_bytes_ = 0;
  bool greeted_ = false;
  bool must_close_ = false;
};

}  // namespace tidemark::tools
