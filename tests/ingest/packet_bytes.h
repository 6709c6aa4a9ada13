// What an MQTT client sends, put together by hand, byte by byte as the standard draws it:
// independent of the code that is tested.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace tidemark::ingest {

inline std::string U16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)};
}

inline std::string Field(std::string_view bytes) {
  return U16(static_cast<unsigned>(bytes.size())) + std::string(bytes);
}

inline std::string RemainingLength(size_t length) {
  std::string bytes;
  do {
    const size_t digit = length % 128;
    length /= 128;
    bytes += static_cast<char>(digit | (length > 0 ? 0x80U : 0U));
  } while (length > 0);
  return bytes;
}

// A whole packet from its first byte and what follows the fixed header.
inline std::string PacketOf(unsigned first_byte, std::string_view body) {
  return static_cast<char>(first_byte) + RemainingLength(body.size()) + std::string(body);
}

struct ConnectFields {
  std::string client_id = "thermo-17";
  unsigned keep_alive_s = 0;
  unsigned flags = 0x02;  // clean session
  std::string payload_behind_id = {};
  std::string name = "MQTT";
  unsigned level = 4;
};
inline std::string Connect(const ConnectFields& f = {}) {
  return PacketOf(0x10, Field(f.name) + static_cast<char>(f.level) + static_cast<char>(f.flags) +
                            U16(f.keep_alive_s) + Field(f.client_id) + f.payload_behind_id);
}
inline std::string ConnectAs(std::string_view client_id, unsigned keep_alive_s = 0) {
  ConnectFields fields;
  fields.client_id = client_id;
  fields.keep_alive_s = keep_alive_s;
  return Connect(fields);
}
inline std::string ConnectWithWill(std::string_view client_id, std::string_view topic,
                                   std::string_view payload, unsigned qos = 0,
                                   bool retain = false) {
  ConnectFields fields;
  fields.client_id = client_id;
  fields.flags = 0x06U | (qos << 3) | (retain ? 0x20U : 0U);
  fields.payload_behind_id = Field(topic) + Field(payload);
  return Connect(fields);
}

struct PublishFields {
  unsigned qos = 0;
  unsigned packet_id = 0;
  bool dup = false;
  bool retain = false;
};
inline std::string Publish(std::string_view topic, std::string_view payload,
                           const PublishFields& f = {}) {
  const unsigned first = 0x30U | (f.dup ? 8U : 0U) | (f.qos << 1) | (f.retain ? 1U : 0U);
  return PacketOf(first, Field(topic) + (f.qos > 0 ? U16(f.packet_id) : "") + std::string(payload));
}
inline std::string Publish1(unsigned packet_id, std::string_view topic = "t",
                            std::string_view payload = "v") {
  return Publish(topic, payload, {.qos = 1, .packet_id = packet_id});
}
inline std::string Publish2(unsigned packet_id, std::string_view topic = "t",
                            std::string_view payload = "v", bool dup = false) {
  return Publish(topic, payload, {.qos = 2, .packet_id = packet_id, .dup = dup});
}

inline std::string Puback(unsigned id) { return "\x40\x02" + U16(id); }
inline std::string Pubrec(unsigned id) { return "\x50\x02" + U16(id); }
inline std::string Pubrel(unsigned id) { return "\x62\x02" + U16(id); }
inline std::string Pubcomp(unsigned id) { return "\x70\x02" + U16(id); }
inline std::string Pingreq() { return {'\xC0', '\0'}; }
inline std::string Pingresp() { return {'\xD0', '\0'}; }
inline std::string Disconnect() { return {'\xE0', '\0'}; }
inline std::string Connack(unsigned code = 0) {
  return {'\x20', '\x02', '\0', static_cast<char>(code)};
}
inline std::string Subscribe(unsigned id, std::string_view filter, unsigned qos = 0) {
  return PacketOf(0x82, U16(id) + Field(filter) + static_cast<char>(qos));
}
inline std::string Unsubscribe(unsigned id, std::string_view filter) {
  return PacketOf(0xA2, U16(id) + Field(filter));
}

}  // namespace tidemark::ingest
