// An MQTT server over real sockets, on a log and a clock that the test steers, and raw clients that
// send bytes and look at what comes back. All in one thread: whoever waits runs the server
// meanwhile.
//
// Nothing here waits for a time to pass: what never comes is ended by ctest's limit.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ingest/mqtt_server.h"
#include "io/socket.h"
#include "tests/ingest/fake_log.h"
#include "tests/ingest/packet_bytes.h"
#include "tests/io/loop_fixture.h"
#include "tests/support/manual_clock.h"

namespace tidemark::ingest {

using io::KindName;  // for TIDEMARK_BOTH_LOOPS
using io::LoopKind;

class MqttServerTest : public io::LoopTest {
 protected:
  // A client that knows no MQTT.
  struct Client {
    io::Socket socket;
    std::string received;
    bool closed = false;

    // What the kernel takes; fewer bytes when the server does not read.
    size_t SendSome(std::string_view bytes) {
      const io::TransferResult sent = io::Send(socket, base::AsBytes(bytes));
      if (sent.state == io::Transfer::closed) closed = true;
      return sent.bytes;
    }
    void ReceiveSome() {
      std::vector<std::byte> buffer(size_t{64} << 10);
      while (!closed) {
        const io::TransferResult got = io::Receive(socket, buffer);
        if (got.state == io::Transfer::would_block) return;
        closed = got.state == io::Transfer::closed;
        received += base::AsText(base::ByteSpan(buffer).first(got.bytes));
      }
    }
    std::string Take(size_t bytes) {
      std::string taken = received.substr(0, bytes);
      received.erase(0, bytes);
      return taken;
    }
  };

  void TearDown() override { server_.reset(); }

  void StartServer(MqttOptions options = {}) {
    options.listen = {"127.0.0.1", 0};
    auto started =
        MqttServer::StartOn(*loop_, clock_, std::make_unique<FakeLog>(&log_), std::move(options));
    ASSERT_TRUE(started.ok()) << started.error().ToString();
    server_ = *std::move(started);
  }

  // One turn of the daemon's loop.
  void Turn() {
    // Waits at most a moment, since what the test waits for may lie with the kernel.
    const bool at_once = server_->NextDeadlineUs() <= clock_.now_us;
    loop_->RunOnce(at_once ? 0 : 1000);
    const bool moved = log_.durable_end != told_durable_end_;
    told_durable_end_ = log_.durable_end;
    server_->RunTurn(moved);
    for (Notice& notice : server_->TakeNotices()) notices_ += notice.text + "\n";
  }
  void RunUntil(const std::function<bool()>& reached) {
    while (!reached()) Turn();
  }

  Client Open() {
    const auto address = io::ParseAddress(server_->address());
    auto socket = io::ConnectTcp(*address);
    EXPECT_TRUE(socket.ok()) << socket.error().ToString();
    return {*std::move(socket), "", false};
  }
  Client OpenAs(std::string_view client_id, unsigned keep_alive_s = 0) {
    Client client = Open();
    Send(client, ConnectAs(client_id, keep_alive_s));
    EXPECT_EQ(Receive(client, 4), Connack(0));
    return client;
  }
  // All of it, unless the server closes.
  void Send(Client& client, std::string_view bytes) {
    RunUntil([&] {
      bytes.remove_prefix(client.SendSome(bytes));
      return bytes.empty() || client.closed;
    });
  }
  // The next `bytes` bytes, or fewer when the connection ends before.
  std::string Receive(Client& client, size_t bytes) {
    RunUntil([&] {
      client.ReceiveSome();
      return client.received.size() >= bytes || client.closed;
    });
    return client.Take(bytes);
  }
  // Makes sure that the server has handled all that the client has sent.
  std::string Ping(Client& client) {
    Send(client, Pingreq());
    RunUntil([&] {
      client.ReceiveSome();
      return client.received.ends_with(Pingresp()) || client.closed;
    });
    EXPECT_FALSE(client.closed);
    std::string before = client.received.substr(0, client.received.size() - 2);
    client.received.clear();
    return before;
  }
  // Everything that comes before the server closes.
  std::string UntilClosed(Client& client) {
    RunUntil([&] {
      client.ReceiveSome();
      return client.closed;
    });
    return client.Take(client.received.size());
  }
  bool Noticed(std::string_view text) const { return notices_.find(text) != std::string::npos; }

  FakeLogState log_;
  ManualClock clock_;
  std::unique_ptr<MqttServer> server_;
  std::string notices_;
  int64_t told_durable_end_ = 0;
};

}  // namespace tidemark::ingest
