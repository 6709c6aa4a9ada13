// The listener, how connections begin and end, deadlines, wills. Bytes in and out:
// mqtt_server_io.cc.
#include "ingest/mqtt_server.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tidemark::ingest {
namespace {

// A limit below this would refuse every CONNECT.
constexpr size_t kSmallestPacketLimit = 16;
constexpr size_t kLargestPacketLimit = kMaxFixedHeaderBytes + kMaxRemainingLength;

Status CheckOptions(const MqttOptions& options) {
  const auto invalid = [](std::string text) {
    return Error(ErrorCode::invalid_argument, std::move(text));
  };
  if (!options.allow_anonymous && !io::IsLoopback(options.listen)) {
    return invalid("MQTT on " + options.listen.host +
                   " would let anybody on the network publish: set allow_anonymous if that is "
                   "meant, or listen on 127.0.0.1");
  }
  if (options.max_connections == 0) return invalid("max_connections is 0");
  if (options.max_unacknowledged == 0) return invalid("max_unacknowledged is 0");
  if (options.max_packet_bytes < kSmallestPacketLimit ||
      options.max_packet_bytes > kLargestPacketLimit) {
    return invalid("max_packet_bytes is not within " + std::to_string(kSmallestPacketLimit) +
                   " and " + std::to_string(kLargestPacketLimit));
  }
  if (options.random64 == nullptr) return invalid("no source of random numbers");
  return {};
}

}  // namespace

MqttServer::MqttServer(io::Loop& loop, base::Clock& clock, std::unique_ptr<RecordLog> log,
                       RouteTable routes, MqttOptions options)
    : loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      log_(std::move(log)),
      routes_(std::move(routes)),
      context_(*log_, routes_),
      receive_buffer_(kFrontBytes + kReceiveBytes),
      now_us_(clock.MonotonicUs()) {
  context_.max_unacknowledged = options_.max_unacknowledged;
  context_.max_will_bytes = options_.max_will_bytes;
  context_.random64 = options_.random64;
  acceptable_.done = &MqttServer::OnAcceptable;
  acceptable_.owner = this;
}

Result<std::unique_ptr<MqttServer>> MqttServer::Start(io::Loop& loop, base::Clock& clock,
                                                      Engine& engine, MqttOptions options) {
  Result<RouteTable> routes = RouteTable::Make(options.routes, options.default_route);
  if (!routes.ok()) return routes.error();
  std::vector<std::string> topics;
  for (const Route& route : routes->routes()) topics.push_back(route.log_topic);
  Result<std::unique_ptr<EngineLog>> log = EngineLog::Make(engine, std::move(topics));
  if (!log.ok()) return log.error();
  return StartOn(loop, clock, *std::move(log), std::move(options));
}

Result<std::unique_ptr<MqttServer>> MqttServer::StartOn(io::Loop& loop, base::Clock& clock,
                                                        std::unique_ptr<RecordLog> log,
                                                        MqttOptions options) {
  if (Status status = CheckOptions(options); !status.ok()) return status.error();
  Result<RouteTable> routes = RouteTable::Make(options.routes, options.default_route);
  if (!routes.ok()) return routes.error();
  Result<io::Socket> listener = io::ListenTcp(options.listen);
  if (!listener.ok()) return listener.error();
  Result<std::string> address = io::LocalAddress(*listener);
  if (!address.ok()) return address.error();

  std::unique_ptr<MqttServer> server(
      new MqttServer(loop, clock, std::move(log), *std::move(routes), std::move(options)));
  server->listener_ = *std::move(listener);
  server->address_ = *std::move(address);
  server->WatchListener();
  return server;
}

MqttServer::~MqttServer() {
  draining_ = true;  // no wills
  StopAccepting();
  CloseAll();
  BuryDead();
  while (!drained()) {
    loop_.RunOnce(-1);
    BuryDead();
  }
}

void MqttServer::RunTurn(bool durable_end_moved) {
  now_us_ = clock_.MonotonicUs();
  if (durable_end_moved) CollectAcks();
  FlushDirty();
  if (!stopped_ && !log_->health().ok()) StopForGood();
  RetryWills();
  RetryStalled();
  if (GateClosed()) last_gated_us_ = now_us_;
  ReadReady();
  AcceptSome();
  FireDeadlines();
  LookForLost();
  FlushDirty();
  BuryDead();
  TellOfStall();
  notices_.Advance(now_us_);
}

int64_t MqttServer::NextDeadlineUs() const {
  int64_t next = notices_.NextDeadlineUs();
  if (!deadlines_.empty()) next = std::min(next, deadlines_.front().deadline_us);
  if (!awaiting_.empty()) next = std::min(next, look_for_lost_us_);
  if (accept_ready_) next = std::min(next, accept_after_us_);
  if (!stalled_.empty() || !wills_.empty()) next = std::min(next, retry_at_us_);
  const bool read_ready = !GateClosed() && !ready_.empty();
  const bool read_newcomers = !newcomers_.empty() && !MemoryIsShort();
  if (read_ready || read_newcomers || !dirty_.empty() || !dead_.empty()) next = 0;
  return next;
}

