#include "ingest/mqtt_packet.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"

namespace tidemark::ingest {
namespace {

constexpr uint8_t kSubscriptionFailed = 0x80;

Decoded Malformed(const char* reason) { return {DecodeState::malformed, 0, reason}; }

// Takes a packet's fields off its front; every call says whether the field was there whole.
class FieldReader {
 public:
  explicit FieldReader(base::ByteSpan bytes) : left_(base::AsText(bytes)) {}

  bool U8(uint8_t* value) {
    if (left_.empty()) return false;
    *value = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    return true;
  }
  bool U16(uint16_t* value) {
    if (left_.size() < sizeof *value) return false;
    *value = base::LoadBig<uint16_t>(left_.data());
    left_.remove_prefix(sizeof *value);
    return true;
  }
  // Bytes behind their length, two bytes.
  bool Field(std::string_view* value) {
    uint16_t length = 0;
    if (!U16(&length) || left_.size() < length) return false;
    *value = left_.substr(0, length);
    left_.remove_prefix(length);
    return true;
  }
  bool empty() const { return left_.empty(); }
  std::string_view rest() const { return left_; }

 private:
  std::string_view left_;
};

// Length of the well-formed sequence of more than one byte at the start of `text`, 0 when there is
// none: Unicode's table 3-7, which leaves out overlong forms, surrogates and what lies above
// U+10FFFF.
size_t MultibyteLength(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0U; };
  const auto continues = [&](size_t i) { return (at(i) & 0xC0U) == 0x80U; };
  const unsigned first = at(0);
  const unsigned second = at(1);
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && second < 0xA0) return 0;
    if (first == 0xED && second > 0x9F) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (first == 0xF0 && second < 0x90) return 0;
    if (first == 0xF4 && second > 0x8F) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = static_cast<uint8_t>(text.front()) < 0x80 ? 1 : MultibyteLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// What a text holds, found in one pass that the compiler can vectorise: this runs for every
// PUBLISH.
struct TextFindings {
  bool nul = false;
  bool wildcard = false;
  bool beyond_ascii = false;
};
TextFindings Inspect(std::string_view text) {
  uint8_t high = 0;
  uint8_t nul = 0;
  uint8_t wildcard = 0;
  for (const char c : text) {
    high = static_cast<uint8_t>(high | static_cast<uint8_t>(c));
    nul = static_cast<uint8_t>(nul | (c == '\0' ? 1 : 0));
    wildcard = static_cast<uint8_t>(wildcard | (c == '+' || c == '#' ? 1 : 0));
  }
  return {nul != 0, wildcard != 0, (high & 0x80) != 0};
}

const char* ProblemOfTopicName(std::string_view topic) {
  if (topic.empty()) return "empty topic name (MQTT-4.7.3-1)";
  const TextFindings findings = Inspect(topic);
  if (findings.nul) return "U+0000 in a topic name (MQTT-4.7.3-2)";
  if (findings.wildcard) return "wildcard in a topic name (MQTT-3.3.2-2)";
  if (findings.beyond_ascii && !IsUtf8(topic)) return "topic name is not UTF-8 (MQTT-1.5.3-1)";
  return nullptr;
}

// What the first byte alone tells: types and flags that no client may send.
const char* ProblemOfFirstByte(uint8_t first) {
  const unsigned flags = first & 0x0FU;
  switch (static_cast<PacketType>(first >> 4)) {
    case PacketType::publish:
      if ((flags & 0x06U) == 0x06U) return "PUBLISH with QoS 3 (MQTT-3.3.1-4)";
      if ((flags & 0x0EU) == 0x08U) return "PUBLISH with DUP at QoS 0 (MQTT-3.3.1-2)";
      return nullptr;
    case PacketType::pubrel:
      return flags == 2 ? nullptr : "flags of PUBREL (MQTT-3.6.1-1)";
    case PacketType::subscribe:
      return flags == 2 ? nullptr : "flags of SUBSCRIBE (MQTT-3.8.1-1)";
    case PacketType::unsubscribe:
      return flags == 2 ? nullptr : "flags of UNSUBSCRIBE (MQTT-3.10.1-1)";
    case PacketType::connect:
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubcomp:
    case PacketType::pingreq:
    case PacketType::disconnect:
      return flags == 0 ? nullptr : "reserved flags are set (MQTT-2.2.2-2)";
    case PacketType::connack:
    case PacketType::suback:
    case PacketType::unsuback:
    case PacketType::pingresp:
      return "a packet that only a server sends";
  }
  return "reserved packet type";
}

// The only length that a packet of this type can have; none: it varies.
std::optional<uint32_t> FixedLength(PacketType type) {
  switch (type) {
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp:
      return 2;
    case PacketType::pingreq:
    case PacketType::disconnect:
      return 0;
    default:
      return std::nullopt;
  }
}

const char* DecodePublish(uint8_t flags, FieldReader fields, Packet* packet) {
  PublishPacket& publish = packet->publish;
  publish.retain = (flags & 0x01U) != 0;
  publish.qos = static_cast<uint8_t>((flags >> 1) & 0x03U);
  publish.dup = (flags & 0x08U) != 0;
  packet->packet_id = 0;
  if (!fields.Field(&publish.topic)) return "PUBLISH ends in its topic";
  if (publish.qos > 0) {
    if (!fields.U16(&packet->packet_id)) return "PUBLISH ends in its packet identifier";
    if (packet->packet_id == 0) return "packet identifier 0 (MQTT-2.3.1-1)";
  }
  publish.payload = fields.rest();
  return ProblemOfTopicName(publish.topic);
}

const char* DecodeConnectFlags(uint8_t flags, ConnectPacket* connect) {
  connect->clean_session = (flags & 0x02U) != 0;
  connect->has_will = (flags & 0x04U) != 0;
  connect->will_qos = static_cast<uint8_t>((flags >> 3) & 0x03U);
  connect->will_retain = (flags & 0x20U) != 0;
  connect->has_password = (flags & 0x40U) != 0;
  connect->has_user_name = (flags & 0x80U) != 0;
  if ((flags & 0x01U) != 0) return "reserved flag of CONNECT (MQTT-3.1.2-3)";
  if (connect->will_qos == 3) return "will with QoS 3 (MQTT-3.1.2-14)";
  if (!connect->has_will && connect->will_qos != 0) return "QoS of no will (MQTT-3.1.2-13)";
  if (!connect->has_will && connect->will_retain) return "retain flag of no will (MQTT-3.1.2-15)";
  if (connect->has_password && !connect->has_user_name) {
    return "password without a user name (MQTT-3.1.2-22)";
  }
  return nullptr;
}

const char* DecodeConnectPayload(FieldReader fields, ConnectPacket* connect) {
  connect->will_topic = connect->will_payload = {};
  connect->user_name = connect->password = {};
  if (!fields.Field(&connect->client_id)) return "CONNECT ends in its client identifier";
  if (!IsMqttText(connect->client_id)) return "client identifier is not UTF-8 (MQTT-3.1.3-4)";
  if (connect->has_will) {
    if (!fields.Field(&connect->will_topic)) return "CONNECT ends in its will topic";
    if (const char* problem = ProblemOfTopicName(connect->will_topic)) return problem;
    if (!fields.Field(&connect->will_payload)) return "CONNECT ends in its will message";
  }
  if (connect->has_user_name) {
    if (!fields.Field(&connect->user_name)) return "CONNECT ends in its user name";
    if (!IsMqttText(connect->user_name)) return "user name is not UTF-8 (MQTT-3.1.3-11)";
  }
  if (connect->has_password && !fields.Field(&connect->password)) {
    return "CONNECT ends in its password";
  }
  return fields.empty() ? nullptr : "bytes behind the last field of CONNECT";
}

const char* DecodeConnect(FieldReader fields, ConnectPacket* connect) {
  std::string_view name;
  if (!fields.Field(&name)) return "CONNECT ends in its protocol name";
  // MQTT 3.1 called itself MQIsdp, level 3: a protocol level that is refused, not another protocol.
  if (name != "MQTT" && name != "MQIsdp") return "protocol name is not MQTT (MQTT-3.1.2-1)";
  if (!fields.U8(&connect->level)) return "CONNECT ends in its protocol level";
  if (name == "MQIsdp") connect->level = 3;
  if (connect->level != kProtocolLevel)
    return nullptr;  // other levels have other fields from here on
  uint8_t flags = 0;
  if (!fields.U8(&flags)) return "CONNECT ends in its flags";
  if (const char* problem = DecodeConnectFlags(flags, connect)) return problem;
  if (!fields.U16(&connect->keep_alive_s)) return "CONNECT ends in its keep alive";
  return DecodeConnectPayload(fields, connect);
}

// SUBSCRIBE (each filter is followed by a QoS) and UNSUBSCRIBE.
const char* DecodeFilters(bool with_qos, FieldReader fields, Packet* packet) {
  packet->filter_count = 0;
  if (!fields.U16(&packet->packet_id)) return "packet ends in its packet identifier";
  if (packet->packet_id == 0) return "packet identifier 0 (MQTT-2.3.1-1)";
  while (!fields.empty()) {
    std::string_view filter;
    uint8_t qos = 0;
    if (!fields.Field(&filter)) return "packet ends in a topic filter";
    if (filter.empty()) return "empty topic filter (MQTT-4.7.3-1)";
    if (!IsMqttText(filter)) return "topic filter is not UTF-8 (MQTT-3.8.3-1)";
    if (with_qos && !fields.U8(&qos)) return "SUBSCRIBE ends in a QoS";
    if (qos > 2) return "QoS of a subscription (MQTT-3-8.3-4)";
    ++packet->filter_count;
  }
  return packet->filter_count > 0 ? nullptr : "no topic filter (MQTT-3.8.3-3, MQTT-3.10.3-2)";
}

const char* DecodeBody(uint8_t first, base::ByteSpan body, Packet* packet) {
  FieldReader fields(body);
  switch (packet->type) {
    case PacketType::publish:
      return DecodePublish(first & 0x0FU, fields, packet);
    case PacketType::connect:
      return DecodeConnect(fields, &packet->connect);
    case PacketType::subscribe:
      return DecodeFilters(true, fields, packet);
    case PacketType::unsubscribe:
      return DecodeFilters(false, fields, packet);
    case PacketType::pingreq:
    case PacketType::disconnect:
      return nullptr;
    default:  // the acknowledgements: two bytes, as FixedLength() has made sure
      TIDEMARK_CHECK(fields.U16(&packet->packet_id));
      return packet->packet_id != 0 ? nullptr : "packet identifier 0 (MQTT-2.3.1-1)";
  }
}

void AppendRemainingLength(uint32_t length, PacketBytes* to) {
  TIDEMARK_CHECK(length <= kMaxRemainingLength);
  while (length >= 0x80) {
    to->push_back(static_cast<std::byte>((length & 0x7FU) | 0x80U));
    length >>= 7;
  }
  to->push_back(static_cast<std::byte>(length));
}

}  // namespace

