// Reading a journal back: which commits count, what is damaged, where the log ends. Read only; used
// by recovery and by the tools. Blocks.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "record/batch.h"
#include "storage/journal_format.h"
#include "tidemark/error.h"

namespace tidemark::storage {

// Both copies of the superblock; the first that is intact. unsupported beats corrupt.
Result<Superblock> ReadSuperblock(io::File& journal);

// Which of the two copies (at superblock.copy_position()) are not what the intact one says.
Result<std::array<bool, 2>> FindDamagedSuperblocks(io::File& journal, const Superblock& superblock);

struct CheckpointSlots {
  std::optional<Checkpoint> newest;  // of the two; nullopt: neither is readable
  bool damaged[2] = {false, false};  // a slot that is neither blank nor intact
  int spare = 0;                     // one that the newest one does not need
};
Result<CheckpointSlots> ReadCheckpoints(io::File& journal, const Superblock& superblock);

// A commit as the decision found it.
struct FoundCommit {
  enum class State {
    intact,          // header, directory and data
    data_damaged,    // the directory says which offsets are gone
    directory_only,  // known only by the copy in the next commit; data gone
    unknown,         // nothing is known of it (and of `unknown_count - 1` more behind it)
  };
  State state = State::intact;
  uint64_t sequence = 0;
  // Where it is on the disk, padding included. Of commits whose headers are gone (directory_only,
  // unknown): the stretch between their neighbours. Several of them share it; the first one names
  // it, the others say 0, unknown.
  uint64_t position = 0;
  uint64_t total_bytes = 0;
  CommitHeader header;  // of intact and data_damaged
  std::vector<DirectoryEntry> directory;
  uint64_t unknown_count = 0;
  // Nothing that is known follows: then damage may be a write that was cut off.
  bool last = false;
};

// "commit 5 is unreadable in every copy", of one that is unknown, and of those behind it.
std::string UnreadableText(const FoundCommit& commit);

// Whether the ends that partitions have in `checkpoint` (nullptr: none) are behind all that such a
// commit may have held: it was written by an opening that had been through it, or by what followed.
bool IsWithinEndsOf(const Checkpoint* checkpoint, const FoundCommit& unknown);

// What a scan has decided, besides the commits themselves.
struct JournalEnd {
  uint64_t next_sequence = 1;
  uint64_t next_position = 0;      // where the next commit goes (before wrapping)
  uint64_t previous_checksum = 0;  // of the last commit that counts
  uint64_t last_incarnation = 0;
  int64_t last_engine_clock_ms = 0;
  // The last commit that counts has a directory whose copy the next commit must repeat.
  std::vector<std::byte> last_directory;
  uint64_t last_directory_checksum = 0;
  bool last_is_empty = true;  // it holds no frames: nothing is left to be witnessed
  // A commit's remains stand where the next one goes (a torn write): for the report and the
  // quarantine.
  bool torn_tail = false;
  uint64_t torn_position = 0;  // where they stand: `next_position` or the ring's beginning
};

// Reads every block header of the ring, decides which commits form the log from the checkpoint's
// start on (docs/formats.md, "Replay"), then reads them in order and hands each to `visit` with its
// data (empty unless intact). `data` lives until `visit` returns. A visit that fails ends the scan
// with its error. Without a checkpoint (`checkpoint` null) the log starts at the lowest sequence
// from which an unbroken chain leads to the highest. Memory: some 100 bytes a commit, and the
// largest commit's size.
using VisitCommit = std::function<Status(const FoundCommit& commit, base::ByteSpan data)>;
Result<JournalEnd> ScanJournal(io::File& journal, const Superblock& superblock,
                               const Checkpoint* checkpoint, const VisitCommit& visit);

// A records frame, decoded: `records` are its bytes, one record behind the other.
struct RecordsFrame {
  RecordsFrameHeader header;
  base::ByteSpan records;
  record::RecordsSummary summary;
};
// corrupt: the checksum over it was right, and yet it is not what its directory entry says (a
// defect of the writer).
Result<RecordsFrame> DecodeRecordsFrame(const DirectoryEntry& entry, base::ByteSpan frame);

}  // namespace tidemark::storage
