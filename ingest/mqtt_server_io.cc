// How bytes come in and go out. The rest of the server: mqtt_server.cc.
//
// A connection's input moves through these states (mqtt_connection.h):
//
//   watching -> ready      the loop says that there is something to receive
//   ready -> watching      all packets were handled; an unfinished one is kept
//   ready -> stalled       the log refused a packet: it is kept with all that stands behind it, and
//   is
//                          handed in again in later turns; nothing is received meanwhile
//   ready -> window_full   the same, until acknowledgements have left
//   ready -> blocked       the client does not read what it was sent
#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "ingest/mqtt_server.h"

namespace tidemark::ingest {

void MqttServer::OnReadable(io::Operation* operation) {
  auto& connection = *static_cast<Connection*>(operation->owner);
  MqttServer& server = *connection.server;
  connection.watching_readable = false;
  server.Buried(connection);
  if (connection.state != InputState::watching) return;
  connection.state = InputState::ready;
  (connection.session.connected() ? server.ready_ : server.newcomers_).PushBack(connection);
}

void MqttServer::OnWritable(io::Operation* operation) {
  auto& connection = *static_cast<Connection*>(operation->owner);
  MqttServer& server = *connection.server;
  connection.watching_writable = false;
  server.Buried(connection);
  if (connection.state != InputState::closed) server.dirty_.PushBack(connection);
}

void MqttServer::WatchReadable(Connection& connection) {
  connection.state = InputState::watching;
  if (connection.watching_readable) return;
  connection.watching_readable = true;
  loop_.Watch(connection.socket.descriptor(), io::Readiness::readable, &connection.readable);
}

// --- in --------------------------------------------------------------------------------------

// While the engine is busy, more bytes would only have to be kept.
bool MqttServer::GateClosed() const { return busy_stalls_ > 0 || MemoryIsShort(); }

bool MqttServer::MemoryIsShort() const {
  return stats_.stalled_bytes >= options_.max_stalled_bytes;
}

void MqttServer::ReadReady() {
  // A CONNECT is answered while the engine is busy, as long as there is memory for what may follow
  // it.
  InputList turn;
  turn.Append(&newcomers_);
  while (!turn.empty() && !MemoryIsShort()) {
    ReadOne(turn.PopFront());
    ShedUnfinished();
  }
  turn.Append(&newcomers_);
  newcomers_.Append(&turn);

  size_t received = 0;
  turn.Append(&ready_);
  while (!turn.empty() && received < kTurnBytes && !GateClosed()) {
    received += ReadOne(turn.PopFront());
    ShedUnfinished();
  }
  turn.Append(&ready_);  // who was not served is first in the next turn
  ready_.Append(&turn);
}

size_t MqttServer::ReadOne(Connection& connection) {
  if (connection.watching_writable) {
    connection.state = InputState::blocked;
    if (connection.taken_over) EndTakenOver(connection);
    return 0;
  }
  const size_t room = connection.session.connected() ? kReceiveBytes : kFirstReceiveBytes;
  std::byte* const area = receive_buffer_.data() + kFrontBytes;
  const io::TransferResult got = io::Receive(connection.socket, {area, room});
  if (got.state == io::Transfer::closed) {
    Close(connection);
    return 0;
  }
  if (got.bytes == 0) {
    GoOnReading(connection, false);
    return 0;
  }
  stats_.bytes_received += got.bytes;
  base::ByteSpan bytes(area, got.bytes);
  std::vector<std::byte>& kept = connection.input;
  if (kept.size() > kFrontBytes) {
    kept.insert(kept.end(), bytes.begin(), bytes.end());
    bytes = kept;
  } else if (!kept.empty()) {
    std::byte* const front = area - kept.size();
    std::memcpy(front, kept.data(), kept.size());
    bytes = {front, kept.size() + got.bytes};
  }
  HandleInput(connection, bytes, got.bytes == room);
  return got.bytes;
}

// `bytes` is all that was received and not handled: in the shared buffer or in connection.input.
void MqttServer::HandleInput(Connection& connection, base::ByteSpan bytes, bool more_waits) {
  size_t used = 0;
  const Outcome outcome = HandlePackets(connection, bytes, &used);
  const bool stalled = outcome.verdict == Verdict::busy || outcome.verdict == Verdict::disk_full ||
                       outcome.verdict == Verdict::window_full;
  Keep(connection, bytes.subspan(used), stalled ? Held::stalled_packets : Held::unfinished_packet);
  if (connection.session.unacknowledged() > 0) awaiting_.PushBack(connection);
  if (!connection.output.empty() || connection.session.HasReadyAck()) dirty_.PushBack(connection);
  Settle(connection, outcome, more_waits);
}

// Handles whole packets up to the first that cannot be; `used` counts the bytes of those handled.
Outcome MqttServer::HandlePackets(Connection& connection, base::ByteSpan bytes, size_t* used) {
  for (;;) {
    const Decoded decoded = DecodePacket(bytes.subspan(*used), options_.max_packet_bytes, &packet_);
    if (decoded.state == DecodeState::need_more) return {};
    if (decoded.state == DecodeState::malformed) return {Verdict::violation, decoded.reason};
    if (decoded.state == DecodeState::too_large) {
      context_.error_text =
          "a packet of " + std::to_string(decoded.bytes) + " bytes, more than max_packet_bytes";
      return {Verdict::violation, context_.error_text};
    }
    const Outcome outcome = connection.session.Handle(packet_, &connection.output);
    if (outcome.verdict != Verdict::next && outcome.verdict != Verdict::connected) return outcome;
    connection.last_packet_us = now_us_;
    *used += decoded.bytes;
    if (outcome.verdict == Verdict::connected) TakeClientId(connection);
  }
}

// Decides what becomes of a connection after its input was handled.
void MqttServer::Settle(Connection& connection, const Outcome& outcome, bool more_waits) {
  switch (outcome.verdict) {
    case Verdict::next:
    case Verdict::connected:
      GoOnReading(connection, more_waits);
      return;
    case Verdict::busy:
    case Verdict::disk_full:
      ++stats_.stalls;
      connection.state = InputState::stalled;
      connection.log_is_busy = outcome.verdict == Verdict::busy;
      if (connection.log_is_busy) ++busy_stalls_;
      stalled_.PushBack(connection);
      return;
    case Verdict::window_full:
      connection.state = InputState::window_full;
      return;
    case Verdict::refused:
      Flush(connection);
      BreakOff(connection, outcome.reason);
      return;
    case Verdict::finished:
      Close(connection);
      return;
    case Verdict::violation:
      BreakOff(connection, outcome.reason);
      return;
    case Verdict::stopped:
      Close(connection);  // the others follow in the next turn, when health() says so
      return;
  }
}

void MqttServer::GoOnReading(Connection& connection, bool more_waits) {
  if (connection.taken_over) {
    EndTakenOver(connection);
  } else if (connection.watching_writable) {
    connection.state = InputState::blocked;
  } else if (more_waits) {
    connection.state = InputState::ready;
    ready_.PushBack(connection);
  } else {
    WatchReadable(connection);
  }
}

size_t* MqttServer::HeldTotal(Held kind) {
  return kind == Held::stalled_packets ? &stats_.stalled_bytes : &stats_.unfinished_bytes;
}

// Keeps `rest`, which may lie in connection.input itself, for later turns.
void MqttServer::Keep(Connection& connection, base::ByteSpan rest, Held kind) {
  std::vector<std::byte>& kept = connection.input;
  *HeldTotal(connection.held) -= connection.held_bytes;
  const bool in_place =
      !rest.empty() && rest.data() >= kept.data() && rest.data() < kept.data() + kept.size();
  if (in_place && (rest.size() == kept.size() || rest.size() > kept.capacity() / 2)) {
    kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(rest.size()));
  } else if (!rest.empty() || kept.capacity() > 0) {
    std::vector<std::byte>(rest.begin(), rest.end()).swap(kept);  // gives memory back, too
  }
  connection.held = kind;
  connection.held_bytes = kept.capacity();
  *HeldTotal(kind) += connection.held_bytes;
}

