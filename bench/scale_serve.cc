#include "bench/scale_serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bench/mqtt_packets.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

struct Gateway {
  pid_t process = -1;
  int errors = -1;  // what it writes to stderr
};

Gateway Start(const std::string& binary, const std::string& folder) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) GiveUpWithErrno("pipe");
  const pid_t process = fork();
  if (process < 0) GiveUpWithErrno("fork");
  if (process == 0) {
    dup2(ends[1], STDERR_FILENO);
    execl(binary.c_str(), binary.c_str(), "serve", "--data", folder.c_str(), "--mqtt",
          "127.0.0.1:0", static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  return {process, ends[0]};
}

// The port in "ready mqtt=127.0.0.1:PORT".
uint16_t WaitUntilReady(const Gateway& gateway) {
  constexpr std::string_view kReady = "ready mqtt=";
  std::string text;
  for (;;) {
    const size_t ready = text.find(kReady);
    const size_t end = ready == std::string::npos ? ready : text.find('\n', ready);
    if (end != std::string::npos) {
      const size_t colon = text.rfind(':', end);
      return static_cast<uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10));
    }
    std::array<char, 4096> buffer{};
    const ssize_t count = read(gateway.errors, buffer.data(), buffer.size());
    if (count <= 0) GiveUp("serve has not come to be ready: " + text);
    text.append(buffer.data(), static_cast<size_t>(count));
  }
}

int Connect(uint16_t port) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0) GiveUpWithErrno("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    GiveUpWithErrno("connect");
  return connection;
}

// Sends a packet and waits for one of `kind`, of four bytes, that answers it.
void Exchange(int connection, const std::string& packet, unsigned char kind) {
  if (send(connection, packet.data(), packet.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(packet.size())) {
    GiveUpWithErrno("send");
  }
  std::array<unsigned char, 4> answer{};
  if (recv(connection, answer.data(), answer.size(), MSG_WAITALL) !=
      static_cast<ssize_t>(answer.size())) {
    GiveUp("the gateway has ended the connection");
  }
  if (answer[0] != kind) GiveUp("the gateway has answered otherwise");
}

void Stop(const Gateway& gateway) {
  kill(gateway.process, SIGTERM);
  int status = 0;
  waitpid(gateway.process, &status, 0);
  close(gateway.errors);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) GiveUp("serve has not stopped cleanly");
}

}  // namespace

FirstRecord ServeOnce(const std::string& binary, const std::string& folder) {
  constexpr size_t kPayloadBytes = 62;
  Message message = MakeMessage(/*device=*/17, /*qos=*/1, kPayloadBytes);
  message.packet[message.id_at + 1] = 1;
  FirstRecord first;
  const double start = NowSeconds();
  const Gateway gateway = Start(binary, folder);
  const uint16_t port = WaitUntilReady(gateway);
  first.ready_ms = (NowSeconds() - start) * 1e3;
  const int connection = Connect(port);
  Exchange(connection, ConnectPacket("bench"), kConnack);
  Exchange(connection, message.packet, kPuback);
  first.acknowledged_ms = (NowSeconds() - start) * 1e3;
  close(connection);
  Stop(gateway);
  return first;
}

}  // namespace tidemark::bench
