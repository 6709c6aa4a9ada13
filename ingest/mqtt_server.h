// MQTT 3.1.1 in: a listener and its connections on an io::Loop, publishing into an Engine. What is
// supported, the limits and what an acknowledgement means: docs/mqtt.md.
//
// The loop only notes what is ready; all work is done in OnProgress(), which the owner calls after
// each Engine::Poll(). So nothing here runs inside a call of the engine.
//
//   while (serving) {
//     server->OnProgress(engine->Poll(until(server->NextDeadlineUs())));
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "ingest/mqtt_connection.h"
#include "ingest/notice_log.h"
#include "ingest/record_log.h"
#include "ingest/route.h"
#include "io/environment.h"
#include "io/loop.h"
#include "io/socket.h"
#include "tidemark/engine.h"

namespace tidemark::ingest {

struct MqttOptions {
  io::Address listen{"127.0.0.1", 1883};  // port 0: any free one
  // Nobody has to say who they are. Without it only loopback addresses are listened on.
  bool allow_anonymous = false;
  size_t max_connections = 10'000;
  size_t max_packet_bytes = size_t{1} << 20;
  uint32_t max_unacknowledged =
      4096;  // publishes of one connection; then it is not read for a while
  // Memory of all connections together: for unfinished packets (beyond it the connection that holds
  // most is closed), for packets that the engine has no room for (beyond it nobody is read), for
  // wills (beyond it CONNECT is refused).
  size_t max_unfinished_bytes = size_t{16} << 20;
  size_t max_stalled_bytes = size_t{4} << 20;
  size_t max_will_bytes = size_t{4} << 20;
  std::vector<Route> routes;  // the first whose filter matches wins
  Route default_route;        // takes the rest: topic "mqtt", key = MQTT topic
  uint64_t (*random64)() = &io::SystemRandom64;
};

struct MqttStats {
  size_t connections = 0;  // open now
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;     // by max_connections
  uint64_t connections_broken_off = 0;  // closed because of what the client did, or a limit
  uint64_t bytes_received = 0;
  SessionCounters sessions;
  uint64_t stalls = 0;          // packets that the engine had no room for at first
  size_t unfinished_bytes = 0;  // held now
  size_t stalled_bytes = 0;     // held now
};

class MqttServer {
 public:
  // Listens at once. The topics of all routes must exist. Errors: invalid_argument (options,
  // routes, an address beyond loopback without allow_anonymous), unknown_topic, io_error. All three
  // must outlive it.
  static Result<std::unique_ptr<MqttServer>> Start(io::Loop& loop, base::Clock& clock,
                                                   Engine& engine, MqttOptions options);
  // The same on any log, whose topics are numbered as the routes, the default's last.
  static Result<std::unique_ptr<MqttServer>> StartOn(io::Loop& loop, base::Clock& clock,
                                                     std::unique_ptr<RecordLog> log,
                                                     MqttOptions options);
  // Closes what is open and runs the loop until its operations have ended.
  ~MqttServer();
  MqttServer(const MqttServer&) = delete;
  MqttServer& operator=(const MqttServer&) = delete;

  // "127.0.0.1:1883"
  const std::string& address() const { return address_; }

  // One turn: sends acknowledgements when durable ends have moved, reads what is ready, sends
  // replies, keeps deadlines. To be called after each Poll(), with what it returned.
  void OnProgress(std::span<Partition* const> moved) { RunTurn(!moved.empty()); }
  void RunTurn(bool durable_end_moved);

  // By the monotonic clock, when RunTurn() is wanted even if nothing happens; 0: at once,
  // INT64_MAX: never.
  int64_t NextDeadlineUs() const;

  // No new connections; those that are there go on.
  void StopAccepting();
  // For a clean stop: accepts and reads nothing more. Connections close when their publishes have
  // become durable and are acknowledged, in the turns that follow; done once drained(). Wills are
  // not published.
  void BeginDrain();
  bool drained() const { return connections_.empty() && !listener_.is_open(); }

  MqttStats stats() const;
  std::vector<Notice> TakeNotices() { return notices_.Take(); }

 private:
  // So much is received from a connection in one turn, into one buffer for all. An unfinished
  // packet that fits the room before it is put there, so that the whole can be decoded in one
  // piece; a longer one grows where it is kept, so that bytes that trickle in are not copied again
  // and again.
  static constexpr size_t kReceiveBytes = size_t{64} << 10;
  static constexpr size_t kFrontBytes = size_t{8} << 10;
  // From a connection that has not sent CONNECT, which is read even while the engine is busy.
  static constexpr size_t kFirstReceiveBytes = size_t{4} << 10;
  // From all connections together in one turn, so that commits start in time.
  static constexpr size_t kTurnBytes = size_t{1} << 20;
  static constexpr int kAcceptsPerTurn = 64;
  static constexpr int64_t kConnectTimeoutUs = 10'000'000;
  static constexpr int64_t kAcceptPauseUs = 1'000'000;  // when descriptors or memory have run out
  static constexpr int64_t kFirstRetryUs = 5'000;       // of a stalled packet; doubles
  static constexpr int64_t kLastRetryUs = 160'000;
  static constexpr int64_t kStallNoticeUs = 5'000'000;
  static constexpr int64_t kLookForLostUs =
      1'000'000;  // rare, and costs a walk over those who wait
  // Deadlines are rounded up to a multiple of it, so that many idle connections wake the loop
  // seldom.
  static constexpr int64_t kTimerGrainUs = int64_t{1} << 17;

