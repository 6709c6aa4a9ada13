// What the record codec costs per record: encoding into a tail, checking and walking over a batch,
// zstd. The argument is the size of a record's value in bytes.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/bytes.h"
#include "record/batch.h"

namespace tidemark::record {
namespace {

// Records of a batch are many enough that their bytes leave the processor's nearest caches only for
// the largest values.
constexpr int32_t kRecordsPerBatch = 500;
constexpr int64_t kBaseTimestampMs = 1732272000123;
constexpr int64_t kSpacingMs = 3;  // between records

// Values that zstd can shorten as it can readings: digits that change within text that does not.
std::string Value(size_t bytes, int32_t index) {
  std::string value;
  while (value.size() < bytes) {
    value += R"({"device":"thermo-00)" + std::to_string(index % 100) + R"(","t":2)" +
             std::to_string(index * 7919 % 1000) + R"(,"h":48.2,"ts":17322720)" +
             std::to_string(10000 + index) + "}";
  }
  value.resize(bytes);
  return value;
}

// The records of a batch as a gateway sees them: a key and a value, with or without headers.
class Workload {
 public:
  Workload(size_t value_bytes, size_t header_count) {
    values_.reserve(kRecordsPerBatch);
    headers_.assign(header_count, Header{"mqtt.client", Bytes("thermo-17")});
    for (int32_t i = 0; i < kRecordsPerBatch; ++i) {
      values_.push_back(Value(value_bytes, i));
      Record record;
      record.key = "sensors/thermo-17";
      record.value = values_.back();
      record.timestamp_ms = kBaseTimestampMs + int64_t{i} * kSpacingMs;
      record.headers = headers_;
      records_.push_back(record);
    }
  }

  const std::vector<Record>& records() const { return records_; }

  std::vector<std::byte> Encode() const {
    std::vector<std::byte> encoded;
    for (int32_t i = 0; i < kRecordsPerBatch; ++i) {
      const Record& record = records_[static_cast<size_t>(i)];
      const int64_t delta = record.timestamp_ms - kBaseTimestampMs;
      const size_t start = encoded.size();
      const size_t bytes = EncodedRecordBytes(record, delta, i);
      encoded.resize(start + bytes);
      EncodeRecord(encoded.data() + start, record, delta, i, bytes);
    }
    return encoded;
  }

 private:
  std::vector<std::string> values_;
  std::vector<Header> headers_;
  std::vector<Record> records_;
};

void CountRecords(benchmark::State& state, size_t batch_bytes) {
  state.SetItemsProcessed(state.iterations() * kRecordsPerBatch);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch_bytes));
}

BatchHeader HeaderOf() {
  BatchHeader header;
  header.last_offset_delta = kRecordsPerBatch - 1;
  header.record_count = kRecordsPerBatch;
  header.base_timestamp_ms = kBaseTimestampMs;
  header.max_timestamp_ms = kBaseTimestampMs + kRecordsPerBatch * kSpacingMs;
  return header;
}

// As an append does it: the size first, to find room, then the bytes.
void BM_Encode(benchmark::State& state) {
  const Workload workload(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  std::vector<std::byte> tail(workload.Encode().size());
  for (auto _ : state) {
    std::byte* to = tail.data();
    int32_t i = 0;
    for (const Record& record : workload.records()) {
      const int64_t delta = record.timestamp_ms - kBaseTimestampMs;
      const size_t bytes = EncodedRecordBytes(record, delta, i);
      if (to + bytes > tail.data() + tail.size()) state.SkipWithError("the tail is full");
      to = EncodeRecord(to, record, delta, i, bytes);
      ++i;
    }
    benchmark::DoNotOptimize(tail.data());
    benchmark::ClobberMemory();
  }
  CountRecords(state, tail.size());
}
BENCHMARK(BM_Encode)->ArgsProduct({{16, 100, 1000, 4000}, {0, 3}})->ArgNames({"value", "headers"});

void BM_CheckRecords(benchmark::State& state) {
  const Workload workload(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  const std::vector<std::byte> encoded = workload.Encode();
  for (auto _ : state) {
    benchmark::DoNotOptimize(CheckRecords(encoded, kRecordsPerBatch, kRecordsPerBatch - 1));
  }
  CountRecords(state, encoded.size());
}
BENCHMARK(BM_CheckRecords)->ArgsProduct({{16, 100, 1000}, {0, 3}})->ArgNames({"value", "headers"});

// Check and walk: what reading costs once the bytes are in memory and the CRC has been looked at.
void BM_Decode(benchmark::State& state) {
  const Workload workload(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  const std::vector<std::byte> encoded = workload.Encode();
  for (auto _ : state) {
    benchmark::DoNotOptimize(CheckRecords(encoded, kRecordsPerBatch, kRecordsPerBatch - 1));
    RecordRange::Encoded range;
    range.records = base::AsText(encoded).data();
    range.count = kRecordsPerBatch;
    size_t bytes = 0;
    for (const RecordView& view : RecordRange(range)) {
      bytes += view.value->size();
      for (const Header& header : view.headers) bytes += header.key.size();
    }
    benchmark::DoNotOptimize(bytes);
  }
  CountRecords(state, encoded.size());
}
BENCHMARK(BM_Decode)->ArgsProduct({{16, 100, 1000}, {0, 3}})->ArgNames({"value", "headers"});

void BM_AppendBatch(benchmark::State& state) {
  const Workload workload(static_cast<size_t>(state.range(0)), 0);
  const std::vector<std::byte> encoded = workload.Encode();
  const bool compress = state.range(1) != 0;
  const auto level = static_cast<int>(state.range(1));
  Compressor compressor;
  std::vector<std::byte> output;
  for (auto _ : state) {
    output.clear();
    const auto header = AppendBatch(HeaderOf(), encoded, compress ? Codec::zstd : Codec::none,
                                    level, &compressor, &output);
    if (!header.ok()) state.SkipWithError("not appended");
  }
  CountRecords(state, encoded.size());
  state.counters["ratio"] =
      static_cast<double>(encoded.size()) / static_cast<double>(output.size());
}
BENCHMARK(BM_AppendBatch)
    ->ArgsProduct({{100, 1000}, {0, -5, 1, 3, 9}})
    ->ArgNames({"value", "zstd_level"});

void BM_OpenBatch(benchmark::State& state) {
  const Workload workload(static_cast<size_t>(state.range(0)), 0);
  const std::vector<std::byte> encoded = workload.Encode();
  Compressor compressor;
  std::vector<std::byte> batch;
  std::vector<std::byte> buffer;
  const Codec codec = state.range(1) != 0 ? Codec::zstd : Codec::none;
  const auto header = AppendBatch(HeaderOf(), encoded, codec, 3, &compressor, &batch);
  if (!header.ok()) state.SkipWithError("not appended");
  for (auto _ : state) {
    const auto opened = OpenBatch(batch, kMaxDecompressedBatchBytes, &compressor, &buffer);
    if (!opened.ok()) state.SkipWithError("not opened");
    benchmark::DoNotOptimize(buffer.data());
  }
  CountRecords(state, encoded.size());
}
BENCHMARK(BM_OpenBatch)->ArgsProduct({{100, 1000}, {0, 1}})->ArgNames({"value", "zstd"});

}  // namespace
}  // namespace tidemark::record
