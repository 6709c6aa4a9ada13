#include "ingest/ack_queue.h"

#include "base/check.h"

namespace tidemark::ingest {

AckPool::~AckPool() {
  TIDEMARK_CHECK(in_use_ == 0);
  while (spare_ != nullptr) {
    const std::unique_ptr<AckChunk> chunk(spare_);
    spare_ = chunk->next;
  }
}

AckChunk* AckPool::Take() {
  ++in_use_;
  if (spare_ == nullptr) return std::make_unique<AckChunk>().release();
  AckChunk* chunk = spare_;
  spare_ = chunk->next;
  --spare_count_;
  chunk->next = nullptr;
  return chunk;
}

void AckPool::Give(AckChunk* chunk) {
  --in_use_;
  if (spare_count_ == kMaxSpare) {
    const std::unique_ptr<AckChunk> freed(chunk);
    return;
  }
  chunk->next = spare_;
  spare_ = chunk;
  ++spare_count_;
}

void AckQueue::Push(const PendingAck& ack) {
  if (last_ == nullptr || back_ == AckChunk::kEntries) {
    AckChunk* chunk = pool_.Take();
    (last_ == nullptr ? first_ : last_->next) = chunk;
    last_ = chunk;
    back_ = 0;
  }
  last_->entries[back_++] = ack;
  ++size_;
}

void AckQueue::Pop() {
  TIDEMARK_CHECK(size_ > 0);
  --size_;
  if (++front_ < AckChunk::kEntries && size_ > 0) return;
  AckChunk* done = first_;
  first_ = done->next;
  if (first_ == nullptr) last_ = nullptr;
  front_ = 0;
  pool_.Give(done);
}

void AckQueue::Clear() {
  while (first_ != nullptr) {
    AckChunk* chunk = first_;
    first_ = chunk->next;
    pool_.Give(chunk);
  }
  last_ = nullptr;
  front_ = back_ = size_ = 0;
}

}  // namespace tidemark::ingest
