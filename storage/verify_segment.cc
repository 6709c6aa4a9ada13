// Reading one segment's log whole, at the disk's speed or piece by piece.
#include "storage/verify_segment.h"

#include <algorithm>
#include <utility>

#include "base/crc32c.h"

namespace tidemark::storage {

Result<std::unique_ptr<io::File>> OpenToCheck(io::FileSystem& files, const std::string& path,
                                              bool direct) {
  if (direct) {
    auto file = files.Open(path, {.direct = true});
    if (file || file.error().code() != ErrorCode::unsupported) return file;
  }
  return files.Open(path, {});
}

SegmentSurveyor::SegmentSurveyor(io::FileSystem& files, const std::string& folder,
                                 int64_t base_offset, SegmentEnd end, SurveyOptions options)
    : base_offset_(base_offset), end_(end), options_(std::move(options)), chain_(base_offset) {
  survey_.next_offset = base_offset;
  if (options_.digest) digest_.emplace();
  std::string path = options_.log_path;
  if (path.empty()) path = SegmentPath(folder, base_offset, SegmentFile::log);
  auto log = OpenToCheck(files, path, options_.direct);
  if (!log) {
    GiveUp(log.error());
    return;
  }
  log_ = *std::move(log);
  auto reader = BlockReader::Open(*log_, options_.window_bytes);
  if (!reader) {
    GiveUp(reader.error());
    return;
  }
  reader_ = *std::move(reader);
  survey_.log_bytes = std::min(reader_->file_bytes(), end_.log_bytes.value_or(UINT64_MAX));
}

void SegmentSurveyor::GiveUp(const Error& error) {
  survey_.unreadable = error;
  digest_.reset();
  state_ = State::done;
}

uint64_t SegmentSurveyor::Step(uint64_t most_bytes,
                               const std::function<void(const SurveyedBatch&)>& visit) {
  uint64_t bytes = 0;
  while (bytes < most_bytes && !done()) {
    switch (state_) {
      case State::header:
        bytes += TakeHeader();
        break;
      case State::batch:
        bytes += ReadPiece(most_bytes - bytes);
        if (crc_position_ < position_ + header_.total_bytes()) break;
        if (const auto batch = TakeBatch()) visit(*batch);
        break;
      case State::search:
        bytes += Search(most_bytes - bytes);
        break;
      case State::done:
        break;
    }
  }
  return bytes;
}

// What the CRC does not cover.
uint64_t SegmentSurveyor::TakeHeader() {
  if (position_ >= survey_.log_bytes) {
    state_ = State::done;
    return 0;
  }
  const uint64_t left = survey_.log_bytes - position_;
  if (left < record::kBatchHeaderBytes) {
    BeginSearch("the file ends within a batch's header", position_ + 1);
    return 0;
  }
  const auto header =
      record::DecodeBatchHeader(reader_->Read(position_, record::kBatchHeaderBytes));
  if (!header || header->total_bytes() > left) {
    BeginSearch(header ? "the batch does not fit into the file" : header.error().message(),
                position_ + 1);
    return 0;
  }
  header_ = *header;
  crc_position_ = position_ + record::kCrcCoversFrom;
  crc_ = 0;
  if (digest_) digest_->AddBytes(reader_->Read(position_, record::kCrcCoversFrom));
  state_ = State::batch;
  return record::kCrcCoversFrom;
}

// A piece ends where the reader's window does, so that nothing is read twice.
uint64_t SegmentSurveyor::ReadPiece(uint64_t most_bytes) {
  const uint64_t loaded = reader_->LoadedFrom(crc_position_);
  const uint64_t piece = std::min({most_bytes, loaded > 0 ? loaded : options_.window_bytes / 2,
                                   position_ + header_.total_bytes() - crc_position_});
  const base::ByteSpan bytes = reader_->Read(crc_position_, piece);
  crc_ = base::Crc32c(bytes, crc_);
  if (digest_) digest_->AddBytes(bytes);
  crc_position_ += piece;
  return piece;
}

// What is wrong with the batch whose CRC was computed; nullopt: nothing. A whole batch is passed
// over as a whole, since a record may hold a batch's bytes.
std::optional<std::string> SegmentSurveyor::FaultOfBatch(uint64_t* search_from) {
  *search_from = position_ + 1;
  if (const Status intact = record::CheckCrc(header_, crc_); !intact.ok())
    return intact.error().message();
  *search_from = position_ + header_.total_bytes();
  if (options_.deep) {
    const auto opened =
        record::OpenCheckedBatch(header_, reader_->Read(position_, header_.total_bytes()),
                                 record::kMaxDecompressedBatchBytes, &compressor_, &decompressed_);
    if (!opened && opened.error().code() == ErrorCode::corrupt) return opened.error().message();
  }
  const int64_t limit = end_.offset_limit.value_or(INT64_MAX);
  const bool in_order = header_.base_offset >= base_offset_ && header_.next_offset() <= limit &&
                        chain_.Believes(header_, FollowerAt(position_ + header_.total_bytes()));
  if (in_order) return std::nullopt;
  chain_.Reject(header_, limit);
  return "the batch's base offset " + std::to_string(header_.base_offset) +
         " contradicts what is around it";
}

std::optional<SurveyedBatch> SegmentSurveyor::TakeBatch() {
  uint64_t search_from = 0;
  if (auto fault = FaultOfBatch(&search_from)) {
    BeginSearch(*std::move(fault), search_from);
    return std::nullopt;
  }
  chain_.Take(header_);
  if (digest_) digest_->AddBatch(header_);
  if (!survey_.damage.empty() && !survey_.damage.back().end_offset)
    survey_.damage.back().end_offset = header_.base_offset;
  ++survey_.batch_count;
  survey_.records += static_cast<uint64_t>(header_.record_count);
  survey_.next_offset = header_.next_offset();
  const SurveyedBatch batch{position_, header_.total_bytes(), header_.base_offset,
                            header_.last_offset(), header_.max_timestamp_ms};
  position_ += batch.bytes;
  state_ = State::header;
  return batch;
}

std::optional<int64_t> SegmentSurveyor::FollowerAt(uint64_t position) {
  if (position >= survey_.log_bytes) return end_.offset_limit;
  if (survey_.log_bytes - position < record::kBatchHeaderBytes) return std::nullopt;
  const auto next = record::DecodeBatchHeader(reader_->Read(position, record::kBatchHeaderBytes));
  return next ? std::optional(next->base_offset) : std::nullopt;
}

void SegmentSurveyor::BeginSearch(std::string why, uint64_t from) {
  if (reader_->last_error()) return GiveUp(*reader_->last_error());
  digest_.reset();
  damage_ = std::move(why);
  search_position_ = from;
  state_ = State::search;
}

uint64_t SegmentSurveyor::Search(uint64_t most_bytes) {
  const uint64_t until = search_position_ + most_bytes;
  const int64_t min_offset = survey_.next_offset + 1;  // what is damaged had one at least
  const auto found =
      FindNextIntactBatch(*log_, search_position_, survey_.log_bytes, min_offset, until);
  const uint64_t begin = std::exchange(search_position_, until);
  if (!found) {
    GiveUp(found.error());
  } else if (*found) {
    EndSearch((*found)->position);
    return position_ > begin ? position_ - begin : 0;
  } else if (until >= survey_.log_bytes) {
    EndSearch(survey_.log_bytes);
  }
  return most_bytes;
}

// What was found behind damage need not count either: then both are one.
void SegmentSurveyor::EndSearch(uint64_t position) {
  chain_.SkipDamage();
  if (!survey_.damage.empty() && !survey_.damage.back().end_offset) {
    survey_.damage.back().end = position;
  } else {
    survey_.damage.push_back(
        {position_, position, std::move(damage_), survey_.next_offset, std::nullopt});
  }
  position_ = position;
  state_ = State::header;
}

SegmentSurvey SurveySegment(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                            SegmentEnd end, std::optional<LogDigest>* digest) {
  std::vector<SurveyedBatch> batches;
  SegmentSurveyor surveyor(files, folder, base_offset, end, {.digest = true});
  while (!surveyor.done()) {
    surveyor.Step(BlockReader::kWindowBytes,
                  [&](const SurveyedBatch& batch) { batches.push_back(batch); });
  }
  SegmentSurvey survey = surveyor.survey();
  *digest = surveyor.TakeDigest();
  survey.batches = std::move(batches);
  return survey;
}

SegmentEnd EndBy(const CheckpointEntry& entry, const std::vector<int64_t>& bases, size_t which) {
  SegmentEnd end;
  end.offset_limit = entry.packed_end_offset;
  if (bases[which] == entry.active_base_offset) {
    end.log_bytes = entry.active_flushed_bytes;
  } else if (which + 1 < bases.size()) {
    end.offset_limit = std::min(bases[which + 1], entry.packed_end_offset);
  }
  return end;
}

}  // namespace tidemark::storage
