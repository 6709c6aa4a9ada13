// Stock clients (libmosquitto) against the server on a real engine with a real journal. Everything
// runs in one thread: the clients' loops are run between the server's turns.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <mosquitto.h>

#include "ingest/mqtt_server.h"
#include "io/environment.h"
#include "storage/open.h"
#include "tests/io/loop_fixture.h"
#include "tests/io/temporary_directory.h"

namespace tidemark::ingest {

using io::KindName;  // for TIDEMARK_BOTH_LOOPS
using io::LoopKind;

namespace {

class Mosquitto {
 public:
  explicit Mosquitto(const std::string& id) : client_(mosquitto_new(id.c_str(), true, this)) {
    mosquitto_connect_callback_set(client_, [](mosquitto*, void* self, int code) {
      static_cast<Mosquitto*>(self)->connect_code_ = code;
    });
    mosquitto_publish_callback_set(client_, [](mosquitto*, void* self, int message_id) {
      static_cast<Mosquitto*>(self)->published_.push_back(message_id);
    });
    mosquitto_disconnect_callback_set(
        client_, [](mosquitto*, void* self, int) { static_cast<Mosquitto*>(self)->gone_ = true; });
    mosquitto_max_inflight_messages_set(client_, 0);  // no limit
  }
  ~Mosquitto() { mosquitto_destroy(client_); }
  Mosquitto(const Mosquitto&) = delete;
  Mosquitto& operator=(const Mosquitto&) = delete;

  mosquitto* get() { return client_; }
  void Connect(const io::Address& address) {
    ASSERT_EQ(mosquitto_connect(client_, address.host.c_str(), address.port, 60), MOSQ_ERR_SUCCESS);
  }
  int Publish(const std::string& topic, const std::string& payload, int qos, bool retain = false) {
    int id = 0;
    EXPECT_EQ(mosquitto_publish(client_, &id, topic.c_str(), static_cast<int>(payload.size()),
                                payload.data(), qos, retain),
              MOSQ_ERR_SUCCESS);
    return id;
  }
  void Run() {
    if (!gone_) mosquitto_loop(client_, 0, 1);
  }

  bool connected() const { return connect_code_ == 0; }
  bool gone() const { return gone_; }
  // Message ids in the order in which they were acknowledged (PUBACK, PUBCOMP; QoS 0: sent).
  const std::vector<int>& published() const { return published_; }

 private:
  mosquitto* client_;
  int connect_code_ = -1;
  bool gone_ = false;
  std::vector<int> published_;
};

struct ReadBack {
  std::string key;
  std::string value;
  std::map<std::string, std::string> headers;
};

class MqttEngineTest : public testing::TestWithParam<LoopKind> {
 protected:
  static void SetUpTestSuite() { mosquitto_lib_init(); }
  static void TearDownTestSuite() { mosquitto_lib_cleanup(); }

  void SetUp() override {
    auto loop = io::MakeLoop(GetParam());
    if (!loop && GetParam() == LoopKind::io_uring) GTEST_SKIP() << loop.error().ToString();
    ASSERT_TRUE(loop) << loop.error().ToString();
    loop_ = *std::move(loop);
    options_.data_dir = directory_.File("store");
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
  }
  void TearDown() override { Crash(); }

