#include "io/socket.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/io/loop_fixture.h"
#include "tests/io/temporary_directory.h"

namespace tidemark::io {
namespace {

TEST(ParseAddress, ReadsWhatPeopleWrite) {
  const auto check = [](std::string_view text, std::string_view host, uint16_t port) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->port, port);
  };
  check("127.0.0.1:1883", "127.0.0.1", 1883);
  check("0.0.0.0:0", "0.0.0.0", 0);
  check("[::1]:65535", "::1", 65535);
  check("[::]:1", "::", 1);
  check("gateway.example:1883", "gateway.example", 1883);
}

TEST(ParseAddress, RefusesTheRest) {
  for (const char* text :
       {"", ":", "127.0.0.1", "127.0.0.1:", ":1883", "::1:1883", "[::1]", "[]:1", "[::1:1", "a:b",
        "a:65536", "a:-1", "a:+1", "a: 1", "a:1 ", "[a]:1", "a]:1", "mqtt://a:1"}) {
    const auto address = ParseAddress(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(address.error().message().find(text), std::string::npos);
  }
}

TEST(IsLoopback, KnowsThisMachine) {
  for (const char* text :
       {"127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(IsLoopback(*ParseAddress(text))) << text;
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1",
                           "[::ffff:192.0.2.1]:1", "128.0.0.1:1"}) {
    EXPECT_FALSE(IsLoopback(*ParseAddress(text))) << text;
  }
}

TEST(Socket, IsClosedByItsOwner) {
  Socket first(dup(0));
  const int descriptor = first.descriptor();
  Socket second = std::move(first);
  // NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move): that is the point
  EXPECT_FALSE(first.is_open());
  EXPECT_EQ(second.descriptor(), descriptor);
  second = Socket();
  EXPECT_FALSE(second.is_open());
  EXPECT_EQ(fcntl(descriptor, F_GETFD), -1);
}

class SocketTest : public LoopTest {
 protected:
  void WaitFor(const Socket& socket, Readiness readiness) {
    TestOperation watch;
    loop_->Watch(socket.descriptor(), readiness, &watch);
    Finish(&watch);
  }

  Socket AcceptOne(const Socket& listener) {
    for (;;) {
      auto accepted = Accept(listener);
      EXPECT_TRUE(accepted);
      if (!accepted || accepted->is_open()) return accepted ? *std::move(accepted) : Socket();
      WaitFor(listener, Readiness::readable);
    }
  }

  std::string ReceiveBytes(const Socket& socket, size_t count) {
    std::string text;
    while (text.size() < count) {
      std::array<std::byte, 65536> room{};
      const TransferResult result = Receive(socket, room);
      if (result.state == Transfer::closed) break;
      if (result.state == Transfer::would_block) WaitFor(socket, Readiness::readable);
      text += base::AsText({room.data(), result.bytes});
    }
    return text;
  }

  TemporaryDirectory directory_;
};

TIDEMARK_BOTH_LOOPS(SocketTest);

TEST_P(SocketTest, TcpListensConnectsAndAccepts) {
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    auto listener = ListenTcp({host, 0});
    if (!listener && std::string_view(host) == "::1") continue;  // a machine without IPv6
    ASSERT_TRUE(listener) << listener.error().ToString();
    const auto nobody = Accept(*listener);
    ASSERT_TRUE(nobody);
    EXPECT_FALSE(nobody->is_open());

    const auto bound = LocalAddress(*listener);
    ASSERT_TRUE(bound);
    const auto address = ParseAddress(*bound);
    ASSERT_TRUE(address) << *bound;
    EXPECT_NE(address->port, 0);
    const auto client = ConnectTcp(*address);
    ASSERT_TRUE(client) << client.error().ToString();
    const Socket server = AcceptOne(*listener);
    ASSERT_EQ(Send(*client, base::AsBytes("hello")).state, Transfer::done);
    EXPECT_EQ(ReceiveBytes(server, 5), "hello");
    ASSERT_EQ(Send(server, base::AsBytes("world")).state, Transfer::done);
    EXPECT_EQ(ReceiveBytes(*client, 5), "world");
  }
}

