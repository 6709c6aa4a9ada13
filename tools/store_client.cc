#include "tools/store_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "io/file_system.h"
#include "io/socket.h"
#include "tidemark/engine.h"
#include "tools/output.h"
#include "tools/request_queue.h"
#include "tools/stop_signal.h"

namespace tidemark::tools {
namespace {

constexpr int64_t kLockPatienceUs = 5'000'000;
constexpr auto kLockPause = std::chrono::milliseconds(20);
// How long the engine may wait for something to happen before a stop signal is looked for.
constexpr auto kPollWait = std::chrono::milliseconds(100);
constexpr size_t kFetchReceiveBytes = size_t{256} << 10;

class SocketChannel : public Channel {
 public:
  explicit SocketChannel(io::Socket socket)
      : socket_(std::move(socket)), chunk_(kFetchReceiveBytes) {}

  Status Send(Json head, std::string_view body) override {
    std::string bytes;
    AppendMessage(std::move(head), body, &bytes);
    const auto sent = io::Send(socket_, base::AsBytes(bytes));
    if (sent.state == io::Transfer::done) return {};
    return Gone(sent.system_errno);
  }

  Result<std::optional<Message>> Receive(bool give_up_early) override {
    for (;;) {
      auto message = parser_.Next();
      if (!message.ok() || *message) return message;
      if (give_up_early && WaitReadable(socket_.descriptor(), -1, true) != WaitResult::ready) {
        return std::optional<Message>();
      }
      const auto received = io::Receive(socket_, chunk_);
      if (received.state == io::Transfer::closed) return Gone(received.system_errno);
      parser_.Append(base::AsText(base::ByteSpan(chunk_).first(received.bytes)));
    }
  }

  bool WaitForAnswer(int timeout_ms) override {
    return parser_.buffered_bytes() > 0 ||
           WaitReadable(socket_.descriptor(), timeout_ms, true) != WaitResult::timeout;
  }

  Status Close() override {
    socket_.Close();
    return {};
  }

 private:
  static Error Gone(int system_errno) {
    return Error(ErrorCode::io_error, "the serve that has the store open has closed the connection",
                 system_errno == 0 ? ECONNRESET : system_errno);
  }

  io::Socket socket_;
  std::vector<std::byte> chunk_;
  MessageParser parser_{MessageParser::kResponseLimits};
};

class EngineChannel : public Channel {
 public:
  explicit EngineChannel(std::unique_ptr<Engine> engine)
      : engine_(std::move(engine)), queue_(std::make_unique<RequestQueue>(*engine_)) {}

  Status Send(Json head, std::string_view body) override {
    while (queue_->full()) Turn();
    queue_->Push(Message{std::move(head), std::string(body)});
    queue_->Advance();
    return {};
  }

  Result<std::optional<Message>> Receive(bool give_up_early) override {
    for (;;) {
      queue_->Advance();
      if (auto response = queue_->PopResponse()) return response;
      if (give_up_early && StopRequested()) return std::optional<Message>();
      Turn();
    }
  }

  // Nobody else appends: what was asked for is answered soon.
  bool WaitForAnswer(int /*timeout_ms*/) override { return true; }

  // Also where a command has failed: what was made durable needs no recovery then.
  ~EngineChannel() override { (void)Close(); }

  Status Close() override {
    if (engine_ == nullptr) return {};
    queue_.reset();  // its readers must go before the engine
    Status closed = engine_->Close();
    engine_.reset();
    return closed;
  }

 private:
  void Turn() {
    queue_->Stir(engine_->Poll(kPollWait));
    queue_->Advance();
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<RequestQueue> queue_;
};

}  // namespace

Error StrangeAnswer(const char* what) {
  return Error(ErrorCode::corrupt, std::string("the answer is strange: ") + what);
}

bool NobodyListens(const Error& error) {
  return error.system_errno() == ENOENT || error.system_errno() == ECONNREFUSED ||
         error.system_errno() == ENOTDIR;
}

bool ServeHasGone(const Error& error) {
  return error.system_errno() == ECONNRESET || error.system_errno() == EPIPE;
}

Status StoreClient::Greet() {
  Json hello;
  hello["request"] = "hello";
  hello["version"] = kProtocolVersion;
  const auto answer = Ask(std::move(hello));
  return answer.ok() ? Status() : answer.error();
}

Result<std::unique_ptr<StoreClient>> StoreClient::Connect(const std::string& socket_path) {
  auto socket = io::ConnectUnix(socket_path);
  if (!socket.ok()) return socket.error();
  std::unique_ptr<StoreClient> client(
      new StoreClient(std::make_unique<SocketChannel>(std::move(*socket)), true));
  const Status greeted = client->Greet();
  if (!greeted.ok()) return greeted.error();
  return client;
}

Result<std::unique_ptr<StoreClient>> StoreClient::OpenFolder(const StoreOptions& options) {
  EngineOptions engine_options;
  engine_options.data_dir = options.data_dir;
  engine_options.create_if_missing = options.create_if_missing;
  auto engine = Engine::Open(engine_options);
  if (!engine.ok()) return engine.error();
  std::unique_ptr<StoreClient> client(
      new StoreClient(std::make_unique<EngineChannel>(std::move(*engine)), false));
  const Status greeted = client->Greet();
  if (!greeted.ok()) return greeted.error();
  return client;
}

Result<std::unique_ptr<StoreClient>> StoreClient::Open(const StoreOptions& options) {
  const std::string socket_path = io::JoinPath(options.data_dir, kSocketName);
  const int64_t deadline_us = base::SystemClock().MonotonicUs() + kLockPatienceUs;
  for (;;) {
    const bool last_try = base::SystemClock().MonotonicUs() >= deadline_us;
    auto connected = Connect(socket_path);
    if (connected.ok()) return connected;
    if (NobodyListens(connected.error())) {
      if (options.connect_only) return connected;
      auto opened = OpenFolder(options);
      if (opened.ok() || last_try || opened.error().code() != ErrorCode::locked) return opened;
    } else if (last_try || !ServeHasGone(connected.error())) {
      return connected;
    }
    std::this_thread::sleep_for(kLockPause);
  }
}

Result<Json> StoreClient::Ask(Json request) {
  const Status sent = channel_->Send(std::move(request), {});
  if (!sent.ok()) return sent.error();
  auto answer = channel_->Receive(false);
  if (!answer.ok()) return answer.error();
  if (!*answer) return Error(ErrorCode::io_error, "no answer has come");
  const Status ok = CheckResponse((*answer)->head);
  if (!ok.ok()) return ok.error();
  return std::move((*answer)->head);
}

int RunOnStore(const StoreOptions& options, const std::function<int(StoreClient&)>& act) {
  const auto client = StoreClient::Open(options);
  if (!client.ok()) return Fail(client.error());
  const int code = act(**client);
  const Status closed = (*client)->Close();
  if (!closed.ok() && code == kExitDone) return Fail(closed.error());
  return code;
}

}  // namespace tidemark::tools
