#include "storage/journal_scan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/hash.h"
#include "storage/block_reader.h"
#include "storage/journal_chain.h"
#include "storage/journal_replay.h"

namespace tidemark::storage {
namespace {

// The ring is searched in pieces of whole blocks.
constexpr uint64_t kScanBytes = BlockReader::kWindowBytes;
static_assert(kScanBytes % kMaxBlockBytes == 0);

Error Corrupt(const io::File& journal, const std::string& what) {
  return Error(ErrorCode::corrupt, journal.path() + ": " + what);
}

// The copy at `position`: 0, or one block from the beginning.
Result<Superblock> ReadCopy(BlockReader& reader, uint64_t position) {
  Result<Superblock> copy = DecodeSuperblock(reader.Read(position, kSuperblockBytes));
  if (!copy && reader.met_error()) return *reader.last_error();
  if (copy && position != 0 && position != copy->block_bytes) {
    return Error(ErrorCode::corrupt, "journal: a superblock stands where none belongs");
  }
  return copy;
}

// --- checkpoints ---------------------------------------------------------------------------------

bool IsBlank(base::ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool BelongsTo(const Superblock& superblock, const Checkpoint& checkpoint) {
  return checkpoint.journal_id == superblock.journal_id &&
         checkpoint.start_position >= superblock.ring_begin &&
         checkpoint.start_position <= superblock.journal_bytes &&
         checkpoint.start_position % superblock.block_bytes == 0;
}

// nullopt, and `*damaged` unless the slot is blank.
std::optional<Checkpoint> ReadSlot(BlockReader& reader, const Superblock& superblock, int slot,
                                   bool* damaged) {
  const uint64_t position = superblock.slot_position(slot);
  const base::ByteSpan begin = reader.Read(position, superblock.block_bytes);
  *damaged = reader.met_error() || !IsBlank(begin);
  if (!*damaged) return std::nullopt;
  // No more than its number of entries asks for: a large journal has large slots.
  const std::optional<size_t> bytes = PeekCheckpointBytes(begin);
  if (!bytes || *bytes > superblock.slot_bytes || position + *bytes > reader.file_bytes()) {
    return std::nullopt;
  }
  Result<Checkpoint> checkpoint = DecodeCheckpoint(reader.Read(position, *bytes));
  if (!checkpoint || !BelongsTo(superblock, *checkpoint)) return std::nullopt;
  *damaged = false;
  return *std::move(checkpoint);
}

// --- commits -------------------------------------------------------------------------------------

// All intact headers of this journal in the ring, by position.
Result<std::vector<Candidate>> FindHeaders(BlockReader& reader, const Superblock& superblock) {
  std::vector<Candidate> found;
  const uint64_t block = superblock.block_bytes;
  const uint64_t end = std::min(superblock.journal_bytes, reader.file_bytes());
  for (uint64_t chunk = superblock.ring_begin; chunk < end; chunk += kScanBytes) {
    const base::ByteSpan bytes = reader.Read(chunk, std::min(kScanBytes, end - chunk));
    for (uint64_t at = 0; at < bytes.size(); at += block) {
      const auto header = DecodeCommitHeader(bytes.subspan(at), end - chunk - at);
      if (header && header->journal_id == superblock.journal_id && IsPlausible(*header)) {
        found.push_back({chunk + at, *header});
      }
    }
  }
  // One bad block is damage; a device that reads nothing at all must not pass for an empty journal,
  // which would then be written over.
  if (!reader.ever_read() && reader.last_error()) return *reader.last_error();
  return found;
}

// Looks at a commit's body. Genuine commits do not overlap, so that what is asked of them takes
// less than the ring; what asks for much more has been made up, and is not read.
class BodyReader final : public CommitBodies {
 public:
  BodyReader(BlockReader& reader, const Superblock& superblock)
      : reader_(reader), bytes_left_(2 * superblock.ring_bytes()) {}

  bool HasDirectory(const Candidate& commit) override {
    const CommitHeader& header = commit.header;
    return Check(commit, header.directory_offset(), header.directory_bytes,
                 header.directory_checksum);
  }
  // Also what is not read: nothing tells that it is not.
  bool IsIntact(const Candidate& commit) override {
    const CommitHeader& header = commit.header;
    if (header.directory_bytes + header.data_bytes > bytes_left_) return true;
    return HasDirectory(commit) &&
           Check(commit, header.data_offset(), header.data_bytes, header.data_checksum);
  }

 private:
  bool Check(const Candidate& commit, uint64_t offset, uint64_t length, uint64_t checksum) {
    if (length > bytes_left_) return false;
    bytes_left_ -= length;
    return base::Xxh3(reader_.Read(commit.position + offset, length), commit.header.sequence) ==
           checksum;
  }

  BlockReader& reader_;
  uint64_t bytes_left_;
};

ChainStart StartAt(const Checkpoint& checkpoint) {
  return {checkpoint.start_sequence, checkpoint.start_position, checkpoint.previous_checksum,
          checkpoint.incarnation, checkpoint.incarnation_first_sequence};
}

// What holds when no commit does.
JournalEnd EndAt(const ChainStart& start, const Checkpoint* checkpoint, const ChainBuilder& chain) {
  JournalEnd end;
  end.next_sequence = start.sequence;
  end.next_position = start.position;
  end.previous_checksum = start.previous_checksum;
  if (checkpoint != nullptr) {
    end.last_incarnation = checkpoint->incarnation;
    end.last_engine_clock_ms = checkpoint->engine_clock_ms;
    return end;
  }
  // Nothing says which incarnation was the last: none that has left a commit may be used again, or
  // what was cut off now could come back at the next replay.
  for (const Candidate& candidate : chain.candidates()) {
    end.last_incarnation = std::max(end.last_incarnation, candidate.header.incarnation);
  }
  return end;
}

}  // namespace

Result<Superblock> ReadSuperblock(io::File& journal) {
  Result<BlockReader> reader = BlockReader::Open(journal);
  if (!reader) return reader.error();
  Result<Superblock> first = ReadCopy(*reader, 0);
  if (first || first.error().code() == ErrorCode::unsupported) return first;
  // Where the second copy stands depends on the block, which only the copies tell.
  for (uint64_t block = kMinBlockBytes; block <= kMaxBlockBytes; block *= 2) {
    Result<Superblock> second = ReadCopy(*reader, block);
    if (second || second.error().code() == ErrorCode::unsupported) return second;
  }
  if (first.error().code() == ErrorCode::io_error) return first;
  return Corrupt(journal, "both copies of the superblock are damaged (" + first.error().message() +
                              "): is this a Tidemark journal?");
}

Result<std::array<bool, 2>> FindDamagedSuperblocks(io::File& journal,
                                                   const Superblock& superblock) {
  auto reader = BlockReader::Open(journal);
  if (!reader) return reader.error();
  std::array<bool, 2> damaged{};
  for (size_t copy = 0; copy < damaged.size(); ++copy) {
    const auto read = ReadCopy(*reader, superblock.copy_position(copy));
    damaged[copy] = !read || *read != superblock;
  }
  return damaged;
}

std::string UnreadableText(const FoundCommit& commit) {
  const std::string first = std::to_string(commit.sequence);
  const std::string last = std::to_string(commit.sequence + commit.unknown_count - 1);
  const std::string which =
      first == last ? "commit " + first + " is" : "commits " + first + " to " + last + " are";
  return which + " unreadable in every copy";
}

bool IsWithinEndsOf(const Checkpoint* checkpoint, const FoundCommit& unknown) {
  return checkpoint != nullptr &&
         unknown.sequence + unknown.unknown_count <= checkpoint->incarnation_first_sequence;
}

Result<CheckpointSlots> ReadCheckpoints(io::File& journal, const Superblock& superblock) {
  Result<BlockReader> reader = BlockReader::Open(journal);
  if (!reader) return reader.error();
  CheckpointSlots slots;
  for (int slot = 0; slot < 2; ++slot) {
    std::optional<Checkpoint> read = ReadSlot(*reader, superblock, slot, &slots.damaged[slot]);
    if (read && (!slots.newest || read->number > slots.newest->number)) {
      slots.newest = std::move(read);
      slots.spare = 1 - slot;
    }
  }
  return slots;
}

Result<JournalEnd> ScanJournal(io::File& journal, const Superblock& superblock,
                               const Checkpoint* checkpoint, const VisitCommit& visit) {
  if (checkpoint != nullptr && !BelongsTo(superblock, *checkpoint)) {
    return Corrupt(journal, "the checkpoint does not belong to this journal");
  }
  Result<BlockReader> reader = BlockReader::Open(journal);
  if (!reader) return reader.error();
  Result<std::vector<Candidate>> headers = FindHeaders(*reader, superblock);
  if (!headers) return headers.error();

  ChainBuilder chain(superblock, *std::move(headers));
  ChainStart start;
  start.position = superblock.ring_begin;
  if (checkpoint != nullptr) {
    start = StartAt(*checkpoint);
  } else if (const std::optional<ChainStart> found = chain.FindStart()) {
    start = *found;
  }
  BodyReader bodies(*reader, superblock);
  const std::vector<ChainLink> links = chain.Build(start, bodies);
  JournalReplay replay(*reader, superblock, chain, visit, EndAt(start, checkpoint, chain));
  return replay.Run(links);
}

Result<RecordsFrame> DecodeRecordsFrame(const DirectoryEntry& entry, base::ByteSpan frame) {
  auto header = DecodeRecordsFrameHeader(frame);
  if (!header) return header.error();
  const auto records = frame.subspan(kRecordsFrameHeaderBytes);
  const int64_t count = entry.end_offset - entry.first_offset;
  const int64_t last_delta = entry.end_offset - 1 - header->base_offset;
  if (last_delta < 0 || last_delta > INT32_MAX || count > INT32_MAX)
    return Error(ErrorCode::corrupt, "a frame begins at an impossible offset");
  auto summary =
      record::CheckRecords(records, static_cast<int32_t>(count), static_cast<int32_t>(last_delta));
  if (!summary) return summary.error();
  if (summary->last_offset_delta != last_delta)
    return Error(ErrorCode::corrupt, "a frame does not end where its directory says");
  return RecordsFrame{*header, records, *summary};
}

}  // namespace tidemark::storage
