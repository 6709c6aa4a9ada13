// Reading flushed segments, batch by batch. Nothing is shown that was not checked: each batch by
// its CRC, its place in the row of offsets by its neighbours, and what an index says by the batch
// that it names.
#include <algorithm>
#include <utility>

#include "storage/reader_pending.h"

namespace tidemark::storage {
namespace {

// A search by offset begins with the batch that the index names behind its place where so much lies
// between the two entries: the batches there are large, and to pass over one costs as much as to
// read the wanted one.
constexpr int32_t kAheadBytes = int32_t{32} << 10;

}  // namespace

Result<ReaderCore::Step> ReaderCore::StepInSegment() {
  if (segment_) return StepInBuffer();
  auto& segments = partition_.segments();
  auto found = partition_.SegmentFor(position_);
  if (found == segments.end()) {
    MoveOverHole(partition_.tail_start_offset(), "no segment holds it");
    return Step::again;
  }
  if (found->first > position_) MoveOverHole(found->first, "no segment holds it");
  return UseSegment(found->first, found->second);
}

ReaderCore::Step ReaderCore::UseSegment(int64_t base_offset, SegmentEntry& entry) {
  const bool too_old = wanted_timestamp_ms_ && entry.max_timestamp_ms &&
                       *entry.max_timestamp_ms < *wanted_timestamp_ms_;
  if (too_old && base_offset != partition_.active_base_offset()) {
    position_ = NextSegmentBase(base_offset);
    ForgetSegment();  // a place that was known in this one is none in the next
    return Step::again;
  }
  if (!entry.opened) {
    OpenInBackground(base_offset);
    return Step::pending;
  }
  segment_ = entry.opened;
  compactions_ = partition_.compactions;
  if (file_position_) return Step::again;
  if (KeepsWanted()) {
    chain_ = OffsetChain(kept_->header.base_offset);
    return HandOut(*kept_);
  }
  LookUp();
  return Step::again;
}

bool ReaderCore::KeepsWanted() const {
  return kept_ && !wanted_timestamp_ms_ && kept_->segment.lock() == segment_ &&
         kept_->header.base_offset <= position_ && position_ <= kept_->header.last_offset();
}

// --- The index, which is a hint ---

// Where the search for the wanted record begins in this segment.
void ReaderCore::LookUp() {
  search_begin_ = position_;
  if (wanted_timestamp_ms_) {
    const auto times = segment_->times.entries();
    const auto from = std::partition_point(times.begin(), times.end(), [&](const auto& entry) {
      return entry.timestamp_ms < *wanted_timestamp_ms_;
    });
    if (from != times.begin()) time_hint_ = static_cast<size_t>(from - times.begin()) - 1;
  }
  UseHints();
}

void ReaderCore::UseHints() {
  int64_t relative = search_begin_ - segment_->base_offset;
  if (time_hint_) {
    const int64_t by_time = segment_->times.entries()[*time_hint_].relative_offset;
    if (by_time <= relative) time_hint_.reset();  // of no use
    relative = std::max(relative, by_time);
  }
  const auto offsets = segment_->offsets.entries();
  const auto above = std::partition_point(offsets.begin(), offsets.end(), [&](const auto& entry) {
    return entry.relative_offset <= relative;
  });
  offset_hint_.reset();
  const auto index = static_cast<size_t>(above - offsets.begin());
  is_ahead_ = BeginsAhead(index);
  if (is_ahead_) {
    offset_hint_ = index;
  } else if (index > 0) {
    offset_hint_ = index - 1;
  }
  BeginAtOffsetHint();
  // Up to the header behind the batch that the entry above names.
  if (index + 1 < offsets.size()) {
    first_read_bytes_ = static_cast<uint64_t>(offsets[index + 1].position) - *file_position_ +
                        record::kBatchHeaderBytes;
  }
}

// `above`: the first entry that names an offset above the wanted one.
bool ReaderCore::BeginsAhead(size_t above) const {
  const auto offsets = segment_->offsets.entries();
  if (wanted_timestamp_ms_ || above == offsets.size()) return false;
  const int32_t floor = above == 0 ? 0 : offsets[above - 1].position;
  const bool is_named =
      above > 0 && offsets[above - 1].relative_offset == search_begin_ - segment_->base_offset;
  return !is_named && offsets[above].position - floor >= kAheadBytes;
}

void ReaderCore::BeginAtOffsetHint() {
  first_read_bytes_ = 0;
  file_position_ = 0;
  if (offset_hint_)
    file_position_ = static_cast<uint64_t>(segment_->offsets.entries()[*offset_hint_].position);
  chain_ = offset_hint_ ? OffsetChain() : OffsetChain(segment_->base_offset);
  damage_.clear();
}

// The batch that the offset index has led to is not there: from the entry before it on.
ReaderCore::Step ReaderCore::DropOffsetHint() {
  is_ahead_ = false;
  if (*offset_hint_ == 0) {
    offset_hint_.reset();
  } else {
    --*offset_hint_;
  }
  BeginAtOffsetHint();
  return Step::again;
}

ReaderCore::Step ReaderCore::DropTimeHint() {
  if (*time_hint_ == 0) {
    time_hint_.reset();
  } else {
    --*time_hint_;
  }
  position_ = search_begin_;
  UseHints();
  return Step::again;
}

// Whether the offset index has led to the batch that its entry names. Asked of the first batch.
bool ReaderCore::HintNames(const record::BatchHeader& header) const {
  const auto& entry = segment_->offsets.entries()[*offset_hint_];
  return header.last_offset() - segment_->base_offset == entry.relative_offset;
}

// The time entry by which a search has passed over batches says which one has its timestamp, and
// that those before are earlier. False: it is proven wrong by this batch.
bool ReaderCore::CheckTimeHint(const record::BatchHeader& header) {
  const auto& entry = segment_->times.entries()[*time_hint_];
  const int64_t relative = header.last_offset() - segment_->base_offset;
  if (relative < entry.relative_offset) return header.max_timestamp_ms < entry.timestamp_ms;
  const bool right =
      relative == entry.relative_offset && header.max_timestamp_ms == entry.timestamp_ms;
  if (right) time_hint_.reset();
  return right;
}

// --- Batch by batch ---

base::ByteSpan ReaderCore::Buffered(uint64_t position) const {
  const bool is_there = position >= buffer_begin_ && position < buffer_begin_ + buffer_.size() &&
                        buffered_segment_.lock() == segment_;
  if (!is_there) return {};
  return base::ByteSpan(buffer_).subspan(position - buffer_begin_);
}

Result<ReaderCore::Step> ReaderCore::StepInBuffer() {
  const uint64_t position = *file_position_;
  if (position >= segment_->log_bytes) return LeaveSegment();
  const uint64_t left = segment_->log_bytes - position;
  if (left < record::kBatchHeaderBytes) return MeetDamage("the file ends within a batch's header");
  const base::ByteSpan bytes = Buffered(position);
  if (bytes.size() < record::kBatchHeaderBytes) {
    const uint64_t known = std::exchange(first_read_bytes_, 0);
    return ReadInBackground(known == 0 ? kBatchReadBytes : std::min(known, kBatchReadBytes));
  }
  const auto header = record::DecodeBatchHeader(bytes);
  if (!header) return MeetDamage(header.error().message());
  const uint64_t total = header->total_bytes();
  if (total > left) return MeetDamage("the batch does not fit into the file");
  // The next header, too: whether this batch's offset can be believed is seen there.
  const uint64_t needed = std::min(left, total + record::kBatchHeaderBytes);
  if (bytes.size() < needed) return ReadInBackground(std::max(kBatchReadBytes, needed));
  const auto checked = record::CheckBatch(bytes.first(total));
  if (!checked) return MeetDamage(checked.error().message());
  if (offset_hint_ && !HintNames(*header)) return DropOffsetHint();
  if (!IsInOrder(*header, bytes.first(needed).subspan(total))) {
    if (offset_hint_) return DropOffsetHint();
    chain_.Reject(*header, OffsetLimit());
    return MeetDamage("the batch's base offset contradicts what is around it");
  }
  return TakeBatch(*header, bytes.first(total));
}

// Of the segment: what follows it has no offset below.
int64_t ReaderCore::OffsetLimit() const {
  return segment_->offset_limit.value_or(NextSegmentBase(segment_->base_offset));
}

// `behind`: the bytes that follow the batch; none at the log's end.
bool ReaderCore::IsInOrder(const record::BatchHeader& header, base::ByteSpan behind) const {
  const int64_t end = OffsetLimit();
  if (header.base_offset < segment_->base_offset || header.next_offset() > end) return false;
  std::optional<int64_t> follower = end;
  if (!behind.empty()) {
    const auto next = record::DecodeBatchHeader(behind);
    follower = next ? std::optional(next->base_offset) : std::nullopt;
  }
  return chain_.Believes(header, follower);
}

ReaderCore::Step ReaderCore::MeetDamage(const std::string& cause) {
  return offset_hint_ ? DropOffsetHint() : SearchBehindDamage(cause);
}

// A batch that is in order: passed over, or delivered.
Result<ReaderCore::Step> ReaderCore::TakeBatch(const record::BatchHeader& header,
                                               base::ByteSpan bytes) {
  if (time_hint_ && !CheckTimeHint(header)) return DropTimeHint();
  // Small ones stand before it, of which one may hold what is wanted.
  if (offset_hint_ && is_ahead_ && header.base_offset > position_) return DropOffsetHint();
  const bool below = header.last_offset() < position_;
  if (!below && header.base_offset > position_) {
    // By the index a search has come here, not over a hole.
    const std::string damage = offset_hint_ ? std::string() : std::exchange(damage_, {});
    // Told once, when no entry is left whose failure would lead here again.
    if (!damage.empty() && time_hint_) return DropTimeHint();
    if (!damage.empty()) return Lose(header.base_offset, damage);
    MoveOverHole(header.base_offset, "no batch holds it");
  }
  offset_hint_.reset();
  damage_.clear();
  const bool too_old = wanted_timestamp_ms_ && header.max_timestamp_ms < *wanted_timestamp_ms_;
  if (!below && !too_old) return Deliver(header, bytes);
  if (!below) position_ = header.next_offset();
  chain_.Take(header);
  file_position_ = *file_position_ + header.total_bytes();
  return Step::again;
}

Result<ReaderCore::Step> ReaderCore::Deliver(const record::BatchHeader& header,
                                             base::ByteSpan bytes) {
  kept_.reset();  // its bytes may be overwritten
  auto opened = record::OpenCheckedBatch(header, bytes, record::kMaxDecompressedBatchBytes,
                                         &compressor_, &decompressed_);
  if (!opened && opened.error().code() == ErrorCode::corrupt)
    return SearchBehindDamage(opened.error().message());
  if (!opened) {  // whole, but there is no memory to decompress it: told, and passed over at the
                  // next call
    chain_.Take(header);
    file_position_ = *file_position_ + header.total_bytes();
    position_ = header.next_offset();
    return opened.error();
  }
  kept_ = Kept{segment_, header, *file_position_, opened->encoded()};
  return HandOut(*kept_);
}

// What of it is at or behind the reader's position, and as new as is wanted.
ReaderCore::Step ReaderCore::HandOut(const Kept& kept) {
  const record::BatchHeader& header = kept.header;
  chain_.Take(header);
  file_position_ = kept.position + header.total_bytes();
  RecordRange::Encoded records = kept.records;
  records.first_offset = position_;
  position_ = header.next_offset();
  if (!FindWanted(&records)) return Step::again;
  // Of a control batch, which says how a transaction ended, nobody is shown a record.
  if (!header.control()) batch_.records = RecordRange(records);
  batch_.encoded = base::AsText(Buffered(kept.position).first(header.total_bytes()));
  batch_.record_count = header.record_count;
  batch_.next_offset = position_;
  return Step::batch;
}

Result<ReaderCore::Step> ReaderCore::LeaveSegment() {
  if (time_hint_) return DropTimeHint();  // the batch that it names has not come
  // Compacted meanwhile, perhaps: this one may be gone, or have other files. It was read to its end
  // all the same, and what follows it is looked up anew.
  if (compactions_ != partition_.compactions) {
    ForgetSegment();
    return Step::again;
  }
  auto entry = partition_.segments().find(segment_->base_offset);
  const bool changed = entry != partition_.segments().end() && entry->second.opened != segment_;
  const int64_t base_offset = segment_->base_offset;
  if (changed && base_offset + INT32_MAX >= position_) {
    const bool was_let_go = entry->second.opened == nullptr;
    segment_ = entry->second.opened;  // it has grown, or was let go: go on where we are in it
    if (was_let_go) OpenInBackground(base_offset);
    return was_let_go ? Step::pending : Step::again;
  }
  const int64_t next = NextSegmentBase(base_offset);
  const std::string damage = damage_;
  ForgetSegment();
  if (!damage.empty() && next > position_) return Lose(next, damage);
  MoveOverHole(next, "the segment ends before it");
  return Step::again;
}

int64_t ReaderCore::NextSegmentBase(int64_t base_offset) const {
  auto next = partition_.segments().upper_bound(base_offset);
  return next == partition_.segments().end() ? partition_.tail_start_offset() : next->first;
}

}  // namespace tidemark::storage
