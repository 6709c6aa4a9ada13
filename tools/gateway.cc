#include "tools/gateway.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "io/file_system.h"
#include "storage/open.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

// A command that has the store open gives it back: soon when it only looks, as late as this when it
// reads a log to its end while no gateway runs. A gateway that starts must not fail for that.
constexpr int64_t kOpenPatienceUs = 10'000'000;
constexpr auto kRetryPause = std::chrono::milliseconds(20);
// The port of a process that was just killed is free once the kernel has closed what io_uring
// watched for it.
constexpr int64_t kPortPatienceUs = 5'000'000;
// The loop wakes when something happens; this only bounds what an oversight could cost.
constexpr int64_t kIdleWaitUs = 1'000'000;
// A local request waits for room in the engine, whose coming is no event of its own.
constexpr int64_t kBusyWaitUs = 10'000;
// A client may not read its acknowledgements; the stop does not wait for it for ever.
constexpr int64_t kDrainPatienceUs = 5'000'000;

io::LoopKind LoopKindOf(IoEngine engine) {
  switch (engine) {
    case IoEngine::automatic:
      return io::LoopKind::automatic;
    case IoEngine::io_uring:
      return io::LoopKind::io_uring;
    case IoEngine::syscalls:
      return io::LoopKind::syscalls;
  }
  return io::LoopKind::automatic;
}

sigset_t StopSignals() {
  sigset_t signals;
  (void)sigemptyset(&signals);
  (void)sigaddset(&signals, SIGINT);
  (void)sigaddset(&signals, SIGTERM);
  return signals;
}

