// The server over real sockets: publishing and acknowledging, connections, takeover, wills,
// stopping. What it does when something runs short: mqtt_server_limits_test.cc.
#include "ingest/mqtt_server.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ingest/server_fixture.h"

namespace tidemark::ingest {
namespace {

TIDEMARK_BOTH_LOOPS(MqttServerTest);

TEST_P(MqttServerTest, AcknowledgesOnlyWhatIsDurable) {
  StartServer();
  Client client = OpenAs("thermo-17");
  Send(client, Publish1(7, "sensors/kitchen", "21.5"));
  EXPECT_EQ(Ping(client), "");
  ASSERT_EQ(log_.records.size(), 1U);
  EXPECT_EQ(log_.records[0].key, "sensors/kitchen");
  log_.MakeAllDurable();
  EXPECT_EQ(Receive(client, 4), Puback(7));
}

TEST_P(MqttServerTest, ManyInFlightAreAcknowledgedInOrder) {
  StartServer();
  Client client = OpenAs("a");
  std::string bytes;
  std::string owed;
  for (unsigned id = 1; id <= 3000; ++id) {
    bytes += id % 3 == 0 ? Publish2(id) : Publish1(id);
    owed += id % 3 == 0 ? Pubrec(id) : Puback(id);
  }
  Send(client, bytes);
  RunUntil([&] { return log_.records.size() == 3000; });
  std::string got;
  for (int64_t end = 1; end <= 3000; end += 457) {
    log_.durable_end = end;
    got += Receive(client, static_cast<size_t>(end) * 4 - got.size());
    EXPECT_EQ(Ping(client), "");
  }
  log_.MakeAllDurable();
  got += Receive(client, owed.size() - got.size());
  EXPECT_EQ(got, owed);
}

TEST_P(MqttServerTest, AnyCutOfTheStreamIsTheSameStream) {
  StartServer();
  const std::string bytes = ConnectAs("a") + Publish("t/1", "one") + Publish1(1, "t/2", "two") +
                            Publish2(2, "t/3", std::string(300, 'x')) + Pingreq();
  for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, size_t{100}}) {
    log_ = {};
    Client client = Open();
    for (size_t at = 0; at < bytes.size(); at += step) {
      const uint64_t before = server_->stats().bytes_received;
      const std::string piece = bytes.substr(at, step);
      Send(client, piece);
      RunUntil([&] { return server_->stats().bytes_received == before + piece.size(); });
    }
    EXPECT_EQ(Receive(client, 6), Connack(0) + Pingresp());
    EXPECT_EQ(log_.Values(), (std::vector<std::string>{"one", "two", std::string(300, 'x')}));
    Send(client, Disconnect());
    EXPECT_EQ(UntilClosed(client), "");
    EXPECT_EQ(server_->stats().unfinished_bytes, 0U);
  }
}

