// The reader's part that works elsewhere: reads on the loop, opening segments and searching them on
// the worker.
#include <algorithm>
#include <cerrno>

#include "storage/reader_pending.h"

namespace tidemark::storage {

ReaderCore::Step ReaderCore::ReadInBackground(uint64_t bytes) {
  pending_ = std::make_shared<Pending>(Pending::Kind::read);
  pending_->context = &context_;
  pending_->position = *file_position_;
  pending_->segment = segment_;
  kept_.reset();  // its bytes are overwritten
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

void ReaderCore::OpenInBackground(int64_t base_offset) {
  pending_ = std::make_shared<Pending>(Pending::Kind::open);
  pending_->base_offset = base_offset;
  const SegmentEnd end = partition_.EndOf(base_offset);
  pending_->limit = end.log_bytes;
  pending_->compactions = partition_.compactions;
  auto pending = pending_;
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, pending, folder = partition_.folder(), base_offset, end,
       owner = partition_.owner()] {
        auto opened = OpenSegmentForReading(files, folder, base_offset, end, owner);
        if (opened) {
          pending->opened = std::move(*opened);
        } else {
          pending->status = opened.error();
        }
      },
      [pending, &partition = partition_] {
        pending->done = true;
        NoteHeld(partition, *pending);
      });
}

// Its reader may be long in coming back to it, or never come: until then it counts as held, or,
// where the segment has gone, it is closed.
void ReaderCore::NoteHeld(PartitionCore& partition, Pending& pending) {
  const auto entry = partition.segments().find(pending.base_offset);
  const bool is_there =
      entry != partition.segments().end() && pending.compactions == partition.compactions;
  if (!is_there) {
    pending.opened.reset();
  } else if (pending.opened) {
    entry->second.held.push_back({pending.opened});
  }
}

// What stands at `file_position_` cannot be read or believed. It is told when it is known how far
// the damage reaches: at the next batch that is in order, or the segment's end.
ReaderCore::Step ReaderCore::SearchBehindDamage(const std::string& cause) {
  if (damage_.empty()) {
    damage_ = segment_->log->path() + " at " + std::to_string(*file_position_) + ": " + cause;
  }
  pending_ = std::make_shared<Pending>(Pending::Kind::search);
  pending_->segment = segment_;
  pending_->position = *file_position_;
  auto pending = pending_;
  // Not the offset that is wanted: the batch that holds it may begin below. What is damaged had one
  // at least.
  const int64_t min_offset = chain_.next_offset().value_or(segment_->base_offset) + 1;
  context_.environment.worker.Submit(
      [pending, min_offset] {
        auto found = FindBatchBehindDamage(*pending->segment->log, pending->position,
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
  buffered_segment_ = pending->segment;
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
  const bool grown = pending.limit != partition_.EndOf(pending.base_offset).log_bytes;
  if (grown || pending.compactions != partition_.compactions) {
    // It has grown, and may have been rolled: what was known of the place in it may now be taken
    // for one in the segment behind it. Or other files may be in its place.
    ForgetSegment();
    return Step::again;
  }
  if (!pending.status.ok()) {
    if (pending.status.error().system_errno() != ENOENT) return pending.status.error();
    ForgetSegment();
    return Lose(NextSegmentBase(pending.base_offset), pending.status.error().message());
  }
  entry->second.LetGo();  // another reader may have opened it in the meantime
  entry->second.opened = std::move(pending.opened);
  entry->second.max_timestamp_ms = entry->second.opened->max_timestamp_ms;
  context_.open_segments.Add(partition_.segments(), pending.base_offset);
  return UseSegment(pending.base_offset, entry->second);
}

Result<ReaderCore::Step> ReaderCore::TakeFound(Pending& pending) {
  if (!pending.status.ok()) return pending.status.error();
  chain_.SkipDamage();
  file_position_ = pending.found ? pending.found->position : segment_->log_bytes;
  return Step::again;
}

}  // namespace tidemark::storage
