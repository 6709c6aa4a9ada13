// The local socket in the data folder (the other half of socket.h).
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "io/socket.h"
#include "io/system_error.h"

namespace tidemark::io {
namespace {

constexpr int kLocalBacklog = 64;

// The address of a socket file. A path may be longer than the 107 characters that fit: it is then
// named through its folder's descriptor, which `folder` keeps open.
struct UnixAddress {
  sockaddr_un name{};
  Socket folder;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

Result<UnixAddress> MakeUnixAddress(const std::string& path) {
  UnixAddress address;
  address.name.sun_family = AF_UNIX;
  std::string short_path = path;
  if (path.size() >= sizeof address.name.sun_path) {
    const size_t slash = path.find_last_of('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
    address.folder = Socket(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!address.folder.is_open())
      return SystemError(errno, folder + ": open of the folder failed");
    short_path = "/proc/self/fd/" + std::to_string(address.folder.descriptor()) + "/" + file;
  }
  if (short_path.size() >= sizeof address.name.sun_path) {
    return Error(ErrorCode::invalid_argument, path + ": the name of the socket is too long");
  }
  std::memcpy(address.name.sun_path, short_path.c_str(), short_path.size() + 1);
  return address;
}

// A connected, blocking socket, or a closed one with the reason in errno.
Socket TryConnect(const UnixAddress& address) {
  for (;;) {
    Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return socket;
    if (connect(socket.descriptor(), address.get(), sizeof address.name) == 0) return socket;
    const int failure = errno;
    if (failure == EINTR) continue;
    socket.Close();
    errno = failure;
    return socket;
  }
}

// Removes a socket file that nobody listens on. Anything else stays, and bind() then says
// EADDRINUSE.
void RemoveStale(const std::string& path, const UnixAddress& address) {
  struct stat about {};
  if (lstat(path.c_str(), &about) != 0 || !S_ISSOCK(about.st_mode)) return;
  const Socket probe = TryConnect(address);
  if (!probe.is_open() && errno == ECONNREFUSED) unlink(path.c_str());
}

}  // namespace

Result<Socket> ListenUnix(const std::string& path) {
  const auto address = MakeUnixAddress(path);
  if (!address) return address.error();
  RemoveStale(path, *address);
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open() || bind(socket.descriptor(), address->get(), sizeof address->name) != 0 ||
      listen(socket.descriptor(), kLocalBacklog) != 0) {
    return SystemError(errno, path + ": listening failed");
  }
  return socket;
}

Result<Socket> ConnectUnix(const std::string& path) {
  const auto address = MakeUnixAddress(path);
  if (!address) return address.error();
  Socket socket = TryConnect(*address);
  if (!socket.is_open()) return SystemError(errno, path + ": connecting failed");
  return socket;
}

}  // namespace tidemark::io
