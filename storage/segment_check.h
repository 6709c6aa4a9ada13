// One segment checked in small steps: its log, and both indexes and its seal against it. What
// `tidemark verify` and the scrub of a running engine have in common. Blocks; belongs to one thread
// at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/verify.h"
#include "storage/verify_index.h"
#include "storage/verify_seal.h"
#include "storage/verify_segment.h"

namespace tidemark::storage {

struct SegmentToCheck {
  std::string topic;
  SegmentOwner owner;
  std::string folder;
  int64_t base_offset = 0;
  SegmentEnd end;
  uint32_t index_interval_bytes = 0;
  bool finished = false;      // nothing more is written to it, so that its indexes are complete
  bool rolled = false;        // another segment follows, so that its seal counts
  std::string log_path = {};  // of the log that counts; empty: it has its place
};

class SegmentCheck {
 public:
  SegmentCheck(io::FileSystem& files, SegmentToCheck segment, const SurveyOptions& options);

  // Reads on, `most_bytes` or a little more; returns how many it was.
  uint64_t Step(uint64_t most_bytes);
  bool done() const { return done_; }

  const SegmentToCheck& segment() const { return segment_; }
  const SegmentSurvey& survey() const { return surveyor_.survey(); }
  // Once it is done: what is wrong, and where the offsets end that are held or told as lost.
  const std::vector<Finding>& findings() const { return findings_; }
  int64_t told_end_offset() const;

 private:
  void Conclude();
  void ConcludeSeal();
  void Add(Finding::Kind kind, const std::string& path, std::string what);
  void AddDamage(const std::string& path);
  int64_t LimitOfLastDamage() const;

  SegmentToCheck segment_;
  FoundSeal seal_;
  SegmentSurveyor surveyor_;
  std::optional<OffsetIndexCheck> offsets_;
  std::optional<TimeIndexCheck> times_;
  std::vector<Finding> findings_;
  bool done_ = false;
};

}  // namespace tidemark::storage
