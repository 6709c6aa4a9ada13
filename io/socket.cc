#include "io/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>
#include <vector>

#include "io/system_error.h"

namespace tidemark::io {
namespace {

// Connections that the kernel keeps until they are accepted: a site's thermometers all come back at
// once after a power cut. Capped by net.core.somaxconn.
constexpr int kBacklog = 1024;

std::string ToText(const Address& address) {
  const bool is_ipv6 = address.host.find(':') != std::string::npos;
  const std::string host = is_ipv6 ? "[" + address.host + "]" : address.host;
  return host + ":" + std::to_string(address.port);
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, FreeAddresses>;

// All that `address` stands for, as the system's resolver says.
Result<AddressList> Resolve(const Address& address, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(address.port);
  const int failure = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &list);
  if (failure == 0) return AddressList(list);
  const int system_errno = failure == EAI_SYSTEM ? errno : 0;
  std::string message = ToText(address) + ": the host is unknown";
  if (system_errno == 0) message += std::string(" (") + gai_strerror(failure) + ")";
  return SystemError(system_errno, std::move(message));
}

// MQTT's packets are small and wait for answers: never held back for more.
void SendAtOnce(int descriptor) {
  const int on = 1;
  static_cast<void>(setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
}

bool SetNonBlocking(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  return flags >= 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0;
}

// A blocking connect; 0 or errno. One that a signal interrupts goes on in the kernel, and must be
// asked after in another way: tried again on a fresh socket here, since nothing was sent yet.
int Connect(int descriptor, const sockaddr* to, socklen_t length) {
  return connect(descriptor, to, length) == 0 ? 0 : errno;
}

bool IsLoopbackV4(uint32_t host_order) { return host_order >> 24 == 127; }

bool IsLoopbackAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return IsLoopbackV4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, address, sizeof v6);
  if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return true;
  if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return false;
  return IsLoopbackV4(base::LoadBig<uint32_t>(&v6.sin6_addr.s6_addr[12]));
}

// Binds a new socket to `at` and listens; the errno of what failed lands in `failure`.
Socket TryListen(const addrinfo& at, int* failure) {
  Socket socket(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, at.ai_protocol));
  const int on = 1;
  // REUSEADDR: a restart must not wait for the old connections' last packets.
  if (!socket.is_open() ||
      setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(socket.descriptor(), at.ai_addr, at.ai_addrlen) != 0 ||
      listen(socket.descriptor(), kBacklog) != 0) {
    *failure = errno;
    return {};
  }
  return socket;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    Close();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void Socket::Close() {
  if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
}

Result<Address> ParseAddress(std::string_view text) {
  const Error bad(ErrorCode::invalid_argument,
                  "\"" + std::string(text) + "\" is no address: write HOST:PORT or [IPV6]:PORT");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || (!bracketed && host.find_first_of(":[]") != std::string_view::npos))
    return bad;
  if (bracketed && host.find(':') == std::string_view::npos) return bad;
  Address address;
  address.host = host;
  const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (failure != std::errc() || end != port.data() + port.size()) return bad;
  return address;
}

bool IsLoopback(const Address& address) {
  const auto list = Resolve(address, 0);
  if (!list) return false;
  for (const addrinfo* at = list->get(); at != nullptr; at = at->ai_next) {
    if (!IsLoopbackAddress(at->ai_addr)) return false;
  }
  return true;
}

Result<Socket> ListenTcp(const Address& address) {
  const auto list = Resolve(address, AI_PASSIVE);
  if (!list) return list.error();
  // A name such as localhost may stand for both families and a socket serves one: IPv4 is what the
  // smallest clients speak.
  std::vector<const addrinfo*> candidates;
  for (const addrinfo* at = list->get(); at != nullptr; at = at->ai_next) candidates.push_back(at);
  std::stable_partition(candidates.begin(), candidates.end(),
                        [](const addrinfo* at) { return at->ai_family == AF_INET; });
  int failure = 0;
  for (const addrinfo* const at : candidates) {
    Socket socket = TryListen(*at, &failure);
    if (socket.is_open()) return socket;
  }
  return SystemError(failure, ToText(address) + ": listening failed");
}

Result<std::string> LocalAddress(const Socket& socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  auto* const name = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(socket.descriptor(), name, &length) != 0) {
    return SystemError(errno, "asking for a socket's own address failed");
  }
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const int failure = getnameinfo(name, length, host.data(), host.size(), port.data(), port.size(),
                                  NI_NUMERICHOST | NI_NUMERICSERV);
  if (failure != 0) {
    return Error(ErrorCode::io_error,
                 std::string("a socket's own address is not of TCP: ") + gai_strerror(failure));
  }
  const std::string text = host.data();
  return (text.find(':') != std::string::npos ? "[" + text + "]" : text) + ":" + port.data();
}

Result<Socket> ConnectTcp(const Address& address) {
  const auto list = Resolve(address, 0);
  if (!list) return list.error();
  int failure = 0;
  for (const addrinfo* at = list->get(); at != nullptr;) {
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, at->ai_protocol));
    failure = socket.is_open() ? Connect(socket.descriptor(), at->ai_addr, at->ai_addrlen) : errno;
    if (failure == EINTR) continue;
    if (failure == 0) {
      SendAtOnce(socket.descriptor());
      if (SetNonBlocking(socket.descriptor())) return socket;
      failure = errno;
    }
    at = at->ai_next;
  }
  return SystemError(failure, ToText(address) + ": connecting failed");
}

Result<Socket> Accept(const Socket& listener) {
  for (;;) {
    Socket socket(accept4(listener.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.is_open()) {
      SendAtOnce(socket.descriptor());
      return socket;
    }
    switch (errno) {
      case EAGAIN:
        return Socket();
      case EINTR:
      // The connection was in error before it was accepted: accept(2) says to treat these like
      // EAGAIN, and to go on with the next one.
      case ECONNABORTED:
      case EPROTO:
      case ENOPROTOOPT:
      case ENETDOWN:
      case ENETUNREACH:
      case EHOSTDOWN:
      case EHOSTUNREACH:
      case ENONET:
        continue;
      default:
        return SystemError(errno, "accepting a connection failed");
    }
  }
}

TransferResult Receive(const Socket& socket, base::MutableByteSpan into) {
  if (into.empty()) return {};
  for (;;) {
    const ssize_t got = recv(socket.descriptor(), into.data(), into.size(), 0);
    if (got > 0) return {Transfer::done, static_cast<size_t>(got), 0};
    if (got == 0) return {Transfer::closed, 0, 0};
    if (errno == EAGAIN) return {Transfer::would_block, 0, 0};
    if (errno != EINTR) return {Transfer::closed, 0, errno};
  }
}

TransferResult Send(const Socket& socket, base::ByteSpan bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t took =
        send(socket.descriptor(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (took >= 0) {
      sent += static_cast<size_t>(took);
    } else if (errno == EAGAIN) {
      return {Transfer::would_block, sent, 0};
    } else if (errno != EINTR) {
      return {Transfer::closed, sent, errno};
    }
  }
  return {Transfer::done, sent, 0};
}

}  // namespace tidemark::io
