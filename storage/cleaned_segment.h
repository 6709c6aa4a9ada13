// The successor of compacted segments while it is written: BASE.log.cleaned and so on, which an
// opening throws away. Blocks; belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/offset_index.h"
#include "io/file_system.h"
#include "record/batch.h"
#include "storage/log_digest.h"
#include "storage/seal_format.h"

namespace tidemark::storage {

// Appends an empty batch that takes up the offsets from `first_offset` to before `end_offset`, 2^31
// of them at most.
Result<record::BatchHeader> EncodeHole(int64_t first_offset, int64_t end_offset,
                                       std::vector<std::byte>* output);

class CleanedSegment {
 public:
  static Result<std::unique_ptr<CleanedSegment>> Begin(io::FileSystem& files, std::string folder,
                                                       int64_t base_offset,
                                                       uint32_t index_interval_bytes);

  Status Append(const record::BatchHeader& header, base::ByteSpan batch);
  // An empty batch that takes up the offsets from `first_offset` to before `end_offset`.
  Status AppendHole(int64_t first_offset, int64_t end_offset);
  // Flushes the log, and writes and flushes indexes and seal. The folder is the caller's to flush.
  Status Finish(const SegmentOwner& owner, const AppendTimes& appended, CompactedPart compacted);

  uint64_t log_bytes() const { return digest_.log_bytes(); }
  // Of all files, once it is finished.
  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t memory_bytes() const;

 private:
  CleanedSegment(io::FileSystem& files, std::string folder, int64_t base_offset,
                 uint32_t index_interval_bytes);
  Status FlushBuffer();

  io::FileSystem& files_;
  std::string folder_;
  int64_t base_offset_;
  std::unique_ptr<io::File> log_;
  std::vector<std::byte> buffer_;  // appended, not written yet
  uint64_t written_bytes_ = 0;
  index::IndexBuilder builder_;
  index::OffsetIndex offsets_;
  index::TimeIndex times_;
  LogDigest digest_;
  uint64_t total_bytes_ = 0;
};

}  // namespace tidemark::storage
