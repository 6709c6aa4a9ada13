// Through the thread-safe class: what a thread of an embedding program would do.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tools/bench/loads.h"
#include "tools/workload.h"

namespace tidemark::tools {
namespace {

Status AppendWaiting(const ThreadLoad& load, int32_t partitions, Meter* append) {
  Budget budget(load.job, load.window, *append);
  Pacer pacer(load.job.rate, load.window);
  auto partition = static_cast<int32_t>(load.seed % static_cast<uint64_t>(partitions));
  for (int64_t now_ns = NowNs(); !budget.Over(now_ns); now_ns = NowNs()) {
    const int64_t wait_ns = pacer.WaitNs(now_ns);
    if (wait_ns > 0) {
      constexpr int64_t kLongestNs = 100'000'000;
      std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(wait_ns, kLongestNs)));
      continue;
    }
    const Record record = load.records.Peek();
    const auto offset = load.engine.Append(load.topic, partition, record, load.job.durability);
    if (!offset.ok()) return offset.error();
    const uint64_t bytes = BytesOf(record);
    append->Completed(now_ns, NowNs(), 1, bytes);
    load.records.Take();
    pacer.Take();
    budget.Take(bytes);
    partition = partition + 1 == partitions ? 0 : partition + 1;
  }
  return {};
}

// What the engine's thread tells to the one that appends.
class InFlight {
 public:
  // Waits for a place.
  void Enter(uint64_t most) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ < most; });
    ++count_;
  }
  void Leave(const Status& outcome) {
    const std::lock_guard lock(mutex_);
    if (!outcome.ok() && failed_.ok()) failed_ = outcome;
    --count_;
    changed_.notify_one();
  }
  Status failed() {
    const std::lock_guard lock(mutex_);
    return failed_;
  }
  void Drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t count_ = 0;
  Status failed_;
};

Status AppendAhead(const ThreadLoad& load, int32_t partitions, Meter* append) {
  Budget budget(load.job, load.window, *append);
  Pacer pacer(load.job.rate, load.window);
  InFlight in_flight;
  auto partition = static_cast<int32_t>(load.seed % static_cast<uint64_t>(partitions));
  for (int64_t now_ns = NowNs(); !budget.Over(now_ns) && in_flight.failed().ok();
       now_ns = NowNs()) {
    const int64_t wait_ns = pacer.WaitNs(now_ns);
    if (wait_ns > 0) {
      constexpr int64_t kLongestNs = 100'000'000;
      std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(wait_ns, kLongestNs)));
      continue;
    }
    in_flight.Enter(load.job.iodepth);
    const Record record = load.records.Peek();
    const uint64_t bytes = BytesOf(record);
    const int64_t begun_ns = NowNs();
    const Status queued = load.engine.AppendAsync(
        load.topic, partition, record, load.job.durability,
        [&in_flight, append, begun_ns, bytes](const Result<int64_t>& offset) {
          if (offset.ok()) append->Completed(begun_ns, NowNs(), 1, bytes);
          in_flight.Leave(offset.ok() ? Status() : Status(offset.error()));
        });
    append->Submitted(begun_ns, NowNs());
    if (!queued.ok()) {
      const bool busy = queued.error().code() == ErrorCode::busy;
      in_flight.Leave(busy ? Status() : queued);
      if (!busy) break;
      append->Busy();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      continue;
    }
    load.records.Take();
    pacer.Take();
    budget.Take(bytes);
    partition = partition + 1 == partitions ? 0 : partition + 1;
  }
  in_flight.Drain();
  return in_flight.failed();
}

struct Ends {
  int64_t log_start = 0;
  int64_t durable_end = 0;
};

Result<std::vector<Ends>> EndsOf(const ThreadLoad& load) {
  std::vector<Ends> ends;
  const Status ran = load.engine.Run([&](Engine& engine) {
    const Topic* topic = engine.FindTopic(load.topic);
    for (int32_t i = 0; topic != nullptr && i < topic->partition_count(); ++i) {
      const Partition& partition = *topic->partition(i);
      ends.push_back({partition.log_start_offset(), partition.durable_end_offset()});
    }
  });
  if (!ran.ok()) return ran.error();
  return ends;
}