  struct ByClientId {
    using is_transparent = void;
    static std::string_view Id(std::string_view id) { return id; }
    static std::string_view Id(const Connection* connection) {
      return connection->session.client_id();
    }
    template <typename T>
    size_t operator()(const T& key) const {
      return std::hash<std::string_view>()(Id(key));
    }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Id(a) == Id(b);
    }
  };
  using InputList = IntrusiveList<Connection, InputListKind>;

  MqttServer(io::Loop& loop, base::Clock& clock, std::unique_ptr<RecordLog> log, RouteTable routes,
             MqttOptions options);

  // mqtt_server.cc: the listener, ends, deadlines.
  static void OnAcceptable(io::Operation* operation);
  void WatchListener();
  void AcceptSome();
  void Admit(io::Socket socket);
  void Close(Connection& connection);
  void BreakOff(Connection& connection, std::string_view reason);
  void CloseAll();
  void StopForGood();
  void Buried(Connection& connection);
  void BuryDead();
  void SetDeadline(Connection& connection, int64_t deadline_us);
  void FireDeadlines();
  bool Expired(Connection& connection);
  void PublishWill(std::unique_ptr<Will> will);
  void RetryWills();
  void TellOfStall();
  void LookForLost();

  // mqtt_server_io.cc: bytes in, bytes out.
  static void OnReadable(io::Operation* operation);
  static void OnWritable(io::Operation* operation);
  void WatchReadable(Connection& connection);
  bool GateClosed() const;
  bool MemoryIsShort() const;
  void ReadReady();
  size_t ReadOne(Connection& connection);
  void HandleInput(Connection& connection, base::ByteSpan bytes, bool more_waits);
  Outcome HandlePackets(Connection& connection, base::ByteSpan bytes, size_t* used);
  void Settle(Connection& connection, const Outcome& outcome, bool more_waits);
  void GoOnReading(Connection& connection, bool more_waits);
  void Keep(Connection& connection, base::ByteSpan rest, Held kind);
  size_t* HeldTotal(Held kind);
  void ShedUnfinished();
  void TakeClientId(Connection& connection);
  void EndTakenOver(Connection& connection);
  void RetryStalled();
  void CollectAcks();
  void FlushDirty();
  void Flush(Connection& connection);
  void AfterFlush(Connection& connection);

  io::Loop& loop_;
  base::Clock& clock_;
  const MqttOptions options_;
  const std::unique_ptr<RecordLog> log_;
  const RouteTable routes_;
  SessionContext context_;
  NoticeLog notices_{"mqtt: "};

  io::Socket listener_;
  io::Operation acceptable_;
  std::string address_;
  bool listener_watched_ = false;
  bool accept_ready_ = false;
  bool stop_accepting_ = false;
  bool draining_ = false;
  bool stopped_ = false;  // the engine accepts nothing more
  int64_t accept_after_us_ = 0;

  std::vector<std::unique_ptr<Connection>> connections_;  // closed ones too, until they are buried
  std::unordered_set<Connection*, ByClientId, ByClientId> by_client_id_;
  InputList newcomers_;  // ready, have not sent CONNECT
  InputList ready_;
  InputList stalled_;
  InputList dead_;
  IntrusiveList<Connection, OutputListKind> dirty_;  // have something to send
  IntrusiveList<Connection, AckListKind> awaiting_;  // have publishes that are not acknowledged
  DeadlineHeap deadlines_;
  std::deque<std::unique_ptr<Will>> wills_;  // the engine had no room for them yet

  std::vector<std::byte> receive_buffer_;
  PacketBytes send_buffer_;
  Packet packet_;
  int64_t now_us_ = 0;
  int64_t last_gated_us_ =
      INT64_MIN / 2;        // when clients were last left unread because of the engine
  size_t busy_stalls_ = 0;  // connections in stalled_ because the engine is busy
  int64_t retry_us_ = kFirstRetryUs;
  int64_t retry_at_us_ = 0;
  int64_t look_for_lost_us_ = 0;
  int64_t stalled_since_us_ = -1;
  bool stall_told_ = false;
  MqttStats stats_;
};

}  // namespace tidemark::ingest