// When unfinished packets take too much memory, whoever holds most is closed: a client with a slow
// line comes again, one that means harm is rid of its work.
void MqttServer::ShedUnfinished() {
  // One packet of the greatest size, kept in a buffer that has just doubled, must have room.
  const size_t limit = std::max(options_.max_unfinished_bytes, 4 * options_.max_packet_bytes);
  while (stats_.unfinished_bytes > limit) {
    Connection* greatest = nullptr;
    for (const std::unique_ptr<Connection>& connection : connections_) {
      if (connection->held != Held::unfinished_packet) continue;
      if (greatest == nullptr || connection->held_bytes > greatest->held_bytes) {
        greatest = connection.get();
      }
    }
    TIDEMARK_CHECK(greatest != nullptr);
    BreakOff(*greatest, "unfinished packets take more than max_unfinished_bytes");
  }
}

// From now on the client identifier is this connection's. An older one that has it is closed, once
// what it has sent already is handled [MQTT-3.1.4-2].
void MqttServer::TakeClientId(Connection& connection) {
  const auto found = by_client_id_.find(std::string_view(connection.session.client_id()));
  if (found != by_client_id_.end()) {
    Connection& old = **found;
    by_client_id_.erase(found);
    old.taken_over = true;
    if (old.state == InputState::watching) {
      old.state = InputState::ready;
      ready_.PushBack(old);
    } else if (old.state == InputState::blocked) {
      EndTakenOver(old);
    }
  }
  by_client_id_.insert(&connection);
  if (connection.session.max_silence_us() > 0) {
    SetDeadline(connection, now_us_ + connection.session.max_silence_us());
  } else {
    deadlines_.Remove(connection);
  }
}

