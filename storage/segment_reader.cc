// Opening a segment for reading: its indexes as far as they are good, the rest from the batch
// headers.
#include <algorithm>

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

}  // namespace

Result<std::unique_ptr<OpenSegment>> OpenSegmentForReading(io::FileSystem& files,
                                                           const std::string& folder,
                                                           int64_t base_offset, SegmentEnd end) {
  auto segment = std::make_unique<OpenSegment>();
  segment->base_offset = base_offset;
  auto log = files.Open(SegmentPath(folder, base_offset, SegmentFile::log), {});
  if (!log) return log.error();
  segment->log = *std::move(log);
  const auto size = segment->log->Size();
  if (!size) return size.error();
  segment->log_bytes = std::min(*size, end.log_bytes.value_or(UINT64_MAX));
  segment->offset_limit = end.offset_limit;

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
