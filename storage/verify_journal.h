// Between verify*.cc only: the journal, from superblock to last commit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/journal_scan.h"
#include "storage/verify.h"

namespace tidemark::storage {

// A partition as the journal's commits go on with it.
struct TailState {
  std::string topic;
  int64_t log_start_offset = 0;  // what is lost below was given up
  int64_t end_offset = 0;        // behind what is held so far
  int64_t durable_end_offset = 0;
  uint64_t first_needed_sequence = 0;
  bool unknown = false;  // unreadable commits stand behind its last frame
  struct Lost {
    int64_t first_offset = 0;
    int64_t end_offset = 0;
    uint64_t sequence = 0;
    std::string what;
  };
  std::vector<Lost> lost;  // a carried frame may still hold it
};
using TailStates = std::map<std::pair<base::Uuid, int32_t>, TailState>;

class JournalVerifier {
 public:
  JournalVerifier(io::File& journal, bool in_use, VerifyReport* report)
      : journal_(journal), in_use_(in_use), report_(*report) {}

  // Superblock and checkpoints. False: nothing can be told of the journal.
  bool ReadHead();
  const std::optional<Checkpoint>& checkpoint() const { return slots_.newest; }
  const Superblock& superblock() const { return superblock_; }
  // The commits from the checkpoint on.
  void ReadCommits(TailStates* tails);

 private:
  void CheckSuperblockCopies();
  Status Visit(const FoundCommit& commit, base::ByteSpan data, TailStates* tails);
  static void NoteLogStart(const DirectoryEntry& entry, TailStates* tails);
  void TakeFrames(const FoundCommit& commit, base::ByteSpan data, TailStates* tails);
  void TellLosses(uint64_t needed_from, const TailStates& tails);
  void Add(Finding::Kind kind, std::optional<uint64_t> position, std::string what);

  io::File& journal_;
  bool in_use_;
  VerifyReport& report_;
  Superblock superblock_;
  CheckpointSlots slots_;
  struct Lost {
    const TailState* tail;
    TailState::Lost range;
  };
  std::vector<Lost> losses_;
  struct Damaged {
    uint64_t sequence;
    uint64_t position;
    std::string what;
  };
  std::vector<Damaged> damaged_;
};

}  // namespace tidemark::storage
