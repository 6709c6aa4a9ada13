#include "ingest/mqtt_session.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/ingest/fake_log.h"
#include "tests/ingest/packet_bytes.h"

namespace tidemark::ingest {
namespace {

uint64_t FixedRandom() { return 0x0123456789ABCDEF; }

// A server's side of connections that are only bytes.
struct Fixture {
  FakeLogState state;
  FakeLog log{&state};
  RouteTable routes = *RouteTable::Make({}, {});
  SessionContext context{log, routes};
  std::unique_ptr<MqttSession> session;

  Fixture() {
    context.random64 = &FixedRandom;
    Reconnect();
  }
  void Reconnect() { session = std::make_unique<MqttSession>(&context); }

  // Hands in all packets of `bytes`; the outcome of the last one, or of the first that stops.
  Outcome Feed(std::string_view bytes, std::string* replies = nullptr) const {
    PacketBytes out;
    Outcome outcome;
    while (!bytes.empty()) {
      Packet packet;
      const Decoded decoded = DecodePacket(base::AsBytes(bytes), size_t{1} << 20, &packet);
      EXPECT_EQ(decoded.state, DecodeState::packet) << decoded.reason;
      outcome = session->Handle(packet, &out);
      if (outcome.verdict != Verdict::next && outcome.verdict != Verdict::connected) break;
      bytes.remove_prefix(decoded.bytes);
    }
    if (replies != nullptr) *replies += base::AsText(out);
    return outcome;
  }
  std::string Replies(std::string_view bytes) const {
    std::string replies;
    Feed(bytes, &replies);
    return replies;
  }
  std::string Acks() const {
    PacketBytes out;
    session->TakeReadyAcks(&out);
    return std::string(base::AsText(out));
  }
};

TEST(MqttSession, ConnectIsAnsweredAndComesFirst) {
  Fixture f;
  EXPECT_EQ(f.Feed(Pingreq()).verdict, Verdict::violation);
  f.Reconnect();
  EXPECT_EQ(f.Feed(Publish("t", "v")).verdict, Verdict::violation);
  EXPECT_TRUE(f.state.records.empty());
  f.Reconnect();
  std::string replies;
  EXPECT_EQ(f.Feed(ConnectAs("thermo-17", 20), &replies).verdict, Verdict::connected);
  EXPECT_EQ(replies, Connack(0));
  EXPECT_EQ(f.session->client_id(), "thermo-17");
  EXPECT_EQ(f.session->max_silence_us(), 30'000'000);
  const Outcome second = f.Feed(ConnectAs("thermo-17"));
  EXPECT_EQ(second.verdict, Verdict::violation);
  EXPECT_NE(second.reason.find("MQTT-3.1.0-2"), std::string_view::npos);
}

TEST(MqttSession, RefusesWithACode) {
  const auto refusal = [](const std::string& connect, bool healthy = true) {
    Fixture f;
    f.state.healthy = healthy;
    std::string replies;
    EXPECT_EQ(f.Feed(connect, &replies).verdict, Verdict::refused);
    EXPECT_FALSE(f.session->connected());
    return replies;
  };
  EXPECT_EQ(refusal(Connect({.level = 5})), Connack(1));
  EXPECT_EQ(refusal(Connect({.name = "MQIsdp", .level = 3})), Connack(1));
  EXPECT_EQ(refusal(Connect({.client_id = "", .flags = 0})), Connack(2));
  EXPECT_EQ(refusal(ConnectAs(std::string(257, 'x'))), Connack(2));
  EXPECT_EQ(refusal(ConnectAs("a"), false), Connack(3));
}

TEST(MqttSession, SessionPresentIsNeverSaid) {
  Fixture f;
  EXPECT_EQ(f.Replies(Connect({.flags = 0})), Connack(0));
}

TEST(MqttSession, NamesAClientThatBringsNone) {
  Fixture f;
  EXPECT_EQ(f.Replies(ConnectAs("")), Connack(0));
  EXPECT_EQ(f.session->client_id().substr(0, 5), "auto-");
  EXPECT_EQ(f.session->client_id().size(), 18U);
}

TEST(MqttSession, APublishBecomesARecord) {
  Fixture f;
  f.Replies(ConnectAs("thermo-17"));
  f.Feed(Publish("sensors/kitchen/temp", "21.5"));
  f.Feed(Publish("sensors/hall/temp", "", {.qos = 1, .packet_id = 3, .retain = true}));
  ASSERT_EQ(f.state.records.size(), 2U);
  const FakeRecord& first = f.state.records[0];
  EXPECT_EQ(first.topic, 0U);
  EXPECT_EQ(first.key, "sensors/kitchen/temp");
  EXPECT_EQ(first.value, "21.5");
  EXPECT_EQ(first.durability, Durability::buffered);
  EXPECT_EQ(first.headers,
            (std::map<std::string, std::string>{{"mqtt.client", "thermo-17"}, {"mqtt.qos", "0"}}));
  const FakeRecord& second = f.state.records[1];
  EXPECT_EQ(second.value, "");  // an empty payload is an empty value, not a null one
  EXPECT_EQ(second.durability, Durability::durable);
  EXPECT_EQ(second.headers,
            (std::map<std::string, std::string>{
                {"mqtt.client", "thermo-17"}, {"mqtt.qos", "1"}, {"mqtt.retain", "1"}}));
}

TEST(MqttSession, AcknowledgesWhatIsDurableAndInOrder) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  f.Feed(Publish1(10) + Publish2(11) + Publish("t", "qos 0") + Publish1(12));
  EXPECT_EQ(f.Acks(), "");
  f.state.durable_end = 1;
  EXPECT_EQ(f.Acks(), Puback(10));
  f.state.durable_end = 3;  // the QoS 0 record is owed nothing
  EXPECT_EQ(f.Acks(), Pubrec(11));
  f.state.durable_end = 4;
  EXPECT_EQ(f.Acks(), Puback(12));
  EXPECT_EQ(f.Acks(), "");
  EXPECT_EQ(f.context.counters.acks, 3U);
}

TEST(MqttSession, ExactlyOnceWithinAConnection) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  f.Feed(Publish2(5, "t", "one"));
  f.Feed(Publish2(5, "t", "one", true));  // sent again before it was acknowledged
  EXPECT_EQ(f.Acks(), "");
  f.state.MakeAllDurable();
  EXPECT_EQ(f.Acks(), Pubrec(5) + Pubrec(5));
  f.Feed(Publish2(5, "t", "one", true));  // and again afterwards
  EXPECT_EQ(f.Acks(), Pubrec(5));
  EXPECT_EQ(f.state.records.size(), 1U);
  EXPECT_EQ(f.Replies(Pubrel(5)), Pubcomp(5));
  EXPECT_EQ(f.Replies(Pubrel(5)), Pubcomp(5));  // its PUBCOMP was lost
  f.Feed(Publish2(5, "t", "two"));  // released: the identifier is free for another message
  EXPECT_EQ(f.state.Values(), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(f.context.counters.duplicates, 2U);
}

TEST(MqttSession, APrematurePubrelIsCompletedBehindItsPubrec) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  EXPECT_EQ(f.Replies(Publish2(5) + Pubrel(5)), "");
  f.state.MakeAllDurable();
  EXPECT_EQ(f.Acks(), Pubrec(5) + Pubcomp(5));
}

