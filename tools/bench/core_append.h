// Appending on the core, a turn at a time, so that reading can take turns with it.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tools/bench/loads.h"

namespace tidemark::tools {

// Holds `iodepth` records in flight over the partitions of a topic, which it fills in turn.
// Buffered records are not in flight: the engine itself says when there are too many of them.
class CoreAppender {
 public:
  CoreAppender(const CoreLoad& load, Meter* meter);

  // Appends what may go now, and lets the engine have its turn, of `max_wait_us` at most.
  // Returns the partitions whose durable end has moved.
  Result<std::span<Partition* const>> Turn(int64_t max_wait_us);
  // Nothing more will be appended.
  bool over() const { return over_; }
  // Everything that was appended is durable.
  bool drained() const { return in_flight_ == 0; }
  // When the record at an offset was appended. Only of records that are not yet forgotten.
  int64_t AppendedAt(int32_t partition, int64_t offset) const;
  // Forgets a partition's records below an offset (with `keeps`; else it does so by itself).
  void Forget(int32_t partition, int64_t end_offset);
  void set_keeps(bool keeps) { keeps_ = keeps; }

 private:
  // Records that were appended one after the other at one time.
  struct Mark {
    int64_t end_offset = 0;
    int64_t at_ns = 0;
    uint64_t bytes = 0;
  };
  struct PartitionState {
    int64_t durable_end = 0;
    std::deque<Mark> waiting;  // for the durable end
    std::deque<Mark> kept;     // for AppendedAt(); only with keeps_
  };
  Status AppendSome();
  Result<bool> AppendOne();
  void Complete(Partition& partition, int64_t now_ns);
  static void Push(std::deque<Mark>& marks, const Mark& mark, int64_t merge_ns);

  const CoreLoad& load_;
  Meter* meter_;
  Pacer pacer_;
  Budget budget_;
  bool buffered_;
  uint64_t in_flight_ = 0;
  uint64_t most_in_flight_;
  std::vector<PartitionState> partitions_;
  int32_t next_partition_ = 0;
  int64_t now_ns_ = 0;
  int64_t pace_wait_ns_ = 0;
  bool full_ = false;  // the engine was busy
  bool over_ = false;
  bool keeps_ = false;
};

}  // namespace tidemark::tools
