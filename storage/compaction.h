// Compacts partitions of topics with cleanup.policy=compact, one at a time, in the background:
// decides which one is due, keeps the rate, and puts what a pass has written in the place of what
// it has read. docs/compaction.md has the whole of it. Belongs to the core's thread.
//
// A segment is touched only when the last durable checkpoint knows it as finished, since recovery
// goes by the checkpoint's active segment; and never while Retention removes it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "storage/compaction_pass.h"
#include "storage/context.h"
#include "storage/journal.h"
#include "storage/packer.h"
#include "storage/partition.h"
#include "storage/retention.h"

namespace tidemark::storage {

// What a group of sources needs beside itself while its successor is written: half as much again
// for indexes, and for batches that a horizon makes larger.
constexpr uint64_t CompactionRoomBytes(uint64_t source_bytes) {
  return source_bytes + source_bytes / 2 + kSegmentSlackBytes;
}

class Compaction {
 public:
  Compaction(Context& context, const Journal& journal, Packer& packer, Retention& retention,
             const TopicList& topics);

  // Takes in what the last piece has brought, and gives the worker the next one when it is time.
  // Every turn.
  void Advance();
  // When Advance() has to be called at the latest; INT64_MAX: not by itself.
  int64_t next_due_us() const;
  // A topic is new, or its settings are.
  void LookSoon();
  // Nothing new is begun. What was written and has no place yet is removed.
  void Stop();
  // No work is with the worker.
  bool idle() const { return !working_; }
  // Segments are being replaced: nobody else may remove any.
  bool swapping() const { return swapping_; }
  // Forgets a partition whose topic is deleted. No work may be with the worker.
  void Forget(PartitionCore& partition);

  // Where the dirty part of a compacted topic's partition begins, by the seals; nullopt: nothing is
  // clean. Reads them: for a clean stop.
  static std::optional<int64_t> CleanEnd(io::FileSystem& files, PartitionCore& partition);

 private:
  struct Survey;
  struct Swap;
  // What a partition has for a pass.
  struct Plan {
    PartitionCore* partition = nullptr;
    std::vector<CompactionSource> sources;
    int64_t first_dirty_offset = 0;
    bool nothing_dirty = false;  // tombstones are due
    bool overdue = false;        // by max.compaction.lag.ms
    double dirty_ratio = 0;
  };

  bool on() const { return !stopped_ && context_.options.compaction_bytes_per_second > 0; }
  void Look();
  void KeepRoom();
  std::optional<Plan> PlanFor(PartitionCore& partition);
  bool IsDue(const Plan& plan) const;
  bool KnowsAll(PartitionCore& partition);
  void StartSurvey(PartitionCore& partition);
  void Begin(Plan plan);
  CompactionTerms TermsFor(const Plan& plan);
  int64_t HorizonClockMs() const;
  bool SourcesAreThere() const;
  bool MayGoOn() const;
  void GoOn();
  bool ReserveRoom();
  void ReturnRoom(uint64_t written_bytes);
  void StartPiece();
  void TakePiece(uint64_t bytes, int64_t began_us);
  void HoldSources(size_t first, size_t end);
  void ReleaseSources();
  void StartSwap();
  void TakeSwap(Swap& swap);
  void TakeSuccessor(Swap& swap);
  void NoteUnchanged();
  void EndPass();
  void EndFailed();
  void Drop();

  Context& context_;
  const Journal& journal_;
  Packer& packer_;
  Retention& retention_;
  const TopicList& topics_;
  const int64_t opened_ms_;  // on the engine clock
  bool stopped_ = false;
  bool working_ = false;
  bool swapping_ = false;
  int64_t look_us_;                     // which partition is due is looked at then
  int64_t due_us_ = 0;                  // of the next piece
  PartitionCore* partition_ = nullptr;  // of the pass
  std::shared_ptr<CompactionPass> pass_;
  uint64_t reserved_bytes_ = 0;          // for the group that is being written
  std::set<const PartitionCore*> left_;  // could not be compacted; not until the next opening
  bool told_no_room_ = false;
};

}  // namespace tidemark::storage
