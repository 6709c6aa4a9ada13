#include "storage/seal_format.h"

#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "index/offset_index.h"
#include "record/batch.h"
#include "storage/format_fields.h"

namespace tidemark::storage {
namespace {

constexpr std::string_view kMagic = "TMSEALED";
static_assert(kMagic.size() == kMagicBytes);
constexpr uint32_t kPlainVersion = 1;
constexpr uint32_t kCompactedVersion = 2;
static_assert(kSealVersion == kCompactedVersion);
// Magic, version, and the checksum at the end: where every version has them.
constexpr size_t kLeastBytes = kMagicBytes + sizeof(uint32_t) + kChecksumBytes;

Error Corrupt(std::string what) { return Error(ErrorCode::corrupt, "seal: " + std::move(what)); }

void GetSum(FieldReader* reader, FileSum* sum) {
  reader->Get(&sum->bytes);
  reader->Get(&sum->checksum);
}

bool OffsetsHold(const Seal& seal) {
  if (seal.base_offset < 0 || seal.end_offset <= seal.base_offset) return false;
  return seal.end_offset - 1 - seal.base_offset <= std::numeric_limits<int32_t>::max();
}

bool CompactionHolds(const Seal& seal) {
  return !seal.compacted || (seal.compacted->clean_end_offset >= seal.base_offset &&
                             seal.compacted->clean_end_offset <= seal.end_offset);
}

bool LengthsHold(const Seal& seal) {
  if (seal.batch_count == 0 || seal.batch_count > seal.log_bytes / record::kBatchHeaderBytes)
    return false;
  // An entry names a batch, each another one.
  return seal.offset_index.bytes % index::kOffsetEntryBytes == 0 &&
         seal.offset_index.bytes / index::kOffsetEntryBytes <= seal.batch_count &&
         seal.time_index.bytes % index::kTimeEntryBytes == 0 &&
         seal.time_index.bytes / index::kTimeEntryBytes <= seal.batch_count;
}

bool BlocksHold(const Seal& seal, uint64_t block_count) {
  return seal.block_bytes == kSealBlockBytes && block_count <= kMaxSealBlocks &&
         block_count == SealBlocks(seal.log_bytes, seal.block_bytes);
}

}  // namespace

bool IsSound(const Seal& seal) {
  return OffsetsHold(seal) && CompactionHolds(seal) && LengthsHold(seal) &&
         BlocksHold(seal, seal.block_checksums.size());
}

std::vector<std::byte> EncodeSeal(const Seal& seal) {
  TIDEMARK_CHECK(IsSound(seal));
  const auto block_count = static_cast<uint32_t>(seal.block_checksums.size());
  std::vector<std::byte> bytes(SealBytes(block_count, seal.compacted.has_value()));
  FieldWriter writer(bytes.data());
  writer.Put(kMagic);
  writer.Put(seal.version());
  writer.Put(seal.owner.partition);
  writer.Put(seal.owner.topic_id);
  writer.Put(seal.base_offset);
  writer.Put(seal.end_offset);
  writer.Put(seal.batch_count);
  writer.Put(seal.record_count);
  writer.Put(seal.least_base_timestamp_ms);
  writer.Put(seal.max_timestamp_ms);
  writer.Put(seal.appended.first_ms);
  writer.Put(seal.appended.last_ms);
  writer.Put(seal.offset_index.bytes);
  writer.Put(seal.offset_index.checksum);
  writer.Put(seal.time_index.bytes);
  writer.Put(seal.time_index.checksum);
  writer.Put(seal.log_bytes);
  writer.Put(seal.block_bytes);
  writer.Put(block_count);
  TIDEMARK_CHECK(writer.written() == kSealHeaderBytes);
  if (seal.compacted) {
    writer.Put(seal.compacted->clean_end_offset);
    writer.Put(seal.compacted->last_delete_horizon_ms);
  }
  for (const uint64_t checksum : seal.block_checksums) writer.Put(checksum);
  writer.PutChecksum();
  return bytes;
}

Result<Seal> DecodeSeal(base::ByteSpan bytes) {
  if (bytes.size() < kLeastBytes) return Corrupt("it is cut short");
  if (!HasMagic(bytes, kMagic)) return Corrupt("it does not begin as a seal");
  if (!EndsWithChecksum(bytes)) return Corrupt("its checksum is wrong");
  FieldReader reader(bytes.data() + kMagicBytes);
  uint32_t version = 0;
  reader.Get(&version);
  if (version > kSealVersion) {
    return Error(ErrorCode::unsupported, "seal: version " + std::to_string(version) +
                                             " is newer than this program, which knows " +
                                             std::to_string(kSealVersion));
  }
  const bool compacted = version == kCompactedVersion;
  if (version < kPlainVersion || bytes.size() < SealBytes(0, compacted))
    return Corrupt("it is too short for one, or of a version that was never there");
  Seal seal;
  uint32_t block_count = 0;
  reader.Get(&seal.owner.partition);
  reader.Get(&seal.owner.topic_id);
  reader.Get(&seal.base_offset);
  reader.Get(&seal.end_offset);
  reader.Get(&seal.batch_count);
  reader.Get(&seal.record_count);
  reader.Get(&seal.least_base_timestamp_ms);
  reader.Get(&seal.max_timestamp_ms);
  reader.Get(&seal.appended.first_ms);
  reader.Get(&seal.appended.last_ms);
  GetSum(&reader, &seal.offset_index);
  GetSum(&reader, &seal.time_index);
  reader.Get(&seal.log_bytes);
  reader.Get(&seal.block_bytes);
  reader.Get(&block_count);
  if (compacted) {
    reader.Get(&seal.compacted.emplace().clean_end_offset);
    reader.Get(&seal.compacted->last_delete_horizon_ms);
  }
  if (!OffsetsHold(seal) || !CompactionHolds(seal) || !LengthsHold(seal) ||
      !BlocksHold(seal, block_count) || bytes.size() != SealBytes(block_count, compacted))
    return Corrupt("it contradicts itself");
  seal.block_checksums.resize(block_count);
  for (uint64_t& checksum : seal.block_checksums) reader.Get(&checksum);
  return seal;
}

}  // namespace tidemark::storage
