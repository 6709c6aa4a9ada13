// One pass over a partition: maps the keys of its dirty segments, then writes anew, group by group,
// the segments in which something changes. In small pieces: Step() is the worker's, everything else
// the core's thread's while no piece is with the worker. Touches no segment itself: each successor
// waits as a draft until the core has it swapped in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/batch_cursor.h"
#include "storage/batch_filter.h"
#include "storage/cleaned_segment.h"
#include "storage/key_map.h"
#include "storage/seal_format.h"

namespace tidemark::storage {

// A finished segment as a pass sees it.
struct CompactionSource {
  int64_t base_offset = 0;
  int64_t offset_limit = 0;  // where the next segment begins
  uint64_t log_bytes = 0;
  AppendTimes appended;
  bool sealed = false;  // its seal is good
  std::optional<CompactedPart> compacted;
  bool left = false;  // it is damaged, or not for this version to read
};

struct CompactionTerms {
  std::string folder;
  SegmentOwner owner;
  uint32_t index_interval_bytes = 0;
  uint64_t segment_bytes = 0;  // groups become no larger
  int zstd_level = 0;
  // Where the dirty part begins. Nothing is dirty: only tombstones whose time has come are dropped.
  int64_t first_dirty_offset = 0;
  bool nothing_dirty = false;
  int64_t now_ms = 0;  // for delete horizons
  int64_t delete_retention_ms = 0;
  uint64_t map_bytes = 0;
  uint64_t map_seed = 0;
};

class CompactionPass {
 public:
  enum class State {
    works,       // the next piece is for the worker
    wants_room,  // for group(): then BeginGroup()
    wants_swap,  // of group(): then EndGroup()
    done,
  };
  // Some segments of one partition, in order.
  struct Group {
    size_t first = 0;  // of sources()
    size_t end = 0;
    uint64_t source_bytes = 0;  // of logs
  };

  CompactionPass(io::FileSystem& files, CompactionTerms terms,
                 std::vector<CompactionSource> sources);

  // The worker's: reads and writes `most_bytes` or a little more; returns how many it was.
  uint64_t Step(uint64_t most_bytes);

  State state() const { return state_; }
  const CompactionTerms& terms() const { return terms_; }
  const std::vector<CompactionSource>& sources() const { return sources_; }
  const Group& group() const { return groups_[next_group_]; }
  void BeginGroup();
  // The next group's turn.
  void EndGroup();
  // The swap came to nothing.
  void FailSwap(const Error& error) { Fail(error); }
  // Sources below were done with; until the groups are planned, none was.
  int64_t next_base_offset() const {
    return next_group_ < groups_.size() ? sources_[group().first].base_offset : 0;
  }

  // What became of the group: its successor's log, of which offsets up to the end are taken, or
  // (no bytes written) the same files with perhaps a new seal.
  struct Outcome {
    uint64_t written_bytes = 0;  // of all files of the successor; 0: there is none
    uint64_t log_bytes = 0;
    int64_t end_offset = 0;
    AppendTimes appended;
    CompactedPart compacted;
  };
  const Outcome& outcome() const { return outcome_; }

  // Why the pass has ended early, if it has; the source that it failed at, if it was one.
  const std::optional<Error>& failure() const { return failure_; }
  std::optional<size_t> failed_source() const { return failed_source_; }
  uint64_t memory_bytes() const;
  uint64_t records_removed() const { return records_removed_; }

 private:
  // Offsets whose batches are gone.
  struct Hole {
    int64_t first_offset = 0;
    int64_t end_offset = 0;
    uint64_t position = 0;  // in the source, where it begins
  };
  enum class Stage { mapping, filtering, finishing };

  std::optional<BatchCursor::Batch> NextOfSource();
  void StepMapping();
  void PlanGroups();
  void NextGroupOrDone();
  void StepFiltering();
  bool OpenNextSource();
  void FilterNext();
  bool NeedsOutput() const;
  bool JoinsHole(const record::BatchHeader& header) const;
  void StartOutput(uint64_t copy_until);
  void StepCopying();
  void EmitHeld();
  void WriteHole();
  void FinishGroup();
  void NoteOutcome();
  Status RenewSeal();
  void Fail(const Error& error);
  void FailAtSource(size_t source, const Error& error);
  bool Check(const Status& status);
  bool MayAge() const;

  io::FileSystem& files_;
  CompactionTerms terms_;
  std::vector<CompactionSource> sources_;
  State state_ = State::works;
  Stage stage_ = Stage::mapping;
  uint64_t bytes_ = 0;  // of this piece
  // Of a swap before a kill the last rename may still be undone by a power cut: its marker beside a
  // new draft would be taken for that one's.
  bool folder_flushed_ = false;
  BatchFilter filter_;
  // Mapping.
  std::optional<KeyMap> map_;  // made by the worker: it may be large
  size_t source_ = 0;
  std::optional<BatchCursor> cursor_;
  int64_t map_end_offset_ = INT64_MAX;  // records from here on are not in the map
  // Groups.
  std::vector<Group> groups_;
  size_t next_group_ = 0;
  std::unique_ptr<CleanedSegment> output_;
  std::optional<BatchCursor> copy_;  // of what stood before the first change
  uint64_t copy_until_ = 0;
  std::optional<Hole> hole_;
  std::optional<BatchCursor::Batch> held_;  // filtered, and not emitted yet
  FilteredBatch filtered_;
  std::vector<std::byte> filtered_bytes_;
  LogDigest digest_;  // of a group of one source
  int64_t last_horizon_ms_ = INT64_MIN;
  int64_t group_end_offset_ = 0;
  Outcome outcome_;
  std::optional<Error> failure_;
  std::optional<size_t> failed_source_;
  uint64_t records_removed_ = 0;
};

}  // namespace tidemark::storage
