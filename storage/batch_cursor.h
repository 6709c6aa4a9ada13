// Reads the log of a finished segment batch by batch, as compaction does: each whole, with its CRC,
// and at its place in the row of offsets. Blocks; belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "record/batch.h"
#include "storage/offset_chain.h"
#include "storage/segment.h"

namespace tidemark::storage {

class BatchCursor {
 public:
  // What follows the segment has no offset below `offset_limit`.
  static Result<BatchCursor> Open(io::FileSystem& files, const std::string& folder,
                                  int64_t base_offset, int64_t offset_limit);

  struct Batch {
    uint64_t position = 0;
    record::BatchHeader header;
    base::ByteSpan bytes;  // until the next call
  };
  // nullopt: the log is at its end. corrupt: what stands next is no batch that is intact and at its
  // place; unsupported: one that is larger than is read. Nothing is to be read after an error.
  Result<std::optional<Batch>> Next();

  uint64_t log_bytes() const { return log_bytes_; }
  uint64_t memory_bytes() const { return buffer_.capacity(); }

 private:
  BatchCursor(std::unique_ptr<io::File> log, uint64_t log_bytes, int64_t base_offset,
              int64_t offset_limit)
      : log_(std::move(log)),
        log_bytes_(log_bytes),
        base_offset_(base_offset),
        offset_limit_(offset_limit),
        chain_(base_offset) {}

  Result<base::ByteSpan> At(uint64_t position, uint64_t length);
  Error NotABatch(const std::string& why) const;

  std::unique_ptr<io::File> log_;
  uint64_t log_bytes_;
  int64_t base_offset_;
  int64_t offset_limit_;
  OffsetChain chain_;
  uint64_t position_ = 0;
  std::vector<std::byte> buffer_;  // the log's bytes from buffer_begin_ on
  uint64_t buffer_begin_ = 0;
};

}  // namespace tidemark::storage
