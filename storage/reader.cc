#include "storage/reader.h"

#include <algorithm>

#include "storage/reader_pending.h"

namespace tidemark::storage {
namespace {

RecordRange::Encoded EncodedOf(const record::BatchHeader& header, base::ByteSpan records) {
  record::OpenedBatch opened;
  opened.header = header;
  opened.records = records;
  return opened.encoded();
}

}  // namespace

ReaderCore::ReaderCore(Context& context, PartitionCore& partition, int64_t offset)
    : context_(context), partition_(partition), position_(offset) {}

ReaderCore::~ReaderCore() { context_.reader_memory_bytes -= accounted_bytes_; }

Status ReaderCore::Seek(int64_t offset) {
  if (offset < partition_.log_start_offset() || offset > partition_.end_offset()) {
    return Error(ErrorCode::offset_out_of_range,
                 "offset " + std::to_string(offset) + " is outside " +
                     std::to_string(partition_.log_start_offset()) + " to " +
                     std::to_string(partition_.end_offset()));
  }
  Restart();
  position_ = offset;
  return {};
}

Status ReaderCore::SeekToTimestamp(int64_t timestamp_ms) {
  Restart();
  position_ = partition_.log_start_offset();
  wanted_timestamp_ms_ = timestamp_ms;
  return {};
}

void ReaderCore::Restart() {
  wanted_timestamp_ms_.reset();
  ForgetSegment();
  pending_.reset();
  batch_ = {};
}

void ReaderCore::ForgetSegment() {
  segment_.reset();
  file_position_.reset();
  offset_hint_.reset();
  time_hint_.reset();
  damage_.clear();
}

Result<ReadState> ReaderCore::Next() {
  batch_ = {};
  while (true) {
    auto step = TakeStep();
    AccountMemory();
    if (!step) return step.error();
    switch (*step) {
      case Step::again:
        break;
      case Step::batch:
        return ReadState::batch;
      case Step::pending:
        return ReadState::pending;
      case Step::at_end:
        return ReadState::at_end;
    }
  }
}

Result<ReaderCore::Step> ReaderCore::TakeStep() {
  if (partition_.deleted) return Error(ErrorCode::unknown_topic, "the topic was deleted");
  if (pending_) return TakePending();
  if (position_ < partition_.log_start_offset() && wanted_timestamp_ms_) {
    ForgetSegment();  // what a search was passing over is given up
    position_ = partition_.log_start_offset();
  }
  if (position_ < partition_.log_start_offset()) {
    return Error(ErrorCode::offset_out_of_range, "offset " + std::to_string(position_) +
                                                     " is below the log start offset " +
                                                     std::to_string(partition_.log_start_offset()));
  }
  if (position_ >= partition_.durable_end_offset()) {
    wanted_timestamp_ms_.reset();
    return Step::at_end;
  }
  if (position_ >= partition_.tail_start_offset()) return StepInTail();
  return StepInSegment();
}

// --- The tail ---

ReaderCore::Step ReaderCore::StepInTail() {
  ForgetSegment();
  const Run* run = partition_.FindRun(position_);
  const int64_t durable_end = partition_.durable_end_offset();
  if (run == nullptr || run->base_offset() >= durable_end) {
    MoveOverHole(durable_end, "lost by damage to the journal");
    return Step::again;
  }
  if (run->base_offset() > position_)
    MoveOverHole(run->base_offset(), "lost by damage to the journal");
  if (wanted_timestamp_ms_ && run->max_timestamp_ms() < *wanted_timestamp_ms_) {
    position_ = std::min(run->next_offset(), durable_end);
    return Step::again;
  }
  // A copy, so that the run may be packed and dropped while the caller looks at it.
  const Run::Mark mark = run->MarkBefore(position_);
  const auto count = static_cast<int32_t>(run->durable_end() - mark.offset);
  tail_batch_.clear();
  auto header = record::AppendBatch(run->HeaderFor(run->durable_end(), count),
                                    run->bytes(mark.position, run->durable_bytes()),
                                    record::Codec::none, 0, &compressor_, &tail_batch_);
  if (!header) return Step::at_end;  // (appending without compression cannot fail)
  const base::ByteSpan bytes(tail_batch_);
  RecordRange::Encoded records = EncodedOf(*header, bytes.subspan(record::kBatchHeaderBytes));
  records.first_offset = position_;
  records.end_offset = run->durable_end();
  if (!FindWanted(&records)) {
    position_ = run->durable_end();
    return Step::again;
  }
  batch_.records = RecordRange(records);
  batch_.encoded = base::AsText(bytes);
  batch_.record_count = count;
  batch_.next_offset = run->durable_end();
  position_ = batch_.next_offset;
  return Step::batch;
}

bool ReaderCore::FindWanted(RecordRange::Encoded* records) {
  if (!wanted_timestamp_ms_) return true;
  for (const RecordView& record : RecordRange(*records)) {
    if (record.timestamp_ms < *wanted_timestamp_ms_) continue;
    records->first_offset = record.offset;
    wanted_timestamp_ms_.reset();
    return true;
  }
  return false;
}

// A hole that is known already. A search by time comes over those of a whole log, and is silent.
void ReaderCore::MoveOverHole(int64_t to, const std::string& cause) {
  if (to <= position_) return;
  if (!wanted_timestamp_ms_) lost_.push_back({position_, to, cause});
  position_ = to;
}

// Damage that was met just now. A search is told, too: what it wants may have been there.
Error ReaderCore::Lose(int64_t to, const std::string& cause) {
  const int64_t first = std::exchange(position_, to);
  lost_.push_back({first, to, cause});
  return Error(ErrorCode::corrupt, cause + "; offsets " + std::to_string(first) + " to " +
                                       std::to_string(to - 1) + " are lost");
}

void ReaderCore::AccountMemory() {
  uint64_t bytes = buffer_.capacity() + decompressed_.capacity() + tail_batch_.capacity();
  if (pending_) bytes += pending_->buffer.capacity();
  context_.reader_memory_bytes += bytes - accounted_bytes_;
  accounted_bytes_ = bytes;
}

}  // namespace tidemark::storage
