// A load of stock MQTT clients (libmosquitto) for tests that kill the gateway.
//
//   prog_mqtt_load PORT_FILE IN_FLIGHT PAUSE_MS CLIENT,QOS,TOPIC=FIRST[,TOPIC=FIRST...]...
//
// Each client has a connection and a thread of its own. It publishes "NUMBER PADDING" to its topics
// in turn, numbered for each topic from FIRST on: up to IN_FLIGHT at once, then a pause. As soon as
// one is acknowledged (PUBACK, or PUBCOMP at QoS 2), "TOPIC NUMBER" goes to stdout, a write of its
// own. A connection that breaks is made again, to the port that PORT_FILE names then; libmosquitto
// sends again what was not acknowledged. When stdin ends, nothing new is published; exit 0 once all
// is acknowledged, 1 when that takes too long.
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <mosquitto.h>

namespace {

constexpr int kKeepAliveS = 60;
constexpr int kLoopMs = 2;
constexpr auto kReconnectPause = std::chrono::milliseconds(10);
constexpr auto kDrainPatience = std::chrono::seconds(60);

struct Stream {
  std::string topic;
  uint64_t next = 1;
};

struct ClientSpec {
  std::string name;
  int qos = 1;
  std::vector<Stream> streams;
};

struct Pace {
  std::string port_file;
  size_t in_flight = 64;
  std::chrono::milliseconds pause{0};
};

std::atomic<bool> draining{false};

// The same number always has the same payload, so that a reader can check every byte. Mostly some
// tens or hundreds of bytes, now and then some thousands.
std::string Payload(uint64_t number) {
  constexpr uint64_t kMixer = 2'654'435'761;  // of Knuth; scatters the lengths
  const uint64_t mixed = number * kMixer % (uint64_t{1} << 32);
  const size_t length = number % 97 == 0 ? 4000 : mixed % 300;
  const std::string piece = std::to_string(mixed);
  std::string padding;
  while (padding.size() < length) padding += piece;
  padding.resize(length);
  return std::to_string(number) + " " + padding;
}

class Client {
 public:
  Client(ClientSpec spec, const Pace& pace)
      : spec_(std::move(spec)),
        pace_(pace),
        mosquitto_(mosquitto_new(spec_.name.c_str(), true, this)) {
    mosquitto_connect_callback_set(mosquitto_, [](mosquitto*, void* self, int code) {
      static_cast<Client*>(self)->connected_ = code == 0;
    });
    mosquitto_disconnect_callback_set(mosquitto_, [](mosquitto*, void* self, int) {
      static_cast<Client*>(self)->connected_ = false;
    });
    mosquitto_publish_callback_set(mosquitto_, [](mosquitto*, void* self, int message_id) {
      static_cast<Client*>(self)->Acknowledged(message_id);
    });
    (void)mosquitto_max_inflight_messages_set(mosquitto_, 0);  // our own limit counts
  }
  ~Client() { mosquitto_destroy(mosquitto_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // True: everything published is acknowledged.
  bool Run() {
    auto drain_deadline = std::chrono::steady_clock::time_point::max();
    while (!draining || !in_flight_.empty()) {
      if (draining) {
        const auto now = std::chrono::steady_clock::now();
        if (drain_deadline == std::chrono::steady_clock::time_point::max()) {
          drain_deadline = now + kDrainPatience;
        }
        if (now > drain_deadline) return false;
      } else if (connected_ && std::chrono::steady_clock::now() >= next_burst_) {
        PublishBurst();
      }
      if (mosquitto_loop(mosquitto_, kLoopMs, 1) == MOSQ_ERR_SUCCESS) continue;
      connected_ = false;
      Connect();
    }
    return true;
  }

 private:
  void Connect() {
    int port = 0;
    std::ifstream(pace_.port_file) >> port;
    if (port != 0 &&
        mosquitto_connect(mosquitto_, "127.0.0.1", port, kKeepAliveS) == MOSQ_ERR_SUCCESS) {
      return;
    }
    std::this_thread::sleep_for(kReconnectPause);
  }

  void PublishBurst() {
    while (connected_ && in_flight_.size() < pace_.in_flight) {
      Stream& stream = spec_.streams[turn_++ % spec_.streams.size()];
      const std::string payload = Payload(stream.next);
      int message_id = 0;
      const int code =
          mosquitto_publish(mosquitto_, &message_id, stream.topic.c_str(),
                            static_cast<int>(payload.size()), payload.data(), spec_.qos, false);
      // After a failed write libmosquitto has the message all the same, and sends it again.
      if (code != MOSQ_ERR_SUCCESS && code != MOSQ_ERR_CONN_LOST && code != MOSQ_ERR_NO_CONN &&
          code != MOSQ_ERR_ERRNO) {
        std::fprintf(stderr, "%s: %s\n", spec_.name.c_str(), mosquitto_strerror(code));
        std::exit(1);
      }
      in_flight_[message_id] = {&stream, stream.next++};
      if (code != MOSQ_ERR_SUCCESS) connected_ = false;
    }
    next_burst_ = std::chrono::steady_clock::now() + pace_.pause;
  }

  void Acknowledged(int message_id) {
    const auto found = in_flight_.find(message_id);
    if (found == in_flight_.end()) return;
    const auto [stream, number] = found->second;
    in_flight_.erase(found);
    const std::string line = stream->topic + " " + std::to_string(number) + "\n";
    if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      std::exit(1);  // nobody listens any more
    }
  }

  ClientSpec spec_;
  const Pace& pace_;
  mosquitto* mosquitto_;
  bool connected_ = false;
  size_t turn_ = 0;
  std::chrono::steady_clock::time_point next_burst_;
  std::unordered_map<int, std::pair<Stream*, uint64_t>> in_flight_;  // by MQTT message id
};

bool ParseNumber(std::string_view text, uint64_t* number) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return failure == std::errc() && end == text.data() + text.size();
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool ParseClient(const std::string& text, ClientSpec* spec) {
  const std::vector<std::string> parts = Split(text, ',');
  uint64_t qos = 0;
  if (parts.size() < 3 || !ParseNumber(parts[1], &qos) || qos < 1 || qos > 2) return false;
  spec->name = parts[0];
  spec->qos = static_cast<int>(qos);
  for (size_t i = 2; i < parts.size(); ++i) {
    const std::vector<std::string> stream = Split(parts[i], '=');
    uint64_t first = 0;
    if (stream.size() != 2 || !ParseNumber(stream[1], &first)) return false;
    spec->streams.push_back({stream[0], first});
  }
  return true;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  Pace pace;
  uint64_t in_flight = 0;
  uint64_t pause_ms = 0;
  if (arguments.size() < 4 || !ParseNumber(arguments[1], &in_flight) || in_flight == 0 ||
      !ParseNumber(arguments[2], &pause_ms)) {
    std::fputs("usage: prog_mqtt_load PORT_FILE IN_FLIGHT PAUSE_MS CLIENT,QOS,TOPIC=FIRST...\n",
               stderr);
    return 2;
  }
  pace.port_file = arguments[0];
  pace.in_flight = static_cast<size_t>(in_flight);
  pace.pause = std::chrono::milliseconds(pause_ms);
  std::vector<ClientSpec> specs(arguments.size() - 3);
  for (size_t i = 0; i < specs.size(); ++i) {
    if (ParseClient(arguments[i + 3], &specs[i])) continue;
    std::fprintf(stderr, "not a client: %s\n", arguments[i + 3].c_str());
    return 2;
  }

  (void)mosquitto_lib_init();
  std::atomic<bool> complete{true};
  std::vector<std::thread> threads;
  for (ClientSpec& spec : specs) {
    threads.emplace_back([&pace, &complete, client_spec = std::move(spec)] {
      if (!Client(client_spec, pace).Run()) complete = false;
    });
  }
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  draining = true;
  for (std::thread& thread : threads) thread.join();
  (void)mosquitto_lib_cleanup();
  return complete ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return Main(argc, argv); }
