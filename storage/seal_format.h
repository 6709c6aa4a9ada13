// The bytes of a seal: what a finished segment's files are, said by whoever finished it. Encoding
// and decoding only; no I/O. docs/formats.md has every field.
//
// The decoder trusts nothing: bytes that are not what the encoder wrote give an Error.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "tidemark/error.h"

namespace tidemark::storage {

inline constexpr uint32_t kSealVersion = 2;  // the newest
// One checksum of the log covers so many bytes: damage is told to within 1 MiB, and the seal of a
// segment of 16 MiB takes 280 bytes.
inline constexpr uint32_t kSealBlockBytes = uint32_t{1} << 20;

// Whose segments a folder holds.
struct SegmentOwner {
  base::Uuid topic_id;
  int32_t partition = 0;
  bool operator==(const SegmentOwner&) const = default;
};

// A file's length and the XXH3-64 of its bytes.
struct FileSum {
  uint64_t bytes = 0;
  uint64_t checksum = 0;
  bool operator==(const FileSum&) const = default;
};

// When records were appended, on the engine clock.
struct AppendTimes {
  int64_t first_ms = 0;
  int64_t last_ms = 0;
  bool operator==(const AppendTimes&) const = default;
};

// What compaction has done for a segment.
struct CompactedPart {
  // Below it no record has a later one of its key below it, in this segment and in all before.
  int64_t clean_end_offset = 0;
  // When the last of its dated tombstones may go; INT64_MIN: there are none.
  int64_t last_delete_horizon_ms = std::numeric_limits<int64_t>::min();
  bool operator==(const CompactedPart&) const = default;
};

struct Seal {
  SegmentOwner owner;
  int64_t base_offset = 0;
  int64_t end_offset = 0;  // behind the last batch
  uint64_t batch_count = 0;
  uint64_t record_count = 0;
  uint64_t log_bytes = 0;
  int64_t least_base_timestamp_ms = 0;  // of the timestamps from which batches count
  int64_t max_timestamp_ms = 0;
  AppendTimes appended;
  FileSum offset_index;
  FileSum time_index;
  uint32_t block_bytes = kSealBlockBytes;
  std::optional<CompactedPart> compacted;
  std::vector<uint64_t> block_checksums;  // of the log, the last block is what is left
  // Only a compacted segment's is of version 2.
  uint32_t version() const { return compacted ? 2 : 1; }
  bool operator==(const Seal&) const = default;
};

constexpr uint64_t SealBlocks(uint64_t log_bytes, uint32_t block_bytes) {
  return log_bytes / block_bytes + (log_bytes % block_bytes != 0 ? 1 : 0);
}
inline constexpr size_t kSealHeaderBytes = 144;
inline constexpr size_t kCompactedPartBytes = 16;
constexpr size_t SealBytes(size_t blocks, bool compacted = false) {
  return kSealHeaderBytes + (compacted ? kCompactedPartBytes : 0) + blocks * sizeof(uint64_t) +
         sizeof(uint64_t);
}
// More is no seal. (Kafka's positions end at 2 GiB, where a single batch may begin that ends below
// 4 GiB.)
inline constexpr uint64_t kMaxSealBlocks = (uint64_t{4} << 30) / kSealBlockBytes;
inline constexpr uint64_t kMaxSealBytes = SealBytes(kMaxSealBlocks, true);

// Whether lengths, counts and offsets fit each other: only such a seal can be encoded.
bool IsSound(const Seal& seal);
std::vector<std::byte> EncodeSeal(const Seal& seal);
// `bytes`: the whole file. unsupported for a newer version whose checksum is right; corrupt for
// anything else that does not fit, a seal that contradicts itself included.
Result<Seal> DecodeSeal(base::ByteSpan bytes);

}  // namespace tidemark::storage
