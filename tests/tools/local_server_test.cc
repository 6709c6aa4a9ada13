#include "tools/local_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/environment.h"
#include "storage/open.h"
#include "tests/io/temporary_directory.h"
#include "tests/tools/record_bytes.h"
#include "tools/workload.h"

namespace tidemark::tools {
namespace {

// A server and raw clients on one thread: the server has its turns while a client waits.
class LocalServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(directory_.File("store")); }
  void TearDown() override { Stop(); }

  void Start(const std::string& data_dir) {
    auto loop = io::MakeLoop(io::LoopKind::automatic);
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(*loop);
    worker_ = io::MakeThreadWorker(*loop_);
    environment_ = std::make_unique<io::Environment>(
        io::Environment{io::SystemFiles(), *loop_, *worker_, base::SystemClock(),
                        &io::SystemRandom64, io::CurrentProcessId(), io::CurrentBoot()});
    EngineOptions options;
    options.data_dir = data_dir;
    options.journal_bytes = kMinJournalBytes;
    auto engine = storage::OpenEngine(*environment_, options);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    if (engine_->FindTopic("mqtt") == nullptr) {
      ASSERT_TRUE(engine_->CreateTopic("mqtt", 1, {}).ok());
    }
    path_ = io::JoinPath(data_dir, kSocketName);
    server_ = std::make_unique<LocalServer>(*loop_, *engine_);
    const Status listening = server_->Listen(path_);
    ASSERT_TRUE(listening.ok()) << listening.error().ToString();
  }

  void Stop() {
    server_->Finish();
    server_->Close();
    while (!server_->ended()) Turn();
    server_.reset();
    EXPECT_TRUE(engine_->Close().ok());
    engine_.reset();
    worker_.reset();
    loop_.reset();
  }

  // What a killed process had io_uring watch is closed by the kernel only after it was reaped.
  void StartWhereADeadProcessStillListens() {
    const std::string data_dir = directory_.File("store");
    Stop();
    const auto dead = io::ListenUnix(io::JoinPath(data_dir, kSocketName));
    ASSERT_TRUE(dead.ok()) << dead.error().ToString();
    Start(data_dir);
  }

  void Turn() { server_->Advance(engine_->Poll(std::chrono::milliseconds(1))); }

  io::Socket Connect() {
    auto socket = io::ConnectUnix(path_);
    EXPECT_TRUE(socket.ok());
    // A client that waits must not keep the server from its turns.
    EXPECT_EQ(::fcntl(socket->descriptor(), F_SETFL, O_NONBLOCK), 0);
    return std::move(*socket);
  }

  void Send(const io::Socket& socket, std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = io::Send(socket, base::AsBytes(bytes));
      ASSERT_NE(sent.state, io::Transfer::closed);
      bytes.remove_prefix(sent.bytes);
      Turn();
    }
  }

  static std::string Line(const Json& head, std::string_view body = {}) {
    std::string bytes;
    AppendMessage(head, body, &bytes);
    return bytes;
  }
  static std::string Hello() { return Line({{"request", "hello"}, {"version", kProtocolVersion}}); }

  // The next answer; nullopt when the server has closed the connection.
  std::optional<Message> Receive(const io::Socket& socket, MessageParser* parser) {
    for (;;) {
      auto message = parser->Next();
      EXPECT_TRUE(message.ok());
      if (*message) return std::move(**message);
      std::vector<std::byte> chunk(4096);
      const auto received = io::Receive(socket, chunk);
      if (received.state == io::Transfer::closed) return std::nullopt;
      parser->Append(base::AsText(base::ByteSpan(chunk).first(received.bytes)));
      Turn();
    }
  }

  io::TemporaryDirectory directory_;
  std::string path_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<io::Worker> worker_;
  std::unique_ptr<io::Environment> environment_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<LocalServer> server_;
  MessageParser parser_{MessageParser::kResponseLimits};
};

TEST_F(LocalServerTest, TakesThePlaceOfADeadProcessForWhichTheKernelStillListens) {
  StartWhereADeadProcessStillListens();
  const io::Socket client = Connect();
  Send(client, Hello());
  const auto answer = Receive(client, &parser_);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->head["ok"], true);
}

TEST_F(LocalServerTest, TheSocketIsForThisUserAlone) {
  struct stat about {};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  server_->Finish();
  EXPECT_NE(::stat(path_.c_str(), &about), 0);
}

TEST_F(LocalServerTest, AnswersRequestsInOrder) {
  const io::Socket socket = Connect();
  Send(socket, Hello() +
                   Line({{"request", "produce"}, {"topic", "mqtt"}}, MakeBatch({{"k", "v"}})) +
                   Line({{"request", "list_topics"}}));
  EXPECT_EQ(Receive(socket, &parser_)->head["version"], kProtocolVersion);
  EXPECT_EQ(Receive(socket, &parser_)->head["partitions"][0]["records"], 1);
  EXPECT_EQ(Receive(socket, &parser_)->head["topics"][0]["records"], 1);
}

