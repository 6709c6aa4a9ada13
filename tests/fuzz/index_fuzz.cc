// Any bytes as index files: what is taken is a valid index, its lookups agree with a linear search,
// and writing it gives the same bytes. And any batches through IndexBuilder give entries that can
// be added.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/check.h"
#include "index/offset_index.h"

namespace tidemark::index {
namespace {

void TryOffsetIndex(base::ByteSpan file, uint64_t log_bytes, int32_t wanted) {
  OffsetIndex index;
  const size_t valid = index.Load(file, log_bytes);
  TIDEMARK_CHECK(valid == index.entries().size() * kOffsetEntryBytes && valid <= file.size());
  OffsetIndex again;
  std::optional<OffsetEntry> floor;
  size_t at = 0;
  for (const OffsetEntry& entry : index.entries()) {
    again.Add(entry);  // aborts unless they increase
    if (entry.relative_offset <= wanted) floor = entry;
    std::byte bytes[kOffsetEntryBytes];
    OffsetIndex::Encode(entry, bytes);
    TIDEMARK_CHECK(std::memcmp(bytes, &file[at], sizeof bytes) == 0);
    at += sizeof bytes;
  }
  TIDEMARK_CHECK(index.Floor(wanted) == floor);
  index.TruncateToPosition(log_bytes);
  TIDEMARK_CHECK(index.entries().size() * kOffsetEntryBytes == valid);
  index.TruncateToPosition(log_bytes / 2);
  TIDEMARK_CHECK(index.entries().empty() ||
                 static_cast<uint64_t>(index.entries().back().position) < log_bytes / 2);
}

void TryTimeIndex(base::ByteSpan file, int32_t last_offset) {
  TimeIndex index;
  const size_t valid = index.Load(file, last_offset);
  TIDEMARK_CHECK(valid == index.entries().size() * kTimeEntryBytes && valid <= file.size());
  size_t at = 0;
  for (const TimeEntry& entry : index.entries()) {
    std::byte bytes[kTimeEntryBytes];
    TimeIndex::Encode(entry, bytes);
    TIDEMARK_CHECK(std::memcmp(bytes, &file[at], sizeof bytes) == 0);
    at += sizeof bytes;
  }
  index.TruncateToOffset(last_offset);
  TIDEMARK_CHECK(index.entries().size() * kTimeEntryBytes == valid);
}

void TryBuilder(base::ByteSpan input, int64_t base_offset, uint32_t interval_bytes) {
  constexpr size_t kBatchBytes = 3 * sizeof(int64_t);
  IndexBuilder builder(base_offset, interval_bytes);
  OffsetIndex offsets;
  TimeIndex times;
  uint64_t position = 0;
  for (; input.size() >= kBatchBytes; input = input.subspan(kBatchBytes)) {
    IndexBuilder::Batch batch;
    batch.position = position;
    batch.bytes = base::LoadBig<uint32_t>(&input[4]);
    batch.last_offset = base::LoadBig<int64_t>(&input[8]);
    batch.max_timestamp_ms = base::LoadBig<int64_t>(&input[16]);
    position += batch.bytes;
    const IndexBuilder::Due due = builder.Add(batch);
    if (due.offset_entry) offsets.Add(*due.offset_entry);
    TIDEMARK_CHECK(!due.time_entry || (due.offset_entry && times.MaybeAdd(*due.time_entry)));
  }
  const auto last = builder.Final();
  TIDEMARK_CHECK(last || times.entries().empty());
}

}  // namespace
}  // namespace tidemark::index

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace base = tidemark::base;
  namespace index = tidemark::index;
  constexpr size_t kParameterBytes = 1 + 2 * sizeof(int64_t);
  if (size < kParameterBytes) return 0;
  const base::ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto first = base::LoadBig<int64_t>(&bytes[1]);
  const auto second = base::LoadBig<int64_t>(&bytes[9]);
  const base::ByteSpan rest = bytes.subspan(kParameterBytes);
  switch (data[0] % 3) {
    case 0:
      index::TryOffsetIndex(rest, static_cast<uint64_t>(first), static_cast<int32_t>(second));
      break;
    case 1:
      index::TryTimeIndex(rest, static_cast<int32_t>(first));
      break;
    default:
      index::TryBuilder(rest, first, static_cast<uint32_t>(second));
      break;
  }
  return 0;
}