TEST_P(SocketTest, SendsUntilItWouldBlock) {
  const auto listener = ListenTcp({"127.0.0.1", 0});
  ASSERT_TRUE(listener);
  const auto client = ConnectTcp(*ParseAddress(*LocalAddress(*listener)));
  ASSERT_TRUE(client);
  const Socket server = AcceptOne(*listener);
  std::array<std::byte, 1> room{};
  EXPECT_EQ(Receive(server, room).state, Transfer::would_block);

  std::string much;
  for (int i = 0; much.size() < (size_t{16} << 20); ++i) much += std::to_string(i);
  const TransferResult first = Send(server, base::AsBytes(much));
  ASSERT_EQ(first.state, Transfer::would_block);  // more than the kernel's buffers hold
  ASSERT_LT(first.bytes, much.size());
  std::string received = ReceiveBytes(*client, first.bytes);
  WaitFor(server, Readiness::writable);
  size_t sent = first.bytes;
  while (sent < much.size()) {
    sent += Send(server, base::AsBytes(std::string_view(much).substr(sent))).bytes;
    received += ReceiveBytes(*client, sent - received.size());
  }
  EXPECT_TRUE(received == much);
}

TEST_P(SocketTest, TellsThatTheOtherSideIsGone) {
  const auto listener = ListenTcp({"127.0.0.1", 0});
  ASSERT_TRUE(listener);
  auto client = ConnectTcp(*ParseAddress(*LocalAddress(*listener)));
  ASSERT_TRUE(client);
  const Socket server = AcceptOne(*listener);
  client->Close();
  WaitFor(server, Readiness::readable);
  std::array<std::byte, 1> room{};
  const TransferResult received = Receive(server, room);
  EXPECT_EQ(received.state, Transfer::closed);
  EXPECT_EQ(received.system_errno, 0);  // an orderly end
  TransferResult sent;
  while (sent.state != Transfer::closed) sent = Send(server, base::AsBytes("x"));  // no SIGPIPE
  EXPECT_TRUE(sent.system_errno == EPIPE || sent.system_errno == ECONNRESET);
}

TEST_P(SocketTest, TellsThatNobodyListens) {
  Address address;
  {
    const auto listener = ListenTcp({"127.0.0.1", 0});
    ASSERT_TRUE(listener);
    address = *ParseAddress(*LocalAddress(*listener));
    const auto second = ListenTcp(address);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().system_errno(), EADDRINUSE);
  }
  const auto refused = ConnectTcp(address);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().system_errno(), ECONNREFUSED);
  EXPECT_NE(refused.error().message().find("127.0.0.1:"), std::string::npos);
}

TEST_P(SocketTest, UnixListensConnectsAndAccepts) {
  // One path that fits the kernel's 107 characters, and one that does not.
  const std::string deep = directory_.File(std::string(100, 'd'));
  ASSERT_EQ(mkdir(deep.c_str(), 0700), 0);
  for (const std::string& path : {directory_.File("s"), deep + "/socket"}) {
    const auto listener = ListenUnix(path);
    ASSERT_TRUE(listener) << listener.error().ToString();
    const auto client = ConnectUnix(path);
    ASSERT_TRUE(client) << client.error().ToString();
    const Socket server = AcceptOne(*listener);
    ASSERT_EQ(Send(*client, base::AsBytes("hello")).state, Transfer::done);
    EXPECT_EQ(ReceiveBytes(server, 5), "hello");
    ASSERT_EQ(Send(server, base::AsBytes("world")).state, Transfer::done);
    EXPECT_EQ(ReceiveBytes(*client, 5), "world");  // blocks
  }
}

TEST(UnixSocket, TellsThatNobodyListens) {
  TemporaryDirectory directory;
  const auto missing = ConnectUnix(directory.File("s"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::io_error);
  EXPECT_EQ(missing.error().system_errno(), ENOENT);
  ASSERT_TRUE(ListenUnix(directory.File("s")));  // and closed: the file stays
  const auto refused = ConnectUnix(directory.File("s"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().system_errno(), ECONNREFUSED);
}

TEST(UnixSocket, ReplacesAStaleFileButNoOther) {
  TemporaryDirectory directory;
  ASSERT_TRUE(ListenUnix(directory.File("s")));
  const auto second = ListenUnix(directory.File("s"));
  ASSERT_TRUE(second) << second.error().ToString();
  const auto third = ListenUnix(directory.File("s"));
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().system_errno(), EADDRINUSE);

  std::ofstream(directory.File("f")) << "precious";
  EXPECT_FALSE(ListenUnix(directory.File("f")));
  struct stat about {};
  ASSERT_EQ(stat(directory.File("f").c_str(), &about), 0);
  EXPECT_EQ(about.st_size, 8);
}

}  // namespace
}  // namespace tidemark::io