// --- the listener ----------------------------------------------------------------------------

void MqttServer::WatchListener() {
  listener_watched_ = true;
  loop_.Watch(listener_.descriptor(), io::Readiness::readable, &acceptable_);
}

void MqttServer::OnAcceptable(io::Operation* operation) {
  auto* server = static_cast<MqttServer*>(operation->owner);
  server->listener_watched_ = false;
  if (server->stop_accepting_) {
    server->listener_.Close();
  } else {
    server->accept_ready_ = true;
  }
}

void MqttServer::AcceptSome() {
  if (!accept_ready_ || stop_accepting_ || now_us_ < accept_after_us_) return;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Result<io::Socket> socket = io::Accept(listener_);
    if (!socket.ok()) {
      // No descriptors, no memory: it lasts until something else is closed or freed.
      notices_.Add(now_us_, NoticeLevel::warning, "connections wait, " + socket.error().ToString());
      accept_after_us_ = now_us_ + kAcceptPauseUs;
      return;
    }
    if (!socket->is_open()) {
      accept_ready_ = false;
      WatchListener();
      return;
    }
    Admit(*std::move(socket));
  }
}

void MqttServer::Admit(io::Socket socket) {
  if (stats_.connections >= options_.max_connections) {
    ++stats_.connections_refused;
    notices_.Add(now_us_, NoticeLevel::warning,
                 "a connection was refused: max_connections, " +
                     std::to_string(options_.max_connections) + ", are open");
    return;
  }
  auto owned = std::make_unique<Connection>(this, std::move(socket), &context_);
  Connection& connection = *owned;
  connection.slot = static_cast<uint32_t>(connections_.size());
  connections_.push_back(std::move(owned));
  connection.readable.done = &MqttServer::OnReadable;
  connection.writable.done = &MqttServer::OnWritable;
  connection.readable.owner = connection.writable.owner = &connection;
  ++stats_.connections;
  ++stats_.connections_accepted;
  SetDeadline(connection, now_us_ + kConnectTimeoutUs);
  WatchReadable(connection);
}

void MqttServer::StopAccepting() {
  if (stop_accepting_) return;
  stop_accepting_ = true;
  if (listener_watched_) {
    loop_.Cancel(&acceptable_);
  } else {
    listener_.Close();
  }
}

// --- how connections end ---------------------------------------------------------------------

void MqttServer::BreakOff(Connection& connection, std::string_view reason) {
  if (connection.state == InputState::closed) return;
  ++stats_.connections_broken_off;
  const std::string who = connection.session.connected()
                              ? "client " + Quoted(connection.session.client_id())
                              : "a connection without CONNECT";
  notices_.Add(now_us_, NoticeLevel::warning, who + " was closed: " + std::string(reason));
  Close(connection);
}

void MqttServer::Close(Connection& connection) {
  if (connection.state == InputState::closed) return;
  if (connection.session.connected() && !connection.taken_over) by_client_id_.erase(&connection);
  if (connection.log_is_busy) --busy_stalls_;
  connection.log_is_busy = false;
  Keep(connection, {}, Held::nothing);
  PacketBytes().swap(connection.output);
  static_cast<ListHook<InputListKind>&>(connection).Unlink();
  static_cast<ListHook<OutputListKind>&>(connection).Unlink();
  static_cast<ListHook<AckListKind>&>(connection).Unlink();
  deadlines_.Remove(connection);
  connection.state = InputState::closed;
  --stats_.connections;
  PublishWill(connection.session.End());
  // The descriptor may be let go only when nobody watches it any more.
  if (connection.watching_readable) loop_.Cancel(&connection.readable);
  if (connection.watching_writable) loop_.Cancel(&connection.writable);
  Buried(connection);
}

void MqttServer::Buried(Connection& connection) {
  if (connection.state == InputState::closed && !connection.in_flight()) dead_.PushBack(connection);
}

void MqttServer::BuryDead() {
  while (!dead_.empty()) {
    const uint32_t slot = dead_.PopFront().slot;
    std::swap(connections_[slot], connections_.back());
    connections_[slot]->slot = slot;
    connections_.pop_back();
  }
}

void MqttServer::CloseAll() {
  for (const std::unique_ptr<Connection>& connection : connections_) Close(*connection);
}

// The engine accepts nothing more, and what was appended may never become durable: who waits for an
// acknowledgement must learn that there will be none.
void MqttServer::StopForGood() {
  stopped_ = true;
  notices_.Add(
      now_us_, NoticeLevel::error,
      "all clients were closed, the engine has stopped: " + log_->health().error().ToString());
  for (const std::unique_ptr<Will>& will : wills_) context_.will_bytes -= will->bytes();
  wills_.clear();
  CloseAll();
}

