#include "tools/bench/core_read.h"

#include <algorithm>
#include <chrono>

namespace tidemark::tools {
namespace {

constexpr std::chrono::milliseconds kMaxWait(10);

struct Amount {
  uint64_t records = 0;
  uint64_t bytes = 0;
};

Amount AmountOf(const Batch& batch) {
  Amount amount;
  for (const RecordView& record : batch.records) {
    ++amount.records;
    amount.bytes += BytesOf(record);
  }
  return amount;
}

}  // namespace

CoreScanner::CoreScanner(const CoreLoad& load, Meter* meter, bool again)
    : load_(load),
      meter_(meter),
      again_(again),
      slots_(
          std::min<size_t>(load.job.iodepth, static_cast<size_t>(load.topic.partition_count()))) {}
CoreScanner::~CoreScanner() = default;

Status CoreScanner::Assign(Slot& slot) {
  slot = {};
  if (next_partition_ == load_.topic.partition_count()) {
    if (!again_) return {};
    next_partition_ = 0;
  }
  Partition& partition = *load_.topic.partition(next_partition_++);
  auto reader = load_.engine.OpenReader(partition, partition.log_start_offset());
  if (!reader.ok()) return reader.error();
  slot.reader = std::move(*reader);
  return {};
}

Status CoreScanner::Advance(Slot& slot, bool* read) {
  if (slot.begun_ns == 0) slot.begun_ns = NowNs();
  const auto state = slot.reader->Next();
  if (!state.ok()) return state.error();
  if (*state == ReadState::at_end) return Assign(slot);
  if (*state == ReadState::pending) return {};
  const Amount amount = AmountOf(slot.reader->batch());
  meter_->CompletedBatch(slot.begun_ns, NowNs(), amount.records, amount.bytes);
  slot.begun_ns = 0;
  step_bytes_ += amount.bytes;
  records_ += amount.records;
  *read = true;
  return {};
}

Result<CoreScanner::Step> CoreScanner::Next() {
  step_bytes_ = 0;
  bool read = false;
  bool ended = true;
  for (Slot& slot : slots_) {
    if (!slot.reader) {
      const Status assigned = Assign(slot);
      if (!assigned.ok()) return assigned.error();
    }
    if (!slot.reader) continue;
    ended = false;
    const Status advanced = Advance(slot, &read);
    if (!advanced.ok()) return advanced.error();
  }
  if (ended) return Step::end;
  return read ? Step::read : Step::waiting;
}

Status RunRead(const CoreLoad& load, Meter* read) {
  CoreScanner scanner(load, read, load.job.time_based);
  Budget budget(load.job, load.window, *read);
  while (!budget.Over(NowNs())) {
    const auto step = scanner.Next();
    if (!step.ok()) return step.error();
    if (*step == CoreScanner::Step::end) return {};
    budget.Take(scanner.step_bytes());
    if (*step == CoreScanner::Step::waiting) load.engine.Poll(kMaxWait);
  }
  return {};
}

}  // namespace tidemark::tools
