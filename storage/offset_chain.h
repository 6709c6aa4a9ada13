// Whether a batch's base offset can be believed. It has no checksum (docs/formats.md), so that only
// its neighbours can tell: batches that stand one behind the other have offsets that go upwards.
#pragma once

#include <cstdint>
#include <optional>

#include "record/batch.h"

namespace tidemark::storage {

// Follows a log batch by batch.
class OffsetChain {
 public:
  // `begin`: where the first batch belongs, at the earliest; nullopt: not known, since the walk
  // begins somewhere in the middle.
  explicit OffsetChain(std::optional<int64_t> begin = std::nullopt) : next_offset_(begin) {}

  // `follower`: the base offset of the batch behind this one, or, behind the last one of a log,
  // where the offsets of what follows begin; nullopt: not known.
  //
  // A batch that goes on where the one before has ended is right, unless something stood between
  // them: that had an offset of its own. One behind a gap may be wrong: it
  // must not reach into what follows it. If it does, either of the two may be the wrong one, and
  // the next one is believed only where it is proven by fitting exactly.
  bool Believes(const record::BatchHeader& batch, std::optional<int64_t> follower) const {
    if (next_offset_ && batch.base_offset <= *next_offset_) {
      return batch.base_offset == *next_offset_ && !behind_damage_;
    }
    const bool follower_is_wrong = follower && next_offset_ && *follower < *next_offset_;
    if (!follower || follower_is_wrong) return !doubtful_;
    if (batch.next_offset() > *follower) return false;
    return !doubtful_ || batch.next_offset() == *follower || batch.base_offset == slot_end_;
  }
  void Take(const record::BatchHeader& batch) {
    next_offset_ = batch.next_offset();
    doubtful_ = behind_damage_ = false;
  }
  // Goes on behind bytes that are no batch.
  void SkipDamage() { behind_damage_ = true; }
  // Goes on behind a batch that is not believed. Nothing in this log has an offset at or above
  // `limit`.
  void Reject(const record::BatchHeader& batch, int64_t limit) {
    const bool is_below = next_offset_ && batch.base_offset < *next_offset_;
    if (is_below || batch.next_offset() > limit) return;  // plainly the wrong one
    slot_end_.reset();
    if (next_offset_ && !doubtful_) slot_end_ = *next_offset_ + batch.last_offset_delta + 1;
    doubtful_ = true;
  }

  // Behind the last batch that was taken.
  std::optional<int64_t> next_offset() const { return next_offset_; }

 private:
  std::optional<int64_t> next_offset_;
  bool doubtful_ = false;
  bool behind_damage_ = false;
  std::optional<int64_t>
      slot_end_;  // where the next batch begins if the rejected one belonged here
};

}  // namespace tidemark::storage
