#include "tools/bench/core_append.h"

#include <algorithm>
#include <chrono>

namespace tidemark::tools {
namespace {

// Between two turns of the engine at most, so that neither the clock nor a stop waits long.
constexpr int kBurst = 1'000;
// Buffered records wait for a second; that their marks are not exact to the record saves memory.
constexpr int64_t kMergeBufferedNs = 100'000;

}  // namespace

CoreAppender::CoreAppender(const CoreLoad& load, Meter* meter)
    : load_(load),
      meter_(meter),
      pacer_(load.job.rate, load.window),
      budget_(load.job, load.window, *meter),
      buffered_(load.job.durability == Durability::buffered),
      most_in_flight_(buffered_ ? UINT64_MAX : load.job.iodepth),
      partitions_(static_cast<size_t>(load.topic.partition_count())),
      now_ns_(NowNs()) {
  for (size_t i = 0; i < partitions_.size(); ++i) {
    partitions_[i].durable_end =
        load.topic.partition(static_cast<int32_t>(i))->durable_end_offset();
  }
}

void CoreAppender::Push(std::deque<Mark>& marks, const Mark& mark, int64_t merge_ns) {
  if (!marks.empty() && mark.at_ns - marks.back().at_ns < merge_ns) {
    marks.back().end_offset = mark.end_offset;
    marks.back().bytes += mark.bytes;
  } else {
    marks.push_back(mark);
  }
}

// False: the engine is busy.
Result<bool> CoreAppender::AppendOne() {
  PartitionState& state = partitions_[static_cast<size_t>(next_partition_)];
  Partition& partition = *load_.topic.partition(next_partition_);
  const Record record = load_.records.Peek();
  const auto offset = partition.Append(record, load_.job.durability);
  if (!offset.ok()) {
    if (offset.error().code() != ErrorCode::busy) return offset.error();
    meter_->Busy();
    return false;
  }
  load_.records.Take();  // not before: the answer may have been busy
  const int64_t begun_ns = now_ns_;
  if (!load_.job.gtod_reduce) {
    now_ns_ = NowNs();
    meter_->Submitted(begun_ns, now_ns_);
  }
  const Mark mark{*offset + 1, begun_ns, BytesOf(record)};
  Push(state.waiting, mark, buffered_ ? kMergeBufferedNs : 1);
  if (keeps_) Push(state.kept, mark, 1);
  ++in_flight_;
  pacer_.Take();
  budget_.Take(mark.bytes);
  next_partition_ = next_partition_ + 1 == load_.topic.partition_count() ? 0 : next_partition_ + 1;
  return true;
}

Status CoreAppender::AppendSome() {
  full_ = false;
  pace_wait_ns_ = 0;
  for (int i = 0; i < kBurst && in_flight_ < most_in_flight_; ++i) {
    if (budget_.Over(now_ns_)) {
      over_ = true;
      return {};
    }
    pace_wait_ns_ = pacer_.WaitNs(now_ns_);
    if (pace_wait_ns_ > 0) return {};
    const auto appended = AppendOne();
    if (!appended.ok()) return appended.error();
    if (!*appended) {
      full_ = true;
      return {};
    }
  }
  over_ = over_ || budget_.Over(now_ns_);
  return {};
}

void CoreAppender::Complete(Partition& partition, int64_t now_ns) {
  PartitionState& state = partitions_[static_cast<size_t>(partition.index())];
  const int64_t end = partition.durable_end_offset();
  while (state.durable_end < end) {
    Mark& mark = state.waiting.front();
    const int64_t reached = std::min(mark.end_offset, end);
    const auto count = static_cast<uint64_t>(reached - state.durable_end);
    const auto all = static_cast<uint64_t>(mark.end_offset - state.durable_end);
    const uint64_t bytes = count == all ? mark.bytes : mark.bytes * count / all;
    meter_->Completed(mark.at_ns, now_ns, count, bytes);
    mark.bytes -= bytes;
    in_flight_ -= count;
    state.durable_end = reached;
    if (mark.end_offset == reached) state.waiting.pop_front();
  }
}

Result<std::span<Partition* const>> CoreAppender::Turn(int64_t max_wait_us) {
  now_ns_ = NowNs();
  if (!over_) {
    const Status appended = AppendSome();
    if (!appended.ok()) return appended.error();
  }
  int64_t wait_us = max_wait_us;
  if (pace_wait_ns_ > 0) wait_us = std::min(wait_us, pace_wait_ns_ / 1'000);
  const bool more_at_once = !over_ && !full_ && pace_wait_ns_ == 0 && in_flight_ < most_in_flight_;
  const auto moved = load_.engine.Poll(std::chrono::microseconds(more_at_once ? 0 : wait_us));
  now_ns_ = NowNs();
  for (Partition* partition : moved) {
    if (&partition->topic() == &load_.topic) Complete(*partition, now_ns_);
  }
  if (moved.empty()) {
    const Status health = load_.engine.health();
    if (!health.ok()) return health.error();
  }
  return moved;
}

int64_t CoreAppender::AppendedAt(int32_t partition, int64_t offset) const {
  const auto& kept = partitions_[static_cast<size_t>(partition)].kept;
  const auto found =
      std::upper_bound(kept.begin(), kept.end(), offset,
                       [](int64_t wanted, const Mark& other) { return wanted < other.end_offset; });
  return found == kept.end() ? 0 : found->at_ns;
}

void CoreAppender::Forget(int32_t partition, int64_t end_offset) {
  auto& kept = partitions_[static_cast<size_t>(partition)].kept;
  while (!kept.empty() && kept.front().end_offset <= end_offset) kept.pop_front();
}

Status RunAppend(const CoreLoad& load, Meter* append) {
  constexpr int64_t kMaxWaitUs = 100'000;
  CoreAppender appender(load, append);
  while (!appender.over() || !appender.drained()) {
    const auto moved = appender.Turn(kMaxWaitUs);
    if (!moved.ok()) return moved.error();
  }
  return {};
}

}  // namespace tidemark::tools
