// The index entries of an active segment: made batch by batch, kept until they are written
// together, since opening a file for each would cost more than the rest. Used by one thread at a
// time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/segment.h"
#include "storage/segment_index.h"

namespace tidemark::storage {

class IndexAppender {
 public:
  // A segment that has no batch yet.
  IndexAppender(int64_t base_offset, uint32_t interval_bytes)
      : builder_(base_offset, interval_bytes) {}
  // Goes on behind `indexes`, which are written, with a final entry behind them perhaps: the next
  // one takes its place.
  IndexAppender(const index::IndexBuilder& builder, const SegmentIndexes& indexes);

  void Add(const index::IndexBuilder::Batch& batch);
  // Whether an index file of `index_bytes` takes no further entry: Kafka's rule, by which the time
  // index keeps room for its final one.
  bool IsFull(uint64_t index_bytes) const;

  // Writes what waits into the segment's files; returns how many bytes that was. Not flushed. After
  // an error it waits still.
  Result<uint64_t> Write(io::FileSystem& files, const std::string& folder, int64_t base_offset);
  // The same of the entry that a finished time index ends with, if it needs one.
  Result<uint64_t> WriteFinal(io::FileSystem& files, const std::string& folder,
                              int64_t base_offset) const;

 private:
  index::IndexBuilder builder_;
  uint64_t offset_entries_ = 0;                       // written
  uint64_t time_entries_ = 0;                         // written
  int64_t last_time_entry_ms_ = index::kNoTimestamp;  // also of one that waits
  std::vector<std::byte> new_offset_entries_;
  std::vector<std::byte> new_time_entries_;
};

}  // namespace tidemark::storage
