// A run: records of one partition that will become one batch. Encoded once, at its end, in the
// record format of batch v2; the journal and the segment take their bytes from here. No I/O.
//
// Positions in a run, in this order at all times:
//
//   0 <= durable_bytes <= submitted_bytes <= size
//
// What lies below `submitted` has been handed to a commit, what lies below `durable` is in a commit
// that is complete. Carrying a run forward hands it to a commit once more from 0; `durable` stays
// where it is.
//
// A run that goes around the journal is handed to no commit: it is packed as soon as it is closed,
// and becomes durable as a whole, with the checkpoint that knows of its batch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "record/batch.h"
#include "storage/journal_format.h"
#include "storage/seal_format.h"
#include "tidemark/record.h"

namespace tidemark::storage {

// A run is closed before it grows beyond this; a single larger record gets a run of its own. Large
// enough for zstd to find what readings have in common, small enough to be decompressed for a
// single record.
inline constexpr uint32_t kRunBytes = uint32_t{128} << 10;
// What who reads batches in order fetches at once: two full ones, and the header behind them, since
// of each batch the next one's header is looked at.
inline constexpr uint64_t kBatchReadBytes = 2 * (uint64_t{kRunBytes} + (uint64_t{4} << 10));

class Run {
 public:
  enum class State {
    open,     // takes records
    closed,   // waits to be packed
    packing,  // the worker reads it
    packed,   // its batch is written, not flushed
  };

  // `frame` fixes base offset, base timestamp, leader epoch and attributes.
  explicit Run(const RecordsFrameHeader& frame);

  // Whether a record can be appended here under these terms.
  bool Takes(const RecordsFrameHeader& frame, int64_t offset, size_t encoded_bytes) const;
  // Encodes a record whose encoding takes `encoded_bytes` (EncodedBytes()).
  void Append(const Record& record, int64_t offset, int64_t timestamp_ms, size_t encoded_bytes);
  // What was appended just now was so at these times.
  void NoteAppended(const AppendTimes& times);
  size_t EncodedBytes(const Record& record, int64_t offset, int64_t timestamp_ms) const;
  // Appends records that are encoded relative to this run already; `summary` is what a check of
  // them said.
  void AppendEncoded(base::ByteSpan records, const record::RecordsSummary& summary);

  // Cuts off what is not durable and returns it, still encoded relative to this run's base. Nothing
  // of it may have been handed to a commit.
  Run SplitBehindDurable();

  const RecordsFrameHeader& frame() const { return frame_; }
  int64_t base_offset() const { return frame_.base_offset; }
  int64_t next_offset() const { return next_offset_; }
  int64_t max_timestamp_ms() const { return max_timestamp_ms_; }
  // When its records were appended, on the engine clock; at the latest, where that is not known
  // exactly.
  const AppendTimes& appended() const { return appended_; }
  uint32_t size() const { return size_; }
  size_t memory_bytes() const;
  base::ByteSpan bytes(uint32_t from, uint32_t to) const { return {at(from), at(to)}; }
  // All of it behind the place for a batch's header: what is written there changes no record, so
  // that the worker may, while the core's thread reads them.
  std::span<std::byte> batch() { return {memory_.get(), at(size_)}; }
  // It will become full, as far as one can tell: so that it need not grow to that step by step.
  void ExpectFull() { Grow(kRunBytes); }
  // Nothing of it was handed to a commit, nor will be while it is with the worker or waits for it.
  bool flows_around() const { return around_journal && state_ != State::open; }
  bool packable() const {
    return state_ == State::closed && !in_flight && (fully_durable() || around_journal);
  }
  bool is_nearly_full() const { return size_ >= kRunBytes / 4 * 3; }

  uint32_t submitted_bytes() const { return submitted_bytes_; }
  int64_t submitted_end() const { return submitted_end_; }
  uint32_t durable_bytes() const { return durable_bytes_; }
  int64_t durable_end() const { return durable_end_; }
  bool fully_durable() const { return durable_bytes_ == size_; }

  void SetSubmitted() {
    submitted_bytes_ = size_;
    submitted_end_ = next_offset_;
  }
  // A commit that held [.., bytes) is complete; `from_start`: it held the run from 0, at
  // `sequence`.
  void SetDurable(uint32_t bytes, int64_t end_offset, uint64_t sequence, bool from_start);
  // The commit that holds this run's first record; 0: none is complete yet.
  uint64_t first_sequence() const { return first_sequence_; }

  State state() const { return state_; }
  void set_state(State state) { state_ = state; }
  // It changes no more, and no commit takes anything of it.
  bool with_worker() const { return state_ == State::packing || state_ == State::packed; }

  // Whether it goes around the journal (PartitionCore decides). Once it is closed the worker may
  // have it before it is durable.
  bool around_journal = false;

  // The committer's: this run is to be carried forward; a commit with a piece of it is in flight.
  bool carry_wanted = false;
  bool in_flight = false;

  // The batch header for the records from a position on, up to the durable end or all of them.
  record::BatchHeader HeaderFor(int64_t end_offset, int32_t record_count) const;
  // A place at or before a record, and how many records stand before it.
  struct Mark {
    int64_t offset = 0;
    uint32_t position = 0;
  };
  Mark MarkBefore(int64_t offset) const;

 private:
  std::byte* at(uint32_t position) const {
    return memory_.get() + record::kBatchHeaderBytes + position;
  }
  void Reserve(size_t more_bytes);
  void Grow(size_t capacity);
  void MarkIfDue();

  RecordsFrameHeader frame_;
  int64_t next_offset_;
  int64_t max_timestamp_ms_;
  AppendTimes appended_;
  bool appended_is_known_ = false;
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte[], Free> memory_;  // a batch's header, then the records
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
  uint32_t submitted_bytes_ = 0;
  uint32_t durable_bytes_ = 0;
  int64_t submitted_end_;
  int64_t durable_end_;
  uint64_t first_sequence_ = 0;
  State state_ = State::open;
  std::vector<Mark> marks_;  // every kMarkBytes or so
};

}  // namespace tidemark::storage
