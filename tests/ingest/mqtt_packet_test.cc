#include "ingest/mqtt_packet.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/ingest/packet_bytes.h"

namespace tidemark::ingest {
namespace {

constexpr size_t kLimit = size_t{1} << 20;

Decoded Decode(std::string_view bytes, Packet* packet, size_t limit = kLimit) {
  return DecodePacket(base::AsBytes(bytes), limit, packet);
}

Packet MustDecode(std::string_view bytes) {
  Packet packet;
  const Decoded decoded = Decode(bytes, &packet);
  EXPECT_EQ(decoded.state, DecodeState::packet) << decoded.reason;
  EXPECT_EQ(decoded.bytes, bytes.size());
  return packet;
}

TEST(MqttPacket, ConnectWithEverything) {
  ConnectFields fields;
  fields.client_id = "thermo-0017";
  fields.keep_alive_s = 60;
  fields.flags = 0x02 | 0x04 | (1 << 3) | 0x20 | 0x40 | 0x80;
  fields.payload_behind_id =
      Field("sensors/lost") + Field(std::string("\0\xFF", 2)) + Field("user") + Field("secret");
  const std::string bytes = Connect(fields);
  const Packet packet = MustDecode(bytes);
  ASSERT_EQ(packet.type, PacketType::connect);
  EXPECT_EQ(packet.connect.level, 4);
  EXPECT_TRUE(packet.connect.clean_session);
  EXPECT_EQ(packet.connect.keep_alive_s, 60);
  EXPECT_EQ(packet.connect.client_id, "thermo-0017");
  EXPECT_TRUE(packet.connect.has_will);
  EXPECT_EQ(packet.connect.will_qos, 1);
  EXPECT_TRUE(packet.connect.will_retain);
  EXPECT_EQ(packet.connect.will_topic, "sensors/lost");
  EXPECT_EQ(packet.connect.will_payload, std::string("\0\xFF", 2));
  EXPECT_EQ(packet.connect.user_name, "user");
  EXPECT_EQ(packet.connect.password, "secret");
}

TEST(MqttPacket, FieldsOfAnEarlierConnectDoNotShine) {
  Packet packet;
  const std::string with_will = ConnectWithWill("a", "will", "gone");
  ASSERT_EQ(Decode(with_will, &packet).state, DecodeState::packet);
  const std::string without = ConnectAs("b");
  ASSERT_EQ(Decode(without, &packet).state, DecodeState::packet);
  EXPECT_FALSE(packet.connect.has_will);
  EXPECT_EQ(packet.connect.will_topic, "");
  EXPECT_EQ(packet.connect.user_name, "");
}

TEST(MqttPacket, OtherProtocolLevelsAreToldNotMalformed) {
  // Behind the level MQTT 5 has other fields: they must not be looked at.
  Packet packet = MustDecode(PacketOf(0x10, Field("MQTT") + "\x05\xFF\xFF\xFF\xFF\xFF\xFF"));
  EXPECT_EQ(packet.connect.level, 5);
  packet = MustDecode(PacketOf(0x10, Field("MQIsdp") + "\x03" + "whatever"));
  EXPECT_EQ(packet.connect.level, 3);
}

TEST(MqttPacket, AcknowledgementsAndSmallPackets) {
  EXPECT_EQ(MustDecode(Pubrel(7)).packet_id, 7);
  EXPECT_EQ(MustDecode(Puback(0xABCD)).packet_id, 0xABCD);
  EXPECT_EQ(MustDecode(Pubrec(1)).type, PacketType::pubrec);
  EXPECT_EQ(MustDecode(Pubcomp(1)).type, PacketType::pubcomp);
  EXPECT_EQ(MustDecode(Pingreq()).type, PacketType::pingreq);
  EXPECT_EQ(MustDecode(Disconnect()).type, PacketType::disconnect);
}

TEST(MqttPacket, SubscribeCountsItsFilters) {
  const Packet packet =
      MustDecode(PacketOf(0x82, U16(9) + Field("a/#") + "\x02" + Field("b") + '\0'));
  EXPECT_EQ(packet.packet_id, 9);
  EXPECT_EQ(packet.filter_count, 2U);
  EXPECT_EQ(MustDecode(PacketOf(0xA2, U16(9) + Field("a") + Field("b") + Field("c"))).filter_count,
            3U);
}

TEST(MqttPacket, EmptyPayloadAndNonMinimalLength) {
  const std::string empty = Publish("t", "");
  EXPECT_EQ(MustDecode(empty).publish.payload, "");
  // MQTT 3.1.1 does not ask for the shortest form of a length (MQTT 5 does).
  EXPECT_EQ(MustDecode(std::string("\xC0\x80\x00", 3)).type, PacketType::pingreq);
}

struct Bad {
  const char* name;
  std::string bytes;
  const char* reason;  // a part of it
};
void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name; }

class MqttMalformed : public testing::TestWithParam<Bad> {};

TEST_P(MqttMalformed, IsRejectedWithItsReason) {
  Packet packet;
  const Decoded decoded = Decode(GetParam().bytes, &packet);
  EXPECT_EQ(decoded.state, DecodeState::malformed);
  EXPECT_NE(std::string_view(decoded.reason).find(GetParam().reason), std::string_view::npos)
      << decoded.reason;
}

std::string WithFlags(unsigned flags, std::string_view behind_id = "") {
  ConnectFields fields;
  fields.flags = flags;
  fields.payload_behind_id = behind_id;
  return Connect(fields);
}

INSTANTIATE_TEST_SUITE_P(
    Table, MqttMalformed,
    testing::Values(
        Bad{"type 0", std::string("\0\0", 2), "reserved packet type"},
        Bad{"type 15", "\xF0", "reserved packet type"},
        Bad{"CONNACK from a client", "\x20", "only a server"},
        Bad{"SUBACK from a client", "\x90", "only a server"},
        Bad{"PINGRESP from a client", Pingresp(), "only a server"},
        Bad{"HTTP", "GET / HTTP/1.1\r\n", "MQTT-2.2.2-2"},
        Bad{"TLS hello", "\x16\x03\x01", "MQTT-2.2.2-2"},
        Bad{"flags of CONNECT", "\x11", "MQTT-2.2.2-2"},
        Bad{"flags of PINGREQ", "\xC1", "MQTT-2.2.2-2"},
        Bad{"flags of DISCONNECT", "\xE2", "MQTT-2.2.2-2"},
        Bad{"flags of PUBREL", "\x60", "MQTT-3.6.1-1"},
        Bad{"flags of SUBSCRIBE", "\x80", "MQTT-3.8.1-1"},
        Bad{"flags of UNSUBSCRIBE", "\xA0", "MQTT-3.10.1-1"}, Bad{"QoS 3", "\x36", "MQTT-3.3.1-4"},
        Bad{"DUP at QoS 0", "\x38", "MQTT-3.3.1-2"},
        Bad{"five length bytes", "\x30\x80\x80\x80\x80", "4 bytes"},
        Bad{"five length bytes, the last one good", "\x30\xFF\xFF\xFF\xFF\x01", "4 bytes"},
        Bad{"PINGREQ with a body", PacketOf(0xC0, "x"), "remaining length"},
        Bad{"PUBACK too short", PacketOf(0x40, "x"), "remaining length"},
        Bad{"PUBREL too long", PacketOf(0x62, "xyz"), "remaining length"},
        Bad{"PUBREL of 0", Pubrel(0), "MQTT-2.3.1-1"},
        Bad{"PUBLISH without topic", PacketOf(0x30, ""), "topic"},
        Bad{"PUBLISH topic cut", PacketOf(0x30, U16(5) + "abcd"), "topic"},
        Bad{"PUBLISH topic empty", Publish("", "v"), "MQTT-4.7.3-1"},
        Bad{"PUBLISH to +", Publish("a/+/b", "v"), "MQTT-3.3.2-2"},
        Bad{"PUBLISH to #", Publish("a/#", "v"), "MQTT-3.3.2-2"},
        Bad{"PUBLISH topic with NUL", Publish(std::string_view("a\0b", 3), "v"), "MQTT-4.7.3-2"},
        Bad{"PUBLISH topic no UTF-8", Publish("a\xFF", "v"), "MQTT-1.5.3-1"},
        Bad{"PUBLISH topic surrogate", Publish("\xED\xA0\x80", "v"), "MQTT-1.5.3-1"},
        Bad{"PUBLISH without id", PacketOf(0x32, Field("t")), "packet identifier"},
        Bad{"PUBLISH id 0", Publish1(0), "MQTT-2.3.1-1"},
        Bad{"SUBSCRIBE id 0", Subscribe(0, "a"), "MQTT-2.3.1-1"},
        Bad{"SUBSCRIBE to nothing", PacketOf(0x82, U16(1)), "MQTT-3.8.3-3"},
        Bad{"SUBSCRIBE empty filter", Subscribe(1, ""), "MQTT-4.7.3-1"},
        Bad{"SUBSCRIBE without QoS", PacketOf(0x82, U16(1) + Field("a")), "QoS"},
        Bad{"SUBSCRIBE QoS 3", Subscribe(1, "a", 3), "MQTT-3-8.3-4"},
        Bad{"SUBSCRIBE reserved bits", Subscribe(1, "a", 0x81), "MQTT-3-8.3-4"},
        Bad{"SUBSCRIBE filter no UTF-8", Subscribe(1, "\xC0\x80"), "MQTT-3.8.3-1"},
        Bad{"UNSUBSCRIBE from nothing", PacketOf(0xA2, U16(1)), "MQTT-3.10.3-2"},
        Bad{"UNSUBSCRIBE cut", PacketOf(0xA2, U16(1) + U16(9) + "a"), "topic filter"},
        Bad{"CONNECT empty", PacketOf(0x10, ""), "protocol name"},
        Bad{"CONNECT of another protocol", Connect({.name = "HTTP"}), "MQTT-3.1.2-1"},
        Bad{"CONNECT name in small letters", Connect({.name = "mqtt"}), "MQTT-3.1.2-1"},
        Bad{"CONNECT ends at the level", PacketOf(0x10, Field("MQTT")), "protocol level"},
        Bad{"CONNECT ends at the flags", PacketOf(0x10, Field("MQTT") + "\x04"), "flags"},
        Bad{"CONNECT ends at keep alive", PacketOf(0x10, Field("MQTT") + "\x04\x02"), "keep alive"},
        Bad{"CONNECT ends at the id", PacketOf(0x10, Field("MQTT") + "\x04\x02" + U16(9)),
            "client identifier"},
        Bad{"CONNECT reserved flag", WithFlags(0x03), "MQTT-3.1.2-3"},
        Bad{"will QoS 3", WithFlags(0x06 | 0x18, Field("w") + Field("")), "MQTT-3.1.2-14"},
        Bad{"will QoS without will", WithFlags(0x0A), "MQTT-3.1.2-13"},
        Bad{"will retain without will", WithFlags(0x22), "MQTT-3.1.2-15"},
        Bad{"password without user", WithFlags(0x42, Field("p")), "MQTT-3.1.2-22"},
        Bad{"will topic missing", WithFlags(0x06), "will topic"},
        Bad{"will message missing", WithFlags(0x06, Field("w")), "will message"},
        Bad{"will topic with wildcard", WithFlags(0x06, Field("#") + Field("")), "wildcard"},
        Bad{"will topic empty", WithFlags(0x06, Field("") + Field("")), "MQTT-4.7.3-1"},
        Bad{"user name missing", WithFlags(0x82), "user name"},
        Bad{"user name no UTF-8", WithFlags(0x82, Field("\xFF")), "MQTT-3.1.3-11"},
        Bad{"password missing", WithFlags(0xC2, Field("u")), "password"},
        Bad{"client id with NUL", ConnectAs(std::string_view("\0", 1)), "MQTT-3.1.3-4"},
        Bad{"bytes behind CONNECT", WithFlags(0x02, "x"), "behind the last field"}));

TEST(MqttText, Utf8) {
  EXPECT_TRUE(IsMqttText(""));
  EXPECT_TRUE(IsMqttText("plain"));
  EXPECT_TRUE(IsMqttText("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8C\x8A"));
  EXPECT_TRUE(
      IsMqttText("\xEF\xBB\xBF"
                 "a"));                                 // a byte order mark stays [MQTT-1.5.3-3]
  EXPECT_TRUE(IsMqttText("\xF4\x8F\xBF\xBF"));          // U+10FFFF
  EXPECT_TRUE(IsMqttText("\xED\x9F\xBF\xEE\x80\x80"));  // beside the surrogates
  EXPECT_FALSE(IsMqttText(std::string_view("a\0", 2)));
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
        "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_FALSE(IsMqttText(bad)) << testing::PrintToString(bad);
  }
}

