// Segments: files of record batches with their two indexes, in a partition's folder, as Kafka has
// them. All of this blocks and belongs to the background worker and to opening.
//
//   00000000000000000000.log, .index, .timeindex      20-digit base offset
//   00000000000000000000.seal                         of a finished one (storage/seal.h)
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index/offset_index.h"
#include "io/file_system.h"
#include "record/batch.h"
#include "storage/seal_format.h"
#include "tidemark/error.h"
#include "tidemark/options.h"

namespace tidemark::storage {

enum class SegmentFile { log, offset_index, time_index, seal };
// The log first: indexes without a log are debris, a log without indexes is a segment.
inline constexpr std::array kSegmentFiles = {SegmentFile::log, SegmentFile::offset_index,
                                             SegmentFile::time_index, SegmentFile::seal};

// "FOLDER/00000000000000000042.log"
std::string SegmentPath(const std::string& folder, int64_t base_offset, SegmentFile kind);
// The base offset of a "00000000000000000042.log" name; nullopt for any other name.
std::optional<int64_t> ParseLogName(std::string_view name);
// Base offsets of the .log files in `folder`, ascending. A missing folder has none.
Result<std::vector<int64_t>> ListSegments(io::FileSystem& files, const std::string& folder);
// The same of what List() has said of a folder.
std::vector<int64_t> SegmentsAmong(const std::vector<io::DirectoryEntry>& entries);

// Where an appended batch stands.
struct AppendedBatch {
  int64_t segment_base_offset = 0;
  uint64_t position = 0;
  record::BatchHeader header;
  bool new_segment = false;  // the first batch of a segment that was just made
};

struct WriterTerms {
  SegmentOwner owner;
  uint32_t index_interval_bytes = 0;
  bool indexes_flushed = true;        // of the segment that is resumed
  uint64_t index_bytes = UINT64_MAX;  // of an index file, at most
};

// Appends batches to a partition's active segment; rolls. Owned by one partition, used by one
// thread at a time. After an error, what stands behind flushed_bytes() is unknown: the writer must
// be thrown away and made anew from the flushed length (Resume).
class SegmentWriter {
 public:
  // `active_base_offset` -1: the partition has no segment yet. Otherwise goes on in that segment at
  // `flushed_bytes`; the files have been cut to that length by recovery. The indexes are read,
  // checked against the log and completed where they fall short (an index is a hint that can be
  // made anew). Unless `indexes_flushed`, what is right in them is written once more, too: after a
  // failed flush it may be seen, and not be on the device.
  static Result<std::unique_ptr<SegmentWriter>> Resume(io::FileSystem& files, std::string folder,
                                                       int64_t active_base_offset,
                                                       uint64_t flushed_bytes,
                                                       const WriterTerms& terms);

  // From now on: the index interval from the first batch of a segment on, the size of indexes at
  // once.
  void SetTerms(const WriterTerms& terms);

  // Appends one encoded batch whose header is `header`, and whose records were appended at `times`.
  // Rolls first when the segment would become larger than `segment_bytes` (a single batch may
  // exceed it), when one of its indexes is full, or when its offsets would not fit int32. Rolling
  // flushes the finished segment with its indexes, and seals it. Nothing is flushed otherwise.
  Result<AppendedBatch> Append(const record::BatchHeader& header, base::ByteSpan batch,
                               const AppendTimes& times, int64_t segment_bytes);

  // Finishes the active segment for good, flushes and seals it, and begins an empty one whose first
  // record will have `next_offset`; its files are flushed, too, so that they tell where the
  // partition goes on. `now_ms`: on the engine clock.
  Status Roll(int64_t next_offset, int64_t now_ms);
  // Lets the kernel begin to write what the active .log has got since the last such call, so that
  // Flush() will find less to do.
  void StartWriteback();
  // Flushes the active .log, and the folder if files are new there. The indexes get their new
  // entries, which are not flushed.
  Status Flush();
  // Writes the time index's final entry and flushes all three files: for a clean stop.
  Status Finish();

  int64_t active_base_offset() const;  // -1: none yet
  uint64_t log_bytes() const;          // written
  uint64_t flushed_bytes() const;      // of the active segment's .log
  // Bytes written to all files since the last call.
  uint64_t TakeBytesWritten();

 private:
  SegmentWriter(io::FileSystem& files, std::string folder, const WriterTerms& terms);
  // (the implementation's members)
  struct State;
  std::unique_ptr<State> state_;

