// The local socket of `serve`: lets `topic`, `produce` and `consume` work beside it.
// docs/local-socket.md has the protocol.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/socket.h"
#include "tidemark/engine.h"
#include "tools/local_connection.h"

namespace tidemark::tools {

class LocalServer {
 public:
  static constexpr size_t kMaxConnections = 32;

  // Neither is owned; both must outlive it.
  LocalServer(io::Loop& loop, Engine& engine);
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;
  // Only when ended().
  ~LocalServer();

  // Listens at `path`, for this user alone. The data folder must be locked by this process.
  Status Listen(const std::string& path);

  // After each Engine::Poll(), with what it returned.
  void Advance(std::span<Partition* const> moved);
  // Some request waits for room in the engine or for the disk: Poll() must not wait long.
  bool busy() const;

  // Takes no connections and no requests any more, and removes the socket's file.
  void Finish();
  // Everything that was asked is answered. To be waited for after Finish(), but not for ever: a
  // client may not read its answers.
  bool finished() const { return connections_.empty(); }
  // Drops what is left. Afterwards the loop must run until ended().
  void Close();
  bool ended() const { return connections_.empty() && !accepting_armed_; }

 private:
  void AcceptSome();
  void Admit(io::Socket socket);
  void ArmAccepting();

  io::Loop& loop_;
  Engine& engine_;
  std::string path_;
  io::Socket listener_;
  io::Operation accepting_;
  bool accepting_armed_ = false;
  bool accept_again_ = false;
  bool finishing_ = false;
  std::vector<std::unique_ptr<LocalConnection>> connections_;
};

}  // namespace tidemark::tools
