#include "tools/local_connection.h"

#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace tidemark::tools {
namespace {

constexpr size_t kReceiveBytes = size_t{16} << 10;
// Rounds of reading, answering and sending in one turn: the other connections have theirs, too.
constexpr int kRoundsPerTurn = 8;

}  // namespace

LocalConnection::LocalConnection(io::Loop& loop, Engine& engine, io::Socket socket)
    : loop_(loop), socket_(std::move(socket)), queue_(engine) {
  reading_.operation.owner = this;
  reading_.operation.done = [](io::Operation* operation) {
    auto* self = static_cast<LocalConnection*>(operation->owner);
    self->reading_.armed = false;
    if (!self->closing_) self->ReadSome();
  };
  writing_.operation.owner = this;
  writing_.operation.done = [](io::Operation* operation) {
    auto* self = static_cast<LocalConnection*>(operation->owner);
    self->writing_.armed = false;
    if (!self->closing_) self->SendSome();
  };
}

LocalConnection::~LocalConnection() { TIDEMARK_CHECK(!reading_.armed && !writing_.armed); }

void LocalConnection::Refuse(const Error& error) {
  refusal_ = error;
  finishing_ = true;
}

void LocalConnection::Arm(Watch& watch, io::Readiness readiness) {
  if (watch.armed || closing_) return;
  watch.armed = true;
  loop_.Watch(socket_.descriptor(), readiness, &watch.operation);
}

void LocalConnection::ReadSome() {
  std::array<std::byte, kReceiveBytes> chunk;
  const auto received = io::Receive(socket_, chunk);
  if (received.state == io::Transfer::done) {
    parser_.Append(base::AsText(base::ByteSpan(chunk).first(received.bytes)));
    return;
  }
  if (received.state == io::Transfer::would_block) return;
  // The client has sent all it wants to. It may still read what it has asked for, but nobody waits
  // for records any more.
  finishing_ = true;
  if (received.system_errno != 0 || queue_.only_waits_for_records()) Close();
}

void LocalConnection::TakeRequests() {
  while (!refusal_ && !queue_.full()) {
    auto message = parser_.Next();
    if (message.ok() && *message) {
      queue_.Push(std::move(**message));
      continue;
    }
    if (!message.ok()) Refuse(message.error());
    more_requests_ = false;
    return;
  }
  more_requests_ = !refusal_;
}

void LocalConnection::GiveAnswers() {
  if (unsent_bytes() >= kMaxUnsentBytes) return;
  queue_.Advance();
  while (unsent_bytes() < kMaxUnsentBytes) {
    auto response = queue_.PopResponse();
    if (!response) break;
    AppendMessage(std::move(response->head), response->body, &output_);
  }
  if (queue_.must_close()) finishing_ = true;
  if (refusal_ && !refused_ && answered()) {
    refused_ = true;
    AppendMessage(ErrorResponse(*refusal_), {}, &output_);
  }
}

void LocalConnection::SendSome() {
  if (unsent_bytes() == 0 || writing_.armed) return;
  const auto left = base::AsBytes(output_).subspan(sent_);
  const auto sending = io::Send(socket_, left);
  sent_ += sending.bytes;
  if (sending.state == io::Transfer::closed) {
    Close();
  } else if (sending.state == io::Transfer::would_block) {
    Arm(writing_, io::Readiness::writable);
  } else {
    // A large answer's memory is given back: many idle connections must cost little.
    output_ = std::string();
    sent_ = 0;
  }
}

void LocalConnection::CloseIfDone() {
  const bool all_answered = queue_.must_close() || (answered() && !more_requests_);
  if (finishing_ && all_answered && unsent_bytes() == 0) Close();
}

void LocalConnection::Advance() {
  for (int round = 0; round < kRoundsPerTurn && !closing_; ++round) {
    TakeRequests();
    GiveAnswers();
    if (unsent_bytes() == 0) break;
    SendSome();
    if (unsent_bytes() != 0) break;
  }
  if (closing_) return;
  CloseIfDone();
  if (!finishing_ && !queue_.full()) Arm(reading_, io::Readiness::readable);
}

void LocalConnection::Close() {
  if (closing_) return;
  closing_ = true;
  if (reading_.armed) loop_.Cancel(&reading_.operation);
  if (writing_.armed) loop_.Cancel(&writing_.operation);
}

}  // namespace tidemark::tools