TEST(MqttPacket, TellsHowMuchIsMissing) {
  Packet packet;
  EXPECT_EQ(Decode("", &packet).bytes, 0U);
  EXPECT_EQ(Decode("\x30", &packet).bytes, 0U);
  EXPECT_EQ(Decode("\x30\xFF", &packet).bytes, 0U);
  const Decoded decoded = Decode("\x30\xC8\x01", &packet);
  EXPECT_EQ(decoded.state, DecodeState::need_more);
  EXPECT_EQ(decoded.bytes, 3U + 200U);
}

TEST(MqttPacket, LimitIsOfTheWholePacket) {
  Packet packet;
  const std::string bytes = Publish("t", std::string(97, 'x'));  // 2 + 3 + 97
  EXPECT_EQ(Decode(bytes, &packet, 102).state, DecodeState::packet);
  EXPECT_EQ(Decode(bytes, &packet, 101).state, DecodeState::too_large);
  // Known from the header alone: nothing has to be received for it.
  const Decoded decoded = Decode("\x30\xFF\xFF\xFF\x7F", &packet);
  EXPECT_EQ(decoded.state, DecodeState::too_large);
  EXPECT_EQ(decoded.bytes, kMaxRemainingLength + 5);
}

TEST(MqttPacket, Encoders) {
  PacketBytes bytes;
  AppendConnack(ConnectCode::identifier_rejected, &bytes);
  AppendAck(PacketType::puback, 0x1234, &bytes);
  AppendAck(PacketType::unsuback, 2, &bytes);
  AppendPingresp(&bytes);
  AppendSubackFailure(5, 3, &bytes);
  EXPECT_EQ(base::AsText(bytes), Connack(2) + Puback(0x1234) + "\xB0\x02" + U16(2) + Pingresp() +
                                     "\x90\x05" + U16(5) + "\x80\x80\x80");
  bytes.clear();
  AppendSubackFailure(5, 200, &bytes);
  EXPECT_EQ(base::AsText(bytes).substr(0, 5), "\x90\xCA\x01" + U16(5));
  EXPECT_EQ(bytes.size(), 3U + 202U);
}

