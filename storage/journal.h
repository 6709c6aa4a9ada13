// The journal: one preallocated, zero-filled, recycled file through which everything becomes
// durable. This class writes it: commits into the ring, one in flight at a time, and checkpoints
// into the two slots. Format and replay: docs/formats.md and journal_scan.h. Its eight rules:
// docs/durability.md.
//
// Belongs to the core's thread, except for WriteCheckpoint(), which blocks and belongs to the
// worker.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/environment.h"
#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

class Journal {
 public:
  // Makes `path` anew: zeroes written, flushed and renamed into place under the lock. disk_full
  // when there is no room; locked when another process is at it.
  static Result<std::unique_ptr<Journal>> Create(const io::Environment& environment,
                                                 const std::string& path, uint64_t journal_bytes,
                                                 const base::Uuid& store_id);
  // Opens and locks an existing one. Fails with corrupt when both superblocks are unreadable.
  static Result<std::unique_ptr<Journal>> Open(const io::Environment& environment,
                                               const std::string& path);

  io::File& file() { return *file_; }
  const Superblock& superblock() const { return superblock_; }
  // The file was shorter than its superblock says when it was opened.
  bool was_cut_short() const { return was_cut_short_; }
  // Gives it back its blocks, empty. Only once a checkpoint is durable that knows what they held
  // for lost: until then the next opening must see that they are missing.
  Status RestoreLength();

  // Goes on behind what a scan has found; `live` are the commits that replay would still need.
  struct LiveCommit {
    uint64_t sequence = 0;
    uint64_t position = 0;
    uint64_t total_bytes = 0;
    uint64_t previous_checksum = 0;
  };
  struct LastCheckpoint {
    uint64_t number = 0;
    int spare_slot = 0;  // the one that it does not need (CheckpointSlots)
  };
  void Continue(const JournalEnd& end, std::deque<LiveCommit> live, uint64_t incarnation,
                LastCheckpoint checkpoint);

  // --- Commits ---

  // One frame of the commit that is being gathered. The data are copied by StartCommit(); a records
  // frame's header is written in front of them.
  struct Frame {
    DirectoryEntry entry;  // data_bytes is filled in
    RecordsFrameHeader header;
    base::ByteSpan records;
  };
  // Whether `frames` more frames with `record_bytes` in all fit beside what was gathered: into one
  // commit and into the ring.
  bool Fits(size_t frames, uint64_t record_bytes) const;
  void Gather(const Frame& frame);
  bool gathered_any() const { return !frames_.empty(); }
  // Whether an empty commit has room.
  bool HasRoomForWitness() const;

  // Writes what was gathered (nothing: a witness). `operation->done` gets the result; the owner
  // then calls FinishCommit(). Returns the commit's sequence.
  uint64_t StartCommit(io::Loop& loop, int64_t engine_clock_ms, io::Operation* operation);
  // After the write has ended. False: it failed, the journal is of no use any more.
  bool FinishCommit(const io::Operation& operation);
  bool in_flight() const { return in_flight_; }
  // All commits up to this one are complete.
  uint64_t durable_sequence() const { return durable_sequence_; }
  // The last complete commit holds frames that no later commit repeats yet.
  bool has_unwitnessed() const { return !last_is_empty_; }

  // The largest piece of records that a single frame can hold.
  uint64_t max_frame_bytes() const;

  // --- Space ---

  uint64_t ring_bytes() const { return superblock_.ring_bytes(); }
  uint64_t used_bytes() const;
  uint64_t checkpoint_number() const { return checkpoint_number_; }
  uint64_t incarnation() const { return incarnation_; }
  size_t memory_bytes() const { return live_.size() * sizeof(LiveCommit); }
  // The most partitions that a checkpoint can hold.
  size_t max_partitions() const;
  // The first sequence at or behind which `used_bytes()` would be at most `bytes`, if all before it
  // were released: what a reclaim has to reach.
  uint64_t SequenceToReach(uint64_t bytes) const;

  // --- Checkpoints ---

  // Fills in everything but entries, clean flag and clocks of a checkpoint whose replay starts at
  // `start_sequence`, with the next number.
  void PlanCheckpoint(uint64_t start_sequence, Checkpoint* checkpoint) const;
  // The slot that the one before does not need, flushed, then the other one, flushed. Blocks; from
  // any one thread.
  Status WriteCheckpoint(const Checkpoint& checkpoint);
  // After WriteCheckpoint() of it: its number counts, and what lies before its start may be
  // overwritten.
  void Release(const Checkpoint& checkpoint);

  // Bytes written to the file since it was opened, checkpoints included.
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  Journal(std::unique_ptr<io::File> file, const Superblock& superblock);
  struct Place {
    uint64_t position = 0;
    bool fits = false;
  };
  Place FindPlace(uint64_t total_bytes) const;
  uint64_t GatheredBytes(size_t more_frames, uint64_t more_record_bytes) const;

  std::unique_ptr<io::File> file_;
  Superblock superblock_;
  bool was_cut_short_ = false;
  uint64_t max_commit_bytes_;
  io::AlignedBuffer buffer_;

  std::vector<Frame> frames_;
  uint64_t frame_data_bytes_ = 0;
  DirectoryEncoder directory_;

  std::deque<LiveCommit> live_;
  uint64_t head_;  // where the next commit goes, unless it has to wrap
  uint64_t next_sequence_ = 1;
  uint64_t durable_sequence_ = 0;
  uint64_t previous_checksum_ = 0;
  std::vector<std::byte> previous_directory_;
  uint64_t previous_directory_checksum_ = 0;
  bool last_is_empty_ = true;
  uint64_t incarnation_ = 0;
  uint64_t incarnation_first_sequence_ = 1;
  uint64_t checkpoint_number_ = 0;
  int spare_slot_ = 0;
  bool in_flight_ = false;
  uint64_t in_flight_bytes_ = 0;
  uint64_t bytes_written_ = 0;
};

// Where a journal of `superblock` has the places of its commits: the largest commit it writes.
uint64_t MaxCommitBytes(const Superblock& superblock);

}  // namespace tidemark::storage
