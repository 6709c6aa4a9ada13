#include "tools/local_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace tidemark::tools {
namespace {

// The file's mode keeps others out, but only once it is set: between bind(2) and chmod(2) it may be
// open to everybody. So each client's user is looked at as well.
bool IsOurUser(const io::Socket& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.descriptor(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

// The data folder is ours, so that nobody who listens here has a part in it. There may be somebody:
// what a process had io_uring watch is closed by the kernel a moment after it was killed and
// reaped.
void RemoveSocket(const std::string& path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) == 0 && S_ISSOCK(about.st_mode)) (void)::unlink(path.c_str());
}

}  // namespace

LocalServer::LocalServer(io::Loop& loop, Engine& engine) : loop_(loop), engine_(engine) {
  accepting_.owner = this;
  accepting_.done = [](io::Operation* operation) {
    auto* self = static_cast<LocalServer*>(operation->owner);
    self->accepting_armed_ = false;
    self->accept_again_ = operation->result >= 0;
  };
}

LocalServer::~LocalServer() { TIDEMARK_CHECK(ended()); }

Status LocalServer::Listen(const std::string& path) {
  RemoveSocket(path);
  auto listener = io::ListenUnix(path);
  if (!listener.ok()) return listener.error();
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
    return Error(ErrorCode::io_error, path + ": the mode cannot be set", errno);
  }
  path_ = path;
  listener_ = std::move(*listener);
  ArmAccepting();
  return {};
}

void LocalServer::ArmAccepting() {
  if (accepting_armed_ || !listener_.is_open()) return;
  accepting_armed_ = true;
  loop_.Watch(listener_.descriptor(), io::Readiness::readable, &accepting_);
}

void LocalServer::AcceptSome() {
  while (listener_.is_open()) {
    auto accepted = io::Accept(listener_);
    // Out of descriptors, say: accept_again_ stays set and the next turn tries anew, which is no
    // sooner than Poll() returns.
    if (!accepted.ok()) return;
    if (!accepted->is_open()) break;
    Admit(std::move(*accepted));
  }
  accept_again_ = false;
  ArmAccepting();
}

void LocalServer::Admit(io::Socket socket) {
  // A few more than allowed are held for the moment that it takes to tell them.
  if (connections_.size() >= 2 * kMaxConnections) return;
  const bool ours = IsOurUser(socket);
  auto connection = std::make_unique<LocalConnection>(loop_, engine_, std::move(socket));
  if (!ours) {
    connection->Refuse(Error(ErrorCode::invalid_argument, "this store is another user's"));
  } else if (connections_.size() >= kMaxConnections) {
    connection->Refuse(Error(ErrorCode::busy, "too many connections to the local socket"));
  }
  connections_.push_back(std::move(connection));
}

void LocalServer::Advance(std::span<Partition* const> moved) {
  if (accept_again_ && !finishing_) AcceptSome();
  for (const auto& connection : connections_) {
    if (!moved.empty()) connection->Stir(moved);
    connection->Advance();
  }
  std::erase_if(connections_, [](const auto& connection) { return connection->ended(); });
}

bool LocalServer::busy() const {
  return (accept_again_ && !finishing_) ||
         std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& connection) { return !connection->idle(); });
}

void LocalServer::Finish() {
  if (!path_.empty()) (void)::unlink(path_.c_str());
  path_.clear();
  finishing_ = true;
  if (accepting_armed_) loop_.Cancel(&accepting_);
  for (const auto& connection : connections_) connection->Finish();
}

void LocalServer::Close() {
  for (const auto& connection : connections_) connection->Close();
  std::erase_if(connections_, [](const auto& connection) { return connection->ended(); });
}

}  // namespace tidemark::tools
