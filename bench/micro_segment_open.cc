// What it costs to open a finished segment for reading, by its seal and without. The arguments: the
// segment's size in MiB, and whether its files are in the page cache.
#include <fcntl.h>
#include <unistd.h>

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
    const bool cached = state.range(1) != 0;
    for (auto _ : state) {
      if (!cached) {
        state.PauseTiming();
        DropFromCache();
        state.ResumeTiming();
      }
      auto segment =
          OpenSegmentForReading(io::SystemFiles(), folder_, 0, {std::nullopt, end_offset_}, owner);
      TIDEMARK_CHECK(segment.ok() && (*segment)->next_offset == end_offset_);
      benchmark::DoNotOptimize(segment);
    }
  }

 private:
  void DropFromCache() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const int descriptor = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      TIDEMARK_CHECK(descriptor >= 0 && posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) == 0);
      close(descriptor);
    }
  }

  std::string folder_ = "bench-segment-open";
  int64_t end_offset_ = 0;
};

void BySeal(benchmark::State& state) {
  SealedSegment(static_cast<uint64_t>(state.range(0)) << 20).Open(state, kTerms.owner);
}
void ByScan(benchmark::State& state) {
  SealedSegment(static_cast<uint64_t>(state.range(0)) << 20).Open(state, std::nullopt);
}

BENCHMARK(BySeal)
    ->ArgsProduct({{1, 16, 256}, {0, 1}})
    ->ArgNames({"MiB", "cached"})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(ByScan)
    ->ArgsProduct({{1, 16, 256}, {0, 1}})
    ->ArgNames({"MiB", "cached"})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tidemark::storage
