#include "storage/import_partition.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "storage/cleaned_segment.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kSurveyBytes = uint64_t{1} << 20;
// Not more than this waits for a flush.
constexpr uint64_t kImportFlushBytes = uint64_t{8} << 20;
// A gap is no longer than this in a log that Kafka has written, by far: a million records a second
// for twelve days. What names a higher offset is not of that log.
constexpr int64_t kMostFreeOffsets = int64_t{1} << 40;

}  // namespace

PartitionImport::PartitionImport(io::FileSystem& files, SourcePartition source, std::string folder,
                                 const TopicDescription& topic, int32_t partition,
                                 int64_t engine_clock_ms)
    : files_(files),
      source_(std::move(source)),
      folder_(std::move(folder)),
      config_(topic.config),
      engine_clock_ms_(engine_clock_ms),
      next_offset_(source_.log_start_offset) {
  imported_.topic = topic.name;
  imported_.partition = partition;
  entry_.topic_id = topic.id;
  entry_.partition = partition;
}

Status PartitionImport::Run() {
  const auto bases = ListSegments(files_, source_.folder);
  if (!bases) return bases.error();
  WriterTerms terms;
  terms.owner = {entry_.topic_id, entry_.partition};
  terms.index_interval_bytes = static_cast<uint32_t>(config_.index_interval_bytes);
  terms.index_bytes = static_cast<uint64_t>(config_.segment_index_bytes);
  auto writer = SegmentWriter::Resume(files_, folder_, -1, 0, terms);
  if (!writer) return writer.error();
  writer_ = *std::move(writer);
  if (!next_offset_ && !bases->empty()) next_offset_ = bases->front();
  if (!next_offset_) next_offset_ = kFirstLogStart;
  entry_.log_start_offset = *next_offset_;

  for (size_t i = 0; i < bases->size(); ++i) {
    const bool last = i + 1 == bases->size();
    const auto limit = last ? std::nullopt : std::optional((*bases)[i + 1]);
    if (limit && *limit <= entry_.log_start_offset) continue;  // given up, and not removed yet
    if (Status copied = CopySegment((*bases)[i], limit); !copied.ok()) return copied;
  }
  // An empty last segment keeps the end of a log of which all else was given up.
  if (!bases->empty() && bases->back() > *next_offset_) {
    if (Status filled = FillHole(bases->back()); !filled.ok()) return filled;
  }
  if (Status finished = writer_->Finish(); !finished.ok()) return finished;
  entry_.durable_end_offset = entry_.packed_end_offset = *next_offset_;
  entry_.active_base_offset = writer_->active_base_offset();
  entry_.active_flushed_bytes = writer_->flushed_bytes();
  imported_.log_start_offset = entry_.log_start_offset;
  imported_.end_offset = *next_offset_;
  return {};
}

Status PartitionImport::CopySegment(int64_t base_offset, std::optional<int64_t> offset_limit) {
  const std::string path = SegmentPath(source_.folder, base_offset, SegmentFile::log);
  auto log = files_.Open(path, {});
  if (!log) return log.error();
  SegmentSurveyor surveyor(files_, source_.folder, base_offset, {std::nullopt, offset_limit},
                           {.deep = true});
  damage_seen_ = 0;
  Status copied;
  const auto copy = [&](const SurveyedBatch& batch) {
    const size_t damage = surveyor.survey().damage.size();
    // What was damaged before it stays a gap, which readers are told of.
    const bool behind_damage = std::exchange(damage_seen_, damage) != damage;
    if (copied.ok() && !behind_damage) copied = FillHole(batch.base_offset);
    if (copied.ok()) copied = CopyBatch(**log, batch);
  };
  while (!surveyor.done() && copied.ok()) surveyor.Step(kSurveyBytes, copy);
  if (!copied.ok()) return copied;
  if (surveyor.survey().unreadable) return *surveyor.survey().unreadable;
  NoteLosses(path, surveyor.survey(), offset_limit);
  const bool ends_in_damage =
      !surveyor.survey().damage.empty() && !surveyor.survey().damage.back().end_offset;
  if (!offset_limit) return {};
  if (!ends_in_damage) return FillHole(*offset_limit);
  next_offset_ = std::max(*next_offset_, *offset_limit);
  return {};
}

Status PartitionImport::CopyBatch(io::File& log, const SurveyedBatch& batch) {
  if (batch.last_offset < entry_.log_start_offset) return {};
  batch_.resize(batch.bytes);
  const auto read = log.ReadAt(batch.position, batch_);
  if (!read) return read.error();
  auto header = record::CheckBatch(base::ByteSpan(batch_).first(*read));
  if (!header) return Error(ErrorCode::io_error, log.path() + ": it changes while it is read");
  header->leader_epoch = 0;  // which the checksum does not cover
  record::EncodeBatchHeader(*header, batch_.data());
  ++imported_.batches;
  imported_.records += static_cast<uint64_t>(header->record_count);
  return Append(*header);
}

// Offsets that hold nothing up to this one, if it is further than what was copied.
Status PartitionImport::FillHole(int64_t end_offset) {
  if (end_offset - *next_offset_ > kMostFreeOffsets) {
    return Error(ErrorCode::invalid_argument,
                 source_.folder + ": nothing stands at the offsets " +
                     std::to_string(*next_offset_) + " to " + std::to_string(end_offset) +
                     ", more than a log can have freed: move away what begins behind them");
  }
  while (*next_offset_ < end_offset) {
    constexpr int64_t kMostOffsets = std::numeric_limits<int32_t>::max();
    const int64_t end = std::min(end_offset, *next_offset_ + kMostOffsets);
    batch_.clear();
    const auto header = EncodeHole(*next_offset_, end, &batch_);
    if (!header) return header.error();
    if (Status appended = Append(*header); !appended.ok()) return appended;
  }
  return {};
}

Status PartitionImport::Append(const record::BatchHeader& header) {
  const auto appended =
      writer_->Append(header, batch_, {engine_clock_ms_, engine_clock_ms_}, config_.segment_bytes);
  if (!appended) return appended.error();
  next_offset_ = header.next_offset();
  imported_.bytes += batch_.size();
  unflushed_bytes_ += batch_.size();
  if (unflushed_bytes_ < kImportFlushBytes) return {};
  unflushed_bytes_ = 0;
  return writer_->Flush();
}

// What reaches to a segment's end ends where the next one begins.
void PartitionImport::NoteLosses(const std::string& path, const SegmentSurvey& survey,
                                 std::optional<int64_t> offset_limit) {
  for (const SegmentSurvey::Damage& damage : survey.damage) {
    const int64_t first = std::max(damage.first_offset, entry_.log_start_offset);
    const auto end = damage.end_offset ? damage.end_offset : offset_limit;
    if (end && *end <= first) continue;
    imported_.losses.push_back({path, damage.begin, damage.what, first, end});
  }
}

}  // namespace tidemark::storage
