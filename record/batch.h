// Kafka's record batch, format version 2 ("magic 2"): the unit of a segment. Source of the format:
// Kafka's DefaultRecordBatch and DefaultRecord; field by field in docs/formats.md. No I/O here.
//
//   header, 61 bytes | records, compressed or not
//
// Nothing here trusts its input: malformed bytes give an Error (corrupt), and no allocation is
// larger than the input, or the limit that the caller names, justifies.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "tidemark/error.h"
#include "tidemark/record.h"

namespace tidemark::record {

inline constexpr size_t kBatchHeaderBytes = 61;
// Bytes before the field that batch_length counts from: base offset and the length itself.
inline constexpr size_t kBatchLengthOverhead = 12;
// The CRC covers everything from here (attributes) to the batch's end.
inline constexpr size_t kCrcCoversFrom = 21;
inline constexpr int8_t kMagic = 2;

// All are read; those for which IsWritten() holds are written, too.
enum class Codec : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
std::string_view CodecName(Codec codec);
constexpr bool IsWritten(Codec codec) { return codec == Codec::none || codec == Codec::zstd; }

inline constexpr int16_t kCodecMask = 0x07;
inline constexpr int16_t kLogAppendTimeBit = 0x08;
inline constexpr int16_t kTransactionalBit = 0x10;
inline constexpr int16_t kControlBit = 0x20;
inline constexpr int16_t kDeleteHorizonBit = 0x40;

struct BatchHeader {
  int64_t base_offset = 0;
  int32_t batch_length = 0;  // bytes behind this field
  int32_t leader_epoch = 0;
  int8_t magic = kMagic;
  uint32_t crc = 0;
  int16_t attributes = 0;  // all 16 bits are kept as they are
  int32_t last_offset_delta = 0;
  int64_t base_timestamp_ms = 0;
  int64_t max_timestamp_ms = 0;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t record_count = 0;

  int64_t last_offset() const { return base_offset + last_offset_delta; }
  int64_t next_offset() const { return last_offset() + 1; }
  uint64_t total_bytes() const {
    return kBatchLengthOverhead + static_cast<uint64_t>(batch_length);
  }
  Codec codec() const { return static_cast<Codec>(attributes & kCodecMask); }
  bool log_append_time() const { return (attributes & kLogAppendTimeBit) != 0; }
  bool transactional() const { return (attributes & kTransactionalBit) != 0; }
  bool control() const { return (attributes & kControlBit) != 0; }
  bool has_delete_horizon() const { return (attributes & kDeleteHorizonBit) != 0; }

  bool operator==(const BatchHeader&) const = default;
};

// Decodes the header at the start of `bytes` and checks what it can alone: magic 2, a length that
// holds the header, a codec that exists, offsets and counts that are not negative and do not
// overflow. The CRC is not looked at. Fails with corrupt; with unsupported for magic 0 and 1.
Result<BatchHeader> DecodeBatchHeader(base::ByteSpan bytes);

// Writes the 61 bytes as the fields say (the CRC too).
void EncodeBatchHeader(const BatchHeader& header, std::byte* to);

// Decodes the header and checks the CRC of the batch at the start of `bytes`, which must hold all
// of it.
Result<BatchHeader> CheckBatch(base::ByteSpan bytes);
// The same of a batch that was read piece by piece: `crc` is that of its bytes from kCrcCoversFrom
// on.
Status CheckCrc(const BatchHeader& header, uint32_t crc);

// A record's timestamp as it stands in its batch. Wraps, as in Kafka's Java, and so does reading.
inline int64_t TimestampDelta(int64_t timestamp_ms, int64_t base_timestamp_ms) {
  return static_cast<int64_t>(static_cast<uint64_t>(timestamp_ms) -
                              static_cast<uint64_t>(base_timestamp_ms));
}
// The size of a record as EncodeRecord writes it, its length prefix included.
size_t EncodedRecordBytes(const Record& record, int64_t timestamp_delta, int32_t offset_delta);
// Writes the record, whose EncodedRecordBytes() are `encoded_bytes` (not measured again: it is a
// good part of the work), and returns the byte behind.
std::byte* EncodeRecord(std::byte* to, const Record& record, int64_t timestamp_delta,
                        int32_t offset_delta, size_t encoded_bytes);

// What a walk over encoded records found.
struct RecordsSummary {
  int32_t count = 0;
  int32_t first_offset_delta = 0;
  int32_t last_offset_delta = 0;
  int64_t max_timestamp_delta = 0;
  int32_t max_timestamp_offset_delta = 0;  // of the first record that has it
};
// Checks every byte of exactly `count` records: lengths, counts, nothing left over, offset deltas
// that strictly increase and do not exceed `last_offset_delta`. After it, RecordRange over the same
// bytes is safe.
Result<RecordsSummary> CheckRecords(base::ByteSpan records, int32_t count,
                                    int32_t last_offset_delta);

// Compresses and decompresses; keeps its contexts and memory from call to call. One thread at a
// time.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  // Appends `input`, compressed, to `output`. zstd levels are zstd's own, negative ones too.
  // unsupported, by name: a codec that is not written.
  Status Compress(Codec codec, int level, base::ByteSpan input, std::vector<std::byte>* output);
  // Replaces `output` by the decompressed bytes; corrupt when there are more than `limit_bytes`.
  // Memory grows with what was really decompressed, not with what a header claims.
  Status Decompress(Codec codec, base::ByteSpan input, size_t limit_bytes,
                    std::vector<std::byte>* output);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Appends a whole batch to `output`: `header` with batch_length, crc and the codec bits filled in,
// then `records` compressed by `codec` (stored uncompressed, and marked so, where compression does
// not make them smaller). Returns the header as written.
Result<BatchHeader> AppendBatch(BatchHeader header, base::ByteSpan records, Codec codec, int level,
                                Compressor* compressor, std::vector<std::byte>* output);

// Makes a batch of records that stand in it already, as `codec` says, behind the place of the
// header: writes that there, with batch_length, crc and the codec bits filled in, and returns it.
BatchHeader FinishBatch(BatchHeader header, Codec codec, std::span<std::byte> batch);

// A batch opened for reading: checked whole (header, CRC, every record) and, if need be,
// decompressed.
struct OpenedBatch {
  BatchHeader header;
  base::ByteSpan records;  // in the batch's own bytes or in `buffer`
  RecordRange::Encoded encoded() const;
};
// `limit_bytes` bounds the decompressed size. `buffer` receives decompressed records and must
// outlive the result; it is left alone for an uncompressed batch. A control batch is opened like
// any other.
Result<OpenedBatch> OpenBatch(base::ByteSpan bytes, size_t limit_bytes, Compressor* compressor,
                              std::vector<std::byte>* buffer);
// The same for one whose header and CRC were checked already: `header` is what CheckBatch()
// returned.
Result<OpenedBatch> OpenCheckedBatch(const BatchHeader& header, base::ByteSpan bytes,
                                     size_t limit_bytes, Compressor* compressor,
                                     std::vector<std::byte>* buffer);

// Largest decompressed batch that the engine reads: protects a small gateway from a bomb.
inline constexpr size_t kMaxDecompressedBatchBytes = size_t{64} << 20;

}  // namespace tidemark::record
