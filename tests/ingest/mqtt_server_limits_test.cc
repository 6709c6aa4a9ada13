// The server when something runs short: room in the engine, memory, descriptors, patience.
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ingest/server_fixture.h"
#include "tests/support/sanitized.h"

namespace tidemark::ingest {
namespace {

class MqttServerLimitsTest : public MqttServerTest {
 protected:
  // Lets the server have every chance to do what it should not.
  void ManyTurns() {
    for (int i = 0; i < 50; ++i) Turn();
  }
};
TIDEMARK_BOTH_LOOPS(MqttServerLimitsTest);

TEST_P(MqttServerLimitsTest, ABusyEngineStopsTheReadingAndLosesNothing) {
  StartServer();
  Client first = OpenAs("first", 10);
  Client second = OpenAs("second", 10);
  log_.refusal = ErrorCode::busy;
  log_.room = 2;
  Send(first,
       Publish("t", "a1") + Publish("t", "a2") + Publish("t", "a3") + Publish1(4, "t", "a4"));
  RunUntil([&] { return server_->stats().stalls > 0; });
  EXPECT_EQ(log_.Values(), (std::vector<std::string>{"a1", "a2"}));

  // Nobody is read while the engine is busy, however much they send.
  const uint64_t received = server_->stats().bytes_received;
  const std::string more = Publish("t", "b1") + Publish2(2, "t", "b2");
  ASSERT_EQ(second.SendSome(more), more.size());
  ASSERT_GT(first.SendSome(Publish("t", "a5")), 0U);
  ManyTurns();
  EXPECT_EQ(server_->stats().bytes_received, received);
  EXPECT_EQ(log_.records.size(), 2U);

  // And that time does not count as theirs [keep alive: 15 s].
  for (int i = 0; i < 20; ++i) {
    clock_.AdvanceSeconds(5);
    ManyTurns();
  }
  EXPECT_TRUE(Noticed("the engine is busy"));
  log_.refusal.reset();
  RunUntil([&] { return log_.records.size() == 7; });
  std::vector<std::string> values = log_.Values();
  std::stable_partition(values.begin(), values.end(), [](const auto& v) { return v[0] == 'a'; });
  EXPECT_EQ(values, (std::vector<std::string>{"a1", "a2", "a3", "a4", "a5", "b1", "b2"}));
  EXPECT_TRUE(Noticed("has room again"));
  log_.MakeAllDurable();
  EXPECT_EQ(Receive(first, 4), Puback(4));
  EXPECT_EQ(Receive(second, 4), Pubrec(2));
  EXPECT_EQ(server_->stats().stalled_bytes, 0U);
}

TEST_P(MqttServerLimitsTest, AFullDiskStallsOnlyThoseThatPublish) {
  StartServer();
  Client writer = OpenAs("writer");
  Client reader = OpenAs("reader");
  log_.refusal = ErrorCode::disk_full;
  log_.room = 0;
  Send(writer, Publish("t", "1") + Publish("t", "2"));
  RunUntil([&] { return server_->stats().stalls > 0; });
  EXPECT_EQ(Ping(reader), "");
  log_.room = 1;  // one record at a time
  RunUntil([&] { return log_.records.size() == 1; });
  log_.room = 1;
  RunUntil([&] { return log_.records.size() == 2; });
  EXPECT_EQ(Ping(writer), "");
}

TEST_P(MqttServerLimitsTest, AStalledPacketIsRetriedLessAndLess) {
  StartServer();
  Client client = OpenAs("a");
  log_.refusal = ErrorCode::disk_full;
  log_.room = 0;
  Send(client, Publish("t", "1"));
  RunUntil([&] { return server_->stats().stalls > 0; });
  ManyTurns();
  const int64_t wait_us = server_->NextDeadlineUs() - clock_.now_us;
  EXPECT_GT(wait_us, 50'000);
  EXPECT_LT(wait_us, 1'000'000);
}

TEST_P(MqttServerLimitsTest, HeldPacketsAreBoundedForAllTogether) {
  MqttOptions options;
  options.max_stalled_bytes = size_t{100} << 10;
  StartServer(options);
  log_.refusal = ErrorCode::disk_full;
  log_.room = 0;
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(OpenAs("c" + std::to_string(i)));
  const std::string large = Publish("t", std::string(60'000, 'x'));
  for (Client& client : clients) ASSERT_EQ(client.SendSome(large), large.size());
  RunUntil([&] { return server_->stats().stalls > 0; });
  ManyTurns();
  EXPECT_LE(server_->stats().stalled_bytes, options.max_stalled_bytes + (size_t{64} << 10));
  log_.refusal.reset();
  RunUntil([&] { return log_.records.size() == clients.size(); });
}

TEST_P(MqttServerLimitsTest, TheWindowIsBounded) {
  MqttOptions options;
  options.max_unacknowledged = 4;
  StartServer(options);
  Client client = OpenAs("a", 10);
  std::string bytes;
  for (unsigned id = 1; id <= 10; ++id) bytes += Publish1(id);
  Send(client, bytes);
  RunUntil([&] { return log_.records.size() == 4; });
  ManyTurns();
  EXPECT_EQ(log_.records.size(), 4U);
  for (int i = 0; i < 10; ++i) {  // commits may be slow: that is not the client's silence
    clock_.AdvanceSeconds(10);
    ManyTurns();
  }
  RunUntil([&] {
    log_.MakeAllDurable();
    client.ReceiveSome();
    return client.received.size() >= 40 || client.closed;
  });
  std::string owed;
  for (unsigned id = 1; id <= 10; ++id) owed += Puback(id);
  EXPECT_EQ(client.received, owed);
}

TEST_P(MqttServerLimitsTest, WhoReadsNothingIsNotRead) {
  StartServer();
  Client client = OpenAs("a");
  std::string pings;
  for (int i = 0; i < 32'768; ++i) pings += Pingreq();
  // Until the server stops reading: then the kernel takes no more, and nothing moves any longer.
  uint64_t sent = 0;
  for (int idle = 0; idle < 100;) {
    const std::string_view rest = std::string_view(pings).substr(sent % 2);
    const size_t took = client.SendSome(rest);
    sent += took;
    const uint64_t before = server_->stats().bytes_received;
    Turn();
    idle = took > 0 || server_->stats().bytes_received > before ? 0 : idle + 1;
  }
  // Then it reads, and gets an answer to each.
  RunUntil([&] {
    client.ReceiveSome();
    return client.received.size() >= sent / 2 * 2;
  });
  EXPECT_EQ(client.received.size(), sent / 2 * 2);
  EXPECT_FALSE(client.closed);
}

TEST_P(MqttServerLimitsTest, ALargePacketIsRefusedByItsHeader) {
  MqttOptions options;
  options.max_packet_bytes = 2000;
  StartServer(options);
  Client client = OpenAs("a");
  Send(client, Publish("t", std::string(1990, 'x')));
  EXPECT_EQ(Ping(client), "");
  Send(client, std::string("\x30") + RemainingLength(2000));
  EXPECT_EQ(UntilClosed(client), "");
  EXPECT_TRUE(Noticed("a packet of 2003 bytes, more than max_packet_bytes"));
  EXPECT_EQ(log_.records.size(), 1U);
}

TEST_P(MqttServerLimitsTest, UnfinishedPacketsAreBoundedForAllTogether) {
  MqttOptions options;
  options.max_packet_bytes = 200'000;
  options.max_unfinished_bytes = 800'000;
  StartServer(options);
  Client small = OpenAs("small");
  const std::string packet = Publish("t", std::string(1000, 'x'));
  Send(small, packet.substr(0, 900));
  std::vector<Client> large;
  for (int i = 0; i < 12; ++i) {
    large.push_back(OpenAs("large" + std::to_string(i)));
    Client& client = large.back();
    const std::string part = Publish("t", std::string(190'000, 'x')).substr(0, 150'000);
    const uint64_t before = server_->stats().bytes_received;
    Send(client, part);
    RunUntil([&] {
      client.ReceiveSome();
      return client.closed || server_->stats().bytes_received == before + part.size();
    });
    EXPECT_LE(server_->stats().unfinished_bytes, options.max_unfinished_bytes);
  }
  EXPECT_TRUE(Noticed("more than max_unfinished_bytes"));
  EXPECT_GE(server_->stats().connections_broken_off, 5U);
  Send(small, packet.substr(900));
  RunUntil([&] { return log_.records.size() == 1; });
}

TEST_P(MqttServerLimitsTest, ConnectionsAreBounded) {
  MqttOptions options;
  options.max_connections = 2;
  StartServer(options);
  Client first = OpenAs("first");
  Client second = OpenAs("second");
  Client third = Open();
  EXPECT_EQ(UntilClosed(third), "");
  EXPECT_EQ(server_->stats().connections_refused, 1U);
  EXPECT_TRUE(Noticed("max_connections"));
  Send(first, Disconnect());
  UntilClosed(first);
  Client fourth = OpenAs("fourth");
  EXPECT_EQ(Ping(second) + Ping(fourth), "");
}

TEST_P(MqttServerLimitsTest, SilenceEndsAConnectionByItsKeepAlive) {
  StartServer();
  Client brief = OpenAs("brief", 10);
  Client talks = OpenAs("talks", 10);
  Client patient = OpenAs("patient", 0);
  clock_.AdvanceSeconds(14);
  ManyTurns();
  EXPECT_EQ(server_->stats().connections, 3U);
  EXPECT_EQ(Ping(talks), "");
  clock_.AdvanceSeconds(2);  // 16 s: more than one and a half times
  EXPECT_EQ(UntilClosed(brief), "");
  EXPECT_TRUE(Noticed("client \"brief\" was closed: silent"));
  EXPECT_EQ(Ping(talks), "");
  clock_.AdvanceSeconds(14);
  ManyTurns();
  EXPECT_EQ(server_->stats().connections, 2U);
  // Bytes that are not yet a packet are silence, too [MQTT-3.1.2-24 speaks of Control Packets].
  ASSERT_EQ(talks.SendSome("\x30"), 1U);
  ManyTurns();
  clock_.AdvanceSeconds(2);
  EXPECT_EQ(UntilClosed(talks), "");
  clock_.AdvanceSeconds(100'000);
  EXPECT_EQ(Ping(patient), "");
}

TEST_P(MqttServerLimitsTest, AConnectionMustBeginWithinTenSeconds) {
  StartServer();
  Client silent = Open();
  Client slow = Open();
  RunUntil([&] { return server_->stats().connections == 2; });
  const std::string connect = ConnectAs("slow");
  for (size_t i = 0; i < 9; ++i) {  // a byte a second
    ASSERT_EQ(slow.SendSome(connect.substr(i, 1)), 1U);
    clock_.AdvanceSeconds(1);
    ManyTurns();
  }
  EXPECT_EQ(server_->stats().connections, 2U);
  clock_.AdvanceSeconds(2);
  EXPECT_EQ(UntilClosed(silent), "");
  EXPECT_EQ(UntilClosed(slow), "");
  EXPECT_TRUE(Noticed("no CONNECT within 10 s"));
}

TEST_P(MqttServerLimitsTest, DeadlinesOfManyAreServedTogether) {
  StartServer();
  std::vector<Client> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(OpenAs("c" + std::to_string(i), 60));
    clock_.now_us += 1000;
  }
  EXPECT_GT(server_->NextDeadlineUs(), clock_.now_us + 89'000'000);
  clock_.now_us = server_->NextDeadlineUs();
  RunUntil([&] { return server_->stats().connections == 0; });
}

TEST_P(MqttServerLimitsTest, WithoutDescriptorsItWaitsAndDoesNotSpin) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer needs descriptors of its own";
  StartServer();
  Client first = OpenAs("first");
  Client second = Open();  // in the kernel's queue: not accepted yet
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit none = limit;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  RunUntil([&] { return Noticed("connections wait"); });
  ManyTurns();
  EXPECT_GT(server_->NextDeadlineUs(), clock_.now_us);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(Ping(first), "");
  EXPECT_EQ(server_->stats().connections, 1U);
  clock_.AdvanceSeconds(1);
  Send(second, ConnectAs("second"));
  EXPECT_EQ(Receive(second, 4), Connack(0));
}

TEST_P(MqttServerLimitsTest, AFloodFromOneDoesNotHoldUpAnother) {
  StartServer();
  Client loud = OpenAs("loud");
  Client quiet = OpenAs("quiet");
  std::string flood;
  while (flood.size() < (size_t{4} << 20)) flood += Publish("loud", std::string(100, 'x'));
  const size_t sent = loud.SendSome(flood);
  ASSERT_GT(sent, size_t{256} << 10);  // more than is read in one turn
  ASSERT_GT(quiet.SendSome(Publish("quiet", "here")), 0U);
  const auto heard = [&] {
    return std::any_of(log_.records.begin(), log_.records.end(),
                       [](const FakeRecord& record) { return record.key == "quiet"; });
  };
  RunUntil(heard);
  EXPECT_LT(server_->stats().bytes_received, size_t{256} << 10);
}

TEST_P(MqttServerLimitsTest, AnIdleConnectionTakesLittleMemory) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator tells nothing";
  constexpr size_t kConnections = 400;
  StartServer();
  std::vector<Client> clients;
  clients.reserve(kConnections);
  for (int i = 0; i < 8; ++i) clients.push_back(OpenAs("warm-" + std::to_string(i)));
  const size_t before = mallinfo2().uordblks;
  while (clients.size() < kConnections) {
    Client client = OpenAs("thermo-" + std::to_string(clients.size()), 60);
    Send(client, Publish1(1) + Publish2(2));  // it has been busy
    Ping(client);
    log_.MakeAllDurable();
    EXPECT_EQ(Receive(client, 8), Puback(1) + Pubrec(2));
    clients.push_back(std::move(client));
  }
  log_.records.clear();
  log_.records.shrink_to_fit();
  const size_t each = (mallinfo2().uordblks - before) / kConnections;
  RecordProperty("bytes_each", static_cast<int>(each));
  EXPECT_LT(each, 1024U);
}

}  // namespace
}  // namespace tidemark::ingest
