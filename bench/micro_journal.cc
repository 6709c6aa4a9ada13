// What it costs to put a commit together as Journal::StartCommit does it, and to check one and take
// it apart as replay does: directory, frames, checksums, header. The arguments: the commit's
// partitions, and the bytes of encoded records that it has of each.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "storage/journal_format.h"

namespace tidemark::storage {
namespace {

constexpr int64_t kFirstOffset = 1'000'000;
constexpr int64_t kOffsetsPerFrame = 8;
constexpr int64_t kRecordBytes = 110;  // of 100 bytes, encoded

// A commit in memory, with the directory of a commit like it repeated, as in the journal.
class Commit {
 public:
  explicit Commit(const benchmark::State& state)
      : partitions_(static_cast<int32_t>(state.range(0))),
        records_(static_cast<size_t>(state.range(1)), std::byte{'r'}) {
    header_.sequence = 17;
    FillDirectory();
    previous_directory_ = directory_.bytes();
    bytes_.resize(kCommitHeaderBytes + 2 * previous_directory_.size() + DataBytes() +
                  kMinBlockBytes);
    Encode();
  }

  size_t Encode() {
    FillDirectory();
    const std::vector<std::byte>& directory = directory_.bytes();
    header_.directory_bytes = static_cast<uint32_t>(directory.size());
    header_.previous_directory_bytes = static_cast<uint32_t>(previous_directory_.size());
    header_.data_bytes = DataBytes();
    std::byte* to = bytes_.data() + kCommitHeaderBytes;
    to = std::copy(directory.begin(), directory.end(), to);
    to = std::copy(previous_directory_.begin(), previous_directory_.end(), to);
    const std::byte* const data = to;
    for (int32_t i = 0; i < partitions_; ++i) {
      EncodeRecordsFrameHeader({kFirstOffset, kFirstOffset, 0, 0}, to);
      to = std::copy(records_.begin(), records_.end(), to + kRecordsFrameHeaderBytes);
    }
    const uint64_t total = header_.total_bytes(kMinBlockBytes);
    std::fill(to, bytes_.data() + total, std::byte{0});
    header_.directory_checksum = base::Xxh3(directory, header_.sequence);
    header_.data_checksum = base::Xxh3({data, header_.data_bytes}, header_.sequence);
    EncodeCommitHeader(&header_, bytes_.data());
    return total;
  }

  // Returns the offsets that its frames hold.
  int64_t Decode() const {
    const auto header = DecodeCommitHeader(bytes_, bytes_.size());
    TIDEMARK_CHECK(header.has_value());
    const base::ByteSpan all(bytes_);
    const base::ByteSpan directory =
        all.subspan(header->directory_offset(), header->directory_bytes);
    base::ByteSpan data = all.subspan(header->data_offset(), header->data_bytes);
    TIDEMARK_CHECK(base::Xxh3(directory, header->sequence) == header->directory_checksum);
    TIDEMARK_CHECK(base::Xxh3(data, header->sequence) == header->data_checksum);
    const auto entries = DecodeDirectory(directory, header->data_bytes);
    TIDEMARK_CHECK(entries.ok());
    int64_t offsets = 0;
    for (const DirectoryEntry& entry : *entries) {
      const auto frame = DecodeRecordsFrameHeader(data.first(entry.data_bytes));
      TIDEMARK_CHECK(frame.ok() && frame->base_offset == entry.first_offset);
      offsets += entry.end_offset - entry.first_offset;
      data = data.subspan(entry.data_bytes);
    }
    return offsets;
  }

  int64_t offsets() const { return partitions_ * kOffsetsPerFrame; }
  int64_t record_bytes() const {
    return static_cast<int64_t>(static_cast<size_t>(partitions_) * records_.size());
  }

 private:
  uint64_t FrameBytes() const { return kRecordsFrameHeaderBytes + records_.size(); }
  uint64_t DataBytes() const { return static_cast<uint64_t>(partitions_) * FrameBytes(); }

  void FillDirectory() {
    directory_.Clear();
    DirectoryEntry entry;
    entry.first_offset = kFirstOffset;
    entry.end_offset = kFirstOffset + kOffsetsPerFrame;
    entry.data_bytes = FrameBytes();
    for (; entry.partition < partitions_; ++entry.partition) directory_.Add(entry);
  }

  int32_t partitions_;
  std::vector<std::byte> records_;
  CommitHeader header_;
  DirectoryEncoder directory_;
  std::vector<std::byte> previous_directory_;
  std::vector<std::byte> bytes_;
};

void Count(benchmark::State& state, const Commit& commit) {
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * commit.record_bytes());
}

void BM_EncodeCommit(benchmark::State& state) {
  Commit commit(state);
  for (auto _ : state) benchmark::DoNotOptimize(commit.Encode());
  TIDEMARK_CHECK(commit.Decode() == commit.offsets());
  Count(state, commit);
}

void BM_CheckCommit(benchmark::State& state) {
  const Commit commit(state);
  for (auto _ : state) TIDEMARK_CHECK(commit.Decode() == commit.offsets());
  Count(state, commit);
}

// What a scan of the ring asks of each block: nearly always there is no header.
void BM_NoHeader(benchmark::State& state) {
  const std::vector<std::byte> block(kMinBlockBytes, std::byte{'r'});
  for (auto _ : state) TIDEMARK_CHECK(!DecodeCommitHeader(block, block.size()).has_value());
  state.SetItemsProcessed(state.iterations());
}

void Shapes(benchmark::internal::Benchmark* one) {
  one->ArgNames({"partitions", "bytes"});
  one->Args({1, kRecordBytes})->Args({1, 64 * kRecordBytes})->Args({1, 1 << 18});
  one->Args({64, kRecordBytes})->Args({1000, kRecordBytes})->Args({64, 64 * kRecordBytes});
}
BENCHMARK(BM_EncodeCommit)->Apply(Shapes);
BENCHMARK(BM_CheckCommit)->Apply(Shapes);
BENCHMARK(BM_NoHeader);

}  // namespace
}  // namespace tidemark::storage
