#include "ingest/mqtt_session.h"

#include <array>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"

namespace tidemark::ingest {
namespace {

// Headers of ours stand under one prefix, so that they can be told from a device's own (MQTT 5).
constexpr Bytes kClientHeader = "mqtt.client";
constexpr Bytes kQosHeader = "mqtt.qos";
constexpr Bytes kRetainHeader = "mqtt.retain";

// A name for a client that brought none [MQTT-3.1.3-6]. Short, since it is stored with each
// reading.
std::string GeneratedClientId(uint64_t random) {
  constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuv";
  constexpr int kDigitCount = 13;  // 64 bits, five each
  std::string id = "auto-";
  for (int i = 0; i < kDigitCount; ++i, random >>= 5) id.push_back(kDigits[random & 31U]);
  return id;
}

}  // namespace

Result<RecordPlace> AppendMessage(SessionContext* context, const MqttMessage& message) {
  constexpr std::array<char, 3> kQosDigits{'0', '1', '2'};
  std::array<Header, 3> headers;
  size_t count = 0;
  headers[count++] = {kClientHeader, message.client_id};
  headers[count++] = {kQosHeader, Bytes(&kQosDigits[message.qos], 1)};
  if (message.retain) headers[count++] = {kRetainHeader, Bytes("1")};

  const RouteTable::Match match = context->routes.Find(message.topic, message.client_id);
  Record record;
  record.key = match.key;
  record.value = message.payload;
  record.headers = std::span(headers.data(), count);
  return context->log.Append(match.route, record,
                             message.qos == 0 ? Durability::buffered : Durability::durable);
}

MqttSession::~MqttSession() { DropWill(); }

void MqttSession::DropWill() {
  if (will_ == nullptr) return;
  context_->will_bytes -= will_->bytes();
  will_.reset();
}

Outcome MqttSession::Handle(const Packet& packet, PacketBytes* replies) {
  if (!connected_ && packet.type != PacketType::connect) {
    return {Verdict::violation, "the first packet is not CONNECT (MQTT-3.1.0-1)"};
  }
  switch (packet.type) {
    case PacketType::publish:
      return HandlePublish(packet);
    case PacketType::connect:
      if (connected_) return {Verdict::violation, "a second CONNECT (MQTT-3.1.0-2)"};
      return HandleConnect(packet.connect, replies);
    case PacketType::pubrel:
      return HandleRelease(packet.packet_id, replies);
    case PacketType::subscribe:
      AppendSubackFailure(packet.packet_id, packet.filter_count, replies);
      return {};
    case PacketType::unsubscribe:
      AppendAck(PacketType::unsuback, packet.packet_id, replies);
      return {};
    case PacketType::pingreq:
      AppendPingresp(replies);
      return {};
    case PacketType::disconnect:
      DropWill();  // [MQTT-3.14.4-3]
      return {Verdict::finished};
    default:
      // Acknowledgements of publishes that this server never sent. A client may still owe them to
      // the broker that it was connected to before; they mean nothing here.
      return {};
  }
}

Outcome MqttSession::Refuse(ConnectCode code, std::string_view reason, PacketBytes* replies) {
  AppendConnack(code, replies);
  return {Verdict::refused, reason};
}

Outcome MqttSession::HandleConnect(const ConnectPacket& connect, PacketBytes* replies) {
  if (connect.level != kProtocolLevel) {
    return Refuse(ConnectCode::unacceptable_protocol_level,
                  "protocol level is not 4, MQTT 3.1.1 (MQTT-3.1.2-2)", replies);
  }
  if (connect.client_id.empty() && !connect.clean_session) {
    return Refuse(ConnectCode::identifier_rejected,
                  "no client identifier, and not a clean session (MQTT-3.1.3-8)", replies);
  }
  if (connect.client_id.size() > kMaxClientIdBytes) {
    return Refuse(ConnectCode::identifier_rejected, "client identifier is too long", replies);
  }
  if (!context_->log.health().ok()) {
    return Refuse(ConnectCode::server_unavailable, "the engine has stopped", replies);
  }
  client_id_ = connect.client_id.empty() ? GeneratedClientId(context_->random64())
                                         : std::string(connect.client_id);
  if (connect.has_will) {
    auto will = std::make_unique<Will>();
    *will = {client_id_, std::string(connect.will_topic), std::string(connect.will_payload),
             connect.will_qos, connect.will_retain};
    if (context_->will_bytes + will->bytes() > context_->max_will_bytes) {
      return Refuse(ConnectCode::server_unavailable, "no memory left for wills", replies);
    }
    context_->will_bytes += will->bytes();
    will_ = std::move(will);
  }
  keep_alive_s_ = connect.keep_alive_s;
  connected_ = true;
  AppendConnack(ConnectCode::accepted, replies);
  return {Verdict::connected};
}

Outcome MqttSession::HandlePublish(const Packet& packet) {
  const PublishPacket& publish = packet.publish;
  if (publish.qos > 0 && acks_.size() >= context_->max_unacknowledged)
    return {Verdict::window_full};
  if (publish.qos == 2 && exactly_ != nullptr && exactly_->received.Contains(packet.packet_id)) {
    // Received before and not released: the same message once more. It is acknowledged again,
    // behind the first acknowledgement if that one still waits [MQTT-4.3.3-2].
    ++context_->counters.duplicates;
    acks_.Push({{}, packet.packet_id, PacketType::pubrec});
    return {};
  }
  const Result<RecordPlace> place = AppendMessage(
      context_, {client_id_, publish.topic, publish.payload, publish.qos, publish.retain});
  if (!place.ok()) return AppendFailed(place.error());
  ++context_->counters.publishes[publish.qos];
  if (publish.qos == 1) acks_.Push({*place, packet.packet_id, PacketType::puback});
  if (publish.qos == 2) {
    if (exactly_ == nullptr) exactly_ = std::make_unique<Exactly>();
    exactly_->received.Insert(packet.packet_id);
    exactly_->unsent.Insert(packet.packet_id);
    acks_.Push({*place, packet.packet_id, PacketType::pubrec});
  }
  return {};
}

Outcome MqttSession::AppendFailed(const Error& error) {
  switch (error.code()) {
    case ErrorCode::busy:
      return {Verdict::busy};
    case ErrorCode::disk_full:
      return {Verdict::disk_full};
    case ErrorCode::stopped:
      return {Verdict::stopped};
    default:
      // MQTT 3.1.1 has no way to say no to one message but to close [MQTT-3.3.5-2].
      context_->error_text = error.ToString();
      return {Verdict::violation, context_->error_text};
  }
}

Outcome MqttSession::HandleRelease(uint16_t packet_id, PacketBytes* replies) {
  // A PUBREL is answered whether or not its identifier is known: it may come again. One that does
  // not wait for its PUBREC gets its PUBCOMP behind that, so that PUBCOMP means durable, too.
  if (exactly_ != nullptr && exactly_->received.Erase(packet_id) &&
      exactly_->unsent.Contains(packet_id)) {
    acks_.Push({{}, packet_id, PacketType::pubcomp});
    return {};
  }
  AppendAck(PacketType::pubcomp, packet_id, replies);
  return {};
}

void MqttSession::TakeReadyAcks(PacketBytes* to) {
  while (HasReadyAck()) {
    const PendingAck& ack = acks_.front();
    AppendAck(ack.type, ack.packet_id, to);
    if (ack.type == PacketType::pubrec) exactly_->unsent.Erase(ack.packet_id);
    if (ack.type != PacketType::pubcomp) ++context_->counters.acks;
    acks_.Pop();
  }
}

std::unique_ptr<Will> MqttSession::End() {
  acks_.Clear();
  connected_ = false;
  if (will_ != nullptr) context_->will_bytes -= will_->bytes();
  return std::move(will_);
}

}  // namespace tidemark::ingest
