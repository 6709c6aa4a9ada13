#include "tools/mqtt_client.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "ingest/mqtt_packet.h"

namespace tidemark::tools {
namespace {

using ingest::PacketType;

constexpr size_t kSendBytes = size_t{32} << 10;
constexpr size_t kMqttReceiveBytes = size_t{16} << 10;
constexpr size_t kMaxTopicBytes = 65'535;
// A server that says nothing at all for so long is taken for dead.
constexpr int kPatienceMs = 60'000;
constexpr uint8_t kQos1Flag = 0x02;
constexpr uint8_t kCleanSession = 0x02;

char FirstByte(PacketType type, uint8_t flags) {
  return static_cast<char>(static_cast<uint8_t>(type) << 4 | flags);
}

void AppendLength(size_t length, std::string* to) {
  do {
    const size_t digit = length & 0x7f;
    length >>= 7;
    *to += static_cast<char>(length > 0 ? digit | 0x80 : digit);
  } while (length > 0);
}

void AppendUint16(uint16_t number, std::string* to) {
  *to += static_cast<char>(number >> 8);
  *to += static_cast<char>(number & 0xff);
}

void AppendText(std::string_view text, std::string* to) {
  AppendUint16(static_cast<uint16_t>(text.size()), to);
  *to += text;
}

const char* ConnackText(uint8_t code) {
  switch (code) {
    case 1:
      return "the protocol version is not supported";
    case 2:
      return "the client id is rejected";
    case 3:
      return "the server is unavailable";
    case 4:
      return "bad user name or password";
    case 5:
      return "not authorized";
    default:
      return "the connection is refused";
  }
}

}  // namespace

MqttClient::MqttClient(Options options)
    : options_(std::move(options)), packet_ids_(kMaxInFlight, false) {
  TIDEMARK_CHECK(options_.in_flight >= 1 && options_.in_flight <= kMaxInFlight);
}

Error MqttClient::Broken(const std::string& what, int system_errno) const {
  return Error(ErrorCode::io_error, "MQTT server " + options_.address + ": " + what, system_errno);
}

Status MqttClient::Connect() {
  const auto address = io::ParseAddress(options_.address);
  if (!address.ok()) return address.error();
  auto socket = io::ConnectTcp(*address);
  if (!socket.ok()) return socket.error();
  socket_ = std::move(*socket);

  std::string body;
  AppendText("MQTT", &body);
  body += static_cast<char>(ingest::kProtocolLevel);
  body += static_cast<char>(kCleanSession);
  AppendUint16(options_.keep_alive_s, &body);
  AppendText(options_.client_id, &body);
  output_ += FirstByte(PacketType::connect, 0);
  AppendLength(body.size(), &output_);
  output_ += body;

  Status done = SendOutput();
  while (done.ok() && !connected_) done = ReceiveSome(kPatienceMs);
  return done;
}

Status MqttClient::Publish(std::string_view topic, std::string_view payload) {
  const size_t length = 2 + topic.size() + 2 + payload.size();
  if (topic.size() > kMaxTopicBytes || length > ingest::kMaxRemainingLength) {
    return Error(ErrorCode::record_too_large, "a message is larger than MQTT allows");
  }
  while (unacknowledged() >= options_.in_flight) {
    Status done = SendOutput();
    if (done.ok()) done = ReceiveSome(kPatienceMs);
    if (!done.ok()) return done;
  }
  // With so few in flight a free one is always near.
  while (packet_ids_[next_packet_id_]) next_packet_id_ = (next_packet_id_ + 1) % kMaxInFlight;
  packet_ids_[next_packet_id_] = true;
  output_ += FirstByte(PacketType::publish, kQos1Flag);
  AppendLength(length, &output_);
  AppendText(topic, &output_);
  AppendUint16(static_cast<uint16_t>(next_packet_id_ + 1), &output_);
  output_ += payload;
  next_packet_id_ = (next_packet_id_ + 1) % kMaxInFlight;
  ++published_;
  return output_.size() >= kSendBytes ? SendOutput() : Status();
}

// Sends everything. While the server does not read, what it sends is read: it may be waiting for
// that.
Status MqttClient::SendOutput() {
  std::string_view left = output_;
  while (!left.empty()) {
    const auto sent = io::Send(socket_, base::AsBytes(left));
    left.remove_prefix(sent.bytes);
    if (sent.state == io::Transfer::closed)
      return Broken("the connection is gone", sent.system_errno);
    if (sent.state == io::Transfer::done) break;
    pollfd wait{socket_.descriptor(), POLLIN | POLLOUT, 0};
    if (::poll(&wait, 1, kPatienceMs) == 0) return Broken("takes nothing in any more");
    if ((wait.revents & POLLIN) == 0) continue;
    Status received = ReceiveSome(0);
    if (!received.ok()) return received;
  }
  if (!output_.empty()) last_sent_us_ = base::SystemClock().MonotonicUs();
  output_.clear();
  return {};
}

Status MqttClient::ReceiveSome(int wait_ms) {
  pollfd wait{socket_.descriptor(), POLLIN, 0};
  const int ready = ::poll(&wait, 1, wait_ms);
  if (ready < 0) return errno == EINTR ? Status() : Status(Broken("waiting failed", errno));
  if (ready == 0) return wait_ms < kPatienceMs ? Status() : Status(Broken("has not answered"));
  std::array<std::byte, kMqttReceiveBytes> chunk;
  const auto received = io::Receive(socket_, chunk);
  if (received.state == io::Transfer::closed) {
    return Broken("has closed the connection", received.system_errno);
  }
  input_ += base::AsText(base::ByteSpan(chunk).first(received.bytes));
  return HandleInput();
}

// All whole packets of the input. What a server sends a publisher is short: a length of one byte.
Status MqttClient::HandleInput() {
  size_t at = 0;
  while (input_.size() - at >= 2) {
    const auto length = static_cast<uint8_t>(input_[at + 1]);
    if (length >= 0x80) return Broken("sends what a publisher has not asked for");
    if (input_.size() - at < size_t{2} + length) break;
    const auto first_byte = static_cast<uint8_t>(input_[at]);
    Status handled = HandlePacket(first_byte, std::string_view(input_).substr(at + 2, length));
    if (!handled.ok()) return handled;
    at += size_t{2} + length;
  }
  input_.erase(0, at);
  return {};
}

Status MqttClient::HandlePacket(uint8_t first_byte, std::string_view body) {
  const auto type = static_cast<PacketType>(first_byte >> 4);
  if (type == PacketType::connack && body.size() == 2 && !connected_) {
    const auto code = static_cast<uint8_t>(body[1]);
    if (code != 0) return Broken(ConnackText(code));
    connected_ = true;
    return {};
  }
  if (type == PacketType::puback && body.size() == 2 && connected_) return HandleAck(body);
  if (type == PacketType::pingresp && connected_) return {};
  return Broken("has answered with something that is not expected here");
}

Status MqttClient::HandleAck(std::string_view body) {
  const uint32_t id = base::LoadBig<uint16_t>(body.data());
  if (id == 0 || id > kMaxInFlight || !packet_ids_[id - 1]) {
    return Broken("has acknowledged what was not sent");
  }
  packet_ids_[id - 1] = false;
  ++acknowledged_;
  return {};
}

Status MqttClient::Turn(int wait_ms) {
  const int64_t silence_us = base::SystemClock().MonotonicUs() - last_sent_us_;
  if (output_.empty() && silence_us > int64_t{options_.keep_alive_s} * 500'000) {
    output_ += FirstByte(PacketType::pingreq, 0);
    output_ += '\0';
  }
  Status done = SendOutput();
  return done.ok() ? ReceiveSome(wait_ms) : done;
}

Status MqttClient::Finish() {
  Status done = SendOutput();
  while (done.ok() && unacknowledged() > 0) done = ReceiveSome(kPatienceMs);
  if (!done.ok()) return done;
  output_ += FirstByte(PacketType::disconnect, 0);
  output_ += '\0';
  done = SendOutput();
  socket_.Close();
  return done;
}

}  // namespace tidemark::tools
