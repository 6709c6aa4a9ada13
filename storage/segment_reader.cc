// Opening a segment for reading: its indexes as far as they are good, the rest from the batch
// headers.
#include <algorithm>

#include "base/hash.h"
#include "storage/seal.h"
#include "storage/segment.h"
#include "storage/segment_index.h"

namespace tidemark::storage {
namespace {

// How densely the indexes are completed in memory. The file's own interval is not known here, nor
// does it matter: nothing of this is written.
constexpr auto kIntervalBytes = static_cast<uint32_t>(TopicConfig{}.index_interval_bytes);

// Walks from where the indexes end to the log's end, or to the first bytes that are no batch.
Status Complete(OpenSegment* segment, IndexResumption resumption, SegmentIndexes* indexes) {
  const auto visit = [&](const BatchAt& batch) {
    AddToIndexes(batch, &resumption, indexes);
    segment->max_timestamp_ms = std::max(segment->max_timestamp_ms, batch.header.max_timestamp_ms);
    return true;
  };
  const OffsetBounds bounds{resumption.next_offset, segment->offset_limit};
  Status walked =
      WalkBatchHeaders(*segment->log, resumption.position, segment->log_bytes, visit, bounds);
  if (!walked.ok()) {
    if (walked.error().code() != ErrorCode::corrupt) return walked;
    segment->max_timestamp_ms = INT64_MAX;
  }
  segment->next_offset = resumption.next_offset;
  return {};
}

// An index file's bytes, if they are those that were sealed.
std::optional<std::vector<std::byte>> ReadSealed(io::FileSystem& files, const std::string& path,
                                                 const FileSum& sum) {
  auto bytes = ReadIndexFile(files, path, sum.bytes + 1);
  if (!bytes || bytes->size() != sum.bytes || base::Xxh3(*bytes) != sum.checksum)
    return std::nullopt;
  return *std::move(bytes);
}

// What a seal says of the log and the indexes makes a walk over the log needless. False: there is
// none that fits the files, and `segment` is as it was.
bool OpenBySeal(io::FileSystem& files, const std::string& folder, const SegmentOwner& owner,
                OpenSegment* segment) {
  const auto seal = ReadSeal(files, folder, segment->base_offset);
  if (!seal || seal->owner != owner || seal->log_bytes != segment->log_bytes ||
      seal->end_offset > segment->offset_limit.value_or(INT64_MAX))
    return false;
  const auto path = [&](SegmentFile kind) {
    return SegmentPath(folder, segment->base_offset, kind);
  };
  const auto offset_file = ReadSealed(files, path(SegmentFile::offset_index), seal->offset_index);
  const auto time_file = ReadSealed(files, path(SegmentFile::time_index), seal->time_index);
  if (!offset_file || !time_file) return false;
  index::OffsetIndex offsets;
  index::TimeIndex times;
  const auto last_relative_offset =
      static_cast<int32_t>(seal->end_offset - 1 - segment->base_offset);
  if (offsets.Load(*offset_file, segment->log_bytes) != offset_file->size() ||
      times.Load(*time_file, last_relative_offset) != time_file->size())
    return false;
  segment->offsets = std::move(offsets);
  segment->times = std::move(times);
  segment->max_timestamp_ms = seal->max_timestamp_ms;
  segment->next_offset = seal->end_offset;
  return true;
}

}  // namespace

Result<std::unique_ptr<OpenSegment>> OpenSegmentForReading(io::FileSystem& files,
                                                           const std::string& folder,
                                                           int64_t base_offset, SegmentEnd end,
                                                           std::optional<SegmentOwner> owner) {
  auto segment = std::make_unique<OpenSegment>();
  segment->base_offset = base_offset;
  auto log = files.Open(SegmentPath(folder, base_offset, SegmentFile::log), {});
  if (!log) return log.error();
  segment->log = *std::move(log);
  const auto size = segment->log->Size();
  if (!size) return size.error();
  segment->log_bytes = std::min(*size, end.log_bytes.value_or(UINT64_MAX));
  segment->offset_limit = end.offset_limit;
  const bool finished = !end.log_bytes;
  if (finished && owner && OpenBySeal(files, folder, *owner, segment.get())) return segment;

  auto indexes = LoadIndexes(files, folder, base_offset, *segment->log, segment->log_bytes);
  if (!indexes) return indexes.error();
  const auto resumption = ResumeBehindProvenEntry(*segment->log, base_offset, segment->log_bytes,
                                                  kIntervalBytes, &*indexes);
  if (!resumption) return resumption.error();
  const Status completed = Complete(segment.get(), *resumption, &*indexes);
  if (!completed.ok()) return completed.error();

  const int64_t last_relative_offset = segment->next_offset - 1 - base_offset;
  indexes->times.TruncateToOffset(
      static_cast<int32_t>(std::clamp<int64_t>(last_relative_offset, -1, INT32_MAX)));
  if (!indexes->times.entries().empty()) {
    segment->max_timestamp_ms =
        std::max(segment->max_timestamp_ms, indexes->times.entries().back().timestamp_ms);
  }
  segment->offsets = std::move(indexes->offsets);
  segment->times = std::move(indexes->times);
  return segment;
}

}  // namespace tidemark::storage