bool IsMqttText(std::string_view text) {
  const TextFindings findings = Inspect(text);
  return !findings.nul && (!findings.beyond_ascii || IsUtf8(text));
}

Decoded DecodePacket(base::ByteSpan bytes, size_t max_packet_bytes, Packet* packet) {
  if (bytes.empty()) return {};
  const auto first = static_cast<uint8_t>(bytes[0]);
  if (const char* problem = ProblemOfFirstByte(first)) return Malformed(problem);
  packet->type = static_cast<PacketType>(first >> 4);

  uint32_t length = 0;
  size_t header = 1;
  for (unsigned shift = 0;; shift += 7) {
    if (header == kMaxFixedHeaderBytes) return Malformed("remaining length of more than 4 bytes");
    if (header == bytes.size()) return {};
    const auto digit = static_cast<uint8_t>(bytes[header++]);
    length |= static_cast<uint32_t>(digit & 0x7FU) << shift;
    if ((digit & 0x80U) == 0) break;
  }
  const std::optional<uint32_t> fixed = FixedLength(packet->type);
  if (fixed && *fixed != length) return Malformed("remaining length does not suit the packet type");
  const size_t total = header + length;
  if (total > max_packet_bytes) return {DecodeState::too_large, total, ""};
  if (bytes.size() < total) return {DecodeState::need_more, total, ""};
  if (const char* problem = DecodeBody(first, bytes.subspan(header, length), packet)) {
    return Malformed(problem);
  }
  return {DecodeState::packet, total, ""};
}

