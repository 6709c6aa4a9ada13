// Does one kind of work so many times, for tests/instructions/run.py, which counts its
// instructions:
//
//   prog_count_work CASE COUNT [SEED]
//
// The engine runs on the simulated disk with a worker that works at once, so that every run does
// the same on every machine, down to the last branch.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "ingest/mqtt_packet.h"
#include "record/batch.h"
#include "storage/open.h"
#include "tests/sim/sim_world.h"
#include "tidemark/engine.h"

namespace tidemark {
namespace {

constexpr int64_t kInFlight = 64;
constexpr int64_t kFirstTimestampMs = 1732272000123;
constexpr int64_t kSpacingMs = 97;
constexpr size_t kDevices = 100;

// Readings of some devices: keys and 100 bytes of JSON, of which the digits change.
class Readings {
 public:
  Readings() {
    for (size_t i = 0; i < kDevices; ++i) {
      keys_.push_back("sensors/thermo-" + std::to_string(100 + i));
      values_.push_back(R"({"device":"thermo-)" + std::to_string(100 + i) + R"(","t":2)" +
                        std::to_string(i * 7919 % 1000) + R"(,"h":48.)" +
                        std::to_string(i * 31 % 10) + R"(,"state":"as it should be","room":)" +
                        std::to_string(i * 17 % 1000));
      values_.back().resize(99, ' ');
      values_.back() += '}';
    }
  }
  Record At(int64_t i) const {
    const auto device = static_cast<size_t>(i) % kDevices;
    Record record;
    record.key = keys_[device];
    record.value = values_[device];
    record.timestamp_ms = kFirstTimestampMs + i * kSpacingMs;
    return record;
  }

 private:
  std::vector<std::string> keys_;
  std::vector<std::string> values_;
};

// An engine with one partition.
class Store {
 public:
  Store(Compression compression, uint64_t seed) : world_({}, seed) {
    TIDEMARK_CHECK(world_.files.MakeDirectory("/store").ok());
    world_.worker.set_prompt(true);
    EngineOptions options;
    options.data_dir = "/store";
    options.journal_bytes = uint64_t{8} << 20;
    options.scrub_bytes_per_second = 0;
    auto engine = storage::OpenEngine(world_.environment(), options);
    TIDEMARK_CHECK(engine.ok());
    engine_ = std::move(*engine);
    TopicConfig config;
    config.compression = compression;
    config.zstd_level = 3;
    auto topic = engine_->CreateTopic("readings", 1, config);
    TIDEMARK_CHECK(topic.ok());
    partition_ = (*topic)->partition(0);
  }

  // Appends so many, and packs them all.
  void Append(int64_t count, Durability durability) {
    int64_t next = 0;
    while (next < count || partition_->durable_end_offset() < count) {
      while (next < count && (durability == Durability::buffered ||
                              next - partition_->durable_end_offset() < kInFlight)) {
        const auto offset = partition_->Append(readings_.At(next), durability);
        if (!offset.ok() && offset.error().code() == ErrorCode::busy) break;
        TIDEMARK_CHECK(offset.ok());
        ++next;
      }
      engine_->Poll(std::chrono::milliseconds(1));
    }
  }
  void Close() {
    partition_ = nullptr;
    TIDEMARK_CHECK(engine_->Close().ok());
  }

  // Reads the first so many records, or a few more.
  void Read(int64_t count) {
    auto reader = engine_->OpenReader(*partition_, 0);
    TIDEMARK_CHECK(reader.ok());
    int64_t records = 0;
    size_t bytes = 0;
    while (records < count) {
      const auto state = (*reader)->Next();
      TIDEMARK_CHECK(state.ok() && *state != ReadState::at_end);
      if (*state == ReadState::pending) engine_->Poll(std::chrono::milliseconds(1));
      if (*state != ReadState::batch) continue;
      for (const RecordView& record : (*reader)->batch().records) {
        bytes += record.value->size();
        if (++records == count) break;
      }
    }
    TIDEMARK_CHECK(bytes == static_cast<size_t>(count) * 100);
  }

