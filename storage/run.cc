#include "storage/run.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace tidemark::storage {
namespace {

constexpr uint32_t kFirstCapacityBytes = 512;
constexpr uint32_t kMarkBytes = 4096;

// Two timestamps at the ends of what there is have none that can be compared, so that the greatest
// of such a run would not be known.
bool HasDifference(int64_t a, int64_t b) {
  constexpr int64_t kFar = INT64_MAX / 2;
  const bool same_sign = (a < 0) == (b < 0);
  return same_sign || (a > -kFar && a < kFar && b > -kFar && b < kFar);
}

}  // namespace

Run::Run(const RecordsFrameHeader& frame)
    : frame_(frame),
      next_offset_(frame.base_offset),
      max_timestamp_ms_(frame.base_timestamp_ms),
      submitted_end_(frame.base_offset),
      durable_end_(frame.base_offset) {
  Grow(kFirstCapacityBytes);
}

bool Run::Takes(const RecordsFrameHeader& frame, int64_t offset, size_t encoded_bytes) const {
  return state_ == State::open && frame.leader_epoch == frame_.leader_epoch &&
         frame.attributes == frame_.attributes &&
         HasDifference(frame.base_timestamp_ms, frame_.base_timestamp_ms) &&
         // Under LogAppendTime readers are shown the batch's one timestamp.
         ((frame_.attributes & record::kLogAppendTimeBit) == 0 ||
          frame.base_timestamp_ms == frame_.base_timestamp_ms) &&
         offset - frame_.base_offset < INT32_MAX && size_ + encoded_bytes <= kRunBytes;
}

size_t Run::EncodedBytes(const Record& record, int64_t offset, int64_t timestamp_ms) const {
  return record::EncodedRecordBytes(record,
                                    record::TimestampDelta(timestamp_ms, frame_.base_timestamp_ms),
                                    static_cast<int32_t>(offset - frame_.base_offset));
}

void Run::Append(const Record& record, int64_t offset, int64_t timestamp_ms, size_t encoded_bytes) {
  Reserve(encoded_bytes);
  MarkIfDue();
  std::byte* to = at(size_);
  std::byte* end = record::EncodeRecord(
      to, record, record::TimestampDelta(timestamp_ms, frame_.base_timestamp_ms),
      static_cast<int32_t>(offset - frame_.base_offset), encoded_bytes);
  TIDEMARK_CHECK(end == to + encoded_bytes);
  size_ += static_cast<uint32_t>(encoded_bytes);
  next_offset_ = offset + 1;
  max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);
}

void Run::AppendEncoded(base::ByteSpan records, const record::RecordsSummary& summary) {
  Reserve(records.size());
  if (size_ > 0) marks_.push_back({next_offset_, size_});
  std::copy(records.begin(), records.end(), at(size_));
  size_ += static_cast<uint32_t>(records.size());
  next_offset_ = frame_.base_offset + summary.last_offset_delta + 1;
  max_timestamp_ms_ =
      std::max(max_timestamp_ms_, frame_.base_timestamp_ms + summary.max_timestamp_delta);
}

void Run::NoteAppended(const AppendTimes& times) {
  if (!appended_is_known_) appended_ = times;
  appended_is_known_ = true;
  appended_.last_ms = std::max(appended_.last_ms, times.last_ms);
}

Run Run::SplitBehindDurable() {
  TIDEMARK_CHECK(submitted_bytes_ == durable_bytes_);
  Run rest(frame_);
  rest.Reserve(size_ - durable_bytes_);
  std::copy(at(durable_bytes_), at(size_), rest.at(0));
  rest.size_ = size_ - durable_bytes_;
  rest.next_offset_ = next_offset_;
  rest.NoteAppended(appended_);
  size_ = durable_bytes_;
  next_offset_ = durable_end_;
  while (!marks_.empty() && marks_.back().position >= size_) marks_.pop_back();
  // The greatest timestamp may have gone with the rest: find it anew.
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(bytes(0, size_)).data();
  encoded.count = static_cast<int32_t>(next_offset_ - frame_.base_offset);
  encoded.base_timestamp_ms = frame_.base_timestamp_ms;
  max_timestamp_ms_ = frame_.base_timestamp_ms;
  for (const RecordView& view : RecordRange(encoded)) {
    max_timestamp_ms_ = std::max(max_timestamp_ms_, view.timestamp_ms);
  }
  return rest;
}

void Run::SetDurable(uint32_t bytes, int64_t end_offset, uint64_t sequence, bool from_start) {
  TIDEMARK_CHECK(bytes <= submitted_bytes_);
  durable_bytes_ = std::max(durable_bytes_, bytes);
  durable_end_ = std::max(durable_end_, end_offset);
  if (from_start) first_sequence_ = sequence;
}

size_t Run::memory_bytes() const {
  return sizeof(Run) + capacity_ + marks_.capacity() * sizeof(Mark);
}

record::BatchHeader Run::HeaderFor(int64_t end_offset, int32_t record_count) const {
  record::BatchHeader header;
  header.base_offset = frame_.base_offset;
  header.leader_epoch = frame_.leader_epoch;
  header.attributes = frame_.attributes;
  header.last_offset_delta = static_cast<int32_t>(end_offset - 1 - frame_.base_offset);
  header.base_timestamp_ms = frame_.base_timestamp_ms;
  header.max_timestamp_ms = max_timestamp_ms_;
  header.record_count = record_count;
  return header;
}

Run::Mark Run::MarkBefore(int64_t offset) const {
  auto after =
      std::upper_bound(marks_.begin(), marks_.end(), offset,
                       [](int64_t wanted, const Mark& mark) { return wanted < mark.offset; });
  return after == marks_.begin() ? Mark{frame_.base_offset, 0} : *(after - 1);
}

void Run::Reserve(size_t more_bytes) {
  const size_t needed = size_ + more_bytes;
  if (needed <= capacity_) return;
  size_t capacity = std::max<size_t>(needed, size_t{capacity_} + capacity_ / 2);
  // A run that has become large will become full: it does not grow past its limit.
  if (needed <= kRunBytes && capacity > kRunBytes / 2) capacity = kRunBytes;
  Grow(capacity);
}

void Run::Grow(size_t capacity) {
  auto* grown = static_cast<std::byte*>(
      std::realloc(memory_.release(), record::kBatchHeaderBytes + capacity));
  TIDEMARK_CHECK(grown != nullptr);
  memory_.reset(grown);
  capacity_ = static_cast<uint32_t>(capacity);
}

void Run::MarkIfDue() {
  const uint32_t last = marks_.empty() ? 0 : marks_.back().position;
  if (size_ - last >= kMarkBytes) marks_.push_back({next_offset_, size_});
}

}  // namespace tidemark::storage
