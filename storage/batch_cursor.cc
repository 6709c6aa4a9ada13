#include "storage/batch_cursor.h"

#include <algorithm>
#include <utility>

#include "storage/run.h"

namespace tidemark::storage {

Result<BatchCursor> BatchCursor::Open(io::FileSystem& files, const std::string& folder,
                                      int64_t base_offset, int64_t offset_limit) {
  auto log = files.Open(SegmentPath(folder, base_offset, SegmentFile::log), {});
  if (!log) return log.error();
  const auto size = (*log)->Size();
  if (!size) return size.error();
  return BatchCursor(*std::move(log), *size, base_offset, offset_limit);
}

Error BatchCursor::NotABatch(const std::string& why) const {
  return Error(ErrorCode::corrupt, log_->path() + " at " + std::to_string(position_) + ": " + why);
}

// The caller bounds `length` by what the log has.
Result<base::ByteSpan> BatchCursor::At(uint64_t position, uint64_t length) {
  if (position < buffer_begin_ || position + length > buffer_begin_ + buffer_.size()) {
    buffer_begin_ = position;
    buffer_.resize(std::min(std::max(length, kBatchReadBytes), log_bytes_ - position));
    const auto read = log_->ReadAt(position, buffer_);
    if (!read) return read.error();
    buffer_.resize(*read);
    if (*read < length) return NotABatch("the file is shorter than it was");
  }
  return base::ByteSpan(buffer_).subspan(position - buffer_begin_, length);
}

Result<std::optional<BatchCursor::Batch>> BatchCursor::Next() {
  if (position_ == log_bytes_) return std::optional<Batch>();
  const uint64_t left = log_bytes_ - position_;
  if (left < record::kBatchHeaderBytes) return NotABatch("the file ends within a batch's header");
  const auto head = At(position_, record::kBatchHeaderBytes);
  if (!head) return head.error();
  const auto header = record::DecodeBatchHeader(*head);
  if (!header) return NotABatch(header.error().message());
  const uint64_t total = header->total_bytes();
  if (total > left) return NotABatch("the batch does not fit into the file");
  if (total > record::kMaxDecompressedBatchBytes) {
    return Error(ErrorCode::unsupported, log_->path() + " at " + std::to_string(position_) +
                                             ": a batch of " + std::to_string(total) + " bytes");
  }
  const uint64_t with_next = std::min(left, total + record::kBatchHeaderBytes);
  const auto bytes = At(position_, with_next);
  if (!bytes) return bytes.error();
  if (const auto checked = record::CheckBatch(bytes->first(total)); !checked)
    return NotABatch(checked.error().message());
  std::optional<int64_t> follower;
  if (with_next == total) {
    follower = offset_limit_;
  } else if (const auto next = record::DecodeBatchHeader(bytes->subspan(total))) {
    follower = next->base_offset;
  }
  const bool in_order = header->base_offset >= base_offset_ &&
                        header->next_offset() <= offset_limit_ &&
                        chain_.Believes(*header, follower);
  if (!in_order) return NotABatch("the batch's base offset contradicts what is around it");
  chain_.Take(*header);
  Batch batch{position_, *header, bytes->first(total)};
  position_ += total;
  return std::optional<Batch>(batch);
}

}  // namespace tidemark::storage
