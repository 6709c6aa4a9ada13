// What it costs to open a finished segment for reading, by its seal and without: in a file system
// that is in the page cache. The argument is the segment's size in MiB.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "record/batch.h"
#include "storage/segment.h"

namespace tidemark::storage {
namespace {

constexpr WriterTerms kTerms{{}, 4096};
// About what zstd makes of a full run of readings.
constexpr size_t kBatchBytes = size_t{16} << 10;
constexpr int32_t kBatchOffsets = 900;
constexpr int64_t kFirstTimestampMs = 1732272000123;

// A sealed segment of so many bytes at offset 0.
class SealedSegment {
 public:
  explicit SealedSegment(uint64_t bytes) {
    std::filesystem::create_directory(folder_);
    auto writer = *SegmentWriter::Resume(io::SystemFiles(), folder_, -1, 0, kTerms);
    const std::string value(kBatchBytes, 'v');
    Record record;
    record.value = value;
    std::vector<std::byte> encoded(record::EncodedRecordBytes(record, 0, kBatchOffsets - 1));
    record::EncodeRecord(encoded.data(), record, 0, kBatchOffsets - 1, encoded.size());
    const auto append = [&](int64_t segment_bytes) {
      record::BatchHeader header;
      header.base_offset = end_offset_;
      header.last_offset_delta = kBatchOffsets - 1;
      header.base_timestamp_ms = header.max_timestamp_ms = kFirstTimestampMs + end_offset_;
      header.record_count = 1;
      std::vector<std::byte> batch;
      header = *record::AppendBatch(header, encoded, record::Codec::none, 0, nullptr, &batch);
      TIDEMARK_CHECK(writer->Append(header, batch, {}, segment_bytes).ok());
    };
    for (; writer->log_bytes() < bytes; end_offset_ += kBatchOffsets) append(INT32_MAX);
    append(/*segment_bytes=*/1);  // rolls
    TIDEMARK_CHECK(writer->Flush().ok());
  }
  ~SealedSegment() { std::filesystem::remove_all(folder_); }
  SealedSegment(const SealedSegment&) = delete;
  SealedSegment& operator=(const SealedSegment&) = delete;

  void Open(benchmark::State& state, std::optional<SegmentOwner> owner) const {
    for (auto _ : state) {
      auto segment =
          OpenSegmentForReading(io::SystemFiles(), folder_, 0, {std::nullopt, end_offset_}, owner);
      TIDEMARK_CHECK(segment.ok() && (*segment)->next_offset == end_offset_);
      benchmark::DoNotOptimize(segment);
    }
  }

 private:
  std::string folder_ = "bench-segment-open";
  int64_t end_offset_ = 0;
};

void BySeal(benchmark::State& state) {
  SealedSegment(static_cast<uint64_t>(state.range(0)) << 20).Open(state, kTerms.owner);
}
void ByScan(benchmark::State& state) {
  SealedSegment(static_cast<uint64_t>(state.range(0)) << 20).Open(state, std::nullopt);
}

BENCHMARK(BySeal)->Arg(1)->Arg(16)->Arg(256)->Unit(benchmark::kMicrosecond);
BENCHMARK(ByScan)->Arg(1)->Arg(16)->Arg(256)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tidemark::storage
