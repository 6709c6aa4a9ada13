// Recovery: brings partitions back to what was durable. First the files, as the checkpoint knows
// them, then the journal from the checkpoint's start on, frame by frame. Blocks; part of opening.
//
// What is damaged is copied to quarantine/ and told as exact ranges of offsets; it never ends an
// opening.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/context.h"
#include "storage/journal.h"
#include "storage/packer.h"
#include "storage/partition.h"
#include "storage/quarantine.h"

namespace tidemark::storage {

class Recovery {
 public:
  // `relieve` packs and flushes what was replayed so far: called when it takes too much memory.
  Recovery(Context& context, Journal& journal, TopicList& topics, RecoveryReport& report,
           std::function<Status()> relieve);

  // `checkpoint` null: none is readable. `journal_lost`: the journal is new though data are there.
  Status RestoreFiles(const Checkpoint* checkpoint, bool journal_lost);
  // `brand_new`: nothing was ever committed to this journal.
  Status ReplayJournal(const Checkpoint* checkpoint, bool brand_new, bool journal_lost);

  const JournalEnd& end() const { return end_; }
  // The commits that are live still; only meaningful without damage.
  std::deque<Journal::LiveCommit> TakeLiveCommits() { return std::move(live_); }
  // Something in the journal is damaged: everything is to be packed before its blocks are used
  // again.
  bool journal_damaged() const { return journal_damaged_; }
  // Topics whose deletion was durable, but perhaps not done.
  const std::set<base::Uuid>& deleted_topics() const { return deleted_topics_; }
  // The first commit that says so.
  uint64_t first_tombstone_sequence() const { return first_tombstone_sequence_; }

 private:
  struct Loss {
    int64_t first_offset = 0;
    int64_t end_offset = 0;
    std::string cause;
  };
  struct PartitionState {
    std::vector<Loss> losses;  // told by directories; a carried frame may still fill them
    uint64_t first_needed_sequence = 0;
    int64_t known_end_offset = 0;  // by the checkpoint, or by what stands behind damage
    std::string known_end_cause;
    bool unknown = false;  // commits of unknown content stand behind its last frame
  };

  std::unique_ptr<io::ReadAhead> ReadFoldersAhead();
  Status RestorePartition(PartitionCore& partition, const CheckpointEntry* entry);
  Status RestoreByScan(PartitionCore& partition);
  Result<std::vector<int64_t>> SettleFolder(PartitionCore& partition, const CheckpointEntry* entry);
  Status EmptyActive(const PartitionCore& partition, const std::vector<int64_t>& bases,
                     int64_t active, uint64_t flushed_bytes);
  Status FlushRestored();
  Status CutToIntact(PartitionCore& partition, int64_t base_offset, uint64_t file_bytes,
                     IntactPrefix* prefix);
  Status Visit(const FoundCommit& commit, base::ByteSpan data);
  Status ApplyFrames(const FoundCommit& commit, base::ByteSpan data);
  bool HoldsTooMuch() const;
  Status MakeMemoryFree();
  void ApplyRecords(const FoundCommit& commit, const DirectoryEntry& entry, base::ByteSpan frame);
  void NoteLosses(const FoundCommit& commit);
  Status RewriteLastCommit();
  Status QuarantineCommit(const FoundCommit& commit);
  Status QuarantineTornCommit();
  void FinishPartition(PartitionCore& partition, bool journal_lost);
  PartitionCore* Find(const DirectoryEntry& entry) const;
  void NoteEnd(const FoundCommit& commit, const DirectoryEntry& entry);
  void TellDamage(const PartitionCore& partition, int64_t first, int64_t end,
                  const std::string& cause);
  void ReportDamage();

  Context& context_;
  Journal& journal_;
  TopicList& topics_;
  RecoveryReport& report_;
  std::function<Status()> relieve_;
  Quarantine quarantine_;
  const Checkpoint* checkpoint_ = nullptr;
  bool looked_ahead_ = false;  // every log start of the journal is known
  JournalEnd end_;
  std::deque<Journal::LiveCommit> live_;
  bool journal_damaged_ = false;
  bool folders_made_ = false;
  // Segments, by folder and base offset, whose files count as they are seen: nobody knows whether
  // they are on the device like that.
  std::set<std::pair<std::string, int64_t>> to_flush_;
  std::set<base::Uuid> deleted_topics_;
  uint64_t first_tombstone_sequence_ = UINT64_MAX;
  std::map<const PartitionCore*, PartitionState> states_;
  // Told at the end: a later commit may have given up what is lost.
  std::vector<std::pair<const PartitionCore*, Loss>> damage_;
};

// No offset of a partition whose last records are unknown may ever name two records: it goes on so
// far above its last known end.
inline constexpr int64_t kUnknownGapOffsets = int64_t{1} << 31;

}  // namespace tidemark::storage
