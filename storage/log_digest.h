// What a seal says of a log, gathered while the log is written or read, from its start on.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"
#include "base/hash.h"
#include "record/batch.h"
#include "storage/seal_format.h"

namespace tidemark::storage {

class LogDigest {
 public:
  // The bytes that follow those that were added before.
  void AddBytes(base::ByteSpan bytes) {
    while (!bytes.empty()) {
      const uint64_t left = kSealBlockBytes - known_.log_bytes % kSealBlockBytes;
      const auto piece = bytes.first(std::min<uint64_t>(left, bytes.size()));
      block_.Add(piece);
      known_.log_bytes += piece.size();
      bytes = bytes.subspan(piece.size());
      if (piece.size() < left) return;
      known_.block_checksums.push_back(block_.Sum());
      block_.Clear();
    }
  }
  // The batch that follows those that were added before.
  void AddBatch(const record::BatchHeader& header) {
    const bool first = known_.batch_count++ == 0;
    known_.end_offset = header.next_offset();
    known_.record_count += static_cast<uint64_t>(header.record_count);
    known_.least_base_timestamp_ms =
        first ? header.base_timestamp_ms
              : std::min(known_.least_base_timestamp_ms, header.base_timestamp_ms);
    known_.max_timestamp_ms = first ? header.max_timestamp_ms
                                    : std::max(known_.max_timestamp_ms, header.max_timestamp_ms);
  }

  uint64_t log_bytes() const { return known_.log_bytes; }
  // A seal in which only the log's part is filled in.
  Seal ToSeal() const {
    Seal seal = known_;
    if (seal.log_bytes % kSealBlockBytes != 0) seal.block_checksums.push_back(block_.Sum());
    return seal;
  }

 private:
  Seal known_;
  base::Xxh3Stream block_;
};

}  // namespace tidemark::storage
