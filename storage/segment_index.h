// Between segment_*.cc, verify*.cc and repair*.cc: a segment's two index files, as far as its log
// bears them out.
//
// Index files are hints. A crash can leave them short, missing, or with anything behind their valid
// prefix, since only a roll or a clean stop flushes them. What is kept here was checked against the
// batches that the last entries name; the rest is made anew from the batch headers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "index/offset_index.h"
#include "io/file_system.h"
#include "record/batch.h"
#include "storage/segment.h"
#include "tidemark/error.h"

namespace tidemark::storage {

// Both indexes with the bytes of their files from which they came.
struct SegmentIndexes {
  index::OffsetIndex offsets;
  index::TimeIndex times;
  std::vector<std::byte> offset_file;
  std::vector<std::byte> time_file;
};

// An index file's first bytes, at most `limit_bytes`.
Result<std::vector<std::byte>> ReadIndexFile(io::FileSystem& files, const std::string& path,
                                             uint64_t limit_bytes);

// Reads both files and keeps the entries that are valid by themselves. The last offset entry that
// is kept names the batch standing at its position, the last time entry one that holds its
// timestamp. A file that is missing or cannot be read counts as empty. Fails only when the log
// cannot be read.
Result<SegmentIndexes> LoadIndexes(io::FileSystem& files, const std::string& folder,
                                   int64_t base_offset, io::File& log, uint64_t log_bytes);

// Where a walk that completes the indexes begins, and the builder's state there.
struct IndexResumption {
  index::IndexBuilder builder;
  uint64_t position = 0;
  int64_t next_offset = 0;  // behind the batch before `position`
};

// Drops every entry that depends on a time entry that may have been lost, so that the walk makes
// them anew and both indexes become what Kafka's recovery makes of the log.
Result<IndexResumption> ResumeBehindProvenEntry(io::File& log, int64_t base_offset,
                                                uint64_t log_bytes, uint32_t interval_bytes,
                                                SegmentIndexes* indexes);

// Feeds one batch to the builder and adds what is due to the indexes.
void AddToIndexes(const BatchAt& batch, IndexResumption* resumption, SegmentIndexes* indexes);

// Makes a file hold exactly `content`, given that it holds `present`; writes only what differs.
// Creates it when it is missing. Returns the number of bytes written.
Result<uint64_t> UpdateIndexFile(io::FileSystem& files, const std::string& path,
                                 base::ByteSpan present, base::ByteSpan content);

std::vector<std::byte> EncodeOffsetEntries(const index::OffsetIndex& offsets);
std::vector<std::byte> EncodeTimeEntries(const index::TimeIndex& times);

}  // namespace tidemark::storage
