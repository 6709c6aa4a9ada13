// MQTT 3.1.1 control packets as bytes: what a server receives is decoded in place, what it sends is
// encoded. No sockets and no state here. Rule numbers are those of the OASIS standard, MQTT Version
// 3.1.1 ("MQTT-3.1.0-1").
//
//   type and flags, 1 byte | remaining length, 1 to 4 bytes | variable header | payload
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "tidemark/record.h"

namespace tidemark::ingest {

enum class PacketType : uint8_t {
  connect = 1,
  connack = 2,
  publish = 3,
  puback = 4,
  pubrec = 5,
  pubrel = 6,
  pubcomp = 7,
  subscribe = 8,
  suback = 9,
  unsubscribe = 10,
  unsuback = 11,
  pingreq = 12,
  pingresp = 13,
  disconnect = 14,
};

inline constexpr uint8_t kProtocolLevel = 4;                  // MQTT 3.1.1
inline constexpr size_t kMaxFixedHeaderBytes = 5;             // the type and four bytes of length
inline constexpr uint32_t kMaxRemainingLength = 268'435'455;  // what four bytes can say

struct ConnectPacket {
  // Other than kProtocolLevel: nothing behind it was looked at, the fields below mean nothing.
  uint8_t level = 0;
  bool clean_session = false;
  bool has_will = false;
  bool will_retain = false;
  uint8_t will_qos = 0;
  bool has_user_name = false;
  bool has_password = false;
  uint16_t keep_alive_s = 0;
  std::string_view client_id;
  std::string_view will_topic;
  Bytes will_payload;
  std::string_view user_name;
  Bytes password;
};

struct PublishPacket {
  std::string_view topic;
  Bytes payload;
  uint8_t qos = 0;
  bool dup = false;
  bool retain = false;
};

// A packet that was decoded. Its views point into the bytes that were handed in. Only the fields of
// its type are set, so that one Packet can be used again and again.
struct Packet {
  PacketType type = PacketType::disconnect;
  uint16_t packet_id = 0;     // PUBLISH above QoS 0, PUBACK to PUBCOMP, SUBSCRIBE, UNSUBSCRIBE
  uint32_t filter_count = 0;  // SUBSCRIBE, UNSUBSCRIBE
  PublishPacket publish;
  ConnectPacket connect;
};

enum class DecodeState : uint8_t {
  packet,     // one packet was decoded
  need_more,  // what is there is good, and the packet's end is missing
  malformed,  // the connection must be closed [MQTT-4.8.0-1]
  too_large,  // longer than the caller's limit
};

struct Decoded {
  DecodeState state = DecodeState::need_more;
  // packet: bytes it takes. need_more, too_large: its whole size; need_more: 0 when not yet known.
  size_t bytes = 0;
  const char* reason = "";  // malformed: what was wrong and the rule that says so; lives for ever
};

// Decodes the packet at the start of `bytes`. Reads nothing behind it.
Decoded DecodePacket(base::ByteSpan bytes, size_t max_packet_bytes, Packet* packet);

// Whether `text` is well-formed UTF-8 without U+0000 [MQTT-1.5.3-1, MQTT-1.5.3-2].
bool IsMqttText(std::string_view text);

enum class ConnectCode : uint8_t {
  accepted = 0,
  unacceptable_protocol_level = 1,
  identifier_rejected = 2,
  server_unavailable = 3,
};

// Encoders: each appends one packet to `to`.
using PacketBytes = std::vector<std::byte>;
// Session present is always 0: no session outlives its connection in this version.
void AppendConnack(ConnectCode code, PacketBytes* to);
// PUBACK, PUBREC, PUBCOMP, UNSUBACK.
void AppendAck(PacketType type, uint16_t packet_id, PacketBytes* to);
// Refuses each of `filter_count` subscriptions (0x80).
void AppendSubackFailure(uint16_t packet_id, uint32_t filter_count, PacketBytes* to);
void AppendPingresp(PacketBytes* to);

}  // namespace tidemark::ingest
