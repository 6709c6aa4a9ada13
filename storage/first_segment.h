// A partition's oldest segment, which is the one to go.
#pragma once

#include <iterator>

#include "storage/partition.h"

namespace tidemark::storage {

// The first segment's records are all below the log start, or nothing would be lost with them.
inline bool FirstIsFinished(PartitionCore& partition) {
  const SegmentMap& segments = partition.segments();
  return !segments.empty() && segments.begin()->first != partition.active_base_offset();
}

// Where the offsets behind the first segment begin.
inline int64_t EndOfFirst(PartitionCore& partition) {
  const auto next = std::next(partition.segments().begin());
  return next == partition.segments().end() ? partition.packed_end_offset() : next->first;
}

// Its first segment is on its way out.
inline bool IsLeaving(PartitionCore& partition) {
  return FirstIsFinished(partition) && EndOfFirst(partition) <= partition.log_start_wanted();
}

}  // namespace tidemark::storage
