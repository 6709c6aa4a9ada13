#include "bench/mqtt_packets.h"

#include <string_view>

#include <fmt/core.h>

namespace tidemark::bench {
namespace {

void AppendNumber(unsigned value, std::string* to) {
  AppendByte(value >> 8, to);
  AppendByte(value & 0xff, to);
}
void AppendText(std::string_view text, std::string* to) {
  AppendNumber(static_cast<unsigned>(text.size()), to);
  to->append(text);
}
void AppendLength(size_t length, std::string* to) {
  do {
    const auto digit = static_cast<unsigned>(length % kContinues);
    length /= kContinues;
    AppendByte(length > 0 ? digit | kContinues : digit, to);
  } while (length > 0);
}

}  // namespace

void AppendByte(unsigned value, std::string* to) { to->push_back(static_cast<char>(value)); }

std::string ConnectPacket(const std::string& client) {
  std::string body;
  AppendText("MQTT", &body);
  constexpr unsigned kVersion311 = 4;
  constexpr unsigned kCleanSession = 2;
  AppendByte(kVersion311, &body);
  AppendByte(kCleanSession, &body);
  constexpr unsigned kKeepAliveSeconds = 60;
  AppendNumber(kKeepAliveSeconds, &body);
  AppendText(client, &body);
  std::string packet;
  AppendByte(kConnect, &packet);
  AppendLength(body.size(), &packet);
  return packet + body;
}

Message MakeMessage(int device, int qos, size_t payload_bytes) {
  const std::string topic = fmt::format("sensors/thermo-{:04}", device);
  std::string payload =
      fmt::format(R"({{"device":"thermo-{:04}","t":{:.2f},"h":{:.1f},"ts":1732272000{:03}}})",
                  device, 20 + device * 0.01, 40 + device * 0.1, device % 1000);
  payload.resize(payload_bytes, ' ');
  const bool acknowledged = qos > 0;
  Message message;
  AppendByte(kPublish | (acknowledged ? 2U : 0U), &message.packet);
  AppendLength(2 + topic.size() + (acknowledged ? 2U : 0U) + payload.size(), &message.packet);
  AppendText(topic, &message.packet);
  message.id_at = message.packet.size();
  if (acknowledged) AppendNumber(0, &message.packet);
  message.packet += payload;
  return message;
}

}  // namespace tidemark::bench