 public:
  ~SegmentWriter();
};

// A segment opened for reading. `log_bytes` for a sealed segment is its file's size. Indexes are
// loaded and checked as far as that is possible without reading the log; what is missing at their
// end is searched in the log's batch headers.
struct OpenSegment {
  int64_t base_offset = 0;
  std::unique_ptr<io::File> log;
  uint64_t log_bytes = 0;
  index::OffsetIndex offsets;
  index::TimeIndex times;
  int64_t max_timestamp_ms =
      INT64_MIN;            // of all its batches; the greatest there is where damage hides some
  int64_t next_offset = 0;  // behind its last batch
  std::optional<int64_t> offset_limit;  // what follows `log_bytes` has no offset below
};
// Where a segment ends; nullopt: that is not known.
struct SegmentEnd {
  std::optional<uint64_t> log_bytes;    // that count (flushed, of an active segment)
  std::optional<int64_t> offset_limit;  // where the offsets of what follows begin
};
// Of a finished segment whose `owner` is given a seal that fits its files is believed: then nothing
// of the log is read.
Result<std::unique_ptr<OpenSegment>> OpenSegmentForReading(io::FileSystem& files,
                                                           const std::string& folder,
                                                           int64_t base_offset, SegmentEnd end,
                                                           std::optional<SegmentOwner> owner = {});

// Walks over the batch headers of [from_position, end): for each, `visit` (false: stop). Reads
// headers only. Stops with ok at the end; corrupt names the position where no batch stands, or one
// whose base offset is not to be believed.
struct BatchAt {
  uint64_t position = 0;
  record::BatchHeader header;
};
// What is known of the offsets in a range of a log from elsewhere.
struct OffsetBounds {
  std::optional<int64_t> begin;  // where the first batch belongs, at the earliest
  std::optional<int64_t> end;    // what follows the range has no offset below
};
Status WalkBatchHeaders(io::File& log, uint64_t from_position, uint64_t end_position,
                        const std::function<bool(const BatchAt&)>& visit, OffsetBounds bounds = {});

// The header at `position`; nullopt: none that can be decoded, or whose batch would fit, is there.
Result<std::optional<record::BatchHeader>> ReadBatchHeader(io::File& log, uint64_t position,
                                                           uint64_t end_position);

// The first intact batch (CRC and all) at or behind `from_position` whose base offset is at least
// `min_offset`, searched byte by byte. nullopt: none that begins before `before_position`.
Result<std::optional<BatchAt>> FindNextIntactBatch(io::File& log, uint64_t from_position,
                                                   uint64_t end_position, int64_t min_offset,
                                                   uint64_t before_position = UINT64_MAX);
// The same behind what stands at `position` and cannot be read, or be believed: with what a reader
// goes on. A whole batch there is passed over as a whole, since a record may hold a batch's bytes.
Result<std::optional<BatchAt>> FindBatchBehindDamage(io::File& log, uint64_t position,
                                                     uint64_t end_position, int64_t min_offset);

// How much of a segment's log is intact from its start (every CRC read): where its valid bytes end,
// and the offset behind its last batch. For a store whose checkpoints are lost.
struct IntactPrefix {
  uint64_t bytes = 0;
  int64_t next_offset = 0;
};
Result<IntactPrefix> MeasureIntactPrefix(io::FileSystem& files, const std::string& folder,
                                         int64_t base_offset);

// The offset behind the last intact batch that stands behind the prefix, which may be lost
// otherwise; that of the prefix where there is none.
Result<int64_t> EndBehindDamage(io::File& log, int64_t base_offset, const IntactPrefix& prefix,
                                uint64_t end_position);

// Removes indexes and seals without a log that are wholly below `log_start_offset`, or above
// `active_base_offset`, as a power cut leaves them of a segment that is being removed. (Of one that
// belongs to the log they tell that it is lost.) `entries`: the folder's. The directory is not
// flushed, and what cannot be removed stays.
void RemoveOrphans(io::FileSystem& files, const std::string& folder,
                   const std::vector<io::DirectoryEntry>& entries, int64_t log_start_offset,
                   int64_t active_base_offset);

// Cuts a segment to `log_bytes` and its indexes to what lies below, and flushes them also where
// they are short enough already; removes its seal. No log: error.
Status CutSegment(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                  uint64_t log_bytes);
// Makes the files of a segment those of an empty one: for one in whose log no byte counts. An index
// that is missing stays so where the disk has no room for it. Not flushed.
Status EmptySegment(io::FileSystem& files, const std::string& folder, int64_t base_offset);
// Flushes the files of a segment that are there, and the folder.
Status FlushSegment(io::FileSystem& files, const std::string& folder, int64_t base_offset);
// Removes a segment's files (the directory is not flushed).
Status RemoveSegment(io::FileSystem& files, const std::string& folder, int64_t base_offset);

}  // namespace tidemark::storage
