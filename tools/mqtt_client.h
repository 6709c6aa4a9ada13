// A small MQTT 3.1.1 client that publishes at QoS 1 with many messages in flight: for datagen and
// bench. One connection, one thread. (`serve` is tested against stock clients, not against this
// one.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/socket.h"
#include "tidemark/error.h"

namespace tidemark::tools {

class MqttClient {
 public:
  struct Options {
    std::string address;  // "127.0.0.1:1883"
    std::string client_id;
    uint16_t keep_alive_s = 60;
    uint32_t in_flight = 64;  // 1 to kMaxInFlight
  };
  static constexpr uint32_t kMaxInFlight = 60'000;  // packet ids are 1 to 65,535

  explicit MqttClient(Options options);

  // Connects and waits for CONNACK.
  Status Connect();
  // Sends a message, or keeps it to be sent with the next; waits while too many are unacknowledged.
  Status Publish(std::string_view topic, std::string_view payload);
  // Sends what is kept and takes in what has come; for a pause in publishing. Waits up to
  // `wait_ms`, or less when something comes. Keeps the connection alive.
  Status Turn(int wait_ms);
  // Waits until everything is acknowledged, then says goodbye.
  Status Finish();

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t unacknowledged() const { return published_ - acknowledged_; }

 private:
  Status SendOutput();
  Status ReceiveSome(int wait_ms);
  Status HandleInput();
  Status HandlePacket(uint8_t first_byte, std::string_view body);
  Status HandleAck(std::string_view body);
  Error Broken(const std::string& what, int system_errno = 0) const;

  const Options options_;
  io::Socket socket_;
  std::string output_;
  std::string input_;
  std::vector<bool> packet_ids_;  // by id: not acknowledged yet
  uint32_t next_packet_id_ = 0;   // minus 1
  bool connected_ = false;
  uint64_t published_ = 0;
  uint64_t acknowledged_ = 0;
  int64_t last_sent_us_ = 0;
};

}  // namespace tidemark::tools