TEST_P(MqttServerTest, LargePacketsAndWhatStandsBehindThem) {
  StartServer();
  Client client = OpenAs("a");
  const std::string large(900'000, 'x');
  Send(client, Publish("t", large) + Publish("t", "small") + Publish("t", large) + Publish1(1));
  RunUntil([&] { return log_.records.size() == 4; });
  EXPECT_EQ(log_.records[0].value, large);
  EXPECT_EQ(log_.records[1].value, "small");
  EXPECT_EQ(log_.records[2].value, large);
  RunUntil([&] { return server_->stats().unfinished_bytes == 0; });
}

TEST_P(MqttServerTest, EverythingSentBeforeTheEndIsHandled) {
  StartServer();
  {
    Client client = Open();
    Send(client, ConnectAs("a") + Publish("t", "1") + Publish1(1, "t", "2") + Disconnect());
  }
  RunUntil([&] {
    return server_->stats().connections_accepted == 1 && server_->stats().connections == 0;
  });
  EXPECT_EQ(log_.Values(), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(notices_, "");
}

TEST_P(MqttServerTest, ExactlyOnceOnTheWire) {
  StartServer();
  Client client = OpenAs("a");
  Send(client, Publish2(1) + Publish2(1, "t", "v", true));
  EXPECT_EQ(Ping(client), "");
  log_.MakeAllDurable();
  EXPECT_EQ(Receive(client, 8), Pubrec(1) + Pubrec(1));
  Send(client, Publish2(1, "t", "v", true));
  EXPECT_EQ(Receive(client, 4), Pubrec(1));  // at once: nothing has to become durable for it
  Send(client, Pubrel(1));
  EXPECT_EQ(Receive(client, 4), Pubcomp(1));
  EXPECT_EQ(log_.records.size(), 1U);
}

TEST_P(MqttServerTest, GarbageIsClosedAndHarmsNobodyElse) {
  StartServer();
  Client good = OpenAs("good");
  const std::vector<std::string> garbage = {
      "GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
      "\x16\x03\x01\x02",
      std::string(1000, '\xFF'),
      std::string(1000, '\0'),
      Publish("t", "before CONNECT"),
      ConnectAs("bad") + "\x30\xFF\xFF\xFF\xFF",
      ConnectAs("bad") + Publish("t/#", "wildcard"),
      ConnectAs("bad") + ConnectAs("bad"),
  };
  for (const std::string& bytes : garbage) {
    Client bad = Open();
    Send(bad, bytes);
    UntilClosed(bad);
  }
  EXPECT_EQ(server_->stats().connections_broken_off, garbage.size());
  EXPECT_EQ(server_->stats().connections, 1U);
  EXPECT_TRUE(Noticed("client \"bad\" was closed: wildcard in a topic name"));
  Send(good, Publish1(1));
  Ping(good);
  EXPECT_EQ(log_.records.size(), 1U);
}

TEST_P(MqttServerTest, ARefusalArrivesBeforeTheEnd) {
  StartServer();
  Client modern = Open();
  Send(modern, Connect({.level = 5}));
  EXPECT_EQ(UntilClosed(modern), Connack(1));
  Client nameless = Open();
  Send(nameless, Connect({.client_id = "", .flags = 0}));
  EXPECT_EQ(UntilClosed(nameless), Connack(2));
}

TEST_P(MqttServerTest, TakeoverClosesTheOlderConnection) {
  StartServer();
  Client old = OpenAs("thermo-17");
  Client other = OpenAs("thermo-18");
  // Sent before the takeover, perhaps not read by then: it counts.
  const std::string sent = Publish("t", "1") + Publish("t", "2");
  ASSERT_EQ(old.SendSome(sent), sent.size());
  Client young = OpenAs("thermo-17");
  EXPECT_EQ(UntilClosed(old), "");
  EXPECT_EQ(log_.Values(), (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(Noticed("another connection took over"));
  EXPECT_EQ(Ping(young), "");
  EXPECT_EQ(Ping(other), "");
  // The name is the young one's now, and free once it goes.
  Send(young, Disconnect());
  UntilClosed(young);
  Client next = OpenAs("thermo-17");
  EXPECT_EQ(Ping(next), "");
}

TEST_P(MqttServerTest, TakeoverOfAStalledConnectionKeepsItsReadings) {
  StartServer();
  Client old = OpenAs("a");
  log_.refusal = ErrorCode::busy;
  log_.room = 0;
  Send(old, Publish("t", "1") + Publish("t", "2"));
  RunUntil([&] { return server_->stats().stalls > 0; });
  Client young = OpenAs("a");  // answered although the engine is busy
  log_.refusal.reset();
  UntilClosed(old);
  EXPECT_EQ(log_.Values(), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(Ping(young), "");
}

TEST_P(MqttServerTest, WillsArePublishedForThoseThatVanish) {
  StartServer();
  {
    Client vanishes = Open();
    Send(vanishes, ConnectWithWill("a", "lost/a", "gone", 1, true));
    EXPECT_EQ(Receive(vanishes, 4), Connack(0));
  }
  RunUntil([&] { return log_.records.size() == 1; });
  EXPECT_EQ(log_.records[0].key, "lost/a");
  EXPECT_EQ(log_.records[0].value, "gone");
  EXPECT_EQ(log_.records[0].durability, Durability::durable);
  EXPECT_EQ(log_.records[0].headers["mqtt.client"], "a");
  EXPECT_EQ(log_.records[0].headers["mqtt.retain"], "1");

  Client leaves = Open();
  Send(leaves, ConnectWithWill("b", "lost/b", "gone") + Disconnect());
  EXPECT_EQ(UntilClosed(leaves), Connack(0).substr(0, leaves.received.size()));
  Client misbehaves = Open();
  Send(misbehaves, ConnectWithWill("c", "lost/c", "gone") + "\xFF");
  UntilClosed(misbehaves);
  ASSERT_EQ(log_.records.size(), 2U);
  EXPECT_EQ(log_.records[1].key, "lost/c");
}

TEST_P(MqttServerTest, AWillWaitsForRoom) {
  StartServer();
  log_.refusal = ErrorCode::disk_full;
  log_.room = 0;
  {
    Client vanishes = Open();
    Send(vanishes, ConnectWithWill("a", "lost/a", "gone"));
    EXPECT_EQ(Receive(vanishes, 4), Connack(0));
  }
  RunUntil([&] { return server_->stats().connections == 0; });
  EXPECT_TRUE(log_.records.empty());
  log_.refusal.reset();
  RunUntil([&] { return log_.records.size() == 1; });
  EXPECT_EQ(server_->stats().sessions.wills, 1U);
}

TEST_P(MqttServerTest, ADrainAcknowledgesWhatWasAcceptedAndReadsNothingMore) {
  StartServer();
  Client waits = OpenAs("waits");
  Client idle = OpenAs("idle");
  Send(waits, Publish1(1) + Publish2(2));
  EXPECT_EQ(Ping(waits), "");
  server_->BeginDrain();
  EXPECT_EQ(UntilClosed(idle), "");
  EXPECT_FALSE(server_->drained());
  ASSERT_GT(waits.SendSome(Publish1(3)), 0U);
  log_.MakeAllDurable();
  EXPECT_EQ(UntilClosed(waits), Puback(1) + Pubrec(2));
  RunUntil([&] { return server_->drained(); });
  EXPECT_EQ(log_.records.size(), 2U);
  EXPECT_FALSE(io::ConnectTcp(*io::ParseAddress(server_->address())).ok());
}

TEST_P(MqttServerTest, StopAcceptingLetsTheOthersGoOn) {
  StartServer();
  Client client = OpenAs("a");
  server_->StopAccepting();
  RunUntil([&] { return !io::ConnectTcp(*io::ParseAddress(server_->address())).ok(); });
  EXPECT_EQ(Ping(client), "");
  EXPECT_FALSE(server_->drained());
}

TEST_P(MqttServerTest, AStoppedEngineAcknowledgesNothing) {
  StartServer();
  Client client = Open();
  Send(client, ConnectWithWill("a", "lost/a", "gone"));
  EXPECT_EQ(Receive(client, 4), Connack(0));
  Client bystander = OpenAs("b");
  Send(client, Publish1(1) + Publish1(2));
  EXPECT_EQ(Ping(client), "");
  log_.durable_end = 1;  // the first was durable before the failure
  log_.healthy = false;
  EXPECT_EQ(UntilClosed(client), Puback(1));
  EXPECT_EQ(UntilClosed(bystander), "");
  EXPECT_TRUE(Noticed("the engine has stopped"));
  Client late = Open();
  Send(late, ConnectAs("a"));
  EXPECT_EQ(UntilClosed(late), Connack(3));
  EXPECT_EQ(log_.records.size(), 2U);
}

TEST_P(MqttServerTest, ARecordThatTheLogRefusesEndsTheConnection) {
  StartServer();
  Client client = OpenAs("a");
  log_.refusal = ErrorCode::record_too_large;
  log_.room = 0;
  Send(client, Publish1(1));
  EXPECT_EQ(UntilClosed(client), "");
  EXPECT_TRUE(Noticed("client \"a\" was closed: record_too_large"));
}

TEST_P(MqttServerTest, WhoWaitsForADeletedTopicIsTold) {
  StartServer();
  Client client = OpenAs("a");
  Client other = OpenAs("b");
  Send(client, Publish1(1) + Publish1(2));
  EXPECT_EQ(Ping(client), "");
  log_.durable_end = 1;
  EXPECT_EQ(Receive(client, 4), Puback(1));
  log_.topic_deleted = true;
  clock_.AdvanceSeconds(2);
  EXPECT_EQ(UntilClosed(client), "");
  EXPECT_TRUE(Noticed("deleted before they were durable"));
  EXPECT_EQ(Ping(other), "");
}

TEST_P(MqttServerTest, RoutesChooseTopicAndKey) {
  MqttOptions options;
  options.routes.push_back({"meters/+/power", "power", KeySource::level, 1});
  StartServer(options);
  Client client = OpenAs("a");
  Send(client, Publish("meters/m7/power", "1") + Publish("other", "2"));
  Ping(client);
  ASSERT_EQ(log_.records.size(), 2U);
  EXPECT_EQ(log_.records[0].topic, 0U);
  EXPECT_EQ(log_.records[0].key, "m7");
  EXPECT_EQ(log_.records[1].topic, 1U);
  EXPECT_EQ(log_.records[1].key, "other");
}

TEST_P(MqttServerTest, OptionsAreChecked) {
  const auto refused = [&](const MqttOptions& options) {
    auto started = MqttServer::StartOn(*loop_, clock_, std::make_unique<FakeLog>(&log_), options);
    return started.ok() ? std::string("accepted") : started.error().ToString();
  };
  MqttOptions options;
  options.listen = {"0.0.0.0", 0};
  EXPECT_NE(refused(options).find("allow_anonymous"), std::string::npos);
  options.allow_anonymous = true;
  EXPECT_EQ(refused(options), "accepted");
  options = {};
  options.listen = {"127.0.0.1", 0};
  options.max_packet_bytes = 10;
  EXPECT_NE(refused(options).find("max_packet_bytes"), std::string::npos);
  options.max_packet_bytes = size_t{300} << 20;
  EXPECT_NE(refused(options).find("max_packet_bytes"), std::string::npos);
  options = {};
  options.listen = {"127.0.0.1", 0};
  options.default_route.log_topic = "no/topic";
  EXPECT_NE(refused(options).find("default route"), std::string::npos);
}

TEST_P(MqttServerTest, EndsWithOpenConnections) {
  StartServer();
  Client client = OpenAs("a");
  Send(client, Publish1(1));
  Client half = Open();
  Send(half, ConnectAs("b").substr(0, 5));
  server_.reset();
  client.ReceiveSome();
  EXPECT_TRUE(client.closed);
  EXPECT_EQ(loop_->in_flight(), 0U);
}

}  // namespace
}  // namespace tidemark::ingest
