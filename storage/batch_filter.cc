#include "storage/batch_filter.h"

#include <algorithm>

#include "base/check.h"
#include "base/varint.h"

namespace tidemark::storage {
namespace {

// Compaction does not look into these.
bool IsKeptWhole(const record::BatchHeader& header) {
  return header.control() || header.transactional();
}

bool IsTombstone(const RecordView& record) { return record.key && !record.value; }

}  // namespace

struct BatchFilter::Choice {
  uint64_t kept = 0;
  bool has_tombstones = false;       // among what is kept
  bool tombstones_are_clean = true;  // all of these lie below the end
  int64_t max_timestamp_ms = INT64_MIN;
};

BatchFilter::Choice BatchFilter::Choose(const record::OpenedBatch& batch,
                                        const FilterTerms& terms) {
  Choice choice;
  keeps_.clear();
  const bool expired = terms.tombstones_age && batch.header.has_delete_horizon() &&
                       terms.now_ms >= batch.header.base_timestamp_ms;
  for (const RecordView& record : RecordRange(batch.encoded())) {
    const bool in_question = record.key && record.offset < terms.end_offset;
    const bool goes = in_question && ((expired && IsTombstone(record)) ||
                                      terms.superseded(*record.key, record.offset));
    keeps_.push_back(!goes);
    if (goes) continue;
    ++choice.kept;
    choice.max_timestamp_ms = std::max(choice.max_timestamp_ms, record.timestamp_ms);
    if (!IsTombstone(record)) continue;
    choice.has_tombstones = true;
    choice.tombstones_are_clean = choice.tombstones_are_clean && in_question;
  }
  return choice;
}

// As they stand: offsets and timestamps count from the same bases as before.
void BatchFilter::CopyKept(const record::OpenedBatch& batch) {
  const std::byte* at = batch.records.data();
  const std::byte* const end = at + batch.records.size();
  for (const bool keep : keeps_) {
    int32_t body_bytes = 0;
    const std::byte* const body = base::GetVarint(at, end, &body_bytes);
    TIDEMARK_CHECK(body != nullptr && body_bytes >= 0 && body_bytes <= end - body);
    const std::byte* const next = body + body_bytes;
    if (keep) kept_.insert(kept_.end(), at, next);
    at = next;
  }
}

// Timestamps count from another base.
void BatchFilter::EncodeKept(const record::OpenedBatch& batch, int64_t base_timestamp_ms) {
  std::vector<Header> headers;
  auto keep = keeps_.begin();
  for (const RecordView& view : RecordRange(batch.encoded())) {
    if (!*keep++) continue;
    headers.assign(view.headers.begin(), view.headers.end());
    const Record record{view.key, view.value, view.timestamp_ms, headers};
    const int64_t timestamp_delta = record::TimestampDelta(view.timestamp_ms, base_timestamp_ms);
    const auto offset_delta = static_cast<int32_t>(view.offset - batch.header.base_offset);
    const size_t bytes = record::EncodedRecordBytes(record, timestamp_delta, offset_delta);
    kept_.resize(kept_.size() + bytes);
    record::EncodeRecord(kept_.data() + kept_.size() - bytes, record, timestamp_delta, offset_delta,
                         bytes);
  }
}

Result<FilteredBatch> BatchFilter::Filter(const record::BatchHeader& header, base::ByteSpan batch,
                                          const FilterTerms& terms, int zstd_level,
                                          std::vector<std::byte>* output) {
  FilteredBatch filtered;
  filtered.header = header;
  if (IsKeptWhole(header)) return filtered;
  const bool of_producer = header.producer_id >= 0;
  if (header.record_count == 0) {
    if (!of_producer) filtered.kind = FilteredBatch::Kind::gone;
    return filtered;
  }
  const auto opened = record::OpenCheckedBatch(header, batch, record::kMaxDecompressedBatchBytes,
                                               &compressor_, &decompressed_);
  if (!opened) return opened.error();
  const Choice choice = Choose(*opened, terms);
  filtered.removed = static_cast<uint64_t>(header.record_count) - choice.kept;
  const bool sets_horizon = choice.has_tombstones && choice.tombstones_are_clean &&
                            terms.tombstones_age && !header.has_delete_horizon();
  if (choice.has_tombstones && choice.tombstones_are_clean && header.has_delete_horizon())
    filtered.delete_horizon_ms = header.base_timestamp_ms;
  if (filtered.removed == 0 && !sets_horizon) return filtered;
  if (choice.kept == 0 && !of_producer) {
    filtered.kind = FilteredBatch::Kind::gone;
    return filtered;
  }

  kept_.clear();
  record::BatchHeader& left = filtered.header;
  left.record_count = static_cast<int32_t>(choice.kept);
  if (choice.kept > 0 && !header.log_append_time()) left.max_timestamp_ms = choice.max_timestamp_ms;
  if (sets_horizon) {
    left.base_timestamp_ms = terms.now_ms + terms.delete_retention_ms;
    left.attributes = static_cast<int16_t>(left.attributes | record::kDeleteHorizonBit);
    filtered.delete_horizon_ms = left.base_timestamp_ms;
    EncodeKept(*opened, left.base_timestamp_ms);
  } else {
    CopyKept(*opened);
  }
  const record::Codec codec =
      record::IsWritten(header.codec()) ? header.codec() : record::Codec::zstd;
  const auto written = record::AppendBatch(left, kept_, codec, zstd_level, &compressor_, output);
  if (!written) return written.error();
  filtered.header = *written;
  filtered.kind = FilteredBatch::Kind::rewritten;
  return filtered;
}

Status BatchFilter::ForEachKey(const record::BatchHeader& header, base::ByteSpan batch,
                               const std::function<bool(Bytes key, int64_t offset)>& visit) {
  if (IsKeptWhole(header) || header.record_count == 0) return {};
  const auto opened = record::OpenCheckedBatch(header, batch, record::kMaxDecompressedBatchBytes,
                                               &compressor_, &decompressed_);
  if (!opened) return opened.error();
  for (const RecordView& record : RecordRange(opened->encoded())) {
    if (record.key && !visit(*record.key, record.offset)) return {};
  }
  return {};
}

}  // namespace tidemark::storage
