#include "storage/reader.h"

#include <algorithm>
#include <cerrno>

namespace tidemark::storage {
namespace {

// One read of a segment: several batches at once when a log is read in order.
constexpr uint64_t kReadBytes = uint64_t{256} << 10;

RecordRange::Encoded EncodedOf(const record::BatchHeader& header, base::ByteSpan records) {
  record::OpenedBatch opened;
  opened.header = header;
  opened.records = records;
  return opened.encoded();
}

}  // namespace

struct ReaderCore::Pending {
  enum class Kind { read, open, search };
  explicit Pending(Kind what) : kind(what) {}

  Kind kind;
  bool done = false;
  // read
  io::Operation operation;
  Context* context = nullptr;
  std::vector<std::byte> buffer;
  uint64_t position = 0;
  std::shared_ptr<OpenSegment> segment;
  std::shared_ptr<Pending> self;  // while the loop has it
  // open
  int64_t base_offset = 0;
  std::optional<uint64_t> limit;  // as far as it was flushed then, if it was the active one
  std::unique_ptr<OpenSegment> opened;
  // search
  std::string cause;
  std::optional<BatchAt> found;
  Status status;
};

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

// What is buffered belongs to the segment: no position in another one may find it.
void ReaderCore::ForgetSegment() {
  segment_.reset();
  file_position_.reset();
  buffer_.clear();
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

// --- Segments ---

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
    auto next = partition_.segments().upper_bound(base_offset);
    position_ = next == partition_.segments().end() ? partition_.tail_start_offset() : next->first;
    return Step::again;
  }
  if (!entry.opened) {
    OpenInBackground(base_offset);
    return Step::pending;
  }
  segment_ = entry.opened;
  if (!file_position_) file_position_ = LookUpPosition();
  return Step::again;
}

uint64_t ReaderCore::LookUpPosition() const {
  int64_t relative = position_ - segment_->base_offset;
  if (wanted_timestamp_ms_) {
    const auto before = segment_->times.LastBefore(*wanted_timestamp_ms_);
    relative = std::max<int64_t>(relative, before ? before->relative_offset : 0);
  }
  const auto floor =
      segment_->offsets.Floor(static_cast<int32_t>(std::min<int64_t>(relative, INT32_MAX)));
  return floor ? static_cast<uint64_t>(floor->position) : 0;
}

Result<ReaderCore::Step> ReaderCore::StepInBuffer() {
  const uint64_t position = *file_position_;
  if (position >= segment_->log_bytes) return LeaveSegment();
  const uint64_t left = segment_->log_bytes - position;
  if (left < record::kBatchHeaderBytes)
    return SearchBehindDamage("the file ends within a batch's header");
  const bool buffered = position >= buffer_begin_ && position < buffer_begin_ + buffer_.size();
  const base::ByteSpan bytes =
      buffered ? base::ByteSpan(buffer_).subspan(position - buffer_begin_) : base::ByteSpan();
  if (bytes.size() < record::kBatchHeaderBytes) return ReadInBackground(kReadBytes);

  auto header = record::DecodeBatchHeader(bytes);
  if (!header) return SearchBehindDamage(header.error().message());
  const bool plausible = header->total_bytes() <= left &&
                         header->base_offset >= segment_->base_offset &&
                         header->last_offset() < partition_.durable_end_offset();
  if (!plausible) return SearchBehindDamage("the batch's header contradicts the segment");
  if (header->last_offset() < position_) {
    file_position_ = position + header->total_bytes();
    return Step::again;
  }
  if (wanted_timestamp_ms_ && header->max_timestamp_ms < *wanted_timestamp_ms_) {
    position_ = header->next_offset();
    file_position_ = position + header->total_bytes();
    return Step::again;
  }
  if (bytes.size() < header->total_bytes())
    return ReadInBackground(std::max(kReadBytes, header->total_bytes()));
  return Deliver(*header, bytes.first(header->total_bytes()));
}