Error NoDepth() {
  return Error(ErrorCode::invalid_argument,
               "reads of the thread-safe class wait: set iodepth=1, and numjobs to how many shall "
               "wait at a time");
}

}  // namespace

Status RunAppend(const ThreadLoad& load, Meter* append) {
  const auto ends = EndsOf(load);
  if (!ends.ok()) return ends.error();
  const auto partitions = static_cast<int32_t>(ends->size());
  return load.job.iodepth == 1 ? AppendWaiting(load, partitions, append)
                               : AppendAhead(load, partitions, append);
}

Status RunRead(const ThreadLoad& load, Meter* read) {
  constexpr size_t kMostRecords = 1'000;
  if (load.job.iodepth != 1) return NoDepth();
  const auto ends = EndsOf(load);
  if (!ends.ok()) return ends.error();
  Budget budget(load.job, load.window, *read);
  do {
    for (size_t i = 0; i < ends->size(); ++i) {
      int64_t position = (*ends)[i].log_start;
      while (position < (*ends)[i].durable_end) {
        const int64_t begun_ns = NowNs();
        if (budget.Over(begun_ns)) return {};
        const auto records =
            load.engine.Read(load.topic, static_cast<int32_t>(i), position, kMostRecords);
        if (!records.ok()) return records.error();
        if (records->empty()) break;
        uint64_t bytes = 0;
        for (const OwnedRecord& record : *records) bytes += BytesOf(record);
        read->CompletedBatch(begun_ns, NowNs(), records->size(), bytes);
        budget.Take(bytes);
        position = records->back().offset + 1;
      }
    }
  } while (load.job.time_based && !budget.Over(NowNs()));
  return {};
}

Status RunPointRead(const ThreadLoad& load, Meter* read) {
  if (load.job.iodepth != 1) return NoDepth();
  const auto ends = EndsOf(load);
  if (!ends.ok()) return ends.error();
  // Times to ask for: between those of the first and the last record.
  std::vector<std::pair<int64_t, int64_t>> times(ends->size());
  std::vector<size_t> filled;
  for (size_t i = 0; i < ends->size(); ++i) {
    if ((*ends)[i].log_start == (*ends)[i].durable_end) continue;
    const auto partition = static_cast<int32_t>(i);
    const auto first = load.engine.Read(load.topic, partition, (*ends)[i].log_start, 1);
    const auto last = load.engine.Read(load.topic, partition, (*ends)[i].durable_end - 1, 1);
    if (!first.ok()) return first.error();
    if (!last.ok()) return last.error();
    if (first->empty() || last->empty()) continue;
    times[i] = std::minmax(first->front().timestamp_ms, last->front().timestamp_ms);
    filled.push_back(i);
  }
  if (filled.empty()) return Error(ErrorCode::invalid_argument, "the topic holds no record");
  SeededRandom random(load.seed);
  Budget budget(load.job, load.window, *read);
  for (int64_t now_ns = NowNs(); !budget.Over(now_ns); now_ns = NowNs()) {
    const size_t i = filled[random.Below(filled.size())];
    const auto& [log_start, durable_end] = (*ends)[i];
    const auto partition = static_cast<int32_t>(i);
    int64_t offset = log_start + static_cast<int64_t>(
                                     random.Below(static_cast<uint64_t>(durable_end - log_start)));
    if (load.job.rw == Work::timeread) {
      const auto& [first_ms, last_ms] = times[i];
      const auto span_ms = static_cast<uint64_t>(last_ms - first_ms) + 1;
      const auto found = load.engine.OffsetForTimestamp(
          load.topic, partition, first_ms + static_cast<int64_t>(random.Below(span_ms)));
      if (!found.ok()) return found.error();
      offset = *found;
    }
    const auto records = load.engine.Read(load.topic, partition, offset, 1);
    if (!records.ok()) return records.error();
    const uint64_t bytes = records->empty() ? 0 : BytesOf(records->front());
    read->Completed(now_ns, NowNs(), 1, bytes);
    budget.Take(bytes);
  }
  return {};
}

}  // namespace tidemark::tools