TEST(MqttSession, AFullLogChangesNothing) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  f.state.room = 0;
  for (const auto& [code, verdict] : {std::pair(ErrorCode::busy, Verdict::busy),
                                      std::pair(ErrorCode::disk_full, Verdict::disk_full)}) {
    f.state.refusal = code;
    EXPECT_EQ(f.Feed(Publish("t", "v")).verdict, verdict);
    EXPECT_EQ(f.Feed(Publish1(1)).verdict, verdict);
    EXPECT_EQ(f.Feed(Publish2(2)).verdict, verdict);
    EXPECT_EQ(f.session->unacknowledged(), 0U);
  }
  f.state.refusal.reset();
  EXPECT_EQ(f.Feed(Publish2(2)).verdict, Verdict::next);  // not taken for a duplicate
  EXPECT_EQ(f.state.records.size(), 1U);
}

TEST(MqttSession, OtherErrorsEndTheConnection) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  f.state.room = 0;
  f.state.refusal = ErrorCode::record_too_large;
  const Outcome outcome = f.Feed(Publish1(1));
  EXPECT_EQ(outcome.verdict, Verdict::violation);
  EXPECT_NE(outcome.reason.find("record_too_large"), std::string_view::npos);
  f.state.refusal.reset();
  f.state.healthy = false;
  EXPECT_EQ(f.Feed(Publish1(1)).verdict, Verdict::stopped);
}

