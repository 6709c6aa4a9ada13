// What it costs to find a place in a segment's sparse indexes, to read the indexes from their
// files' bytes, and to decide on a batch's entries. The argument is the number of entries: a
// segment of 1 GiB has 262,144 at most, one each 4 KiB.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "index/offset_index.h"

namespace tidemark::index {
namespace {

constexpr int32_t kOffsetsPerEntry = 30;
constexpr int32_t kIntervalBytes = 4096;
constexpr int64_t kFirstTimestampMs = 1732272000123;
constexpr int64_t kSpacingMs = 97;
constexpr size_t kQuestions = 4096;  // asked in turn, so that the processor cannot learn the way

OffsetEntry OffsetEntryAt(int64_t i) {
  const auto nth = static_cast<int32_t>(i);
  return {(nth + 1) * kOffsetsPerEntry, (nth + 1) * kIntervalBytes};
}
TimeEntry TimeEntryAt(int64_t i) {
  return {kFirstTimestampMs + i * kSpacingMs, static_cast<int32_t>(i + 1) * kOffsetsPerEntry};
}

// Numbers from 0 to below `limit`, always the same.
std::vector<int64_t> Questions(int64_t limit) {
  std::mt19937_64 random(17);
  std::vector<int64_t> questions(kQuestions);
  for (int64_t& question : questions) {
    question = static_cast<int64_t>(random() % static_cast<uint64_t>(limit));
  }
  return questions;
}

void BM_OffsetFloor(benchmark::State& state) {
  OffsetIndex index;
  for (int64_t i = 0; i < state.range(0); ++i) index.Add(OffsetEntryAt(i));
  const std::vector<int64_t> questions = Questions(state.range(0) * kOffsetsPerEntry);
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.Floor(static_cast<int32_t>(questions[next])));
    next = (next + 1) % kQuestions;
  }
  state.SetItemsProcessed(state.iterations());
}

// From the file's bytes, with every check of an entry.
void BM_OffsetLoad(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  std::vector<std::byte> file(count * kOffsetEntryBytes);
  for (size_t i = 0; i < count; ++i) {
    OffsetIndex::Encode(OffsetEntryAt(static_cast<int64_t>(i)),
                        file.data() + i * kOffsetEntryBytes);
  }
  OffsetIndex index;
  for (auto _ : state) {
    TIDEMARK_CHECK(index.Load(file, UINT64_MAX) == file.size());
    benchmark::DoNotOptimize(index.entries().data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(file.size()));
}

void BM_TimeLoad(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  std::vector<std::byte> file(count * kTimeEntryBytes);
  for (size_t i = 0; i < count; ++i) {
    TimeIndex::Encode(TimeEntryAt(static_cast<int64_t>(i)), file.data() + i * kTimeEntryBytes);
  }
  TimeIndex index;
  for (auto _ : state) {
    TIDEMARK_CHECK(index.Load(file, INT32_MAX) == file.size());
    benchmark::DoNotOptimize(index.entries().data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(file.size()));
}

// Batches of 1 KiB, of which each fifth gets an entry.
void BM_BuildEntries(benchmark::State& state) {
  constexpr uint64_t kBatchBytes = 1024;
  constexpr int64_t kOffsetsPerBatch = 8;
  int64_t entries = 0;
  for (auto _ : state) {
    IndexBuilder builder(0, kIntervalBytes);
    IndexBuilder::Batch batch;
    batch.bytes = kBatchBytes;
    for (int64_t i = 0; i < state.range(0); ++i) {
      batch.last_offset += kOffsetsPerBatch;
      batch.max_timestamp_ms = kFirstTimestampMs + batch.last_offset;
      const IndexBuilder::Due due = builder.Add(batch);
      entries += due.offset_entry.has_value() ? 1 : 0;
      batch.position += kBatchBytes;
    }
  }
  benchmark::DoNotOptimize(entries);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(BM_OffsetFloor)->Arg(16)->Arg(1024)->Arg(16'384)->Arg(262'144)->ArgName("entries");
BENCHMARK(BM_OffsetLoad)->Arg(1024)->Arg(262'144)->ArgName("entries");
BENCHMARK(BM_TimeLoad)->Arg(1024)->Arg(262'144)->ArgName("entries");
BENCHMARK(BM_BuildEntries)->Arg(1024)->ArgName("batches");

}  // namespace
}  // namespace tidemark::index