Result<ReaderCore::Step> ReaderCore::Deliver(const record::BatchHeader& header,
                                             base::ByteSpan bytes) {
  auto opened =
      record::OpenBatch(bytes, record::kMaxDecompressedBatchBytes, &compressor_, &decompressed_);
  if (!opened && opened.error().code() == ErrorCode::corrupt)
    return SearchBehindDamage(opened.error().message());
  file_position_ = *file_position_ + header.total_bytes();
  if (!opened) {  // whole, but not for this version to read: told, and passed over at the next call
    position_ = header.next_offset();
    return opened.error();
  }
  if (header.base_offset > position_) MoveOverHole(header.base_offset, "no batch holds it");
  RecordRange::Encoded records = opened->encoded();
  records.first_offset = position_;
  position_ = header.next_offset();
  if (!FindWanted(&records)) return Step::again;
  batch_.records = RecordRange(records);
  batch_.encoded = base::AsText(bytes);
  batch_.record_count = header.record_count;
  batch_.next_offset = position_;
  return Step::batch;
}

ReaderCore::Step ReaderCore::LeaveSegment() {
  auto entry = partition_.segments().find(segment_->base_offset);
  const bool changed = entry != partition_.segments().end() && entry->second.opened != segment_;
  const int64_t base_offset = segment_->base_offset;
  if (changed && base_offset + INT32_MAX >= position_) {
    const bool was_let_go = entry->second.opened == nullptr;
    segment_ = entry->second.opened;  // it has grown, or was let go: go on where we are in it
    if (was_let_go) OpenInBackground(base_offset);
    return was_let_go ? Step::pending : Step::again;
  }
  const int64_t next = NextSegmentBase();
  ForgetSegment();
  if (next > position_) MoveOverHole(next, "the segment ends before it");
  return Step::again;
}

int64_t ReaderCore::NextSegmentBase() const {
  auto next = partition_.segments().upper_bound(segment_->base_offset);
  return next == partition_.segments().end() ? partition_.tail_start_offset() : next->first;
}

void ReaderCore::MoveOverHole(int64_t to, const std::string& cause) {
  if (to <= position_) return;
  if (!wanted_timestamp_ms_) lost_.push_back({position_, to, cause});
  position_ = to;
}

// --- Work elsewhere ---

ReaderCore::Step ReaderCore::ReadInBackground(uint64_t bytes) {
  pending_ = std::make_shared<Pending>(Pending::Kind::read);
  pending_->context = &context_;
  pending_->position = *file_position_;
  pending_->segment = segment_;
  pending_->buffer = std::move(buffer_);
  buffer_.clear();
  pending_->buffer.resize(std::min(bytes, segment_->log_bytes - *file_position_));
  pending_->self = pending_;
  pending_->operation.owner = pending_.get();
  pending_->operation.done = [](io::Operation* operation) {
    auto* pending = static_cast<Pending*>(operation->owner);
    pending->done = true;
    --pending->context->reads_in_flight;
    pending->self.reset();  // may be the last that holds it
  };
  ++context_.reads_in_flight;
  context_.environment.loop.Read(*segment_->log, pending_->position, pending_->buffer,
                                 &pending_->operation);
  return Step::pending;
}

std::optional<uint64_t> ReaderCore::FlushedLimit(int64_t base_offset) const {
  if (base_offset != partition_.active_base_offset()) return std::nullopt;
  return partition_.active_flushed_bytes();
}

void ReaderCore::OpenInBackground(int64_t base_offset) {
  pending_ = std::make_shared<Pending>(Pending::Kind::open);
  pending_->base_offset = base_offset;
  const std::optional<uint64_t> limit = FlushedLimit(base_offset);
  pending_->limit = limit;
  auto pending = pending_;
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, pending, folder = partition_.folder(), base_offset, limit] {
        auto opened = OpenSegmentForReading(files, folder, base_offset, limit);
        if (opened) {
          pending->opened = std::move(*opened);
        } else {
          pending->status = opened.error();
        }
      },
      [pending] { pending->done = true; });
}

