// Stream sockets, non-blocking, to be used with Loop::Watch(). TCP for MQTT, Unix for the local
// socket in the data folder. Neither call blocks; none raises SIGPIPE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "tidemark/error.h"

namespace tidemark::io {

// A descriptor that is closed by its destructor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { Close(); }

  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  void Close();

 private:
  int descriptor_ = -1;
};

// An address as people write it: "127.0.0.1:1883", "[::1]:0", "0.0.0.0:1883", "localhost:1883".
struct Address {
  std::string host;
  uint16_t port = 0;
};
Result<Address> ParseAddress(std::string_view text);
// Whether all that `host` stands for is of this machine (127.0.0.0/8, ::1, localhost).
bool IsLoopback(const Address& address);

Result<Socket> ListenTcp(const Address& address);
// The port that the kernel chose when 0 was asked for, with the host: "127.0.0.1:41733".
Result<std::string> LocalAddress(const Socket& socket);
Result<Socket> ConnectTcp(const Address& address);  // blocks; the socket is non-blocking afterwards
// Replaces a socket file at `path` that nobody listens on any more.
Result<Socket> ListenUnix(const std::string& path);
// Blocks; the socket stays blocking. Code io_error with errno ENOENT or ECONNREFUSED when nobody
// listens.
Result<Socket> ConnectUnix(const std::string& path);

// A connection that waits to be accepted, or a closed Socket when there is none.
Result<Socket> Accept(const Socket& listener);

enum class Transfer { done, would_block, closed };
struct TransferResult {
  Transfer state = Transfer::done;
  size_t bytes = 0;
  int system_errno = 0;  // with closed: why, 0 for an orderly end
};
// One recv: `bytes` may be fewer than fit.
TransferResult Receive(const Socket& socket, base::MutableByteSpan into);
// Sends until all is gone or the kernel takes no more.
TransferResult Send(const Socket& socket, base::ByteSpan bytes);

}  // namespace tidemark::io
