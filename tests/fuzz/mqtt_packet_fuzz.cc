// Any bytes as what an MQTT client sends: through the packet decoder, whole and cut, and into a
// session on a log that says no, or becomes durable, when the input says so.
//
//   byte 0: how many records the log takes before it says busy, modulo 8 (7: all)
//   byte 1: how many packets are handled before everything becomes durable, modulo 16
//   then:   the stream
#include "ingest/mqtt_packet.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "ingest/mqtt_session.h"
#include "tests/ingest/fake_log.h"

namespace tidemark::ingest {
namespace {

constexpr size_t kMaxPacketBytes = 4096;
constexpr size_t kMaxCutsChecked = 64;
constexpr size_t kControlBytes = 2;

// A copy that ends where the bytes end, so that the address sanitizer sees one byte too many.
Decoded DecodeExactly(base::ByteSpan bytes, std::vector<std::byte>* copy, Packet* packet) {
  *copy = std::vector<std::byte>(bytes.begin(), bytes.end());
  return DecodePacket(*copy, kMaxPacketBytes, packet);
}

// A good packet's prefixes are unfinished; what is wrong stays wrong, and for the same reason,
// whatever follows.
void CheckCuts(base::ByteSpan bytes, const Decoded& whole) {
  std::vector<std::byte> copy;
  Packet packet;
  const size_t end =
      std::min({bytes.size(), kMaxCutsChecked, whole.bytes == 0 ? SIZE_MAX : whole.bytes});
  for (size_t length = 0; length < end; ++length) {
    const Decoded cut = DecodeExactly(bytes.first(length), &copy, &packet);
    switch (cut.state) {
      case DecodeState::need_more:
        TIDEMARK_CHECK(cut.bytes == 0 || cut.bytes > length);
        break;
      case DecodeState::malformed:
        TIDEMARK_CHECK(whole.state == DecodeState::malformed);
        TIDEMARK_CHECK(std::strcmp(cut.reason, whole.reason) == 0);
        break;
      case DecodeState::too_large:
        TIDEMARK_CHECK(whole.state == DecodeState::too_large && whole.bytes == cut.bytes);
        break;
      case DecodeState::packet:
        TIDEMARK_CHECK(false);
    }
  }
}

uint64_t FixedRandom() { return 42; }

class Feeder {
 public:
  Feeder(uint8_t room, uint8_t commit_every) : commit_every_(1U + commit_every % 16U) {
    if (room % 8 != 7) {
      state_.refusal = ErrorCode::busy;
      state_.room = room % 8;
    }
    context_.random64 = &FixedRandom;
    context_.max_will_bytes = 64;
    context_.max_unacknowledged = 8;
  }

  void Run(base::ByteSpan stream) {
    Packet packet;
    while (true) {
      const Decoded decoded = DecodePacket(stream, kMaxPacketBytes, &packet);
      CheckCuts(stream, decoded);
      if (decoded.state != DecodeState::packet) break;
      TIDEMARK_CHECK(decoded.bytes <= stream.size());
      if (!Handle(packet)) break;
      stream = stream.subspan(decoded.bytes);
    }
    Commit();
    TIDEMARK_CHECK(session_.unacknowledged() == 0);
    session_.End();
    TIDEMARK_CHECK(context_.will_bytes == 0);
    uint64_t appended = 0;
    for (const uint64_t count : context_.counters.publishes) appended += count;
    TIDEMARK_CHECK(appended == state_.records.size());
  }

 private:
  // Whether the connection goes on.
  bool Handle(const Packet& packet) {
    Outcome outcome = session_.Handle(packet, &replies_);
    if (outcome.verdict ==
        Verdict::busy) {  // nothing has changed: the same packet again, with room
      state_.refusal.reset();
      outcome = session_.Handle(packet, &replies_);
      TIDEMARK_CHECK(outcome.verdict != Verdict::busy);
    }
    if (outcome.verdict == Verdict::window_full) {
      TIDEMARK_CHECK(session_.unacknowledged() >= context_.max_unacknowledged);
      Commit();
      outcome = session_.Handle(packet, &replies_);
      TIDEMARK_CHECK(outcome.verdict != Verdict::window_full);
    }
    if (++handled_ % commit_every_ == 0) Commit();
    if (outcome.verdict == Verdict::violation) TIDEMARK_CHECK(!outcome.reason.empty());
    return outcome.verdict == Verdict::next || outcome.verdict == Verdict::connected;
  }

  void Commit() {
    const uint64_t before = context_.counters.acks;
    const uint32_t waiting = session_.unacknowledged();
    state_.MakeAllDurable();
    session_.TakeReadyAcks(&replies_);
    TIDEMARK_CHECK(session_.unacknowledged() == 0);
    TIDEMARK_CHECK(context_.counters.acks - before <= waiting);
    replies_.clear();
  }

  FakeLogState state_;
  FakeLog log_{&state_};
  RouteTable routes_ = *RouteTable::Make({}, {});
  SessionContext context_{log_, routes_};
  MqttSession session_{&context_};
  PacketBytes replies_;
  unsigned commit_every_;
  unsigned handled_ = 0;
};

}  // namespace
}  // namespace tidemark::ingest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tidemark::ingest::kControlBytes;
  if (size < kControlBytes) return 0;
  tidemark::ingest::Feeder feeder(data[0], data[1]);
  feeder.Run(std::as_bytes(std::span(data, size).subspan(kControlBytes)));
  return 0;
}