ReaderCore::Step ReaderCore::SearchBehindDamage(std::string cause) {
  pending_ = std::make_shared<Pending>(Pending::Kind::search);
  pending_->cause = std::move(cause);
  pending_->segment = segment_;
  pending_->position = *file_position_;
  auto pending = pending_;
  context_.environment.worker.Submit(
      [pending, min_offset = position_] {
        auto found = FindNextIntactBatch(*pending->segment->log, pending->position + 1,
                                         pending->segment->log_bytes, min_offset);
        if (found) {
          pending->found = *found;
        } else {
          pending->status = found.error();
        }
      },
      [pending] { pending->done = true; });
  return Step::pending;
}

Result<ReaderCore::Step> ReaderCore::TakePending() {
  if (!pending_->done) return Step::pending;
  const std::shared_ptr<Pending> pending = std::move(pending_);
  pending_.reset();
  switch (pending->kind) {
    case Pending::Kind::open:
      return TakeOpened(*pending);
    case Pending::Kind::search:
      return TakeFound(*pending);
    case Pending::Kind::read:
      break;
  }
  const int64_t result = pending->operation.result;
  if (result < 0) {
    return Error(ErrorCode::io_error,
                 pending->segment->log->path() + ": read at " + std::to_string(pending->position) +
                     " failed",
                 static_cast<int>(-result));
  }
  buffer_ = std::move(pending->buffer);
  const bool shorter = static_cast<uint64_t>(result) < buffer_.size();
  buffer_.resize(static_cast<size_t>(result));
  buffer_begin_ = pending->position;
  // Somebody has cut the file: what is there now is all there is.
  if (shorter) pending->segment->log_bytes = buffer_begin_ + buffer_.size();
  return Step::again;
}

Result<ReaderCore::Step> ReaderCore::TakeOpened(Pending& pending) {
  auto entry = partition_.segments().find(pending.base_offset);
  if (entry == partition_.segments().end()) {  // gone in the meantime
    ForgetSegment();
    return Step::again;
  }
  if (pending.limit != FlushedLimit(pending.base_offset)) return Step::again;  // it has grown
  if (!pending.status.ok()) {
    if (pending.status.error().system_errno() != ENOENT) return pending.status.error();
    const int64_t first = position_;
    auto next = partition_.segments().upper_bound(pending.base_offset);
    MoveOverHole(next == partition_.segments().end() ? partition_.tail_start_offset() : next->first,
                 "the segment's file is missing");
    ForgetSegment();
    return Error(ErrorCode::corrupt, pending.status.error().message() + "; offsets " +
                                         std::to_string(first) + " to " +
                                         std::to_string(position_ - 1) + " are lost");
  }
  entry->second.opened = std::move(pending.opened);
  entry->second.max_timestamp_ms = entry->second.opened->max_timestamp_ms;
  context_.open_segments.Add(partition_.segments(), pending.base_offset);
  return UseSegment(pending.base_offset, entry->second);
}

Result<ReaderCore::Step> ReaderCore::TakeFound(Pending& pending) {
  if (!pending.status.ok()) return pending.status.error();
  const int64_t first = position_;
  const std::string place = pending.segment->log->path() + " at " +
                            std::to_string(pending.position) + ": " + pending.cause;
  if (pending.found) {
    file_position_ = pending.found->position;
    MoveOverHole(pending.found->header.base_offset, place);
    if (position_ == first) return Step::again;  // nothing that this reader wants was there
  } else {
    const int64_t next = NextSegmentBase();
    ForgetSegment();
    MoveOverHole(next, place);
    if (position_ == first) return Step::again;
  }
  return Error(ErrorCode::corrupt, place + "; offsets " + std::to_string(first) + " to " +
                                       std::to_string(position_ - 1) + " are lost");
}

void ReaderCore::AccountMemory() {
  uint64_t bytes = buffer_.capacity() + decompressed_.capacity() + tail_batch_.capacity();
  if (pending_) bytes += pending_->buffer.capacity();
  context_.reader_memory_bytes += bytes - accounted_bytes_;
  accounted_bytes_ = bytes;
}

}  // namespace tidemark::storage
