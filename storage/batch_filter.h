// What compaction leaves of one batch: the same, a smaller one at the same offsets, or nothing.
// Pure: bytes in, bytes out; belongs to one thread at a time.
//
// What is left keeps the batch's base offset and last offset delta, timestamp type and all other
// attributes, and its codec unless that is not written here: then it becomes zstd. Records keep
// offset, timestamp and content. Kept whole, whatever is asked:
// control batches and those of a transaction (of which nobody here knows how it ended), and records
// without a key (which nothing can supersede). An emptied batch of a producer stays as an empty
// one, since its header holds where the producer's sequence goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "record/batch.h"
#include "tidemark/error.h"

namespace tidemark::storage {

struct FilterTerms {
  // A later record of this key exists.
  std::function<bool(tidemark::Bytes key, int64_t offset)> superseded;
  // What stands here and behind is kept as it is.
  int64_t end_offset = std::numeric_limits<int64_t>::max();
  // Whether tombstones get a horizon, and go behind it: all that is older was compacted, too.
  bool tombstones_age = true;
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
};

struct FilteredBatch {
  enum class Kind {
    unchanged,  // its bytes are what they were
    rewritten,  // new bytes were appended to the output, perhaps of a batch without records
    gone,       // nothing is left: its offsets are to be taken up by something else
  };
  Kind kind = Kind::unchanged;
  record::BatchHeader header;  // of what is left
  uint64_t removed = 0;        // records
  // Of a batch in which there are tombstones still, all below the end: when they go.
  std::optional<int64_t> delete_horizon_ms;
};

class BatchFilter {
 public:
  // `batch` is whole and has its CRC; `header` is its own. corrupt: its records are not what they
  // should be.
  Result<FilteredBatch> Filter(const record::BatchHeader& header, base::ByteSpan batch,
                               const FilterTerms& terms, int zstd_level,
                               std::vector<std::byte>* output);

  // Calls for each record with a key that compaction goes by; false from `visit`: enough. The
  // same error.
  Status ForEachKey(const record::BatchHeader& header, base::ByteSpan batch,
                    const std::function<bool(tidemark::Bytes key, int64_t offset)>& visit);

  uint64_t memory_bytes() const {
    return decompressed_.capacity() + kept_.capacity() + keeps_.capacity() / 8;
  }

 private:
  struct Choice;
  Choice Choose(const record::OpenedBatch& batch, const FilterTerms& terms);
  void CopyKept(const record::OpenedBatch& batch);
  void EncodeKept(const record::OpenedBatch& batch, int64_t base_timestamp_ms);

  record::Compressor compressor_;
  std::vector<std::byte> decompressed_;
  std::vector<std::byte> kept_;  // records, encoded
  std::vector<bool> keeps_;      // by their place in the batch
};

}  // namespace tidemark::storage
