// Any bytes as a record batch, as records, as what each codec has compressed and as varints: an
// Error or a value, nothing else. What is accepted is read to its end and, where the format has one
// spelling only, written again.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/varint.h"
#include "record/batch.h"
#include "tidemark/record.h"

namespace tidemark::record {
namespace {

constexpr size_t kLimitBytes = size_t{1} << 20;

size_t SizeOf(const std::optional<Bytes>& field) {
  size_t sum = 0;
  if (field) {
    for (const char byte : *field) sum += static_cast<unsigned char>(byte);
  }
  return sum;
}

// Touches every byte that a reader could.
int32_t ReadAll(const RecordRange::Encoded& encoded) {
  int32_t count = 0;
  size_t sum = 0;
  for (const RecordView& view : RecordRange(encoded)) {
    ++count;
    sum += SizeOf(view.key) + SizeOf(view.value);
    for (const Header& header : view.headers) sum += SizeOf(header.key) + SizeOf(header.value);
  }
  // The sum must not be optimised away.
  TIDEMARK_CHECK(sum != SIZE_MAX);
  return count;
}

void TryBatch(base::ByteSpan bytes) {
  static Compressor compressor;
  std::vector<std::byte> buffer;
  const auto batch = OpenBatch(bytes, kLimitBytes, &compressor, &buffer);
  if (!batch.ok()) return;
  TIDEMARK_CHECK(batch->header.next_offset() > batch->header.base_offset);
  TIDEMARK_CHECK(ReadAll(batch->encoded()) == batch->header.record_count);
  std::vector<std::byte> again(kBatchHeaderBytes);
  EncodeBatchHeader(batch->header, again.data());
  TIDEMARK_CHECK(base::AsText(again) == base::AsText(bytes.first(kBatchHeaderBytes)));
}

// With length, magic and checksum made right the fuzzer reaches what lies behind them.
void TrySealedBatch(base::ByteSpan bytes) {
  if (bytes.size() < kBatchHeaderBytes) return;
  std::vector<std::byte> batch(bytes.begin(), bytes.end());
  base::StoreBig(&batch[8], static_cast<int32_t>(batch.size() - kBatchLengthOverhead));
  base::StoreBig(&batch[16], kMagic);
  base::StoreBig(&batch[17], base::Crc32c(base::ByteSpan(batch).subspan(kCrcCoversFrom)));
  TryBatch(batch);
}

void TryRecords(base::ByteSpan bytes) {
  if (bytes.empty()) return;
  const auto count = static_cast<int32_t>(bytes.front());
  const std::vector<std::byte> records(bytes.begin() + 1, bytes.end());
  if (!CheckRecords(records, count, INT32_MAX).ok()) return;
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(records).data();
  encoded.count = count;
  encoded.base_offset = INT64_MAX - 10;
  encoded.base_timestamp_ms = INT64_MIN;
  TIDEMARK_CHECK(ReadAll(encoded) <= count);
  encoded.first_offset = INT64_MAX - 5;
  encoded.end_offset = INT64_MAX - 2;
  TIDEMARK_CHECK(ReadAll(encoded) <= 3);
}

void TryDecompress(base::ByteSpan bytes) {
  if (bytes.empty()) return;
  static Compressor compressor;
  std::vector<std::byte> output;
  const auto codec = static_cast<Codec>(static_cast<int>(bytes.front()) & kCodecMask);
  if (codec > Codec::zstd) return;
  if (compressor.Decompress(codec, bytes.subspan(1), kLimitBytes, &output).ok()) {
    TIDEMARK_CHECK(output.size() <= kLimitBytes);
  }
  // Room grows fourfold from what was there.
  TIDEMARK_CHECK(output.capacity() <= kLimitBytes + 1);
}

void TryVarint(base::ByteSpan bytes) {
  const std::byte* const from = bytes.data();
  const std::byte* const end = from + bytes.size();
  int64_t value = 0;
  const std::byte* const behind = base::GetVarlong(from, end, &value);
  int32_t narrow = 0;
  const bool is_narrow = base::GetVarint(from, end, &narrow) != nullptr;
  if (behind == nullptr) {
    TIDEMARK_CHECK(!is_narrow);
    return;
  }
  TIDEMARK_CHECK(behind > from && behind <= end);
  TIDEMARK_CHECK(is_narrow == (value >= INT32_MIN && value <= INT32_MAX));
  TIDEMARK_CHECK(!is_narrow || narrow == value);
  std::byte again[base::kMaxVarlongBytes];
  std::byte* const written = base::PutVarint(again, value);
  TIDEMARK_CHECK(written == again + base::VarintSize(value));
  int64_t reread = 0;
  TIDEMARK_CHECK(base::GetVarlong(again, written, &reread) == written && reread == value);
}

}  // namespace
}  // namespace tidemark::record

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace record = tidemark::record;
  if (size == 0) return 0;
  const tidemark::base::ByteSpan bytes = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 5) {
    case 0:
      record::TryBatch(bytes);
      break;
    case 1:
      record::TrySealedBatch(bytes);
      break;
    case 2:
      record::TryRecords(bytes);
      break;
    case 3:
      record::TryDecompress(bytes);
      break;
    default:
      record::TryVarint(bytes);
      break;
  }
  return 0;
}
