// The way out of memory and journal: packs closed runs into batches, writes them to segments,
// flushes these, carries small tails forward, writes checkpoints, and so releases the journal's old
// part. All that takes long runs on the background worker, one piece of work at a time. Belongs to
// the core's thread.
//
// A reclaim is one round of that for the journal's oldest part: every partition that still needs a
// commit there is either packed and flushed, or, when its tail is too small for a good batch,
// carried to the journal's head; then a checkpoint lets the part go.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "record/batch.h"
#include "storage/committer.h"
#include "storage/context.h"
#include "storage/journal.h"
#include "storage/pack_governor.h"
#include "storage/partition.h"

namespace tidemark::storage {

// Flushing much at once holds up a commit on the same file system: 16 MiB for 11 ms, 1 MiB for less
// than one. So the kernel is asked to begin with every so many bytes.
inline constexpr uint64_t kWritebackBytes = uint64_t{1} << 20;

// A partition's log stays open from its first unflushed batch to the flush: so many at once at
// most, far below the 1,024 files that a process may usually have open.
inline constexpr size_t kMostUnflushedPartitions = 128;

using TopicList = std::vector<std::unique_ptr<TopicCore>>;

class Packer {
 public:
  Packer(Context& context, Journal& journal, Committer& committer, const TopicList& topics);

  // Takes in what has become durable, and gives the worker its next piece if it has none. Every
  // turn.
  void Advance();
  void TryAgain() { retry_at_us_ = INT64_MAX; }
  // When Advance() has to be called at the latest; INT64_MAX: not by itself.
  int64_t next_due_us() const;
  bool waits_for_room() const { return job_ == Job::none && retry_at_us_ != INT64_MAX; }

  // Everything durable shall be packed and flushed. Done when drained().
  void Drain();
  void StopDraining() { draining_ = false; }
  bool drained() const;
  // Completes and flushes the indexes of all active segments that were written to since the last
  // clean stop, before a crash too: at a clean stop, when drained.
  Status FinishWriters();
  // Somebody waits for the segments that are finished and not flushed.
  void FlushSoon() { flush_wanted_ = true; }
  // A checkpoint shall be written; done when checkpoint_pending() is false again.
  void RequestCheckpoint() { checkpoint_wanted_ = true; }
  bool checkpoint_pending() const { return checkpoint_wanted_ || job_ == Job::checkpoint; }
  // During recovery nothing may be released: the journal is still being read.
  void set_checkpoints_allowed(bool allowed) { checkpoints_allowed_ = allowed; }
  // The last checkpoint of a clean stop, or the first of an opening: written here and now.
  Status WriteCheckpointNow(bool clean);

  // What a segment of a topic may take, by its settings and the byte budgets.
  int64_t MostSegmentBytes(const TopicCore& topic) const;
  // How far compression lags behind.
  Pressure CurrentPressure() const;

  // The active segment takes no more records: what it has is finished, though nothing follows it.
  void RollSoon(PartitionCore& partition);

  // No work is with the worker.
  bool idle() const { return job_ == Job::none; }
  // Forgets a partition whose topic is deleted. No work may be with the worker.
  void Forget(PartitionCore& partition);

 private:
  enum class Job { none, pack, flush, roll, checkpoint };
  struct PackItem;
  struct PackWork;
  struct FlushWork;
  struct RollWork;
  struct EncodedBatch {
    record::BatchHeader header;
    base::ByteSpan bytes;
  };

  void Enqueue(PartitionCore& partition);
  void MaybeStartReclaim();
  void PlanReclaim(std::vector<PartitionCore*> candidates, uint64_t region_bytes);
  void MaybeFreeMemory();
  void CheckReclaimed(PartitionCore& partition);
  void PackSoon(PartitionCore& partition);
  bool FlushIsDue() const;
  int LevelUnderPressure(const TopicCore& topic, record::Codec* codec) const;

  int64_t MostSegmentBytesInStore() const;
  bool EnsureWriterToFinish(PartitionCore& partition);
  bool StartPack();
  void FinishPack(PackWork& work);
  Result<EncodedBatch> EncodeRun(Run& run, record::Codec codec, int level);
  void PackOnWorker(PackItem& item);
  void FinishPackItem(PackItem& item);
  void RetryLater(PartitionCore& partition, const Error& cause);
  int64_t FlushDueOf(const PartitionCore& partition, const Run& run) const;
  void StartFlush();
  void FinishFlush(FlushWork& work);
  static bool HasToRoll(const PartitionCore* partition);
  bool StartRoll();
  void FinishRoll(RollWork& work);
  bool TakeWritten(PartitionCore& partition, const Status& status, const std::string& warning);
  void TakeAllFlushed(std::vector<PartitionCore*> partitions);
  void TakeFlushed(PartitionCore& partition);
  void StartCheckpoint(std::vector<PartitionCore*> flushed);
  CheckpointEntry EntryFor(const PartitionCore& partition, bool flushed) const;
  Checkpoint BuildCheckpoint(bool clean, const std::vector<PartitionCore*>& flushed) const;
  void NoteCheckpointed(const Checkpoint& checkpoint);

  Context& context_;
  Journal& journal_;
  Committer& committer_;
  const TopicList& topics_;
  PackGovernor governor_;
  record::Compressor compressor_;  // the worker's
  std::vector<std::byte> batch_;   // the worker's

  Job job_ = Job::none;
  std::deque<PartitionCore*> queue_;  // have runs to be packed
  std::deque<PartitionCore*> to_roll_;
  std::vector<PartitionCore*> unflushed_;  // have batches to be flushed
  uint64_t unflushed_bytes_ = 0;
  uint64_t unflushed_run_bytes_ = 0;  // what they were packed from
  uint64_t written_back_bytes_ = 0;   // of them, on their way to the disk
  int64_t flush_due_us_ = INT64_MAX;  // for those of them that go around the journal
  bool few_partitions_ = false;       // so that a checkpoint is a small write
  bool reclaiming_ = false;
  uint64_t reclaim_target_ = 0;  // the sequence from which on commits stay
  size_t reclaim_pending_ = 0;   // partitions that still need an older one
  bool draining_ = false;
  bool checkpoint_wanted_ = false;
  bool flush_wanted_ = false;
  bool checkpoints_allowed_ = true;
  int64_t retry_at_us_ = INT64_MAX;
  bool told_disk_full_ = false;
};

// Brings a partition's files back to what is known to be flushed: segments behind the active one
// are removed, the active one (if `cut_active`) is cut to its flushed length. What was there is in
// the journal, or was not durable. Blocks.
Status ResetToFlushed(io::FileSystem& files, const std::string& folder, int64_t active_base_offset,
                      bool cut_active, uint64_t flushed_bytes);

}  // namespace tidemark::storage
