// Which segments are open for reading: a bounded number, whatever there is. The oldest opened is
// let go first; a reader that is in the middle of it keeps it until it leaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "storage/segment.h"

namespace tidemark::storage {

// What compaction knows of a finished segment.
struct CompactionFacts {
  bool sealed = false;  // its seal is good
  std::optional<CompactedPart> compacted;
  AppendTimes appended;  // of one without a seal: as late as may be
  uint64_t log_bytes = 0;
  int64_t end_offset = 0;  // behind its last batch, by the seal
  bool left = false;       // it is damaged, or not for this version to read
  bool clean() const { return compacted && compacted->clean_end_offset == end_offset; }
};

// What holds a segment's files open, for as long as it lives.
struct Opening {
  std::weak_ptr<const void> holder;
  bool by_work = false;  // of the engine's own, which lets go soon; else a reader
};
using Openings = std::vector<Opening>;

// A segment as the readers' side knows it.
struct SegmentEntry {
  std::shared_ptr<OpenSegment> opened;  // null: not opened yet, or let go
  // Let go, or opened anew since the segment has grown, while readers held it: they hold the files.
  // So do a pass of compaction, and the scrub.
  Openings held;
  std::optional<int64_t> max_timestamp_ms;  // known once it was opened
  std::optional<int64_t> last_append_ms;    // on the engine clock; the same, or its seal was read
  std::optional<uint64_t> log_bytes;        // known once it was written to, or measured
  std::optional<CompactionFacts> facts;     // known once its seal was read for that

  void LetGo() {
    RemoveHolder(nullptr);
    if (opened.use_count() > 1) held.push_back({opened});
    opened.reset();
  }
  void AddWork(const std::shared_ptr<const void>& work) {
    RemoveHolder(work);
    held.push_back({work, /*by_work=*/true});
  }
  // And those that are gone.
  void RemoveHolder(const std::shared_ptr<const void>& holder) {
    std::erase_if(held, [&](const Opening& opening) {
      const auto live = opening.holder.lock();
      return live == nullptr || live == holder;
    });
  }
  // All that is held of it still.
  Openings TakeHeld() {
    LetGo();
    return std::exchange(held, {});
  }
};
using SegmentMap = std::map<int64_t, SegmentEntry>;

class OpenSegments {
 public:
  // `segments[base_offset]` was just opened.
  void Add(SegmentMap& segments, int64_t base_offset) {
    order_.push_back({&segments, base_offset});
    while (order_.size() > kMost) {
      auto entry = order_.front().segments->find(order_.front().base_offset);
      if (entry != order_.front().segments->end()) entry->second.LetGo();
      order_.pop_front();
    }
  }

 private:
  // Well below the 1,024 descriptors that a process has by default.
  static constexpr size_t kMost = 128;
  struct Place {
    SegmentMap* segments;
    int64_t base_offset;
  };
  std::deque<Place> order_;
};

}  // namespace tidemark::storage