void AppendConnack(ConnectCode code, PacketBytes* to) {
  const std::array<std::byte, 4> packet{std::byte{0x20}, std::byte{2}, std::byte{0},
                                        static_cast<std::byte>(code)};
  to->insert(to->end(), packet.begin(), packet.end());
}

void AppendAck(PacketType type, uint16_t packet_id, PacketBytes* to) {
  const std::array<std::byte, 4> packet{static_cast<std::byte>(static_cast<uint8_t>(type) << 4),
                                        std::byte{2}, static_cast<std::byte>(packet_id >> 8),
                                        static_cast<std::byte>(packet_id & 0xFFU)};
  to->insert(to->end(), packet.begin(), packet.end());
}

void AppendSubackFailure(uint16_t packet_id, uint32_t filter_count, PacketBytes* to) {
  to->push_back(static_cast<std::byte>(static_cast<uint8_t>(PacketType::suback) << 4));
  AppendRemainingLength(2 + filter_count, to);
  to->push_back(static_cast<std::byte>(packet_id >> 8));
  to->push_back(static_cast<std::byte>(packet_id & 0xFFU));
  to->insert(to->end(), filter_count, std::byte{kSubscriptionFailed});
}

void AppendPingresp(PacketBytes* to) {
  to->push_back(static_cast<std::byte>(static_cast<uint8_t>(PacketType::pingresp) << 4));
  to->push_back(std::byte{0});
}

}  // namespace tidemark::ingest
