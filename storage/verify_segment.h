// Between verify*.cc, repair*.cc and the scrub: one segment's log, read whole.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/file_system.h"
#include "record/batch.h"
#include "storage/block_reader.h"
#include "storage/journal_format.h"
#include "storage/log_digest.h"
#include "storage/offset_chain.h"
#include "storage/segment.h"

namespace tidemark::storage {

// A batch that is intact, and at its own offsets.
struct SurveyedBatch {
  uint64_t position = 0;
  uint64_t bytes = 0;
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int64_t max_timestamp_ms = 0;
};

// What stands in a .log.
struct SegmentSurvey {
  struct Damage {
    uint64_t begin = 0;  // in the file
    uint64_t end = 0;
    std::string what;
    // The offsets that belong there: from the end of the batch before to the next one that counts,
    // or (nullopt) to whatever follows the segment.
    int64_t first_offset = 0;
    std::optional<int64_t> end_offset;
  };
  std::vector<SurveyedBatch> batches;  // only by SurveySegment()
  std::vector<Damage> damage;
  std::optional<Error> unreadable;
  uint64_t log_bytes = 0;
  uint64_t batch_count = 0;
  uint64_t records = 0;
  int64_t next_offset = 0;  // behind the last batch that counts; the base offset without any
};

struct SurveyOptions {
  bool deep = false;    // decode every record, too: takes the memory of a batch
  bool digest = false;  // gather what a seal says
  // Past the page cache, where that is possible: what stands on the device is looked at, and what
  // readers have in the cache stays there.
  bool direct = false;
  uint64_t window_bytes = BlockReader::kWindowBytes;
  std::string log_path = {};  // empty: where the segment's log has its place
};

// Opened past the page cache if `direct`, and that is not refused.
Result<std::unique_ptr<io::File>> OpenToCheck(io::FileSystem& files, const std::string& path,
                                              bool direct);

// Reads a log batch by batch, in steps; the memory it takes does not depend on what it finds, but
// for the list of what is damaged.
class SegmentSurveyor {
 public:
  SegmentSurveyor(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                  SegmentEnd end, SurveyOptions options);

  // Reads on, `most_bytes` or a little more; `visit` is called for each batch that counts. Returns
  // how many it was.
  uint64_t Step(uint64_t most_bytes, const std::function<void(const SurveyedBatch&)>& visit);
  bool done() const { return state_ == State::done; }
  const SegmentSurvey& survey() const { return survey_; }
  // Once it is done, if it was asked for; nullopt where something is damaged or unreadable.
  std::optional<LogDigest> TakeDigest() { return std::exchange(digest_, std::nullopt); }

 private:
  enum class State { header, batch, search, done };
  uint64_t TakeHeader();
  uint64_t ReadPiece(uint64_t most_bytes);
  std::optional<SurveyedBatch> TakeBatch();
  std::optional<std::string> FaultOfBatch(uint64_t* search_from);
  std::optional<int64_t> FollowerAt(uint64_t position);
  void BeginSearch(std::string why, uint64_t from);
  uint64_t Search(uint64_t most_bytes);
  void EndSearch(uint64_t position);
  void GiveUp(const Error& error);

  int64_t base_offset_;
  SegmentEnd end_;
  SurveyOptions options_;
  std::unique_ptr<io::File> log_;
  std::optional<BlockReader> reader_;
  OffsetChain chain_;
  State state_ = State::header;
  uint64_t position_ = 0;  // of the batch, or of what is damaged
  // The batch whose CRC is being computed.
  record::BatchHeader header_;
  uint64_t crc_position_ = 0;
  uint32_t crc_ = 0;
  // The next intact one is searched.
  uint64_t search_position_ = 0;
  std::string damage_;
  record::Compressor compressor_;
  std::vector<std::byte> decompressed_;
  std::optional<LogDigest> digest_;
  SegmentSurvey survey_;
};

// The whole of it at once, with its batches; `digest` gets what a seal says of it, if nothing in it
// is damaged.
SegmentSurvey SurveySegment(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                            SegmentEnd end, std::optional<LogDigest>* digest);

// Where the segment bases[which] ends by a checkpoint that knows it.
SegmentEnd EndBy(const CheckpointEntry& entry, const std::vector<int64_t>& bases, size_t which);

}  // namespace tidemark::storage
