#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "tools/bench/loads.h"
#include "tools/workload.h"

namespace tidemark::tools {
namespace {

constexpr std::chrono::milliseconds kMaxPointWait(10);

// What a partition has, to choose from.
struct Span {
  int64_t first_offset = 0;
  int64_t end_offset = 0;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
};

Result<int64_t> TimestampAt(const CoreLoad& load, Partition& partition, int64_t offset) {
  auto reader = load.engine.OpenReader(partition, offset);
  if (!reader.ok()) return reader.error();
  for (;;) {
    const auto state = (*reader)->Next();
    if (!state.ok()) return state.error();
    if (*state == ReadState::pending) {
      load.engine.Poll(kMaxPointWait);
      continue;
    }
    if (*state == ReadState::at_end) return Error(ErrorCode::corrupt, "no record to begin with");
    for (const RecordView& record : (*reader)->batch().records) return record.timestamp_ms;
  }
}

class PointReader {
 public:
  PointReader(const CoreLoad& load, Meter* meter)
      : load_(load),
        meter_(meter),
        random_(load.seed),
        pacer_(load.job.rate, load.window),
        budget_(load.job, load.window, *meter),
        slots_(load.job.iodepth) {}
  Status Run();

 private:
  struct Slot {
    std::unique_ptr<Reader> reader;
    int32_t partition = -1;
    int64_t begun_ns = 0;  // 0: nothing is asked for
  };
  Status Measure();
  Status Ask(Slot& slot, int64_t now_ns);
  Status Look(Slot& slot);

  const CoreLoad& load_;
  Meter* meter_;
  SeededRandom random_;
  Pacer pacer_;
  Budget budget_;
  std::vector<Span> spans_;
  std::vector<int32_t> filled_;  // partitions that have records
  std::vector<Slot> slots_;
};

Status PointReader::Measure() {
  spans_.resize(static_cast<size_t>(load_.topic.partition_count()));
  for (int32_t i = 0; i < load_.topic.partition_count(); ++i) {
    Partition& partition = *load_.topic.partition(i);
    Span& span = spans_[static_cast<size_t>(i)];
    span.first_offset = partition.log_start_offset();
    span.end_offset = partition.durable_end_offset();
    if (span.first_offset == span.end_offset) continue;
    filled_.push_back(i);
    if (load_.job.rw != Work::timeread) continue;
    const auto first = TimestampAt(load_, partition, span.first_offset);
    if (!first.ok()) return first.error();
    const auto last = TimestampAt(load_, partition, span.end_offset - 1);
    if (!last.ok()) return last.error();
    span.first_ms = std::min(*first, *last);
    span.last_ms = std::max(*first, *last);
  }
  return {};
}

Status PointReader::Ask(Slot& slot, int64_t now_ns) {
  const int32_t index = filled_[random_.Below(filled_.size())];
  const Span& span = spans_[static_cast<size_t>(index)];
  slot.begun_ns = now_ns;
  const int64_t offset =
      span.first_offset + static_cast<int64_t>(random_.Below(
                              static_cast<uint64_t>(span.end_offset - span.first_offset)));
  if (slot.partition != index) {
    auto reader = load_.engine.OpenReader(*load_.topic.partition(index), offset);
    if (!reader.ok()) return reader.error();
    slot.reader = std::move(*reader);
    slot.partition = index;
  }
  const auto length_ms = static_cast<uint64_t>(span.last_ms - span.first_ms) + 1;
  Status sought = load_.job.rw == Work::timeread
                      ? slot.reader->SeekToTimestamp(span.first_ms +
                                                     static_cast<int64_t>(random_.Below(length_ms)))
                      : slot.reader->Seek(offset);
  pacer_.Take();
  meter_->Submitted(now_ns, NowNs());
  return sought;
}

Status PointReader::Look(Slot& slot) {
  const auto state = slot.reader->Next();
  if (!state.ok()) return state.error();
  if (*state == ReadState::pending) return {};
  if (*state == ReadState::batch) {
    const auto record = slot.reader->batch().records.begin();
    if (record == RecordRange::Iterator()) return {};  // what compaction has left
    const uint64_t bytes = BytesOf(*record);
    meter_->Completed(slot.begun_ns, NowNs(), 1, bytes);
    budget_.Take(bytes);
  }
  slot.begun_ns = 0;
  return {};
}

Status PointReader::Run() {
  Status measured = Measure();
  if (!measured.ok()) return measured;
  if (filled_.empty()) return Error(ErrorCode::invalid_argument, "the topic holds no record");
  for (size_t in_flight = 1; in_flight > 0;) {
    in_flight = 0;
    bool moved = false;
    int64_t wait_ns = 0;
    for (Slot& slot : slots_) {
      if (slot.begun_ns == 0) {
        const int64_t now_ns = NowNs();
        if (budget_.Over(now_ns)) continue;
        wait_ns = pacer_.WaitNs(now_ns);
        ++in_flight;  // or would be
        if (wait_ns > 0) continue;
        Status asked = Ask(slot, now_ns);
        if (!asked.ok()) return asked;
      } else {
        ++in_flight;
      }
      Status looked = Look(slot);
      if (!looked.ok()) return looked;
      moved = moved || slot.begun_ns == 0;
    }
    const auto wait = wait_ns > 0 ? std::chrono::microseconds(wait_ns / 1'000) : kMaxPointWait;
    if (!moved && in_flight > 0) {
      load_.engine.Poll(std::min<std::chrono::microseconds>(wait, kMaxPointWait));
    }
  }
  return {};
}

}  // namespace

Status RunPointRead(const CoreLoad& load, Meter* read) { return PointReader(load, read).Run(); }

}  // namespace tidemark::tools