spdlog::level::level_enum LevelOf(NoticeLevel level) {
  switch (level) {
    case NoticeLevel::info:
      return spdlog::level::info;
    case NoticeLevel::warning:
      return spdlog::level::warn;
    case NoticeLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

int64_t NowUs() { return base::SystemClock().MonotonicUs(); }

}  // namespace

Gateway::~Gateway() {
  // Each ends its operations before the loop goes.
  mqtt_.clear();
  if (local_ != nullptr) {
    local_->Finish();
    local_->Close();
    while (!local_->ended()) {
      (void)loop_->RunOnce(-1);
      local_->Advance({});
    }
  }
  if (signal_watched_) {
    loop_->Cancel(&signal_watch_);
    while (signal_watched_) (void)loop_->RunOnce(-1);
  }
  if (engine_ != nullptr) (void)engine_->Close();
}

Status Gateway::OpenStore() {
  auto loop = io::MakeLoop(LoopKindOf(config_.storage.io_engine));
  if (!loop.ok()) return loop.error();
  loop_ = std::move(*loop);
  worker_ = io::MakeThreadWorker(*loop_);
  environment_ = std::make_unique<io::Environment>(
      io::Environment{io::SystemFiles(), *loop_, *worker_, base::SystemClock(), &io::SystemRandom64,
                      io::CurrentProcessId(), io::CurrentBoot()});
  const int64_t deadline_us = NowUs() + kOpenPatienceUs;
  bool told = false;
  for (;;) {
    auto engine = storage::OpenEngine(*environment_, config_.storage);
    if (engine.ok()) {
      engine_ = std::move(*engine);
      return {};
    }
    if (engine.error().code() != ErrorCode::locked || NowUs() >= deadline_us) {
      return engine.error();
    }
    if (!std::exchange(told, true)) {
      log_.warn("{}; waiting up to {} s", OneLine(engine.error().message()),
                kOpenPatienceUs / 1'000'000);
    }
    std::this_thread::sleep_for(kRetryPause);
  }
}

void Gateway::TellRecovery() {
  const RecoveryReport& report = engine_->recovery();
  log_.info(
      "store {}: {}; replayed {} commits, {} records, {} journal bytes in {} ms",
      config_.storage.data_dir,
      report.created ? "made" : (report.clean ? "stopped cleanly before" : "not stopped cleanly"),
      report.commits_replayed, report.records_replayed, report.journal_bytes_replayed,
      static_cast<double>(report.duration_us) / 1000);
  for (const Damage& damage : report.damage) {
    log_.error("damage: {}-{} offsets {} to {} are lost: {}", damage.topic, damage.partition,
               damage.first_offset, damage.end_offset - 1, OneLine(damage.cause));
  }
}

void Gateway::TellNotices() {
  for (const Notice& notice : engine_->TakeNotices()) {
    log_.log(LevelOf(notice.level), "{}", OneLine(notice.text));
  }
  for (const auto& server : mqtt_) {
    for (const Notice& notice : server->TakeNotices()) {
      log_.log(LevelOf(notice.level), "{}", OneLine(notice.text));
    }
  }
}

Status Gateway::MakeTopic(const TopicToCreate& topic) {
  if (engine_->FindTopic(topic.name) != nullptr) return {};
  const auto created = engine_->CreateTopic(topic.name, topic.partitions, topic.config);
  if (!created.ok()) return created.error();
  log_.info("topic {} made with {} partitions", topic.name, topic.partitions);
  return {};
}

Status Gateway::MakeTopics() {
  for (const TopicToCreate& topic : config_.topics) {
    Status made = MakeTopic(topic);
    if (!made.ok()) return made;
  }
  if (config_.mqtt_listen.empty()) return {};
  // What MQTT's routes name must be there.
  std::vector<std::string> names = {config_.mqtt_default_route.log_topic};
  for (const ingest::Route& route : config_.mqtt_routes) names.push_back(route.log_topic);
  for (const std::string& name : names) {
    Status made = MakeTopic({name, 1, {}});
    if (!made.ok()) return made;
  }
  return {};
}

Result<std::unique_ptr<ingest::MqttServer>> Gateway::StartServer(
    const ingest::MqttOptions& options) {
  const int64_t deadline_us = NowUs() + kPortPatienceUs;
  for (;;) {
    auto server = ingest::MqttServer::Start(*loop_, base::SystemClock(), *engine_, options);
    const bool in_use = !server.ok() && server.error().system_errno() == EADDRINUSE;
    if (!in_use || NowUs() >= deadline_us) return server;
    std::this_thread::sleep_for(kRetryPause);
  }
}

Status Gateway::StartMqtt() {
  for (const std::string& text : config_.mqtt_listen) {
    const auto address = io::ParseAddress(text);
    if (!address.ok()) return address.error();
    ingest::MqttOptions options;
    options.listen = *address;
    options.allow_anonymous = config_.mqtt_allow_anonymous;
    options.max_connections = config_.mqtt_max_connections;
    options.max_packet_bytes = config_.mqtt_max_packet_bytes;
    options.routes = config_.mqtt_routes;
    options.default_route = config_.mqtt_default_route;
    auto server = StartServer(options);
    if (!server.ok()) return server.error();
    mqtt_.push_back(std::move(*server));
  }
  return {};
}

Status Gateway::WatchSignals() {
  const sigset_t signals = StopSignals();
  signals_ = io::Socket(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_.is_open()) return Error(ErrorCode::io_error, "no signalfd is to be had", errno);
  signal_watch_.owner = this;
  signal_watch_.done = [](io::Operation* operation) {
    auto* self = static_cast<Gateway*>(operation->owner);
    self->signal_watched_ = false;
    self->stop_ = self->stop_ || operation->result >= 0;
  };
  signal_watched_ = true;
  loop_->Watch(signals_.descriptor(), io::Readiness::readable, &signal_watch_);
  return {};
}

Status Gateway::Start() {
  Status done = OpenStore();
  if (!done.ok()) return done;
  TellRecovery();
  TellNotices();
  done = MakeTopics();
  if (done.ok()) done = StartMqtt();
  if (!done.ok()) return done;
  local_ = std::make_unique<LocalServer>(*loop_, *engine_);
  done = local_->Listen(io::JoinPath(config_.storage.data_dir, kSocketName));
  if (done.ok()) done = WatchSignals();
  return done;
}

std::string Gateway::mqtt_addresses() const {
  std::string text;
  for (const auto& server : mqtt_) text += (text.empty() ? "" : ",") + server->address();
  return text.empty() ? "off" : text;
}

int64_t Gateway::NextWaitUs() const {
  int64_t wait_us = local_->busy() ? kBusyWaitUs : kIdleWaitUs;
  const int64_t now_us = NowUs();
  for (const auto& server : mqtt_) {
    wait_us = std::min(wait_us, std::max(int64_t{0}, server->NextDeadlineUs() - now_us));
  }
  return wait_us;
}

void Gateway::Turn(int64_t max_wait_us) {
  const auto moved = engine_->Poll(std::chrono::microseconds(max_wait_us));
  for (const auto& server : mqtt_) server->OnProgress(moved);
  local_->Advance(moved);
  TellNotices();
}

void Gateway::Run() {
  while (!stop_) Turn(NextWaitUs());
}

Status Gateway::Stop() {
  // The first signal is taken; from here on one has its usual effect: a second ends us wherever we
  // are.
  const sigset_t signals = StopSignals();
  signalfd_siginfo taken{};
  (void)!::read(signals_.descriptor(), &taken, sizeof taken);
  signals_.Close();
  (void)::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);

  log_.info("stopping");
  for (const auto& server : mqtt_) server->BeginDrain();
  local_->Finish();
  const int64_t deadline_us = NowUs() + kDrainPatienceUs;
  const auto drained = [this] {
    return local_->finished() && std::all_of(mqtt_.begin(), mqtt_.end(),
                                             [](const auto& server) { return server->drained(); });
  };
  while (!drained() && NowUs() < deadline_us) Turn(std::min(NextWaitUs(), kBusyWaitUs));
  mqtt_.clear();
  local_->Close();
  while (!local_->ended()) Turn(kBusyWaitUs);
  local_.reset();

  TellNotices();
  Status health = engine_->health();
  Status closed = engine_->Close();
  engine_.reset();
  if (!health.ok()) return health;
  if (!closed.ok()) return closed;
  log_.info("stopped");
  return {};
}

}  // namespace tidemark::tools
