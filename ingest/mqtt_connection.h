// One connection as the server keeps it. An idle one takes well under 1 KiB: bytes are received
// into a buffer that all connections share, and only what cannot be handled yet is kept here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "ingest/deadline_heap.h"
#include "ingest/intrusive_list.h"
#include "ingest/mqtt_session.h"
#include "io/loop.h"
#include "io/socket.h"

namespace tidemark::ingest {

class MqttServer;

enum class InputState : uint8_t {
  watching,     // waits for bytes, or for its end
  ready,        // bytes are there and their turn comes: in a list
  stalled,      // the log refused a packet, which is kept with what came behind it: in a list
  window_full,  // the same, until acknowledgements have left
  blocked,      // is not read until it reads what it was sent
  unread,       // is not read any more: the server stops
  closed,       // waits for its operations to end
};

// Why bytes are kept; each kind has a limit of its own for all connections together.
enum class Held : uint8_t { nothing, unfinished_packet, stalled_packets };

// The kinds of lists that a connection can be in.
struct InputListKind;
struct OutputListKind;
struct AckListKind;

struct Connection : ListHook<InputListKind>,
                    ListHook<OutputListKind>,
                    ListHook<AckListKind>,
                    Deadline {
  Connection(MqttServer* owner, io::Socket accepted, SessionContext* context)
      : server(owner), socket(std::move(accepted)), session(context) {}

  bool in_flight() const { return watching_readable || watching_writable; }

  MqttServer* server;
  io::Socket socket;
  uint32_t slot = 0;  // where the server keeps it
  io::Operation readable;
  io::Operation writable;
  MqttSession session;
  std::vector<std::byte> input;  // received and not yet handled
  PacketBytes output;            // to be sent, without the acknowledgements that still wait
  int64_t last_packet_us = 0;
  size_t held_bytes = 0;
  Held held = Held::nothing;
  InputState state = InputState::watching;
  bool watching_readable = false;
  bool watching_writable = false;  // the kernel takes no more at present
  bool log_is_busy = false;        // stalled: by an engine that is busy, not by a full disk
  bool taken_over = false;  // another connection has its client identifier: closes after its input
};
static_assert(sizeof(Connection) <= 512);

}  // namespace tidemark::ingest