  void OpenStore() {
    worker_ = io::MakeThreadWorker(*loop_);
    environment_ = std::make_unique<io::Environment>(
        io::Environment{io::SystemFiles(), *loop_, *worker_, base::SystemClock(),
                        &io::SystemRandom64, io::CurrentProcessId(), io::CurrentBoot()});
    auto engine = storage::OpenEngine(*environment_, options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = *std::move(engine);
  }
  void Start(int32_t partitions = 1, const TopicConfig& config = {}, MqttOptions options = {}) {
    OpenStore();
    if (engine_->FindTopic("mqtt") == nullptr) {
      ASSERT_TRUE(engine_->CreateTopic("mqtt", partitions, config).ok());
    }
    options.listen = {"127.0.0.1", 0};
    auto server = MqttServer::Start(*loop_, base::SystemClock(), *engine_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.error().ToString();
    server_ = *std::move(server);
    address_ = *io::ParseAddress(server_->address());
  }
  // Without a clean stop.
  void Crash() {
    server_.reset();
    engine_.reset();
    environment_.reset();
    worker_.reset();
  }

  void RunUntil(const std::function<bool()>& reached) {
    while (!reached()) {
      const int64_t left_us = server_->NextDeadlineUs() - base::SystemClock().MonotonicUs();
      server_->OnProgress(engine_->Poll(std::chrono::microseconds(left_us <= 0 ? 0 : 500)));
      for (Mosquitto* client : clients_) client->Run();
      for (const Notice& notice : server_->TakeNotices()) notices_ += notice.text + "\n";
    }
  }
  void Connect(Mosquitto* client) {
    client->Connect(address_);
    clients_.insert(client);
    RunUntil([&] { return client->connected(); });
  }
  void Disconnect(Mosquitto* client) {
    mosquitto_disconnect(client->get());
    RunUntil([&] { return client->gone(); });
    clients_.erase(client);
  }

  std::vector<ReadBack> ReadAll(int32_t partition = 0) {
    std::vector<ReadBack> records;
    auto reader = engine_->OpenReader(*engine_->FindTopic("mqtt")->partition(partition), 0);
    EXPECT_TRUE(reader.ok());
    for (;;) {
      const auto state = (*reader)->Next();
      EXPECT_TRUE(state.ok());
      if (!state.ok() || *state == ReadState::at_end) return records;
      if (*state == ReadState::pending) {
        engine_->Poll(std::chrono::milliseconds(1));
        continue;
      }
      for (const RecordView& view : (*reader)->batch().records) {
        EXPECT_EQ(view.offset, static_cast<int64_t>(records.size()));
        ReadBack record{std::string(view.key.value_or("<null>")),
                        std::string(view.value.value_or("<null>")),
                        {}};
        for (const Header& header : view.headers) {
          record.headers[std::string(header.key)] = std::string(header.value.value_or("<null>"));
        }
        records.push_back(std::move(record));
      }
    }
  }

  io::TemporaryDirectory directory_;
  EngineOptions options_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<io::Worker> worker_;
  std::unique_ptr<io::Environment> environment_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<MqttServer> server_;
  io::Address address_;
  std::set<Mosquitto*> clients_;
  std::string notices_;
};
TIDEMARK_BOTH_LOOPS(MqttEngineTest);

TEST_P(MqttEngineTest, EveryQosFromAStockClient) {
  Start();
  Mosquitto client("thermo-17");
  Connect(&client);
  client.Publish("sensors/kitchen", "zero", 0);
  client.Publish("sensors/kitchen", "one", 1, true);
  client.Publish("sensors/kitchen", "", 2);
  RunUntil([&] { return client.published().size() == 3; });
  Disconnect(&client);
  RunUntil([&] { return server_->stats().connections == 0; });

  const std::vector<ReadBack> records = ReadAll();
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].key, "sensors/kitchen");
  EXPECT_EQ(records[0].value, "zero");
  EXPECT_EQ(records[0].headers,
            (std::map<std::string, std::string>{{"mqtt.client", "thermo-17"}, {"mqtt.qos", "0"}}));
  EXPECT_EQ(records[1].value, "one");
  EXPECT_EQ(records[1].headers.at("mqtt.retain"), "1");
  EXPECT_EQ(records[2].value, "");
  EXPECT_EQ(records[2].headers.at("mqtt.qos"), "2");
  EXPECT_EQ(notices_, "");
}

TEST_P(MqttEngineTest, ManyInFlightAreAcknowledgedInOrderAndSurviveACrash) {
  Start();
  Mosquitto client("a");
  Connect(&client);
  std::vector<int> sent;
  std::vector<std::string> values;
  for (int i = 0; i < 5000; ++i) {
    values.push_back(std::to_string(i));
    sent.push_back(client.Publish("t", values.back(), 1));
  }
  RunUntil([&] { return client.published().size() == sent.size(); });
  EXPECT_EQ(client.published(), sent);
  clients_.clear();
  Crash();

  Start();
  std::vector<std::string> found;
  for (const ReadBack& record : ReadAll()) found.push_back(record.value);
  EXPECT_EQ(found, values);
}

TEST_P(MqttEngineTest, ManyClientsOverManyPartitionsKeepTheirOrder) {
  constexpr int kClients = 10;
  constexpr int kEach = 300;
  Start(4);
  std::vector<std::unique_ptr<Mosquitto>> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.push_back(std::make_unique<Mosquitto>("client-" + std::to_string(c)));
    Connect(clients.back().get());
  }
  for (int i = 0; i < kEach; ++i) {
    for (int c = 0; c < kClients; ++c) {
      clients[static_cast<size_t>(c)]->Publish("sensors/" + std::to_string(c), std::to_string(i),
                                               1 + c % 2);
    }
  }
  for (auto& client : clients) {
    RunUntil([&] { return client->published().size() == kEach; });
  }
  std::map<std::string, int> next;
  for (int32_t partition = 0; partition < 4; ++partition) {
    for (const ReadBack& record : ReadAll(partition)) {
      EXPECT_EQ(record.value, std::to_string(next[record.key]++)) << record.key;
    }
  }
  ASSERT_EQ(next.size(), static_cast<size_t>(kClients));
  for (const auto& [key, count] : next) EXPECT_EQ(count, kEach) << key;
}

TEST_P(MqttEngineTest, MoreThanTheEngineHoldsArrivesWholeAndInOrder) {
  // Eight times the journal and the memory, of bytes that do not compress, at QoS 0 and 1.
  TopicConfig config;
  config.compression = Compression::none;
  Start(1, config);
  Mosquitto client("a");
  Connect(&client);
  constexpr int kMessages = 8192;
  std::string payload(4096, '\0');
  for (char& c : payload) c = static_cast<char>(io::SystemRandom64());
  const auto message = [&](int i) {
    const std::string number = std::to_string(i) + ":";
    return number + payload.substr(number.size());
  };
  // The client keeps what it cannot send: some at a time, so that its memory stays small.
  for (int i = 0; i < kMessages; ++i) {
    client.Publish("t", message(i), i % 2);
    if (i % 256 == 255)
      RunUntil([&] { return client.published().size() + 128 > static_cast<size_t>(i); });
  }
  RunUntil([&] { return client.published().size() == kMessages; });
  RunUntil(
      [&] { return engine_->FindTopic("mqtt")->partition(0)->durable_end_offset() == kMessages; });
  int i = 0;
  for (const ReadBack& record : ReadAll()) ASSERT_TRUE(record.value == message(i++)) << i - 1;
  EXPECT_EQ(i, kMessages);
  // That clients have to wait is told where the disk is slow, and nothing else.
  EXPECT_EQ(notices_.find("closed"), std::string::npos) << notices_;
  EXPECT_FALSE(client.gone());
}

TEST_P(MqttEngineTest, ARecordBeyondTheTopicsLimitEndsTheConnection) {
  TopicConfig config;
  config.max_message_bytes = 2000;
  Start(1, config);
  Mosquitto client("a");
  Connect(&client);
  client.Publish("t", std::string(1000, 'x'), 1);
  client.Publish("t", std::string(3000, 'x'), 1);
  RunUntil([&] { return client.gone(); });
  EXPECT_NE(notices_.find("client \"a\" was closed: record_too_large"), std::string::npos)
      << notices_;
  clients_.clear();
}

TEST_P(MqttEngineTest, ATopicMayBeDeletedAndMadeAnew) {
  Start();
  Mosquitto first("first");
  Connect(&first);
  first.Publish("t", "old", 1);
  RunUntil([&] { return first.published().size() == 1; });
  ASSERT_TRUE(engine_->DeleteTopic("mqtt").ok());
  first.Publish("t", "lost", 1);
  RunUntil([&] { return first.gone(); });
  EXPECT_NE(notices_.find("unknown_topic"), std::string::npos) << notices_;
  clients_.clear();

  RunUntil([&] { return engine_->CreateTopic("mqtt", 1, {}).ok(); });  // once the old one is gone
  Mosquitto second("second");
  Connect(&second);
  second.Publish("t", "new", 1);
  RunUntil([&] { return second.published().size() == 1; });
  const std::vector<ReadBack> records = ReadAll();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].value, "new");
  clients_.clear();
}

TEST_P(MqttEngineTest, WhoWaitsForATopicThatIsDeletedIsNotLeftWaiting) {
  Start();
  Mosquitto client("a");
  Connect(&client);
  client.Publish("t", "v", 1);
  // Appended in this turn, committed in the next at the earliest.
  RunUntil([&] { return server_->stats().sessions.publishes[1] == 1; });
  ASSERT_TRUE(engine_->DeleteTopic("mqtt").ok());
  RunUntil([&] { return client.gone() || client.published().size() == 1; });
  clients_.clear();
}

TEST_P(MqttEngineTest, StartSaysWhichTopicIsMissing) {
  OpenStore();
  MqttOptions options;
  options.listen = {"127.0.0.1", 0};
  options.routes.push_back({"a/#", "power", KeySource::topic, 0});
  auto server = MqttServer::Start(*loop_, base::SystemClock(), *engine_, options);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code(), ErrorCode::unknown_topic);
  EXPECT_NE(server.error().message().find("power"), std::string::npos);
}

}  // namespace
}  // namespace tidemark::ingest
