// Group commit: gathers what is newly encoded in all partitions into one commit of the journal,
// while the one before is in flight, and moves the durable ends when it is complete. Belongs to the
// core's thread.
//
// A commit is due when a durable record waits (after its topic's linger), when a buffered one has
// waited flush.ms, when much is buffered, when something is to be carried forward or a topic
// deleted, and, as a witness, when the store has been idle behind the last one. Runs that go around
// the journal are passed over; what stands behind them in their partition waits until they are
// durable.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "storage/context.h"
#include "storage/journal.h"
#include "storage/partition.h"

namespace tidemark::storage {

class Committer {
 public:
  Committer(Context& context, Journal& journal);

  // A record was appended to `partition`.
  void MarkDirty(PartitionCore& partition, Durability durability);
  // All runs of `partition` shall go into the next commits from their start.
  void Carry(PartitionCore& partition);
  // The deletion of a topic shall be in the next commit. It is done when done_deletions() names it.
  void DeleteTopic(const base::Uuid& topic_id);
  // The log start of `partition` shall be `offset`: in the next commit. TakeLogStarts() names it
  // when that is durable.
  void MoveLogStart(PartitionCore& partition, int64_t offset);
  std::vector<PartitionCore*> TakeLogStarts();
  // Forgets a partition of a deleted topic. No commit may be in flight.
  void Forget(PartitionCore& partition);
  // Deletions that have become durable since the last call.
  std::vector<base::Uuid> TakeDurableDeletions();
  // What stands before `run` of `partition`, which goes around the journal, is due now: nothing of
  // the run is packed before that is durable.
  void HurryBefore(PartitionCore& partition, const Run& run);
  // What went around the journal is durable up to `end_offset`; what waited for it is due at its
  // time.
  void TakeFlushedAround(PartitionCore& partition, int64_t end_offset);
  // The worker could not write runs of `partition`: those that are due return to the journal.
  void NoFlushComes(PartitionCore& partition);
  // Something due stands behind runs that go around the journal, since FlushComes() was called.
  bool flush_asked() const { return flush_asked_; }
  void FlushComes() { flush_asked_ = false; }
  // A closed run of `partition` can be packed.
  void NotePackable(PartitionCore& partition) { packable_.push_back(&partition); }
  // Whether the journal takes `bytes` more before it is full.
  bool HasJournalRoom(uint64_t bytes) const;
  uint64_t max_frame_bytes() const { return journal_.max_frame_bytes(); }
  // The oldest commit that holds a tombstone whose deletion is not finished: replay must still find
  // it.
  uint64_t first_tombstone_sequence() const { return first_tombstone_sequence_; }
  // Of an earlier opening.
  void KeepTombstones(uint64_t sequence) { first_tombstone_sequence_ = sequence; }
  void ForgetTombstones() { first_tombstone_sequence_ = UINT64_MAX; }
  // Whatever is dirty is due now.
  void MakeAllDue() { all_due_ = true; }

  // Starts a commit if one is due, none is in flight and the journal has room.
  void MaybeStart();
  int64_t last_commit_us() const { return last_commit_us_; }
  // When MaybeStart() has to be called at the latest; INT64_MAX: not by itself.
  int64_t next_due_us() const;
  bool in_flight() const { return journal_.in_flight(); }
  // Nothing waits for a commit and none is in flight.
  bool idle() const;
  // Something is due and does not fit: the journal needs room.
  bool blocked() const { return blocked_; }
  // The last commit stands without a witness.
  bool needs_witness() const { return journal_.has_unwitnessed(); }
  void RequestWitness() { witness_wanted_ = true; }

  // Replaces `moved` by the partitions whose durable end has moved since the last call. (Their
  // `moved` flag is the caller's to clear.)
  void TakeMoved(std::vector<Partition*>* moved);
  bool any_moved() const { return !moved_.empty(); }
  // Carries that became durable since the last call.
  std::vector<PartitionCore*> TakeCarried();
  // Partitions of closed runs that can be packed since the last call.
  std::vector<PartitionCore*> TakePackable();

 private:
  struct Piece {
    PartitionCore* partition = nullptr;
    Run* run = nullptr;
    uint32_t end_bytes = 0;
    int64_t end_offset = 0;
    bool from_start = false;
  };
  bool Due() const;
  bool HasRoom(uint64_t record_bytes);
  int64_t DueOf(const PartitionCore& partition, const Run& run) const;
  void GatherAll();
  void GatherLogStarts();
  // False: the commit is full.
  bool GatherPartition(PartitionCore& partition);
  bool PassesAround(PartitionCore& partition, Run& run);
  static bool IsHeld(const PartitionCore& partition);
  static uint64_t HeldBytes(const PartitionCore& partition);
  void MoveDurableEnd(PartitionCore& partition, int64_t end_offset);
  void MakeDue(PartitionCore& partition, int64_t due_us);
  bool GatherRun(PartitionCore& partition, Run& run, bool from_start);
  static void OnWritten(io::Operation* operation);
  void Complete(bool written);

  Context& context_;
  Journal& journal_;
  io::Operation operation_;
  std::vector<PartitionCore*> dirty_;  // in the order in which they became so
  std::vector<PartitionCore*> carries_;
  std::vector<base::Uuid> deletions_;
  std::vector<PartitionCore*> log_starts_;  // to be moved
  std::vector<Piece> pieces_;               // in the commit that is in flight
  std::vector<base::Uuid> deletions_in_flight_;
  std::vector<std::pair<PartitionCore*, int64_t>> log_starts_in_flight_;
  uint64_t sequence_in_flight_ = 0;
  uint64_t first_tombstone_sequence_ = UINT64_MAX;
  int64_t earliest_due_us_ = INT64_MAX;
  int64_t last_commit_us_ = 0;
  uint64_t held_bytes_ = 0;  // of the journal's, behind what goes around it
  bool all_due_ = false;
  bool witness_wanted_ = false;
  bool blocked_ = false;
  bool lacked_room_ = false;  // while the last commit was gathered
  bool flush_asked_ = false;

  std::vector<Partition*> moved_;
  std::vector<PartitionCore*> carried_;
  std::vector<PartitionCore*> packable_;
  std::vector<PartitionCore*> log_starts_moved_;
  std::vector<base::Uuid> durable_deletions_;
};

}  // namespace tidemark::storage