TEST_F(LocalServerTest, GarbageGetsAnErrorBehindEarlierAnswersAndAClose) {
  const io::Socket socket = Connect();
  Send(socket, Hello() + Line({{"request", "list_topics"}}) + "GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(Receive(socket, &parser_)->head["ok"]);
  EXPECT_TRUE(Receive(socket, &parser_)->head["ok"]);
  EXPECT_EQ(Receive(socket, &parser_)->head["error"], "corrupt");
  EXPECT_FALSE(Receive(socket, &parser_));
}

TEST_F(LocalServerTest, SurvivesRandomBytes) {
  SeededRandom random(11);
  for (int round = 0; round < 300; ++round) {
    const io::Socket socket = Connect();
    std::string bytes = random.Below(2) == 0 ? Hello() : std::string();
    for (uint64_t left = random.Below(300); left > 0; --left) {
      constexpr std::string_view kLikely = "{}[]\":,\n01bytes request fetch topic mqtt";
      bytes += random.Below(8) == 0 ? static_cast<char>(random.Below(256))
                                    : kLikely[random.Below(kLikely.size())];
    }
    const auto sent = io::Send(socket, base::AsBytes(bytes));
    EXPECT_NE(sent.state, io::Transfer::closed);
    Turn();
  }
  const io::Socket socket = Connect();
  Send(socket, Hello());
  EXPECT_TRUE(Receive(socket, &parser_)->head["ok"]);
}

TEST_F(LocalServerTest, WhoHasSentAllGetsItsAnswersAndTheEnd) {
  const io::Socket socket = Connect();
  std::string requests = Hello();
  for (int i = 0; i < 200; ++i) {
    requests += Line({{"request", "produce"}, {"topic", "mqtt"}}, MakeBatch({{"k", "v"}}));
  }
  Send(socket, requests);
  ASSERT_EQ(::shutdown(socket.descriptor(), SHUT_WR), 0);
  EXPECT_TRUE(Receive(socket, &parser_)->head["ok"]);
  for (int i = 0; i < 200; ++i) {
    const auto answer = Receive(socket, &parser_);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->head["partitions"][0]["first_offset"], i);
  }
  EXPECT_FALSE(Receive(socket, &parser_));
}

TEST_F(LocalServerTest, AFollowerThatGoesAwayIsForgotten) {
  {
    const io::Socket socket = Connect();
    Send(socket, Hello() + Line({{"request", "fetch"},
                                 {"topic", "mqtt"},
                                 {"partitions", Json::array({{{"partition", 0}, {"offset", 0}}})},
                                 {"wait", true}}));
    EXPECT_TRUE(Receive(socket, &parser_)->head["ok"]);
    EXPECT_FALSE(server_->busy());
  }
  server_->Finish();
  while (!server_->finished()) Turn();
}

TEST_F(LocalServerTest, WhoDoesNotReadIsNotReadFrom) {
  const io::Socket socket = Connect();
  Send(socket, Hello());
  // Each answer is larger than its request, so that answers pile up first.
  const std::string request = Line({{"request", "describe_topic"}, {"topic", "mqtt"}});
  size_t sent = 0;
  int refused = 0;
  while (refused < 200) {
    const auto sending = io::Send(socket, base::AsBytes(request));
    sent += sending.bytes;
    refused = sending.state == io::Transfer::would_block ? refused + 1 : 0;
    Turn();
    ASSERT_LT(sent, size_t{16} << 20);
  }
}

TEST_F(LocalServerTest, TooManyConnectionsAreToldSo) {
  std::vector<io::Socket> sockets;
  for (size_t i = 0; i < LocalServer::kMaxConnections; ++i) {
    sockets.push_back(Connect());
    MessageParser parser(MessageParser::kResponseLimits);
    Send(sockets.back(), Hello());
    EXPECT_TRUE(Receive(sockets.back(), &parser)->head["ok"]);
  }
  {
    const io::Socket one_more = Connect();
    EXPECT_EQ(Receive(one_more, &parser_)->head["error"], "busy");
    EXPECT_FALSE(Receive(one_more, &parser_));
  }
  sockets.clear();
  for (int i = 0; i < 10; ++i) Turn();
  MessageParser parser(MessageParser::kResponseLimits);
  const io::Socket again = Connect();
  Send(again, Hello());
  EXPECT_TRUE(Receive(again, &parser)->head["ok"]);
}

TEST_F(LocalServerTest, ALongPathIsNoTrouble) {
  Stop();
  const std::string folder = directory_.File(std::string(120, 'd'));
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  Start(folder);
  const io::Socket socket = Connect();
  Send(socket, Hello());
  EXPECT_TRUE(Receive(socket, &parser_)->head["ok"]);
}

}  // namespace
}  // namespace tidemark::tools
