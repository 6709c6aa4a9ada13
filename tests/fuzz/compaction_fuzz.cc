// Any bytes as a batch that compaction filters: an Error, or a batch at the same offsets with just
// those records that were to stay.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "record/batch.h"
#include "storage/batch_filter.h"

namespace tidemark::storage {
namespace {

// With length, magic and checksum made right the fuzzer reaches what lies behind them.
std::vector<std::byte> AsBatch(base::ByteSpan bytes) {
  std::vector<std::byte> batch(bytes.begin(), bytes.end());
  batch.resize(std::max(batch.size(), record::kBatchHeaderBytes));
  base::StoreBig(&batch[8], static_cast<int32_t>(batch.size() - record::kBatchLengthOverhead));
  base::StoreBig(&batch[16], record::kMagic);
  base::StoreBig(&batch[17], base::Crc32c(base::ByteSpan(batch).subspan(record::kCrcCoversFrom)));
  return batch;
}

struct Seen {
  int64_t offset;
  int64_t timestamp_ms;
  uint64_t digest;
  bool operator==(const Seen&) const = default;
};

uint64_t DigestOf(const RecordView& record) {
  uint64_t digest = base::Xxh3(base::AsBytes(record.key.value_or("")), record.key ? 1 : 0);
  digest = base::Xxh3(base::AsBytes(record.value.value_or("")), digest + (record.value ? 1 : 0));
  for (const Header& header : record.headers) {
    digest = base::Xxh3(base::AsBytes(header.key), digest);
    digest = base::Xxh3(base::AsBytes(header.value.value_or("")), digest);
  }
  return digest;
}

template <typename Keep>
std::vector<Seen> ReadKept(const record::OpenedBatch& batch, const Keep& keep) {
  std::vector<Seen> seen;
  for (const RecordView& record : RecordRange(batch.encoded())) {
    if (keep(record)) seen.push_back({record.offset, record.timestamp_ms, DigestOf(record)});
  }
  return seen;
}

void TryFilter(uint8_t choice, base::ByteSpan bytes) {
  static record::Compressor compressor;
  const std::vector<std::byte> batch = AsBatch(bytes);
  const auto header = record::CheckBatch(batch);
  if (!header.ok()) return;
  const auto goes = [choice](const tidemark::Bytes& key, int64_t offset) {
    return (base::Xxh3(base::AsBytes(key), static_cast<uint64_t>(offset)) & choice) != 0;
  };
  FilterTerms terms;
  terms.superseded = goes;
  terms.tombstones_age = (choice & 0x40) != 0;
  terms.now_ms = header->base_timestamp_ms / 2;
  terms.delete_retention_ms = choice;
  terms.end_offset = header->base_offset + header->last_offset_delta / 2;
  BatchFilter filter;
  std::vector<std::byte> output;
  const auto filtered = filter.Filter(*header, batch, terms, 1, &output);
  if (!filtered.ok()) return;
  TIDEMARK_CHECK((filtered->kind == FilteredBatch::Kind::rewritten) == !output.empty());
  if (filtered->kind != FilteredBatch::Kind::rewritten) return;
  std::vector<std::byte> before_buffer;
  std::vector<std::byte> after_buffer;
  const auto before =
      record::OpenBatch(batch, record::kMaxDecompressedBatchBytes, &compressor, &before_buffer);
  const auto after =
      record::OpenBatch(output, record::kMaxDecompressedBatchBytes, &compressor, &after_buffer);
  TIDEMARK_CHECK(before.ok() && after.ok());
  TIDEMARK_CHECK(after->header == filtered->header);
  TIDEMARK_CHECK(after->header.base_offset == header->base_offset);
  TIDEMARK_CHECK(after->header.last_offset_delta == header->last_offset_delta);
  const bool expired = terms.tombstones_age && header->has_delete_horizon() &&
                       terms.now_ms >= header->base_timestamp_ms;
  const auto stays = [&](const RecordView& record) {
    if (!record.key || record.offset >= terms.end_offset) return true;
    return !(expired && !record.value) && !goes(*record.key, record.offset);
  };
  TIDEMARK_CHECK(ReadKept(*before, stays) ==
                 ReadKept(*after, [](const RecordView&) { return true; }));
}

}  // namespace
}  // namespace tidemark::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  tidemark::storage::TryFilter(data[0], std::as_bytes(std::span(data, size)).subspan(1));
  return 0;
}
