// What our loads send to servers: packets of MQTT 3.1.1, by a codec that owes nothing to
// Tidemark's.
#pragma once

#include <cstddef>
#include <string>

namespace tidemark::bench {

inline constexpr unsigned char kConnect = 0x10;
inline constexpr unsigned char kConnack = 0x20;
inline constexpr unsigned char kPublish = 0x30;
inline constexpr unsigned char kPuback = 0x40;
inline constexpr unsigned char kPingreq = 0xc0;
inline constexpr unsigned char kPingresp = 0xd0;
inline constexpr unsigned char kDisconnect = 0xe0;
inline constexpr unsigned kContinues = 0x80;

void AppendByte(unsigned value, std::string* to);
std::string ConnectPacket(const std::string& client);

// A PUBLISH whose packet id, if it has one, is filled in at `id_at`.
struct Message {
  std::string packet;
  size_t id_at = 0;
};
// Of a thermometer, with a payload of so many bytes.
Message MakeMessage(int device, int qos, size_t payload_bytes);

}  // namespace tidemark::bench
