// Reading a partition: flushed segments through the loop, the tail from memory, one row of offsets
// over both. Belongs to the core's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "record/batch.h"
#include "storage/context.h"
#include "storage/offset_chain.h"
#include "storage/partition.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

class ReaderCore {
 public:
  ReaderCore(Context& context, PartitionCore& partition, int64_t offset);
  ~ReaderCore();
  ReaderCore(const ReaderCore&) = delete;
  ReaderCore& operator=(const ReaderCore&) = delete;

  Result<ReadState> Next();
  const Batch& batch() const { return batch_; }
  int64_t position() const { return position_; }
  Status Seek(int64_t offset);
  Status SeekToTimestamp(int64_t timestamp_ms);
  std::vector<LostRange> TakeLost() { return std::exchange(lost_, {}); }

 private:
  // Work on the loop or the worker, and what it leaves behind. Outlives a reader that is destroyed
  // meanwhile.
  struct Pending;
  // A batch that was checked and opened, and whose bytes are still in buffer_ or decompressed_.
  struct Kept {
    std::weak_ptr<OpenSegment> segment;
    record::BatchHeader header;
    uint64_t position = 0;
    RecordRange::Encoded records;
  };
  enum class Step { again, batch, pending, at_end };

  Result<Step> TakeStep();
  Step StepInTail();
  Result<Step> StepInSegment();
  Result<Step> StepInBuffer();
  Step UseSegment(int64_t base_offset, SegmentEntry& entry);
  base::ByteSpan Buffered(uint64_t position) const;
  int64_t OffsetLimit() const;
  bool IsInOrder(const record::BatchHeader& header, base::ByteSpan behind) const;
  Result<Step> TakeBatch(const record::BatchHeader& header, base::ByteSpan bytes);
  Result<Step> Deliver(const record::BatchHeader& header, base::ByteSpan bytes);
  Step MeetDamage(const std::string& cause);
  Result<Step> LeaveSegment();
  bool KeepsWanted() const;
  Step HandOut(const Kept& kept);
  void LookUp();
  void UseHints();
  void BeginAtOffsetHint();
  bool BeginsAhead(size_t above) const;
  Step DropOffsetHint();
  Step DropTimeHint();
  bool HintNames(const record::BatchHeader& header) const;
  bool CheckTimeHint(const record::BatchHeader& header);

  void OpenInBackground(int64_t base_offset);
  static void NoteHeld(PartitionCore& partition, Pending& pending);
  Step ReadInBackground(uint64_t bytes);
  Step SearchBehindDamage(const std::string& cause);
  Result<Step> TakePending();
  Result<Step> TakeOpened(Pending& pending);
  Result<Step> TakeFound(Pending& pending);
  void MoveOverHole(int64_t to, const std::string& cause);
  Error Lose(int64_t to, const std::string& cause);
  // Where the offsets behind a segment begin.
  int64_t NextSegmentBase(int64_t base_offset) const;
  // Where the wanted record is among these, if anywhere; resets the search when it is found.
  bool FindWanted(RecordRange::Encoded* records);
  void ForgetSegment();
  void Restart();
  void AccountMemory();

  Context& context_;
  PartitionCore& partition_;
  int64_t position_;
  std::optional<int64_t> wanted_timestamp_ms_;  // a search by time that is not done yet
  Batch batch_;
  std::vector<LostRange> lost_;

  std::shared_ptr<OpenSegment> segment_;   // the one that is being read
  uint64_t compactions_ = 0;               // of the partition, when that was chosen
  std::optional<uint64_t> file_position_;  // of the next batch in it; nullopt: to be looked up
  OffsetChain chain_;                      // along the batches up to there
  std::string damage_;                     // met behind the last batch that was in order
  // Entries of its indexes by which the search came here, until the batches have borne them out.
  std::optional<size_t> offset_hint_;
  std::optional<size_t> time_hint_;
  bool is_ahead_ = false;     // the offset's entry may name a batch behind the one that is wanted
  int64_t search_begin_ = 0;  // the position at which it had begun
  uint64_t first_read_bytes_ = 0;  // what the search needs by the index; 0: not known
  std::vector<std::byte> buffer_;  // bytes of buffered_segment_ from buffer_begin_ on
  uint64_t buffer_begin_ = 0;
  // Not a shared_ptr: a reader that has gone elsewhere holds no file open.
  std::weak_ptr<OpenSegment> buffered_segment_;
  std::optional<Kept> kept_;
  std::vector<std::byte> decompressed_;
  std::vector<std::byte> tail_batch_;
  record::Compressor compressor_;
  std::shared_ptr<Pending> pending_;
  uint64_t accounted_bytes_ = 0;
};

}  // namespace tidemark::storage
