// One client of the local socket: bytes in, requests, bytes out. Bounded on every side: while
// requests wait (the engine is busy, the client does not read its answers) nothing more is read,
// and the kernel's socket buffer tells the client to wait.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "io/loop.h"
#include "io/socket.h"
#include "tools/request_queue.h"

namespace tidemark::tools {

class LocalConnection {
 public:
  LocalConnection(io::Loop& loop, Engine& engine, io::Socket socket);
  LocalConnection(const LocalConnection&) = delete;
  LocalConnection& operator=(const LocalConnection&) = delete;
  // Only when ended().
  ~LocalConnection();

  // Answers with one error behind what was asked before, and closes: for a client that is not let
  // in, or does not speak the protocol.
  void Refuse(const Error& error);

  // After each Poll(): the partitions that moved, then a turn.
  void Stir(std::span<Partition* const> moved) { queue_.Stir(moved); }
  void Advance();

  // Takes no further requests; closes once those taken are answered.
  void Finish() { finishing_ = true; }
  // Ends it at once.
  void Close();
  // Nothing of it is in the loop's hands any more: it may be destroyed.
  bool ended() const { return closing_ && !reading_.armed && !writing_.armed; }
  // Nothing is to be done until its client or a partition stirs.
  bool idle() const { return answered() && !more_requests_; }

 private:
  // Answers are made while fewer bytes than this wait to be sent.
  static constexpr size_t kMaxUnsentBytes = size_t{256} << 10;

  struct Watch {
    io::Operation operation;
    bool armed = false;
  };
  void Arm(Watch& watch, io::Readiness readiness);
  void ReadSome();
  void TakeRequests();
  void GiveAnswers();
  void SendSome();
  void CloseIfDone();
  bool answered() const { return queue_.empty() || queue_.only_waits_for_records(); }
  size_t unsent_bytes() const { return output_.size() - sent_; }

  io::Loop& loop_;
  io::Socket socket_;
  Watch reading_;
  Watch writing_;
  MessageParser parser_{MessageParser::kRequestLimits};
  RequestQueue queue_;
  std::string output_;
  size_t sent_ = 0;
  std::optional<Error> refusal_;  // to be sent as the last answer
  bool refused_ = false;
  bool more_requests_ = false;  // the parser holds what the queue had no room for
  bool finishing_ = false;      // by Finish(), by the client's end of stream, or by garbage
  bool closing_ = false;
};

}  // namespace tidemark::tools