void MqttServer::EndTakenOver(Connection& connection) {
  BreakOff(connection, "another connection took over its client identifier (MQTT-3.1.4-2)");
}

void MqttServer::RetryStalled() {
  while (!stalled_.empty()) {
    Connection& connection = stalled_.PopFront();
    if (connection.log_is_busy) --busy_stalls_;
    connection.log_is_busy = false;
    const size_t before = connection.input.size();
    HandleInput(connection, connection.input, false);
    if (connection.state != InputState::stalled) continue;
    // No room yet, at least for this one: it stands last now, so that another is tried next time.
    retry_us_ =
        connection.input.size() < before ? kFirstRetryUs : std::min(2 * retry_us_, kLastRetryUs);
    retry_at_us_ = now_us_ + retry_us_;
    return;
  }
  retry_us_ = kFirstRetryUs;
}

// --- out -------------------------------------------------------------------------------------

void MqttServer::CollectAcks() {
  IntrusiveList<Connection, AckListKind> turn;
  turn.Append(&awaiting_);
  while (!turn.empty()) {
    Connection& connection = turn.PopFront();
    if (connection.session.HasReadyAck()) dirty_.PushBack(connection);
    awaiting_.PushBack(connection);
  }
}

void MqttServer::FlushDirty() {
  while (!dirty_.empty()) Flush(dirty_.PopFront());
}

// Sends what is there and all acknowledgements that may leave, in one piece.
void MqttServer::Flush(Connection& connection) {
  if (connection.watching_writable || connection.state == InputState::closed) return;
  send_buffer_.clear();
  send_buffer_.insert(send_buffer_.end(), connection.output.begin(), connection.output.end());
  connection.session.TakeReadyAcks(&send_buffer_);
  if (!send_buffer_.empty()) {
    const io::TransferResult sent = io::Send(connection.socket, send_buffer_);
    if (sent.state == io::Transfer::closed) {
      Close(connection);
      return;
    }
    const base::ByteSpan rest = base::ByteSpan(send_buffer_).subspan(sent.bytes);
    if (!rest.empty() || connection.output.capacity() > 0) {
      PacketBytes(rest.begin(), rest.end()).swap(connection.output);
    }
    if (!rest.empty()) {
      connection.watching_writable = true;
      loop_.Watch(connection.socket.descriptor(), io::Readiness::writable, &connection.writable);
      return;
    }
  }
  AfterFlush(connection);
}

// All that could be sent is sent: perhaps there is now a reason to read, or to close.
void MqttServer::AfterFlush(Connection& connection) {
  const uint32_t waiting = connection.session.unacknowledged();
  if (waiting == 0) static_cast<ListHook<AckListKind>&>(connection).Unlink();
  if (connection.state == InputState::blocked) {
    WatchReadable(connection);
  } else if (connection.state == InputState::window_full &&
             waiting <= options_.max_unacknowledged / 2) {
    connection.state = InputState::stalled;
    stalled_.PushBack(connection);
  } else if (draining_ && waiting == 0 && connection.output.empty()) {
    Close(connection);
  }
}

}  // namespace tidemark::ingest
