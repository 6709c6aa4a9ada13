// Gives up what is old: by the time since it was appended (retention.ms), by the size of a
// partition (retention.bytes), and by the room on the disk (when.full=drop_oldest). Has segments
// finished when they have taken records for long enough (segment.ms). Belongs to the core's thread.
//
// Time is the engine clock's, which never steps and stands still while nobody has the store open:
// no clock that is wrong, and no timestamp of a device, lets a record go early. Where it is not
// known when a record was appended, it counts as appended at this opening.
//
// The order that keeps a crash from showing half of it: a commit of the journal holds the new log
// start, which takes no new space; then readers are told offset_out_of_range; then the segments
// that lie wholly below it leave the partition's list, and the worker removes their files. An
// opening finds what was left of that by the log start, and goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "storage/committer.h"
#include "storage/context.h"
#include "storage/packer.h"
#include "storage/partition.h"

namespace tidemark::storage {

class Retention {
 public:
  // All partitions' log starts are restored.
  Retention(Context& context, Committer& committer, Packer& packer, const TopicList& topics);

  // Takes in what has become durable, looks at the limits when it is time, and gives the worker its
  // next piece. Every turn.
  void Advance();
  // When Advance() has to be called at the latest; INT64_MAX: not by itself.
  int64_t next_due_us() const;
  // What a segment's files take on the disk, at most; the worker's, too.
  static uint64_t BytesOfSegment(io::FileSystem& files, const std::string& folder,
                                 int64_t base_offset);
  // Files of a segment were removed, or replaced: what they took is free when nobody has them open
  // any more.
  void CreditWhenReleased(PartitionCore& partition, Openings held, uint64_t bytes);
  // A topic's limits have changed.
  void LookSoon() { due_us_ = context_.now_us; }
  // A topic's files are gone: what the store takes is counted anew.
  void CountSoon() { removed_bytes_ = context_.options.store_bytes; }
  // Counts what all files take against the store's budget, at once. Blocks.
  void CountStore();
  // The same for a topic's files and its budget.
  void Count(TopicCore& topic);
  // Nothing new is begun; what was not removed yet is at the next opening.
  void Stop() { stopped_ = true; }
  // No work is with the worker.
  bool idle() const { return !working_; }
  // Forgets a partition whose topic is deleted, though not yet its files: what readers have open of
  // them takes its room until they let go. No work may be with the worker.
  void Forget(PartitionCore& partition);

 private:
  struct Removal;
  struct Survey;
  struct SealReading;

  void RemoveSoon(PartitionCore& partition);
  void CheckLimits();
  void RollIfDue(PartitionCore& partition);
  void GiveUpWhile(PartitionCore& partition, const std::function<bool(const SegmentEntry&)>& goes);
  void KeepTime(PartitionCore& partition);
  void KeepBytes(PartitionCore& partition);
  bool MeasureSoon(PartitionCore& partition);
  void MakeRoom();
  void MakeRoomIn(const SpaceLedger& space, uint64_t headroom_bytes, const TopicCore* only,
                  PartitionCore** victim);
  std::vector<PartitionCore*> Victims(const TopicCore* only) const;
  bool CanMakeRoom(const TopicCore* only) const;
  bool AwaitsFlush(const TopicCore* only) const;
  bool AwaitsWork(const TopicCore* only) const;
  PartitionCore* FindVictim(const TopicCore* only);
  bool StartRemoval();
  void FinishRemoval(const Removal& removal);
  void CreditUnpinned();
  bool StartSealReading();
  void StartSurvey(PartitionCore& partition);
  bool StartCounting();
  void StartCountingOf(TopicCore* topic);
  void TakeCount(TopicCore* topic, uint64_t used_bytes);
  void DateSoon(PartitionCore& partition);

  Context& context_;
  Committer& committer_;
  Packer& packer_;
  const TopicList& topics_;
  const int64_t opened_ms_;  // on the engine clock
  bool stopped_ = false;
  bool working_ = false;
  bool told_failure_ = false;
  int64_t due_us_ = 0;
  std::vector<PartitionCore*> to_remove_;  // have segments below their log start
  std::vector<PartitionCore*> to_measure_;
  std::vector<PartitionCore*> to_date_;  // have a first segment whose seal is to be read
  PartitionCore* victim_ = nullptr;      // gives up a segment for the room that it takes
  // Removed, though somebody has it open still: its room comes when they let go.
  struct Pinned {
    Openings held;
    PartitionCore* partition = nullptr;
    uint64_t bytes = 0;
  };
  std::vector<Pinned> pinned_;
  uint64_t removed_bytes_ = 0;  // since the store was last counted
};

}  // namespace tidemark::storage
