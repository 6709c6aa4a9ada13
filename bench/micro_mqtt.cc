// What it costs to take apart what MQTT clients send, and to put together what they are answered.
// The packets come from the load generator's own codec.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/bytes.h"
#include "base/check.h"
#include "bench/mqtt_packets.h"
#include "ingest/mqtt_packet.h"

namespace tidemark::ingest {
namespace {

constexpr int kPacketsPerRead = 500;
constexpr size_t kMaxPacketBytes = size_t{1} << 20;

// As a socket delivers them: one behind the other.
std::string Publishes(int qos, size_t payload_bytes) {
  std::string stream;
  for (int id = 1; id <= kPacketsPerRead; ++id) {
    bench::Message message = bench::MakeMessage(id, qos, payload_bytes);
    if (qos > 0) {
      message.packet[message.id_at] = static_cast<char>(id / 256);
      message.packet[message.id_at + 1] = static_cast<char>(id % 256);
    }
    stream += message.packet;
  }
  return stream;
}

// Returns how many packets it found.
int DecodeAll(base::ByteSpan bytes, Packet* packet) {
  int packets = 0;
  while (!bytes.empty()) {
    const Decoded decoded = DecodePacket(bytes, kMaxPacketBytes, packet);
    TIDEMARK_CHECK(decoded.state == DecodeState::packet);
    bytes = bytes.subspan(decoded.bytes);
    ++packets;
  }
  return packets;
}

void BM_DecodePublish(benchmark::State& state) {
  const std::string stream =
      Publishes(static_cast<int>(state.range(0)), static_cast<size_t>(state.range(1)));
  Packet packet;
  for (auto _ : state) {
    TIDEMARK_CHECK(DecodeAll(base::AsBytes(stream), &packet) == kPacketsPerRead);
    benchmark::DoNotOptimize(packet);
  }
  state.SetItemsProcessed(state.iterations() * kPacketsPerRead);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(stream.size()));
}
BENCHMARK(BM_DecodePublish)->ArgsProduct({{0, 1}, {62, 1000}})->ArgNames({"qos", "payload"});

// A packet of which the end is missing, as when a read ends within it.
void BM_NeedMore(benchmark::State& state) {
  const std::string packet_bytes = bench::MakeMessage(1, 1, 62).packet;
  const base::ByteSpan cut = base::AsBytes(std::string_view(packet_bytes)).first(20);
  Packet packet;
  for (auto _ : state) {
    const Decoded decoded = DecodePacket(cut, kMaxPacketBytes, &packet);
    TIDEMARK_CHECK(decoded.state == DecodeState::need_more);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NeedMore);

void BM_DecodeConnect(benchmark::State& state) {
  const std::string bytes = bench::ConnectPacket("thermo-0017");
  Packet packet;
  for (auto _ : state) {
    TIDEMARK_CHECK(DecodeAll(base::AsBytes(bytes), &packet) == 1);
    benchmark::DoNotOptimize(packet);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_DecodeConnect);

void BM_EncodePuback(benchmark::State& state) {
  PacketBytes answers;
  for (auto _ : state) {
    answers.clear();
    for (int i = 1; i <= kPacketsPerRead; ++i) {
      AppendAck(PacketType::puback, static_cast<uint16_t>(i), &answers);
    }
    benchmark::DoNotOptimize(answers.data());
  }
  state.SetItemsProcessed(state.iterations() * kPacketsPerRead);
}
BENCHMARK(BM_EncodePuback);

}  // namespace
}  // namespace tidemark::ingest