// --- properties ------------------------------------------------------------------------------

std::string ArbitraryTopic() {
  const auto level = rc::gen::container<std::string>(rc::gen::elementOf(std::string("abz019-_ $")));
  const auto levels = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(level));
  std::string topic = levels[0];
  for (size_t i = 1; i < levels.size(); ++i) topic += "/" + levels[i];
  return topic.empty() ? "/" : topic;
}

struct Sent {
  std::string topic;
  std::string payload;
  PublishFields fields;
};
Sent ArbitraryPublish() {
  Sent sent;
  sent.topic = ArbitraryTopic();
  sent.payload = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  sent.fields.qos = *rc::gen::inRange(0U, 3U);
  sent.fields.dup = sent.fields.qos > 0 && *rc::gen::arbitrary<bool>();
  sent.fields.retain = *rc::gen::arbitrary<bool>();
  sent.fields.packet_id = sent.fields.qos > 0 ? *rc::gen::inRange(1U, 65536U) : 0;
  return sent;
}

RC_GTEST_PROP(MqttPacketProperty, PublishComesBackAsItWasSent, ()) {
  const Sent sent = ArbitraryPublish();
  const std::string bytes = Publish(sent.topic, sent.payload, sent.fields);
  Packet packet;
  const std::string stream = bytes + "next packet";
  const Decoded decoded = Decode(stream, &packet);
  RC_ASSERT(decoded.state == DecodeState::packet);
  RC_ASSERT(decoded.bytes == bytes.size());
  RC_ASSERT(packet.publish.topic == sent.topic);
  RC_ASSERT(packet.publish.payload == sent.payload);
  RC_ASSERT(packet.publish.qos == sent.fields.qos);
  RC_ASSERT(packet.publish.dup == sent.fields.dup);
  RC_ASSERT(packet.publish.retain == sent.fields.retain);
  RC_ASSERT(packet.packet_id == sent.fields.packet_id);
}