TEST(MqttSession, TheWindowIsBounded) {
  Fixture f;
  f.context.max_unacknowledged = 2;
  f.Replies(ConnectAs("a"));
  EXPECT_EQ(f.Feed(Publish1(1) + Publish1(2)).verdict, Verdict::next);
  EXPECT_EQ(f.Feed(Publish1(3)).verdict, Verdict::window_full);
  EXPECT_EQ(f.Feed(Publish("t", "qos 0 needs no window")).verdict, Verdict::next);
  f.state.MakeAllDurable();
  EXPECT_EQ(f.Acks(), Puback(1) + Puback(2));
  EXPECT_EQ(f.Feed(Publish1(3)).verdict, Verdict::next);
}

TEST(MqttSession, SubscriptionsAreRefusedAndPingsAnswered) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  EXPECT_EQ(f.Replies(Subscribe(7, "a/#", 1)), "\x90\x03" + U16(7) + "\x80");
  EXPECT_EQ(f.Replies(Unsubscribe(8, "a/#")), "\xB0\x02" + U16(8));
  EXPECT_EQ(f.Replies(Pingreq()), Pingresp());
  EXPECT_EQ(f.Replies(Puback(1) + Pubrec(2) + Pubcomp(3)), "");  // owed to another broker
}

TEST(MqttSession, TheWillIsForThoseThatVanish) {
  Fixture f;
  f.Replies(ConnectWithWill("a", "lost/a", "gone", 1, true));
  EXPECT_GT(f.context.will_bytes, 0U);
  const std::unique_ptr<Will> will = f.session->End();
  ASSERT_NE(will, nullptr);
  EXPECT_EQ(will->client_id, "a");
  EXPECT_EQ(will->topic, "lost/a");
  EXPECT_EQ(will->payload, "gone");
  EXPECT_EQ(will->qos, 1);
  EXPECT_TRUE(will->retain);
  EXPECT_EQ(f.context.will_bytes, 0U);

  f.Reconnect();
  f.Replies(ConnectWithWill("a", "lost/a", "gone"));
  EXPECT_EQ(f.Feed(Disconnect()).verdict, Verdict::finished);
  EXPECT_EQ(f.context.will_bytes, 0U);
  EXPECT_EQ(f.session->End(), nullptr);
}

TEST(MqttSession, WillsAreBoundedForAllTogether) {
  Fixture f;
  f.context.max_will_bytes = 1000;
  f.Replies(ConnectWithWill("a", "t", std::string(600, 'x')));
  auto first = std::move(f.session);
  f.Reconnect();
  EXPECT_EQ(f.Replies(ConnectWithWill("b", "t", std::string(600, 'x'))), Connack(3));
  first.reset();
  f.Reconnect();
  EXPECT_EQ(f.Replies(ConnectWithWill("b", "t", std::string(600, 'x'))), Connack(0));
}

// Whatever a client publishes and whenever records become durable: acknowledgements come in the
// order of the publishes, each once, none before its record.
RC_GTEST_PROP(MqttSessionProperty, AcknowledgementsKeepTheOrder,
              (const std::vector<uint8_t>& steps)) {
  Fixture f;
  f.Replies(ConnectAs("a"));
  std::string owed;
  std::string got;
  std::vector<int64_t> needs;  // the durable end that each owed acknowledgement waits for
  unsigned id = 1;
  for (const uint8_t step : steps) {
    const unsigned qos = step % 3;
    if (step < 192) {
      f.Feed(Publish("t", "v", {.qos = qos, .packet_id = qos > 0 ? id : 0}));
      if (qos > 0) {
        owed += qos == 1 ? Puback(id) : Pubrec(id);
        needs.push_back(static_cast<int64_t>(f.state.records.size()));
        ++id;
      }
    } else {
      f.state.durable_end =
          std::min(static_cast<int64_t>(f.state.records.size()), f.state.durable_end + step % 7);
    }
    got += f.Acks();
    const size_t acks = got.size() / 4;
    RC_ASSERT(owed.substr(0, got.size()) == got);
    for (size_t i = 0; i < needs.size(); ++i) {
      RC_ASSERT((i < acks) == (needs[i] <= f.state.durable_end));
    }
  }
}

}  // namespace
}  // namespace tidemark::ingest
