// A partition: its tail (runs in memory) and its segments (files), with one row of offsets over
// both.
//
//   log_start <= tail_start <= durable_end <= end
//
// Records below tail_start are in flushed segments, those from there on in runs; readers are shown
// what lies below durable_end. Belongs to the core's thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "storage/context.h"
#include "storage/cursor_format.h"
#include "storage/manifest.h"
#include "storage/run.h"
#include "storage/segment.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

class TopicCore;
class Committer;

class PartitionCore {
 public:
  PartitionCore(Context& context, Committer& committer, TopicCore& topic, int32_t index,
                std::string folder);

  Partition& handle() { return handle_; }
  TopicCore& topic() { return topic_; }
  const TopicCore& topic() const { return topic_; }
  int32_t index() const { return index_; }
  SegmentOwner owner() const;  // whose seals are in its folder
  const std::string& folder() const { return folder_; }

  Result<int64_t> Append(const Record& record, Durability durability);

  int64_t log_start_offset() const { return log_start_offset_; }
  int64_t tail_start_offset() const {
    return runs_.empty() ? end_offset_ : runs_.front()->base_offset();
  }
  int64_t durable_end_offset() const { return durable_end_offset_; }
  int64_t end_offset() const { return end_offset_; }
  void set_durable_end_offset(int64_t offset) { durable_end_offset_ = offset; }

  // Gives up what lies below `before_offset`: log_start_offset() moves there once a commit holds
  // it.
  Status DeleteRecords(int64_t before_offset);
  // Where it is going: what lies below is given up, though that may not be durable yet.
  int64_t log_start_wanted() const { return std::max(log_start_offset_, log_start_target); }
  void SetLogStart(int64_t offset);

  // --- Recovery ---
  void Restore(int64_t log_start, int64_t packed_end, int64_t active_base, uint64_t flushed_bytes,
               const std::vector<int64_t>& segment_bases);
  // A piece of a run from the journal, [first, end), whose records were checked. Offsets that are
  // held already are skipped; what does not continue the last run opens a new one. It was appended
  // before `engine_clock_ms`, when its commit was written.
  void Replay(const RecordsFrameHeader& frame, base::ByteSpan records,
              const record::RecordsSummary& summary, int64_t first_offset, uint64_t sequence,
              int64_t engine_clock_ms);
  // Offsets up to here are taken, though nobody knows by what.
  void SkipTo(int64_t offset);

  // --- Tail ---
  std::deque<std::unique_ptr<Run>>& runs() { return runs_; }
  const std::deque<std::unique_ptr<Run>>& runs() const { return runs_; }
  // The run that holds a durable offset of the tail.
  const Run* FindRun(int64_t offset) const;
  // Closes the open run, so that it can be packed.
  void CloseOpenRun();
  // Ends runs where they are durable, so that they can be packed though the journal has no room for
  // the rest, which gets runs of its own.
  void SplitUndurableRuns();
  // Drops all runs: the topic is deleted. None may be in flight or with the worker.
  void DropRuns();
  // Drops replayed runs that lie wholly below the log start: their segments may be gone, and what
  // these took may have been given to others.
  void DropGivenUpRuns();
  // Bytes of runs that are not with the worker.
  uint64_t unpacked_bytes() const;
  // The oldest commit that this partition still needs; nullopt: none.
  std::optional<uint64_t> first_needed_sequence() const;
  // The end of the runs whose batches are written.
  int64_t PackedRunsEnd() const;
  // Drops runs whose batches are flushed up to `offset`.
  void DropPackedBelow(int64_t offset);
  // What the space ledgers have set aside for a run.
  static uint64_t ReservedFor(const Run& run);
  // In the store's ledger and in the topic's.
  void ReserveSpace(uint64_t bytes);
  void SettleSpace(uint64_t reserved, uint64_t written);
  void CreditSpace(uint64_t bytes);
  // What a batch's entries in both indexes take at most, the final one at a roll included.
  static constexpr uint64_t kIndexBytesPerRun =
      index::kOffsetEntryBytes + 2 * index::kTimeEntryBytes;

  // --- Around the journal ---
  // What fills run after run, all of it buffered, is packed and flushed well within flush.ms: in
  // the journal it would only be written twice. `run`, which is not with the worker, goes by the
  // journal after all.
  void ReturnToJournal(Run& run);
  // A checkpoint knows of all batches below `packed_end`: their runs are durable.
  void TakeCheckpointed(int64_t packed_end);

  // --- Segments, as far as they are flushed ---
  SegmentMap& segments() { return segments_; }
  int64_t active_base_offset() const { return active_base_offset_; }
  uint64_t active_flushed_bytes() const { return active_flushed_bytes_; }
  int64_t packed_end_offset() const { return packed_end_offset_; }
  // Where the flushed part of one of the segments ends.
  SegmentEnd EndOf(int64_t base_offset) const;
  // Takes the segments made since the last flush into the list.
  void SetFlushed(int64_t active_base, uint64_t flushed_bytes, int64_t packed_end);
  // The segment that holds `offset`, or the next one behind a gap; end(): none.
  SegmentMap::iterator SegmentFor(int64_t offset);

