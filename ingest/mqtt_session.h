// What one MQTT connection has said and is owed. No sockets here: packets come in decoded, replies
// and acknowledgements go out as bytes.
//
// A PUBACK (QoS 1) or PUBREC (QoS 2) leaves when its record is durable and everything that arrived
// before it on this connection has been acknowledged [MQTT-4.6.0-2, MQTT-4.6.0-3]. The state ends
// with the connection: sessions that outlive it come in a later version, so CONNACK always says
// that there was none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ingest/ack_queue.h"
#include "ingest/mqtt_packet.h"
#include "ingest/packet_id_set.h"
#include "ingest/record_log.h"
#include "ingest/route.h"

namespace tidemark::ingest {

// Longer client identifiers are refused: they are stored with each reading [MQTT-3.1.3-5 asks for
// 23].
inline constexpr size_t kMaxClientIdBytes = 256;

struct SessionCounters {
  uint64_t publishes[3] = {0, 0, 0};  // appended, by QoS
  uint64_t duplicates = 0;            // QoS 2 publishes that came again and were not appended again
  uint64_t acks = 0;                  // PUBACK and PUBREC sent
  uint64_t wills = 0;                 // appended
};

// What all sessions of a server share. Outlives them.
struct SessionContext {
  SessionContext(RecordLog& log_in, const RouteTable& routes_in) : log(log_in), routes(routes_in) {}

  RecordLog& log;
  const RouteTable& routes;
  AckPool acks;
  uint32_t max_unacknowledged = 4096;        // per connection; then it is not read for a while
  size_t max_will_bytes = size_t{16} << 20;  // of all connections together
  size_t will_bytes = 0;
  uint64_t (*random64)() = nullptr;  // for the names of clients that bring none
  SessionCounters counters;
  std::string error_text;  // what an Outcome's reason may point to
};

// A message that is published if its client vanishes.
struct Will {
  std::string client_id;
  std::string topic;
  std::string payload;
  uint8_t qos = 0;
  bool retain = false;

  size_t bytes() const { return client_id.size() + topic.size() + payload.size(); }
};

// Appends a message as a record: key by its route, value = payload, headers mqtt.*.
struct MqttMessage {
  std::string_view client_id;
  std::string_view topic;
  Bytes payload;
  uint8_t qos = 0;
  bool retain = false;
};
Result<RecordPlace> AppendMessage(SessionContext* context, const MqttMessage& message);

enum class Verdict : uint8_t {
  next,         // handled; on to the next packet
  connected,    // CONNECT was accepted: from now on client_id() is this connection's
  busy,         // the log is busy: nothing has changed, hand the same packet in again later
  disk_full,    // the same, and it may take long
  window_full,  // too many unacknowledged publishes: the same, once some are acknowledged
  refused,      // CONNACK says why: close once it is sent
  finished,     // DISCONNECT: close
  violation,    // close; `reason` is for the log
  stopped,      // the log accepts nothing more: close, acknowledge nothing that is not durable
};
struct Outcome {
  Verdict verdict = Verdict::next;
  std::string_view reason = {};  // refused, violation; valid until the next call on the context
};

class MqttSession {
 public:
  explicit MqttSession(SessionContext* context) : context_(context), acks_(context->acks) {}
  ~MqttSession();
  MqttSession(const MqttSession&) = delete;
  MqttSession& operator=(const MqttSession&) = delete;

  // Handles one packet; what can be answered at once is appended to `replies`.
  Outcome Handle(const Packet& packet, PacketBytes* replies);

  // Whether TakeReadyAcks() would give something.
  bool HasReadyAck() const {
    if (acks_.empty()) return false;
    const RecordPlace& place = acks_.front().place;
    return place.partition == nullptr || context_->log.IsDurable(place);
  }
  // Whether the next acknowledgement will never leave, and none of those behind it.
  bool HasLostAck() const {
    if (acks_.empty()) return false;
    const RecordPlace& place = acks_.front().place;
    return place.partition != nullptr && context_->log.IsLost(place);
  }
  // Appends the acknowledgements that may leave now.
  void TakeReadyAcks(PacketBytes* to);
  uint32_t unacknowledged() const { return acks_.size(); }

  bool connected() const { return connected_; }
  const std::string& client_id() const { return client_id_; }
  // How long the client may be silent: one and a half times its keep alive [MQTT-3.1.2-24]; 0: for
  // ever.
  int64_t max_silence_us() const { return int64_t{keep_alive_s_} * 1'500'000; }

  // The connection has ended: acknowledges nothing more and hands out the will if it is to be
  // published.
  std::unique_ptr<Will> End();

 private:
  // What only QoS 2 needs; most clients never do.
  struct Exactly {
    PacketIdSet received;  // and not yet released by PUBREL
    PacketIdSet unsent;    // those of them whose PUBREC has not left
  };

  Outcome HandleConnect(const ConnectPacket& connect, PacketBytes* replies);
  Outcome HandlePublish(const Packet& packet);
  Outcome HandleRelease(uint16_t packet_id, PacketBytes* replies);
  Outcome Refuse(ConnectCode code, std::string_view reason, PacketBytes* replies);
  Outcome AppendFailed(const Error& error);
  void DropWill();

  SessionContext* context_;
  std::string client_id_;
  std::unique_ptr<Will> will_;
  std::unique_ptr<Exactly> exactly_;
  AckQueue acks_;
  uint16_t keep_alive_s_ = 0;
  bool connected_ = false;
};

}  // namespace tidemark::ingest