RC_GTEST_PROP(MqttPacketProperty, EveryPrefixNeedsMore, ()) {
  const Sent sent = ArbitraryPublish();
  const std::string bytes = Publish(sent.topic, sent.payload, sent.fields);
  for (size_t length = 0; length < bytes.size(); ++length) {
    Packet packet;
    const Decoded decoded = Decode(std::string_view(bytes).substr(0, length), &packet);
    RC_ASSERT(decoded.state == DecodeState::need_more);
    RC_ASSERT((decoded.bytes == 0 || decoded.bytes == bytes.size()));
  }
}

RC_GTEST_PROP(MqttPacketProperty, ArbitraryBytesNeverDecodeBeyondTheirEnd, ()) {
  std::string bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  // Mostly the first byte decides: make valid ones as likely as not.
  if (!bytes.empty() && *rc::gen::arbitrary<bool>()) {
    bytes[0] = *rc::gen::elementOf(std::string("\x10\x30\x32\x34\x62\x82\xA2\x3D"));
  }
  // On the heap and exactly as long, so that the address sanitizer sees one byte too many.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  Packet packet;
  const Decoded decoded = Decode({exact.data(), exact.size()}, &packet);
  if (decoded.state == DecodeState::packet) RC_ASSERT(decoded.bytes <= bytes.size());
  if (decoded.state == DecodeState::malformed) RC_ASSERT(*decoded.reason != '\0');
}

}  // namespace
}  // namespace tidemark::ingest
