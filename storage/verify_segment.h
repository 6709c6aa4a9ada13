// Between verify*.cc and repair*.cc only: one segment, read whole.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/journal_format.h"
#include "storage/segment.h"
#include "storage/verify.h"

namespace tidemark::storage {

// What stands in a .log, batch by batch.
struct SegmentSurvey {
  struct Batch {
    uint64_t position = 0;
    uint64_t bytes = 0;
    int64_t base_offset = 0;
    int64_t last_offset = 0;
    int64_t max_timestamp_ms = 0;
  };
  struct Damage {
    uint64_t begin = 0;  // in the file
    uint64_t end = 0;
    std::string what;
    // The offsets that belong there: from the end of the batch before to the next one that counts,
    // or (nullopt) to whatever follows the segment.
    int64_t first_offset = 0;
    std::optional<int64_t> end_offset;
  };
  std::vector<Batch> batches;  // intact, and at their own offsets
  std::vector<Damage> damage;
  std::optional<Error> unreadable;
  uint64_t log_bytes = 0;
  uint64_t records = 0;
  int64_t next_offset = 0;  // behind the last batch that counts; the base offset without any
};
// `progress`: the bytes that were read since the last call.
SegmentSurvey SurveySegment(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                            SegmentEnd end, bool deep,
                            const std::function<void(uint64_t bytes)>& progress);

// Where the segment bases[which] ends by a checkpoint that knows it.
SegmentEnd EndBy(const CheckpointEntry& entry, const std::vector<int64_t>& bases, size_t which);

// Both indexes as the rule makes them from a log's batches.
struct IndexesByRule {
  index::OffsetIndex offsets;
  index::TimeIndex times;
};
IndexesByRule MakeIndexes(int64_t base_offset, uint32_t interval_bytes,
                          const SegmentSurvey& survey);

// What is wrong with the index file of a finished segment, given its batches; empty: nothing.
std::string CheckOffsetIndex(io::FileSystem& files, const std::string& path, int64_t base_offset,
                             const SegmentSurvey& survey, uint32_t interval_bytes);
std::string CheckTimeIndex(io::FileSystem& files, const std::string& path, int64_t base_offset,
                           const SegmentSurvey& survey);

}  // namespace tidemark::storage
