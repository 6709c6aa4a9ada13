#include "storage/journal_format.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "storage/format_fields.h"

namespace tidemark::storage {
namespace {

constexpr std::string_view kSuperblockMagic = "TMJOURN1";
constexpr std::string_view kCheckpointMagic = "TMCHECK1";
constexpr std::string_view kCommitMagic = "TMCOMMIT";
static_assert(kSuperblockMagic.size() == kMagicBytes && kCheckpointMagic.size() == kMagicBytes &&
              kCommitMagic.size() == kMagicBytes);

// A checkpoint slot's share of the journal. A slot of the default journal (64 MiB) then holds the
// entries of 29,000 partitions.
constexpr uint64_t kSlotShare = 32;

constexpr uint64_t kFlagClean = 1;
constexpr size_t kEntryCountAt = 96;

// Positions and sizes must fit the kernel's off_t.
constexpr uint64_t kMaxJournalBytes = std::numeric_limits<int64_t>::max();

Error Corrupt(std::string what) { return Error(ErrorCode::corrupt, "journal: " + std::move(what)); }

bool IsBlockSize(uint32_t bytes) {
  return bytes >= kMinBlockBytes && bytes <= kMaxBlockBytes && std::has_single_bit(bytes);
}

// Written so that no field can make a sum overflow.
bool GeometryHolds(const Superblock& superblock) {
  if (!IsBlockSize(superblock.block_bytes)) return false;
  const uint64_t block = superblock.block_bytes;
  const uint64_t slot = superblock.slot_bytes;
  if (superblock.journal_bytes > kMaxJournalBytes || superblock.journal_bytes % block != 0)
    return false;
  if (slot == 0 || slot % block != 0 || slot > superblock.journal_bytes / 2) return false;
  if (superblock.ring_begin != 2 * block + 2 * slot) return false;
  return superblock.ring_begin < superblock.journal_bytes;
}

}  // namespace

// --- superblock ----------------------------------------------------------------------------------

Superblock PlanJournal(uint64_t journal_bytes, uint32_t block_bytes) {
  TIDEMARK_CHECK(IsBlockSize(block_bytes));
  const uint64_t block = block_bytes;
  Superblock plan;
  plan.block_bytes = block_bytes;
  plan.journal_bytes = journal_bytes / block * block;
  plan.slot_bytes = std::max(block, plan.journal_bytes / kSlotShare / block * block);
  plan.ring_begin = 2 * block + 2 * plan.slot_bytes;
  TIDEMARK_CHECK(GeometryHolds(plan));
  return plan;
}

void EncodeSuperblock(const Superblock& superblock, std::byte* to) {
  FieldWriter writer(to);
  writer.Put(kSuperblockMagic);
  writer.Put(superblock.version);
  writer.Put(superblock.block_bytes);
  writer.Put(superblock.store_id);
  writer.Put(superblock.journal_id);
  writer.Put(superblock.journal_bytes);
  writer.Put(superblock.slot_bytes);
  writer.Put(superblock.ring_begin);
  writer.Put(superblock.created_ms);
  writer.PutChecksum();
  TIDEMARK_CHECK(writer.written() == kSuperblockBytes);
}

Result<Superblock> DecodeSuperblock(base::ByteSpan bytes) {
  if (bytes.size() < kSuperblockBytes) return Corrupt("the superblock is cut short");
  bytes = bytes.first(kSuperblockBytes);
  if (!HasMagic(bytes, kSuperblockMagic)) return Corrupt("no superblock is there");
  if (!EndsWithChecksum(bytes)) return Corrupt("the superblock's checksum is wrong");
  Superblock superblock;
  FieldReader reader(bytes.data() + kMagicBytes);
  reader.Get(&superblock.version);
  if (superblock.version > kJournalVersion) {
    return Error(ErrorCode::unsupported,
                 "journal: its format has version " + std::to_string(superblock.version) +
                     ", this program knows versions up to " + std::to_string(kJournalVersion) +
                     ": use the newer program that wrote it");
  }
  reader.Get(&superblock.block_bytes);
  reader.Get(&superblock.store_id);
  reader.Get(&superblock.journal_id);
  reader.Get(&superblock.journal_bytes);
  reader.Get(&superblock.slot_bytes);
  reader.Get(&superblock.ring_begin);
  reader.Get(&superblock.created_ms);
  if (superblock.version == 0 || !GeometryHolds(superblock)) {
    return Corrupt("the superblock contradicts itself");
  }
  return superblock;
}

// --- checkpoint ----------------------------------------------------------------------------------

namespace {

void EncodeEntry(const CheckpointEntry& entry, FieldWriter* writer) {
  writer->Put(entry.topic_id);
  writer->Put(entry.partition);
  writer->Put(entry.leader_epoch);
  writer->Put(entry.log_start_offset);
  writer->Put(entry.durable_end_offset);
  writer->Put(entry.packed_end_offset);
  writer->Put(entry.active_base_offset);
  writer->Put(entry.active_flushed_bytes);
  writer->Put(entry.first_needed_sequence);
}

CheckpointEntry DecodeEntry(const std::byte* from) {
  CheckpointEntry entry;
  FieldReader reader(from);
  reader.Get(&entry.topic_id);
  reader.Get(&entry.partition);
  reader.Get(&entry.leader_epoch);
  reader.Get(&entry.log_start_offset);
  reader.Get(&entry.durable_end_offset);
  reader.Get(&entry.packed_end_offset);
  reader.Get(&entry.active_base_offset);
  reader.Get(&entry.active_flushed_bytes);
  reader.Get(&entry.first_needed_sequence);
  return entry;
}

bool EntryHolds(const CheckpointEntry& entry) {
  return entry.partition >= 0 && entry.log_start_offset >= 0 && entry.durable_end_offset >= 0 &&
         entry.packed_end_offset >= 0 && entry.active_base_offset >= -1;
}

// XXH3 of the entries, seeded with that of the fields before the checksum: one number covers both,
// and the entries of one checkpoint never pass for those of another.
uint64_t CheckpointChecksum(const std::byte* checkpoint, uint32_t entries) {
  constexpr size_t kFields = kCheckpointHeaderBytes - kChecksumBytes;
  const uint64_t seed = base::Xxh3({checkpoint, kFields});
  return base::Xxh3({checkpoint + kCheckpointHeaderBytes, entries * kCheckpointEntryBytes}, seed);
}

}  // namespace

void EncodeCheckpoint(const Checkpoint& checkpoint, std::byte* to) {
  TIDEMARK_CHECK(checkpoint.entries.size() <= std::numeric_limits<uint32_t>::max());
  const auto entries = static_cast<uint32_t>(checkpoint.entries.size());
  FieldWriter writer(to);
  writer.Put(kCheckpointMagic);
  writer.Put(checkpoint.number);
  writer.Put(checkpoint.journal_id);
  writer.Put(checkpoint.incarnation);
  writer.Put(checkpoint.incarnation_first_sequence);
  writer.Put(checkpoint.start_sequence);
  writer.Put(checkpoint.start_position);
  writer.Put(checkpoint.previous_checksum);
  writer.Put(checkpoint.clean ? kFlagClean : uint64_t{0});
  writer.Put(checkpoint.engine_clock_ms);
  writer.Put(checkpoint.wall_clock_ms);
  TIDEMARK_CHECK(writer.written() == kEntryCountAt);
  writer.Put(entries);
  writer.Put(uint32_t{0});
  std::byte* const checksum_at = to + writer.written();
  writer.Put(uint64_t{0});
  TIDEMARK_CHECK(writer.written() == kCheckpointHeaderBytes);
  for (const CheckpointEntry& entry : checkpoint.entries) EncodeEntry(entry, &writer);
  TIDEMARK_CHECK(writer.written() == CheckpointBytes(entries));
  base::StoreLittle(checksum_at, CheckpointChecksum(to, entries));
}

Result<Checkpoint> DecodeCheckpoint(base::ByteSpan bytes) {
  if (bytes.size() < kCheckpointHeaderBytes) return Corrupt("the checkpoint is cut short");
  if (!HasMagic(bytes, kCheckpointMagic)) return Corrupt("no checkpoint is there");
  Checkpoint checkpoint;
  uint64_t flags = 0;
  uint32_t entries = 0;
  uint32_t reserved = 0;
  uint64_t checksum = 0;
  FieldReader reader(bytes.data() + kMagicBytes);
  reader.Get(&checkpoint.number);
  reader.Get(&checkpoint.journal_id);
  reader.Get(&checkpoint.incarnation);
  reader.Get(&checkpoint.incarnation_first_sequence);
  reader.Get(&checkpoint.start_sequence);
  reader.Get(&checkpoint.start_position);
  reader.Get(&checkpoint.previous_checksum);
  reader.Get(&flags);
  reader.Get(&checkpoint.engine_clock_ms);
  reader.Get(&checkpoint.wall_clock_ms);
  reader.Get(&entries);
  reader.Get(&reserved);
  reader.Get(&checksum);
  // Before anything is taken from it, the number of entries among them.
  if (entries > (bytes.size() - kCheckpointHeaderBytes) / kCheckpointEntryBytes ||
      checksum != CheckpointChecksum(bytes.data(), entries)) {
    return Corrupt("the checkpoint's checksum is wrong");
  }
  if (flags > kFlagClean || reserved != 0 || checkpoint.start_sequence == 0) {
    return Corrupt("the checkpoint contradicts itself");
  }
  checkpoint.clean = flags == kFlagClean;
  checkpoint.entries.reserve(entries);
  for (size_t i = 0; i < entries; ++i) {
    checkpoint.entries.push_back(DecodeEntry(bytes.data() + CheckpointBytes(i)));
    if (!EntryHolds(checkpoint.entries.back())) {
      return Corrupt("the checkpoint's entry " + std::to_string(i) + " is impossible");
    }
  }
  return checkpoint;
}

std::optional<size_t> PeekCheckpointBytes(base::ByteSpan bytes) {
  if (bytes.size() < kCheckpointHeaderBytes || !HasMagic(bytes, kCheckpointMagic)) {
    return std::nullopt;
  }
  return CheckpointBytes(base::LoadLittle<uint32_t>(bytes.data() + kEntryCountAt));
}

// --- commit header -------------------------------------------------------------------------------

void EncodeCommitHeader(CommitHeader* header, std::byte* to) {
  FieldWriter writer(to);
  writer.Put(kCommitMagic);
  writer.Put(header->journal_id);
  writer.Put(header->incarnation);
  writer.Put(header->sequence);
  writer.Put(header->previous_checksum);
  writer.Put(header->durable_sequence);
  writer.Put(header->engine_clock_ms);
  writer.Put(header->checkpoint_number);
  writer.Put(header->directory_bytes);
  writer.Put(header->previous_directory_bytes);
  writer.Put(header->data_bytes);
  writer.Put(header->directory_checksum);
  writer.Put(header->previous_directory_checksum);
  writer.Put(header->data_checksum);
  header->checksum = writer.PutChecksum();
  TIDEMARK_CHECK(writer.written() == kCommitHeaderBytes);
}

std::optional<CommitHeader> DecodeCommitHeader(base::ByteSpan bytes, uint64_t max_bytes) {
  if (bytes.size() < kCommitHeaderBytes) return std::nullopt;
  bytes = bytes.first(kCommitHeaderBytes);
  if (!HasMagic(bytes, kCommitMagic) || !EndsWithChecksum(bytes)) return std::nullopt;
  CommitHeader header;
  FieldReader reader(bytes.data() + kMagicBytes);
  reader.Get(&header.journal_id);
  reader.Get(&header.incarnation);
  reader.Get(&header.sequence);
  reader.Get(&header.previous_checksum);
  reader.Get(&header.durable_sequence);
  reader.Get(&header.engine_clock_ms);
  reader.Get(&header.checkpoint_number);
  reader.Get(&header.directory_bytes);
  reader.Get(&header.previous_directory_bytes);
  reader.Get(&header.data_bytes);
  reader.Get(&header.directory_checksum);
  reader.Get(&header.previous_directory_checksum);
  reader.Get(&header.data_checksum);
  reader.Get(&header.checksum);
  // data_offset() adds up 32-bit fields in 64 bits and cannot overflow; the data's length could.
  if (header.data_offset() > max_bytes || header.data_bytes > max_bytes - header.data_offset()) {
    return std::nullopt;
  }
  return header;
}

// --- records frame -------------------------------------------------------------------------------

void EncodeRecordsFrameHeader(const RecordsFrameHeader& header, std::byte* to) {
  FieldWriter writer(to);
  writer.Put(header.base_offset);
  writer.Put(header.base_timestamp_ms);
  writer.Put(header.leader_epoch);
  writer.Put(header.attributes);
  writer.Put(int16_t{0});
  TIDEMARK_CHECK(writer.written() == kRecordsFrameHeaderBytes);
}

Result<RecordsFrameHeader> DecodeRecordsFrameHeader(base::ByteSpan frame) {
  if (frame.size() < kRecordsFrameHeaderBytes) return Corrupt("a records frame is cut short");
  RecordsFrameHeader header;
  int16_t reserved = 0;
  FieldReader reader(frame.data());
  reader.Get(&header.base_offset);
  reader.Get(&header.base_timestamp_ms);
  reader.Get(&header.leader_epoch);
  reader.Get(&header.attributes);
  reader.Get(&reserved);
  if (header.base_offset < 0 || reserved != 0) return Corrupt("a records frame is impossible");
  return header;
}

}  // namespace tidemark::storage
