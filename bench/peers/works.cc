#include "bench/peers/works.h"

#include <algorithm>

#include "bench/payloads.h"
#include "tools/workload.h"

namespace tidemark::bench {

const std::vector<WorkInfo>& Works() {
  static const std::vector<WorkInfo> kWorks = {
      {'a', "one durable append at a time", kOneByOne, "", RunOneByOne},
      {'b', "records in flight, durable", kInFlight, "", RunInFlightWork},
      {'c', "bulk ingest without waiting, on one processor", kBulk, "", RunBulk},
      {'d', "sequential reading, on one processor", kReadAll, "plain", RunReadAll},
      {'e', "reading one record by offset", kReadOne, "plain", RunReadOne},
      {'f', "first record at or after a time", kReadByTime, "by_time", RunReadByTime},
      {'g', "from start to ready after a kill", kKill, "killed", RunKill},
      {'h', "bytes of a reading", kSpaceEach | kSpaceWindow, "", RunSpace},
      {'i', "memory", kMemory, "", RunMemory}};
  return kWorks;
}

std::vector<std::string> MakeValues(size_t value_bytes, size_t count) {
  Payloads payloads(PayloadKind::thermometers, value_bytes, count);
  std::vector<std::string> values;
  for (size_t i = 0; i < count; ++i) {
    const Record record = payloads.Next(0);
    std::string value(record.key.value_or(""));
    value += *record.value;
    value.resize(value_bytes, ' ');
    values.push_back(std::move(value));
  }
  return values;
}

std::vector<std::string> MakeRandomValues(size_t value_bytes, size_t count) {
  Payloads payloads(PayloadKind::random, value_bytes, count);
  std::vector<std::string> values;
  for (size_t i = 0; i < count; ++i) values.emplace_back(*payloads.Next(0).value);
  return values;
}

void AppendMany(Peer& peer, const Variant& variant, uint64_t first_offset, uint64_t count,
                const std::vector<std::string>& values) {
  std::vector<PeerRecord> records;
  const uint64_t end = first_offset + count;
  for (uint64_t offset = first_offset; offset < end;) {
    records.clear();
    const uint64_t batch_end = std::min<uint64_t>(offset + variant.bulk_records, end);
    for (; offset < batch_end; ++offset) {
      PeerRecord record;
      record.offset = offset;
      record.timestamp_ms =
          kFirstTimestampMs + static_cast<int64_t>(offset / kRecordsOfMillisecond);
      record.value = values[offset % values.size()];
      records.push_back(record);
    }
    peer.Append(records, variant.safety);
  }
}

}  // namespace tidemark::bench
