// The journal's bytes: superblock, checkpoint, commit header, directory. Encoding and decoding
// only; no I/O, no state. docs/formats.md has every field with its reason.
//
// Decoders trust nothing: bytes that are not what an encoder wrote give an Error (corrupt) or
// nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "tidemark/error.h"

namespace tidemark::storage {

inline constexpr uint32_t kJournalVersion = 1;
inline constexpr uint32_t kMinBlockBytes = 4096;
// Bounds the search for the second superblock when the first, which tells the block, is lost: all
// places it is looked for at lie before the ring of the smallest journal (4 MiB), where nobody's
// payload stands.
inline constexpr uint32_t kMaxBlockBytes = 65536;

struct Superblock {
  uint32_t version = kJournalVersion;
  uint32_t block_bytes = kMinBlockBytes;
  base::Uuid store_id;
  base::Uuid journal_id;
  uint64_t journal_bytes = 0;
  uint64_t slot_bytes = 0;
  uint64_t ring_begin = 0;
  int64_t created_ms = 0;

  uint64_t copy_position(size_t copy) const { return copy * block_bytes; }
  uint64_t slot_position(int slot) const {
    return uint64_t{2} * block_bytes + static_cast<uint64_t>(slot) * slot_bytes;
  }
  uint64_t ring_bytes() const { return journal_bytes - ring_begin; }
  bool operator==(const Superblock&) const = default;
};
inline constexpr size_t kSuperblockBytes = 88;

// The geometry of a new journal of `journal_bytes` (rounded down to blocks).
Superblock PlanJournal(uint64_t journal_bytes, uint32_t block_bytes);
void EncodeSuperblock(const Superblock& superblock, std::byte* to);
// unsupported for a newer version whose checksum is right; corrupt for anything else that does not
// fit, a geometry that contradicts itself included.
Result<Superblock> DecodeSuperblock(base::ByteSpan bytes);

// Where a partition begins when no checkpoint is readable. It must not be guessed from the first
// segment that is left: what stood before that one may be lost, and is to be told as lost.
inline constexpr int64_t kFirstLogStart = 0;

struct CheckpointEntry {
  base::Uuid topic_id;
  int32_t partition = 0;
  int32_t leader_epoch = 0;
  int64_t log_start_offset = kFirstLogStart;
  int64_t durable_end_offset = 0;
  int64_t packed_end_offset = 0;
  int64_t active_base_offset = -1;
  uint64_t active_flushed_bytes = 0;
  uint64_t first_needed_sequence = 0;
  bool operator==(const CheckpointEntry&) const = default;
};

struct Checkpoint {
  uint64_t number = 0;
  base::Uuid journal_id;
  uint64_t incarnation = 0;
  uint64_t incarnation_first_sequence = 0;
  uint64_t start_sequence = 1;
  uint64_t start_position = 0;
  uint64_t previous_checksum = 0;
  bool clean = false;
  int64_t engine_clock_ms = 0;
  int64_t wall_clock_ms = 0;
  std::vector<CheckpointEntry> entries;
  bool operator==(const Checkpoint&) const = default;
};
inline constexpr size_t kCheckpointHeaderBytes = 112;
inline constexpr size_t kCheckpointEntryBytes = 72;
constexpr size_t CheckpointBytes(size_t entries) {
  return kCheckpointHeaderBytes + entries * kCheckpointEntryBytes;
}

void EncodeCheckpoint(const Checkpoint& checkpoint,
                      std::byte* to);  // CheckpointBytes(entries) bytes
// `bytes`: a whole slot, or the beginning of one with all that the checkpoint takes.
Result<Checkpoint> DecodeCheckpoint(base::ByteSpan bytes);
// What the checkpoint that begins with `bytes` would take, by a number of entries that nothing
// vouches for yet. nullopt: no checkpoint begins there.
std::optional<size_t> PeekCheckpointBytes(base::ByteSpan bytes);

struct CommitHeader {
  base::Uuid journal_id;
  uint64_t incarnation = 0;
  uint64_t sequence = 0;
  uint64_t previous_checksum = 0;
  uint64_t durable_sequence = 0;
  int64_t engine_clock_ms = 0;
  uint64_t checkpoint_number = 0;
  uint32_t directory_bytes = 0;
  uint32_t previous_directory_bytes = 0;
  uint64_t data_bytes = 0;
  uint64_t directory_checksum = 0;
  uint64_t previous_directory_checksum = 0;
  uint64_t data_checksum = 0;
  uint64_t checksum = 0;  // of all the fields above: the commit's own

  uint64_t directory_offset() const;  // from the commit's start
  uint64_t previous_directory_offset() const { return directory_offset() + directory_bytes; }
  uint64_t data_offset() const { return previous_directory_offset() + previous_directory_bytes; }
  uint64_t unpadded_bytes() const { return data_offset() + data_bytes; }
  uint64_t total_bytes(uint32_t block_bytes) const {
    return base::RoundUp(unpadded_bytes(), block_bytes);
  }
  bool operator==(const CommitHeader&) const = default;
};
inline constexpr size_t kCommitHeaderBytes = 120;
inline uint64_t CommitHeader::directory_offset() const { return kCommitHeaderBytes; }

// Fills in `header->checksum`, too.
void EncodeCommitHeader(CommitHeader* header, std::byte* to);
// nullopt: no intact header of a commit is there (magic, checksum, lengths that fit `max_bytes`).
std::optional<CommitHeader> DecodeCommitHeader(base::ByteSpan bytes, uint64_t max_bytes);

enum class FrameKind : uint8_t { records = 1, batch = 2, log_start = 3, topic_deleted = 4 };

struct DirectoryEntry {
  FrameKind kind = FrameKind::records;
  bool carried = false;
  base::Uuid topic_id;
  int32_t partition = 0;
  int64_t first_offset = 0;
  int64_t end_offset = 0;
  uint64_t data_bytes = 0;
  bool operator==(const DirectoryEntry&) const = default;
};

// Encodes entries one behind the other; remembers the last topic, so that neighbours share its id.
class DirectoryEncoder {
 public:
  void Clear();
  void Add(const DirectoryEntry& entry);
  const std::vector<std::byte>& bytes() const { return bytes_; }
  // The most that one more entry can take.
  static constexpr size_t kMaxEntryBytes = 1 + 16 + 5 + 10 + 10 + 10;

 private:
  std::vector<std::byte> bytes_;
  std::optional<base::Uuid> last_topic_;
};

// The lengths of all entries must add up to at most `data_bytes`.
Result<std::vector<DirectoryEntry>> DecodeDirectory(base::ByteSpan bytes, uint64_t data_bytes);

// What stands before the records in a records frame.
struct RecordsFrameHeader {
  int64_t base_offset = 0;
  int64_t base_timestamp_ms = 0;
  int32_t leader_epoch = 0;
  int16_t attributes = 0;
};
inline constexpr size_t kRecordsFrameHeaderBytes = 24;
void EncodeRecordsFrameHeader(const RecordsFrameHeader& header, std::byte* to);
Result<RecordsFrameHeader> DecodeRecordsFrameHeader(base::ByteSpan frame);

}  // namespace tidemark::storage