  // --- What the committer and the packer keep here ---
  enum class Dirty : uint8_t { no, buffered, durable };
  Dirty dirty = Dirty::no;
  int64_t commit_due_us = 0;  // when it is to be in a commit at the latest
  // Something that is due goes around the journal, or stands behind what does, and the worker has
  // that: it waits for its flush.
  bool waits_for_flush = false;
  int64_t log_start_target = 0;  // in the next commit, if it lies above the log start
  bool in_log_start_list = false;
  bool in_carry_list = false;  // some of its runs go into the next commits once more
  bool reclaiming = false;     // the packer waits for this partition
  bool in_pack_queue = false;
  bool deleted = false;
  bool moved = false;                     // named by the poll that runs
  bool indexes_finished = true;           // of the active segment, by the last clean stop
  std::unique_ptr<SegmentWriter> writer;  // the worker's while work is with it
  bool writer_dirty = false;              // has unflushed batches
  // Segments written to since the last flush: how long their logs are, and when the last of their
  // records was appended.
  struct UnflushedSegment {
    uint64_t log_bytes = 0;
    std::optional<int64_t> last_append_ms;
  };
  std::map<int64_t, UnflushedSegment> unflushed_segments;
  // On the engine clock, of the active segment's first record, or of one that came later. nullopt:
  // there is nothing in it.
  std::optional<int64_t> active_begin_ms;
  // By the last checkpoint that is durable: recovery must find this segment, and those below are
  // finished for it.
  int64_t checkpointed_active_base = -1;
  // How often compaction has put other files in the place of segments.
  uint64_t compactions = 0;
  bool roll_wanted = false;  // the next batch begins a segment
  // This opening has begun the active segment: to finish it, nothing of it has to be read back.
  bool begun_active = false;
  bool in_roll_list = false;

 private:
  // What a run takes beyond its records at most: the batch header, an entry in both indexes, and
  // the blocks of a segment that begins with it.
  static constexpr uint64_t kRunOverheadBytes =
      record::kBatchHeaderBytes + kIndexBytesPerRun + kSegmentSlackBytes;

  void ForgetRun(const Run& run);
  Status CheckAdmission(const Record& record) const;
  Status CheckSpace(uint64_t bytes) const;
  bool StampsArrival() const;
  bool BelievesTimestamp(int64_t timestamp_ms) const;
  bool GoesAroundJournal(Durability durability) const;
  bool IsWithinBulkShare(const Run& run) const;
  Result<int64_t> AppendAtArrival(const Record& record, Durability durability);
  int64_t RunTimestamp(int64_t now_ms) const;
  static std::unique_ptr<Run> ReencodeRest(const Run& run, const Run& rest);
  void AccountMemory(const Run& run, size_t before);
  void ReplayOneByOne(const RecordsFrameHeader& frame, base::ByteSpan records,
                      const record::RecordsSummary& summary, uint64_t sequence,
                      int64_t engine_clock_ms);
  RecordsFrameHeader FrameFor(int64_t offset, int64_t timestamp_ms) const;
  Run& OpenRun(const RecordsFrameHeader& frame);

  Context& context_;
  Committer& committer_;
  TopicCore& topic_;
  int32_t index_;
  std::string folder_;
  Partition handle_;
  int64_t log_start_offset_ = 0;
  int64_t durable_end_offset_ = 0;
  int64_t end_offset_ = 0;
  std::deque<std::unique_ptr<Run>> runs_;
  SegmentMap segments_;
  int64_t active_base_offset_ = -1;
  uint64_t active_flushed_bytes_ = 0;
  int64_t packed_end_offset_ = 0;
  bool filled_at_once_ = false;  // the last run that was closed
  std::optional<int64_t> last_durable_append_us_;
};

class TopicCore {
 public:
  explicit TopicCore(TopicDescription description)
      : description_(std::move(description)), handle_(this) {
    id_text_ = description_.id.ToBase64();
    internal_ = description_.name == kCursorTopic;
  }
  const TopicDescription& description() const { return description_; }
  const std::string& id_text() const { return id_text_; }
  const TopicConfig& config() const { return description_.config; }
  void set_config(const TopicConfig& config) { description_.config = config; }
  uint64_t budget_bytes() const {  // 0: none
    return static_cast<uint64_t>(std::max<int64_t>(0, description_.config.topic_bytes));
  }
  std::vector<std::string> folders() const;
  void set_partition_count(int32_t count) { description_.partitions = count; }
  // The engine's own: nobody else appends to it, alters how it is cleaned, or deletes it.
  bool internal() const { return internal_; }
  Topic& handle() { return handle_; }
  std::vector<std::unique_ptr<PartitionCore>>& partitions() { return partitions_; }
  const std::vector<std::unique_ptr<PartitionCore>>& partitions() const { return partitions_; }
  bool deleted = false;  // for callers; its tombstone may not be durable yet
  bool gone = false;     // its files and its place in the manifest, too

  // What its partitions' files may take and do; without topic.bytes there is no end to it.
  SpaceLedger space;
  uint64_t kept_room_bytes = 0;  // of it, what appends leave to compaction
  // Retention's: who gives up a segment for this topic's budget, and what was removed since the
  // files were last counted.
  PartitionCore* victim = nullptr;
  uint64_t removed_bytes = 0;

 private:
  TopicDescription description_;
  std::string id_text_;
  bool internal_ = false;
  Topic handle_;
  std::vector<std::unique_ptr<PartitionCore>> partitions_;
};

}  // namespace tidemark::storage
