// Publishes over MQTT 3.1.1 as fast as a server takes it in: the same load for every server.
//
//   bench_mqtt_load --port P [--connections N] [--qos 0|1] [--window N] [--bytes N] [--seconds S]
//                   [--topics N]
//
// One thread, loopback only, with a codec of its own. With QoS 1 it counts acknowledgements; with
// QoS 0, what the server has read: at the end a PINGREQ goes out behind the last message of every
// connection, and the clock runs until the last PINGRESP, which a server sends in its order. Prints
// a line of JSON.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/mqtt_packets.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

struct Options {
  uint16_t port = 1883;
  int connections = 1;
  int qos = 1;
  int window = 20;  // of a connection: paho's and mosquitto's own limit
  size_t bytes = 62;
  double seconds = 3;
  int topics = 100;
};

// --- a connection

enum class State { connecting, running, draining, done };

struct Connection {
  int descriptor = -1;
  State state = State::connecting;
  const Message* message = nullptr;
  std::string output;
  size_t output_sent = 0;
  std::string input;
  unsigned next_id = 1;
  int in_flight = 0;
  std::deque<double> sent_at;  // of those in flight, which are acknowledged in order
  bool wants_to_write = false;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options) {
    for (int i = 0; i < options.topics; ++i)
      messages_.push_back(MakeMessage(i, options.qos, options.bytes));
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_ < 0) GiveUpWithErrno("epoll_create1");
  }
  ~Load() {
    for (const auto& connection : connections_) close(connection->descriptor);
    close(poll_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void Run();

 private:
  void Connect(int number);
  // One after the other, so that a short backlog of the server is enough.
  void ConnectAll();
  void WaitFor(double until, size_t connections, State state);
  void Turn(double until);
  void Read(Connection& connection);
  // Handles the packets that are complete.
  void TakePackets(Connection& connection);
  void TakePacket(Connection& connection, std::string_view packet);
  void Fill(Connection& connection);
  void Write(Connection& connection) const;
  void Drain(Connection& connection);
  void SetState(Connection& connection, State state);
  // `cpu_share` of a processor went to this program: near 1, it is the limit.
  void Report(double seconds, double cpu_share);

  Options options_;
  std::vector<Message> messages_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::array<size_t, 4> in_state_{};  // connections
  int poll_ = -1;
  double now_ = 0;
  bool counting_ = false;
  uint64_t published_ = 0;
  uint64_t acknowledged_ = 0;
  std::vector<float> latencies_ms_;
};

void Load::SetState(Connection& connection, State state) {
  --in_state_[static_cast<size_t>(connection.state)];
  ++in_state_[static_cast<size_t>(state)];
  connection.state = state;
}

void Load::Connect(int number) {
  auto connection = std::make_unique<Connection>();
  connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection->descriptor < 0) GiveUpWithErrno("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(connection->descriptor, reinterpret_cast<const sockaddr*>(&address),
              sizeof address) != 0) {
    GiveUpWithErrno("connect");
  }
  const int on = 1;
  setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fcntl(connection->descriptor, F_SETFL, O_NONBLOCK) != 0) GiveUpWithErrno("fcntl");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = connection.get();
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, connection->descriptor, &event) != 0) {
    GiveUpWithErrno("epoll_ctl");
  }
  connection->message = &messages_[static_cast<size_t>(number) % messages_.size()];
  connection->output = ConnectPacket(fmt::format("load-{:05}", number));
  ++in_state_[static_cast<size_t>(State::connecting)];
  Write(*connection);
  connections_.push_back(std::move(connection));
}

void Load::ConnectAll() {
  constexpr double kPatienceSeconds = 10;
  for (int i = 0; i < options_.connections; ++i) {
    Connect(i);
    WaitFor(NowSeconds() + kPatienceSeconds, static_cast<size_t>(i) + 1, State::running);
  }
}

void Load::WaitFor(double until, size_t connections, State state) {
  while (in_state_[static_cast<size_t>(state)] < connections) {
    if (NowSeconds() > until) GiveUp("the server does not answer");
    Turn(until);
  }
}

void Load::Turn(double until) {
  constexpr int kEvents = 256;
  std::array<epoll_event, kEvents> events{};
  const int wait_ms = std::clamp(static_cast<int>((until - NowSeconds()) * 1e3) + 1, 0, 1000);
  const int count = epoll_wait(poll_, events.data(), kEvents, wait_ms);
  if (count < 0 && errno != EINTR) GiveUpWithErrno("epoll_wait");
  now_ = NowSeconds();
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    auto& connection = *static_cast<Connection*>(event.data.ptr);
    if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) Read(connection);
    if (counting_ && connection.state == State::running) Fill(connection);
    if (!connection.output.empty()) Write(connection);
  }
}

void Load::Read(Connection& connection) {
  std::array<char, 65536> buffer;
  const ssize_t got = recv(connection.descriptor, buffer.data(), buffer.size(), 0);
  if (got == 0) GiveUp("the server has closed a connection");
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    GiveUpWithErrno("recv");
  }
  connection.input.append(buffer.data(), static_cast<size_t>(got));
  TakePackets(connection);
}

// A server's answers are short: one byte of length is all that they take.
void Load::TakePackets(Connection& connection) {
  size_t used = 0;
  const std::string_view input = connection.input;
  while (input.size() - used >= 2) {
    const auto length = static_cast<unsigned char>(input[used + 1]);
    if (length >= kContinues) GiveUp("an answer is too long");
    if (input.size() - used - 2 < length) break;
    TakePacket(connection, input.substr(used, 2U + length));
    used += 2U + length;
  }
  connection.input.erase(0, used);
}