 private:
  Readings readings_;
  sim::SimWorld world_;
  std::unique_ptr<Engine> engine_;
  Partition* partition_ = nullptr;
};

struct Work {
  int64_t count = 0;
  uint64_t seed = 1;
};

void Append(const Work& work, Compression compression, Durability durability) {
  Store store(compression, work.seed);
  store.Append(work.count, durability);
  store.Close();
}

// Of a log that has always the same size, so that reading is all that grows with the count.
void Read(const Work& work, Compression compression) {
  constexpr int64_t kRecords = 100'000;
  TIDEMARK_CHECK(work.count <= kRecords);
  Store store(compression, work.seed);
  store.Append(kRecords, Durability::buffered);
  store.Read(work.count);
}

// --- parts ---------------------------------------------------------------------------------------

constexpr int32_t kBatchRecords = 500;

std::vector<std::byte> EncodeBatchRecords(const Readings& readings) {
  std::vector<std::byte> encoded;
  for (int32_t i = 0; i < kBatchRecords; ++i) {
    const Record record = readings.At(i);
    const int64_t delta = record.timestamp_ms - kFirstTimestampMs;
    const size_t bytes = record::EncodedRecordBytes(record, delta, i);
    const size_t start = encoded.size();
    encoded.resize(start + bytes);
    record::EncodeRecord(encoded.data() + start, record, delta, i, bytes);
  }
  return encoded;
}

void Encode(const Work& work) {
  const Readings readings;
  std::vector<std::byte> room(256);
  for (int64_t i = 0; i < work.count; ++i) {
    const Record record = readings.At(i);
    const auto delta = static_cast<int32_t>(i % kBatchRecords);
    const size_t bytes = record::EncodedRecordBytes(record, delta * kSpacingMs, delta);
    TIDEMARK_CHECK(bytes <= room.size());
    record::EncodeRecord(room.data(), record, delta * kSpacingMs, delta, bytes);
  }
}

void Decode(const Work& work, record::Codec codec) {
  const std::vector<std::byte> encoded = EncodeBatchRecords(Readings());
  record::BatchHeader header;
  header.record_count = kBatchRecords;
  header.last_offset_delta = kBatchRecords - 1;
  header.base_timestamp_ms = kFirstTimestampMs;
  header.max_timestamp_ms = kFirstTimestampMs + (kBatchRecords - 1) * kSpacingMs;
  record::Compressor compressor;
  std::vector<std::byte> batch;
  TIDEMARK_CHECK(record::AppendBatch(header, encoded, codec, 3, &compressor, &batch).ok());
  std::vector<std::byte> buffer;
  size_t bytes = 0;
  for (int64_t done = 0; done < work.count; done += kBatchRecords) {
    const auto opened =
        record::OpenBatch(batch, record::kMaxDecompressedBatchBytes, &compressor, &buffer);
    TIDEMARK_CHECK(opened.ok());
    for (const RecordView& record : RecordRange(opened->encoded())) bytes += record.value->size();
  }
  TIDEMARK_CHECK(bytes == static_cast<size_t>(work.count) * 100);
}

void DecodeMqtt(const Work& work) {
  std::string packet("\x32\x00\x00\x13sensors/thermo-1234\x00\x07", 25);
  packet += std::string(62, 'v');
  packet[1] = static_cast<char>(packet.size() - 2);
  ingest::Packet decoded;
  for (int64_t i = 0; i < work.count; ++i) {
    const auto state =
        ingest::DecodePacket(base::AsBytes(std::string_view(packet)), packet.size(), &decoded);
    TIDEMARK_CHECK(state.state == ingest::DecodeState::packet && decoded.packet_id == 7);
  }
}

using Cases = std::map<std::string, std::function<void(const Work&)>, std::less<>>;

Cases MakeCases() {
  const auto append = [](Compression compression, Durability durability) {
    return [=](const Work& work) { Append(work, compression, durability); };
  };
  return {
      {"append_durable", append(Compression::none, Durability::durable)},
      {"append_buffered", append(Compression::none, Durability::buffered)},
      {"append_buffered_zstd", append(Compression::zstd, Durability::buffered)},
      {"read", [](const Work& work) { Read(work, Compression::none); }},
      {"read_zstd", [](const Work& work) { Read(work, Compression::zstd); }},
      {"encode", Encode},
      {"decode", [](const Work& work) { Decode(work, record::Codec::none); }},
      {"decode_zstd", [](const Work& work) { Decode(work, record::Codec::zstd); }},
      {"mqtt_publish", DecodeMqtt},
  };
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  const tidemark::Cases cases = tidemark::MakeCases();
  const auto found = argc >= 3 ? cases.find(std::string_view(argv[1])) : cases.end();
  if (found == cases.end()) {
    std::fprintf(stderr, "usage: prog_count_work CASE COUNT [SEED]\n");
    for (const auto& [name, work] : cases) std::fprintf(stderr, "  %s\n", name.c_str());
    return 2;
  }
  tidemark::Work work;
  work.count = std::strtoll(argv[2], nullptr, 10);
  if (argc > 3) work.seed = std::strtoull(argv[3], nullptr, 10);
  found->second(work);
  return 0;
}
