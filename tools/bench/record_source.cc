#include "tools/bench/record_source.h"

#include <fmt/core.h>

#include "tools/workloads.h"

namespace tidemark::tools {
namespace {

constexpr size_t kMostItems = 16'384;
constexpr size_t kMostItemBytes = size_t{16} << 20;  // of all of them, but for the last
constexpr size_t kLeastItems = 4;
constexpr int64_t kFirstMs = 1'732'272'000'000;

}  // namespace

Result<RecordSource> RecordSource::Make(const Job& job, uint64_t seed) {
  RecordSource source;
  if (job.workload.empty()) {
    source.MakePlain(job, seed);
  } else {
    const Status made = source.MakeNamed(job, seed);
    if (!made.ok()) return made.error();
  }
  // The strings have their places from here on.
  for (Item& item : source.items_) {
    if (!item.client.empty()) item.headers = {{"mqtt.client", item.client}, {"mqtt.qos", "1"}};
  }
  return source;
}

void RecordSource::MakePlain(const Job& job, uint64_t seed) {
  SeededRandom random(seed);
  const SizeRange& range = job.record_size;
  size_t bytes = 0;
  while (items_.size() < kMostItems && (bytes < kMostItemBytes || items_.size() < kLeastItems)) {
    Item& item = items_.emplace_back();
    if (job.keys > 0) item.key = fmt::format("key-{:08}", random.Below(job.keys));
    const uint64_t size = range.least + random.Below(range.most - range.least + 1);
    const uint64_t alike = size * static_cast<uint64_t>(job.compress_percent) / 100;
    item.value.assign(alike, 'a');
    while (item.value.size() < size) item.value.push_back(static_cast<char>(random.Next()));
    item.timestamp_ms = kFirstMs + static_cast<int64_t>(items_.size());
    bytes += item.key.size() + item.value.size();
  }
  round_ms_ = static_cast<int64_t>(items_.size());
}

Status RecordSource::MakeNamed(const Job& job, uint64_t seed) {
  const auto workload = MakeWorkload(job.workload, {.seed = seed});
  if (!workload.ok()) return workload.error();
  size_t bytes = 0;
  int64_t last_ms = kFirstMs;
  while (items_.size() < kMostItems && (bytes < kMostItemBytes || items_.size() < kLeastItems)) {
    const Reading& reading = (*workload)->Next();
    Item& item = items_.emplace_back();
    item.key = reading.key;
    item.value = reading.value;
    item.client = reading.device;
    item.timestamp_ms = reading.timestamp_ms;
    last_ms = reading.arrival_ms;
    bytes += item.key.size() + item.value.size();
  }
  round_ms_ = last_ms - kFirstMs;
  return {};
}

Record RecordSource::Peek() const {
  const Item& item = items_[next_];
  Record record;
  if (!item.key.empty()) record.key = item.key;
  record.value = item.value;
  record.timestamp_ms = item.timestamp_ms + shift_ms_;
  record.headers = item.headers;
  return record;
}

void RecordSource::Take() {
  if (++next_ < items_.size()) return;
  next_ = 0;
  shift_ms_ += round_ms_;
}

}  // namespace tidemark::tools
