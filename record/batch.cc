#include "record/batch.h"

#include <cstring>
#include <limits>
#include <string>

#include "base/check.h"
#include "base/crc32c.h"

namespace tidemark::record {
namespace {

using base::LoadBig;
using base::StoreBig;

// Where each field of the header begins.
constexpr size_t kBaseOffsetAt = 0;
constexpr size_t kBatchLengthAt = 8;
constexpr size_t kLeaderEpochAt = 12;
constexpr size_t kMagicAt = 16;
constexpr size_t kCrcAt = 17;
constexpr size_t kAttributesAt = 21;
constexpr size_t kLastOffsetDeltaAt = 23;
constexpr size_t kBaseTimestampAt = 27;
constexpr size_t kMaxTimestampAt = 35;
constexpr size_t kProducerIdAt = 43;
constexpr size_t kProducerEpochAt = 51;
constexpr size_t kBaseSequenceAt = 53;
constexpr size_t kRecordCountAt = 57;
static_assert(kRecordCountAt + sizeof(int32_t) == kBatchHeaderBytes);
static_assert(kBatchLengthAt + sizeof(int32_t) == kBatchLengthOverhead);
static_assert(kAttributesAt == kCrcCoversFrom);

// Kafka counts a batch's bytes, what stands before the length included, in an int32.
constexpr size_t kMaxBatchBytes = std::numeric_limits<int32_t>::max();
constexpr int32_t kMinBatchLength = kBatchHeaderBytes - kBatchLengthOverhead;

Error Corrupt(std::string what) { return Error(ErrorCode::corrupt, "batch: " + std::move(what)); }

Status CheckMagic(int8_t magic) {
  if (magic == kMagic) return {};
  std::string what = "magic is " + std::to_string(magic) + ", not 2";
  if (magic != 0 && magic != 1) return Corrupt(std::move(what));
  return Error(ErrorCode::unsupported,
               "batch: " + what + ": a message set from before Kafka 0.11, which is not read");
}

Status CheckFields(const BatchHeader& header) {
  if (header.batch_length < kMinBatchLength || header.total_bytes() > kMaxBatchBytes) {
    return Corrupt("length " + std::to_string(header.batch_length) + " is impossible");
  }
  if (header.codec() > Codec::zstd) {
    return Corrupt("codec " + std::to_string(header.attributes & kCodecMask) + " does not exist");
  }
  if (header.base_offset < 0 || header.last_offset_delta < 0 ||
      header.base_offset >= std::numeric_limits<int64_t>::max() - header.last_offset_delta) {
    return Corrupt("base offset " + std::to_string(header.base_offset) +
                   " with last offset delta " + std::to_string(header.last_offset_delta) +
                   " is impossible");
  }
  // Every record has an offset of its own, so that there are at most as many as offsets.
  if (header.record_count < 0 || header.record_count - 1 > header.last_offset_delta) {
    return Corrupt("record count " + std::to_string(header.record_count) +
                   " does not fit last offset delta " + std::to_string(header.last_offset_delta));
  }
  return {};
}

uint32_t ComputeCrc(base::ByteSpan batch) { return base::Crc32c(batch.subspan(kCrcCoversFrom)); }

int16_t WithCodec(int16_t attributes, Codec codec) {
  return static_cast<int16_t>((attributes & ~kCodecMask) | static_cast<int16_t>(codec));
}

// Appends the records to `output`, compressed if that helps; says which of the two it was.
Result<Codec> AppendRecords(base::ByteSpan records, Codec codec, int level, Compressor* compressor,
                            std::vector<std::byte>* output) {
  const size_t start = output->size();
  if (codec != Codec::none && !records.empty()) {
    TIDEMARK_CHECK(compressor != nullptr);
    if (Status status = compressor->Compress(codec, level, records, output); !status.ok()) {
      return status.error();
    }
    if (output->size() - start < records.size()) return codec;
    output->resize(start);
  }
  output->insert(output->end(), records.begin(), records.end());
  return Codec::none;
}

}  // namespace

std::string_view CodecName(Codec codec) {
  switch (codec) {
    case Codec::none:
      return "none";
    case Codec::gzip:
      return "gzip";
    case Codec::snappy:
      return "snappy";
    case Codec::lz4:
      return "lz4";
    case Codec::zstd:
      return "zstd";
  }
  return "unknown";
}

Result<BatchHeader> DecodeBatchHeader(base::ByteSpan bytes) {
  if (bytes.size() < kBatchHeaderBytes) {
    return Corrupt("ends after " + std::to_string(bytes.size()) + " bytes, within its header");
  }
  const std::byte* from = bytes.data();
  BatchHeader header;
  header.base_offset = LoadBig<int64_t>(from + kBaseOffsetAt);
  header.batch_length = LoadBig<int32_t>(from + kBatchLengthAt);
  header.leader_epoch = LoadBig<int32_t>(from + kLeaderEpochAt);
  header.magic = LoadBig<int8_t>(from + kMagicAt);
  header.crc = LoadBig<uint32_t>(from + kCrcAt);
  header.attributes = LoadBig<int16_t>(from + kAttributesAt);
  header.last_offset_delta = LoadBig<int32_t>(from + kLastOffsetDeltaAt);
  header.base_timestamp_ms = LoadBig<int64_t>(from + kBaseTimestampAt);
  header.max_timestamp_ms = LoadBig<int64_t>(from + kMaxTimestampAt);
  header.producer_id = LoadBig<int64_t>(from + kProducerIdAt);
  header.producer_epoch = LoadBig<int16_t>(from + kProducerEpochAt);
  header.base_sequence = LoadBig<int32_t>(from + kBaseSequenceAt);
  header.record_count = LoadBig<int32_t>(from + kRecordCountAt);
  if (Status status = CheckMagic(header.magic); !status.ok()) return status.error();
  if (Status status = CheckFields(header); !status.ok()) return status.error();
  return header;
}

void EncodeBatchHeader(const BatchHeader& header, std::byte* to) {
  StoreBig(to + kBaseOffsetAt, header.base_offset);
  StoreBig(to + kBatchLengthAt, header.batch_length);
  StoreBig(to + kLeaderEpochAt, header.leader_epoch);
  StoreBig(to + kMagicAt, header.magic);
  StoreBig(to + kCrcAt, header.crc);
  StoreBig(to + kAttributesAt, header.attributes);
  StoreBig(to + kLastOffsetDeltaAt, header.last_offset_delta);
  StoreBig(to + kBaseTimestampAt, header.base_timestamp_ms);
  StoreBig(to + kMaxTimestampAt, header.max_timestamp_ms);
  StoreBig(to + kProducerIdAt, header.producer_id);
  StoreBig(to + kProducerEpochAt, header.producer_epoch);
  StoreBig(to + kBaseSequenceAt, header.base_sequence);
  StoreBig(to + kRecordCountAt, header.record_count);
}

Result<BatchHeader> CheckBatch(base::ByteSpan bytes) {
  Result<BatchHeader> header = DecodeBatchHeader(bytes);
  if (!header.ok()) return header;
  const uint64_t total = header->total_bytes();
  if (total > bytes.size()) {
    return Corrupt("ends after " + std::to_string(bytes.size()) + " of " + std::to_string(total) +
                   " bytes");
  }
  if (Status crc = CheckCrc(*header, ComputeCrc(bytes.first(total))); !crc.ok()) return crc.error();
  return header;
}

Status CheckCrc(const BatchHeader& header, uint32_t crc) {
  if (crc == header.crc) return {};
  return Corrupt("CRC-32C is " + std::to_string(crc) + ", stored is " + std::to_string(header.crc));
}

Result<BatchHeader> AppendBatch(BatchHeader header, base::ByteSpan records, Codec codec, int level,
                                Compressor* compressor, std::vector<std::byte>* output) {
  if (records.size() > kMaxBatchBytes - kBatchHeaderBytes) {
    return Error(ErrorCode::invalid_argument,
                 "batch: " + std::to_string(records.size()) + " bytes of records are too many");
  }
  const size_t start = output->size();
  output->resize(start + kBatchHeaderBytes);
  const Result<Codec> used = AppendRecords(records, codec, level, compressor, output);
  if (!used.ok()) {
    output->resize(start);
    return used.error();
  }
  return FinishBatch(header, *used, {output->data() + start, output->size() - start});
}

BatchHeader FinishBatch(BatchHeader header, Codec codec, std::span<std::byte> batch) {
  TIDEMARK_CHECK(batch.size() >= kBatchHeaderBytes && batch.size() <= kMaxBatchBytes);
  header.magic = kMagic;
  header.batch_length = static_cast<int32_t>(batch.size() - kBatchLengthOverhead);
  header.attributes = WithCodec(header.attributes, codec);
  EncodeBatchHeader(header, batch.data());
  header.crc = ComputeCrc(batch);
  StoreBig(batch.data() + kCrcAt, header.crc);
  return header;
}

RecordRange::Encoded OpenedBatch::encoded() const {
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(records).data();
  encoded.count = header.record_count;
  encoded.base_offset = header.base_offset;
  // With a delete horizon the field holds the horizon, and Kafka writes the records' deltas
  // relative to it: whatever it means, their timestamps count from it.
  encoded.base_timestamp_ms = header.base_timestamp_ms;
  if (header.log_append_time()) encoded.append_timestamp_ms = header.max_timestamp_ms;
  return encoded;
}

Result<OpenedBatch> OpenBatch(base::ByteSpan bytes, size_t limit_bytes, Compressor* compressor,
                              std::vector<std::byte>* buffer) {
  const Result<BatchHeader> header = CheckBatch(bytes);
  if (!header.ok()) return header.error();
  return OpenCheckedBatch(*header, bytes, limit_bytes, compressor, buffer);
}

Result<OpenedBatch> OpenCheckedBatch(const BatchHeader& header, base::ByteSpan bytes,
                                     size_t limit_bytes, Compressor* compressor,
                                     std::vector<std::byte>* buffer) {
  OpenedBatch batch;
  batch.header = header;
  batch.records = bytes.first(header.total_bytes()).subspan(kBatchHeaderBytes);
  // A batch that compaction has emptied has nothing to decompress, whatever its codec bits say.
  if (header.codec() != Codec::none && !batch.records.empty()) {
    TIDEMARK_CHECK(compressor != nullptr && buffer != nullptr);
    const Status status =
        compressor->Decompress(header.codec(), batch.records, limit_bytes, buffer);
    if (!status.ok()) return status.error();
    batch.records = *buffer;
  }
  const Result<RecordsSummary> summary =
      CheckRecords(batch.records, header.record_count, header.last_offset_delta);
  if (!summary.ok()) return summary.error();
  return batch;
}

}  // namespace tidemark::record