void Load::TakePacket(Connection& connection, std::string_view packet) {
  const auto kind = static_cast<unsigned char>(packet[0]);
  if (kind == kConnack && packet.size() == 4 && connection.state == State::connecting) {
    if (packet[3] != 0) GiveUp("a connection was refused");
    SetState(connection, State::running);
  } else if (kind == kPuback && connection.in_flight > 0) {
    --connection.in_flight;
    if (counting_) {
      ++acknowledged_;
      latencies_ms_.push_back(static_cast<float>((now_ - connection.sent_at.front()) * 1e3));
    }
    connection.sent_at.pop_front();
  } else if (kind == kPingresp && connection.state == State::draining) {
    SetState(connection, State::done);
  } else {
    GiveUp(fmt::format("an answer of kind {:#x} was not asked for", kind));
  }
}

// With QoS 1 up to the window, else as much as goes into one write.
void Load::Fill(Connection& connection) {
  constexpr size_t kMostOutputBytes = size_t{32} << 10;
  while (connection.output.size() < kMostOutputBytes) {
    if (options_.qos > 0) {
      if (connection.in_flight == options_.window) return;
      ++connection.in_flight;
      connection.sent_at.push_back(now_);
    }
    const size_t start = connection.output.size();
    connection.output += connection.message->packet;
    if (options_.qos > 0) {
      const size_t id_at = start + connection.message->id_at;
      connection.output[id_at] = static_cast<char>(connection.next_id >> 8);
      connection.output[id_at + 1] = static_cast<char>(connection.next_id & 0xff);
      constexpr unsigned kLastId = 0xffff;
      connection.next_id = connection.next_id == kLastId ? 1 : connection.next_id + 1;
    }
    ++published_;
  }
}

void Load::Write(Connection& connection) const {
  std::string& output = connection.output;
  const ssize_t sent = send(connection.descriptor, output.data() + connection.output_sent,
                            output.size() - connection.output_sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) GiveUpWithErrno("send");
  if (sent > 0) connection.output_sent += static_cast<size_t>(sent);
  const bool all = connection.output_sent == output.size();
  if (all) {
    output.clear();
    connection.output_sent = 0;
  }
  // With QoS 0 a connection goes on whenever it can be written to.
  const bool goes_on = options_.qos == 0 && counting_ && connection.state == State::running;
  const bool wants_to_write = !all || goes_on;
  if (wants_to_write == connection.wants_to_write) return;
  connection.wants_to_write = wants_to_write;
  epoll_event event{};
  event.events = EPOLLIN | (wants_to_write ? unsigned{EPOLLOUT} : 0U);
  event.data.ptr = &connection;
  if (epoll_ctl(poll_, EPOLL_CTL_MOD, connection.descriptor, &event) != 0) {
    GiveUpWithErrno("epoll_ctl");
  }
}

void Load::Drain(Connection& connection) {
  AppendByte(kPingreq, &connection.output);
  AppendByte(0, &connection.output);
  SetState(connection, State::draining);
  Write(connection);
}

void Load::Run() {
  ConnectAll();
  counting_ = true;
  const double cpu_before = CpuSeconds();
  const double start = NowSeconds();
  now_ = start;
  for (const auto& connection : connections_) {
    Fill(*connection);
    Write(*connection);
  }
  const double end = start + options_.seconds;
  while (NowSeconds() < end) Turn(end);
  // What is acknowledged later is not counted; with QoS 0 everything is, and so is the time.
  double seconds = NowSeconds() - start;
  counting_ = false;
  for (const auto& connection : connections_) Drain(*connection);
  constexpr double kPatienceSeconds = 120;
  WaitFor(NowSeconds() + kPatienceSeconds, connections_.size(), State::done);
  if (options_.qos == 0) seconds = NowSeconds() - start;
  const double cpu_share = (CpuSeconds() - cpu_before) / (NowSeconds() - start);
  for (const auto& connection : connections_) {
    AppendByte(kDisconnect, &connection->output);
    AppendByte(0, &connection->output);
    Write(*connection);
  }
  Report(seconds, cpu_share);
}

void Load::Report(double seconds, double cpu_share) {
  const uint64_t messages = options_.qos > 0 ? acknowledged_ : published_;
  std::sort(latencies_ms_.begin(), latencies_ms_.end());
  auto quantile = [&](double share) {
    if (latencies_ms_.empty()) return 0.0;
    const auto last = static_cast<double>(latencies_ms_.size() - 1);
    return static_cast<double>(latencies_ms_[static_cast<size_t>(share * last)]);
  };
  fmt::print(R"({{"messages": {}, "published": {}, "seconds": {:.6f}, "messages_per_s": {:.1f}, )"
             R"("p50_ms": {:.3f}, "p99_ms": {:.3f}, "cpu_share": {:.2f}}})"
             "\n",
             messages, published_, seconds, static_cast<double>(messages) / seconds, quantile(0.5),
             quantile(0.99), cpu_share);
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Publishes over MQTT as fast as a server takes it in"};
  tidemark::bench::Options options;
  app.add_option("--port", options.port, "On 127.0.0.1")->required();
  app.add_option("--connections", options.connections)
      ->check(CLI::Range(1, 20'000))
      ->capture_default_str();
  app.add_option("--qos", options.qos)->check(CLI::Range(0, 1))->capture_default_str();
  app.add_option("--window", options.window, "In flight of a connection, QoS 1")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  app.add_option("--bytes", options.bytes, "Of a payload")->capture_default_str();
  app.add_option("--seconds", options.seconds)
      ->check(CLI::Range(0.01, 600.0))
      ->capture_default_str();
  app.add_option("--topics", options.topics, "Different ones")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::Load(options).Run();
  return 0;
}
