// Between repair*.cc only: the segments of one partition, after a clean stop.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/journal_format.h"
#include "storage/manifest.h"
#include "storage/quarantine.h"
#include "storage/verify_seal.h"
#include "storage/verify_segment.h"

namespace tidemark::storage {

class SegmentRepair {
 public:
  SegmentRepair(io::FileSystem& files, Quarantine& quarantine, const std::string& data_dir,
                const TopicDescription& topic, const CheckpointEntry& entry,
                int64_t engine_clock_ms, std::vector<std::string>* actions);

  // Segments keep their intact batches only, indexes and seals become what their logs say. What was
  // there is in quarantine/.
  Status Run();
  // The active segment's length, which the checkpoint must say.
  uint64_t active_bytes() const { return active_bytes_; }

 private:
  Status SetAsideStrays(const std::vector<int64_t>& bases);
  Result<bool> IsStray(int64_t base_offset, std::optional<int64_t> before);
  Status MendSegment(int64_t base_offset, SegmentEnd end);
  Status RewriteLog(int64_t base_offset, const SegmentSurvey& survey);
  Status SetAside(int64_t base_offset);
  Status MendSeal(int64_t base_offset, const LogDigest& digest, const FoundSeal& found);
  Status MakeAnew(int64_t base_offset, SegmentFile kind, const std::string& fault,
                  base::ByteSpan content);
  std::string Path(int64_t base_offset, SegmentFile kind) const {
    return SegmentPath(folder_, base_offset, kind);
  }

  io::FileSystem& files_;
  Quarantine& quarantine_;
  const TopicDescription& topic_;
  const CheckpointEntry& entry_;
  std::string folder_;
  int64_t engine_clock_ms_;
  std::vector<std::string>& actions_;
  uint64_t active_bytes_;
};

}  // namespace tidemark::storage