void MqttServer::BeginDrain() {
  draining_ = true;
  StopAccepting();
  for (const std::unique_ptr<Connection>& owned : connections_) {
    Connection& connection = *owned;
    if (connection.state == InputState::closed) continue;
    static_cast<ListHook<InputListKind>&>(connection).Unlink();
    connection.state = InputState::unread;
    AfterFlush(connection);
  }
}

MqttStats MqttServer::stats() const {
  MqttStats stats = stats_;
  stats.sessions = context_.counters;
  return stats;
}

// --- deadlines -------------------------------------------------------------------------------

void MqttServer::SetDeadline(Connection& connection, int64_t deadline_us) {
  deadlines_.Set(connection, (deadline_us + kTimerGrainUs - 1) / kTimerGrainUs * kTimerGrainUs);
}

void MqttServer::FireDeadlines() {
  while (!deadlines_.empty() && deadlines_.front().deadline_us <= now_us_) {
    auto& connection = static_cast<Connection&>(deadlines_.front());
    if (!Expired(connection)) continue;
    BreakOff(connection, connection.session.connected()
                             ? "silent for one and a half times its keep alive (MQTT-3.1.2-24)"
                             : "no CONNECT within 10 s");
  }
}

// Moves the deadline on unless the time is up. A deadline is not moved for every packet, only when
// it comes; and time during which we did not read a client does not count against it.
bool MqttServer::Expired(Connection& connection) {
  const bool ours =
      connection.state == InputState::ready || connection.state == InputState::stalled ||
      connection.state == InputState::window_full || connection.state == InputState::unread;
  if (ours) connection.last_packet_us = now_us_;
  if (!connection.session.connected()) {
    if (!ours) return true;
    SetDeadline(connection, now_us_ + kConnectTimeoutUs);
    return false;
  }
  const int64_t heard_us = std::max(connection.last_packet_us, last_gated_us_);
  const int64_t due = heard_us + connection.session.max_silence_us();
  if (due <= now_us_) return true;
  SetDeadline(connection, due);
  return false;
}

// A topic may be deleted before what was published to it is durable. Who waits for that would wait
// for ever, and pings keep it alive.
void MqttServer::LookForLost() {
  if (awaiting_.empty() || now_us_ < look_for_lost_us_) return;
  look_for_lost_us_ = now_us_ + kLookForLostUs;
  IntrusiveList<Connection, AckListKind> turn;
  turn.Append(&awaiting_);
  while (!turn.empty()) {
    Connection& connection = turn.PopFront();
    awaiting_.PushBack(connection);
    if (!connection.session.HasLostAck()) continue;
    BreakOff(connection, "the topic of its records was deleted before they were durable");
  }
}

// --- wills -----------------------------------------------------------------------------------

void MqttServer::PublishWill(std::unique_ptr<Will> will) {
  if (will == nullptr || draining_ || stopped_) return;
  const Result<RecordPlace> place = AppendMessage(
      &context_, {will->client_id, will->topic, will->payload, will->qos, will->retain});
  if (place.ok()) {
    ++context_.counters.wills;
    return;
  }
  const ErrorCode code = place.error().code();
  const bool room_later = code == ErrorCode::busy || code == ErrorCode::disk_full;
  if (room_later && context_.will_bytes + will->bytes() <= options_.max_will_bytes) {
    context_.will_bytes += will->bytes();
    wills_.push_back(std::move(will));
    return;
  }
  if (code == ErrorCode::stopped) return;
  notices_.Add(
      now_us_, NoticeLevel::warning,
      "the will of client " + Quoted(will->client_id) + " is lost: " + place.error().ToString());
}

void MqttServer::RetryWills() {
  for (size_t left = wills_.size(); left > 0; --left) {
    std::unique_ptr<Will> will = std::move(wills_.front());
    wills_.pop_front();
    context_.will_bytes -= will->bytes();
    const size_t others = wills_.size();
    PublishWill(std::move(will));
    if (wills_.size() > others) {
      retry_at_us_ = now_us_ + kLastRetryUs;
      return;
    }
  }
}

// --- what the operator should know -----------------------------------------------------------

void MqttServer::TellOfStall() {
  if (stalled_.empty()) {
    if (stall_told_) {
      notices_.Add(now_us_, NoticeLevel::info,
                   "the engine has room again after " +
                       std::to_string((now_us_ - stalled_since_us_) / 1'000'000) + " s");
    }
    stall_told_ = false;
    stalled_since_us_ = -1;
    return;
  }
  if (stalled_since_us_ < 0) stalled_since_us_ = now_us_;
  if (stall_told_ || now_us_ - stalled_since_us_ < kStallNoticeUs) return;
  stall_told_ = true;
  notices_.Add(now_us_, NoticeLevel::warning,
               std::string("clients have to wait: the engine ") +
                   (busy_stalls_ > 0 ? "is busy" : "has no disk space left"));
}

}  // namespace tidemark::ingest
