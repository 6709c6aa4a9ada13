// .index and .timeindex files, entry by entry.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "index/offset_index.h"
#include "tools/dump.h"

namespace tidemark::tools {
namespace {

constexpr size_t kEntriesAtOnce = 4096;

// Hands out every whole entry of a file; what is left over at its end is damage.
void WalkEntries(const DumpFile& file, size_t entry_bytes, DumpReport* report,
                 const std::function<void(uint64_t position, const std::byte* entry)>& visit) {
  std::vector<std::byte> buffer(entry_bytes * kEntriesAtOnce);
  uint64_t position = 0;
  while (position < file.bytes && !report->finished()) {
    const auto got = file.file->ReadAt(position, buffer);
    if (!got.ok()) return report->Unreadable(got.error());
    const size_t entries = *got / entry_bytes;
    for (size_t i = 0; i < entries; ++i) {
      visit(position + i * entry_bytes, buffer.data() + i * entry_bytes);
    }
    position += entries * entry_bytes;
    if (entries < kEntriesAtOnce) break;
  }
  if (position < file.bytes && !report->finished() && !file.store_in_use) {
    report->Damage(position,
                   std::to_string(file.bytes - position) + " bytes are left over, no whole entry");
  }
}

}  // namespace

void DumpOffsetIndex(const DumpFile& file, DumpReport* report) {
  const int64_t base_offset = BaseOffsetOf(file.name);
  index::OffsetEntry last{-1, -1};
  WalkEntries(file, index::kOffsetEntryBytes, report, [&](uint64_t at, const std::byte* bytes) {
    const index::OffsetEntry entry{base::LoadBig<int32_t>(bytes),
                                   base::LoadBig<int32_t>(bytes + sizeof(int32_t))};
    const int64_t offset = base_offset + entry.relative_offset;
    Json object;
    object["type"] = "offset_index_entry";
    object["offset"] = offset;
    object["position"] = entry.position;
    report->Add(object, "offset: " + std::to_string(offset) +
                            " position: " + std::to_string(entry.position));
    if (entry.relative_offset <= last.relative_offset || entry.position <= last.position) {
      report->Damage(at, "the entry is not greater than the one before");
    }
    last = {std::max(last.relative_offset, entry.relative_offset),
            std::max(last.position, entry.position)};
  });
}

void DumpTimeIndex(const DumpFile& file, DumpReport* report) {
  const int64_t base_offset = BaseOffsetOf(file.name);
  index::TimeEntry last{INT64_MIN, -1};
  WalkEntries(file, index::kTimeEntryBytes, report, [&](uint64_t at, const std::byte* bytes) {
    const index::TimeEntry entry{base::LoadBig<int64_t>(bytes),
                                 base::LoadBig<int32_t>(bytes + sizeof(int64_t))};
    const int64_t offset = base_offset + entry.relative_offset;
    Json object;
    object["type"] = "time_index_entry";
    object["timestamp"] = entry.timestamp_ms;
    object["offset"] = offset;
    report->Add(object, "timestamp: " + std::to_string(entry.timestamp_ms) +
                            " offset: " + std::to_string(offset));
    if (entry.timestamp_ms <= last.timestamp_ms || entry.relative_offset <= last.relative_offset) {
      report->Damage(at, "the entry is not greater than the one before");
    }
    last = {std::max(last.timestamp_ms, entry.timestamp_ms),
            std::max(last.relative_offset, entry.relative_offset)};
  });
}

}  // namespace tidemark::tools
