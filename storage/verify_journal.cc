#include "storage/verify_journal.h"

#include <algorithm>
namespace tidemark::storage {

void JournalVerifier::Add(Finding::Kind kind, std::optional<uint64_t> position, std::string what) {
  Finding finding;
  finding.kind = kind;
  finding.path = journal_.path();
  finding.position = position;
  finding.what = WithoutPath(std::move(what), journal_.path());
  report_.findings.push_back(std::move(finding));
}

bool JournalVerifier::ReadHead() {
  const auto superblock = ReadSuperblock(journal_);
  if (!superblock) {
    Add(Finding::Kind::unreadable, 0, CauseText(superblock.error()));
    return false;
  }
  superblock_ = *superblock;
  CheckSuperblockCopies();
  const auto size = journal_.Size();
  if (size && *size != superblock_.journal_bytes) {
    Add(Finding::Kind::fault, std::min(*size, superblock_.journal_bytes),
        "the file has " + std::to_string(*size) + " bytes, its superblock says " +
            std::to_string(superblock_.journal_bytes));
  }
  auto slots = ReadCheckpoints(journal_, superblock_);
  if (!slots) {
    Add(Finding::Kind::unreadable, std::nullopt, CauseText(slots.error()));
    return false;
  }
  slots_ = *std::move(slots);
  for (const int slot : {0, 1}) {
    // One may be just being written.
    if (!slots_.damaged[slot] || in_use_) continue;
    Add(Finding::Kind::fault, superblock_.slot_position(slot),
        "this copy of the checkpoint is damaged");
  }
  if (!slots_.newest) Add(Finding::Kind::fault, std::nullopt, "no checkpoint is readable");
  return true;
}

void JournalVerifier::CheckSuperblockCopies() {
  const auto damaged = FindDamagedSuperblocks(journal_, superblock_);
  if (!damaged) return Add(Finding::Kind::unreadable, std::nullopt, CauseText(damaged.error()));
  for (size_t copy = 0; copy < damaged->size(); ++copy) {
    if (!(*damaged)[copy]) continue;
    Add(Finding::Kind::fault, superblock_.copy_position(copy),
        "this copy of the superblock is damaged");
  }
}

void JournalVerifier::ReadCommits(TailStates* tails) {
  if (slots_.newest && slots_.newest->clean && !in_use_) return;  // nothing stands behind it
  const auto end = ScanJournal(
      journal_, superblock_, slots_.newest ? &*slots_.newest : nullptr,
      [&](const FoundCommit& commit, base::ByteSpan data) { return Visit(commit, data, tails); });
  if (!end) {
    Add(Finding::Kind::unreadable, std::nullopt, CauseText(end.error()));
    return;
  }
  // Beside a running engine a block may be overwritten while it is read: after its checkpoint had
  // made it free. The checkpoint as it is now tells.
  uint64_t needed_from = 0;
  if (in_use_) {
    const auto slots = ReadCheckpoints(journal_, superblock_);
    needed_from = slots && slots->newest ? slots->newest->start_sequence : UINT64_MAX;
  }
  for (const Damaged& damaged : damaged_) {
    if (damaged.sequence >= needed_from) Add(Finding::Kind::fault, damaged.position, damaged.what);
  }
  TellLosses(needed_from, *tails);
  if (end->torn_tail && !in_use_) {
    Add(Finding::Kind::note, end->torn_position,
        "the last commit was cut off while it was written");
  }
}

Status JournalVerifier::Visit(const FoundCommit& commit, base::ByteSpan data, TailStates* tails) {
  if (commit.state == FoundCommit::State::intact) {
    ++report_.commits;
    report_.bytes += commit.total_bytes;
    TakeFrames(commit, data, tails);
    return {};
  }
  if (commit.last && in_use_) return {};  // being written
  const std::string name = "commit " + std::to_string(commit.sequence);
  std::string what = name + (commit.last ? " is torn or damaged" : " is damaged");
  if (commit.state == FoundCommit::State::unknown) what = UnreadableText(commit);
  damaged_.push_back({commit.sequence, commit.position, what});
  if (commit.state == FoundCommit::State::unknown) {
    if (IsWithinEndsOf(slots_.newest ? &*slots_.newest : nullptr, commit)) return {};
    for (auto& [key, tail] : *tails) tail.unknown = true;
    return {};
  }
  for (const DirectoryEntry& entry : commit.directory) {
    NoteLogStart(entry, tails);
    const auto tail = tails->find({entry.topic_id, entry.partition});
    if (entry.kind != FrameKind::records || tail == tails->end()) continue;
    tail->second.unknown = false;
    if (commit.sequence < tail->second.first_needed_sequence) continue;
    tail->second.lost.push_back({entry.first_offset, entry.end_offset, commit.sequence, what});
  }
  return {};
}

void JournalVerifier::NoteLogStart(const DirectoryEntry& entry, TailStates* tails) {
  const auto tail = tails->find({entry.topic_id, entry.partition});
  if (entry.kind != FrameKind::log_start || tail == tails->end()) return;
  tail->second.log_start_offset = std::max(tail->second.log_start_offset, entry.end_offset);
}

void JournalVerifier::TakeFrames(const FoundCommit& commit, base::ByteSpan data,
                                 TailStates* tails) {
  for (const DirectoryEntry& entry : commit.directory) {
    const base::ByteSpan frame = data.first(entry.data_bytes);
    data = data.subspan(entry.data_bytes);
    if (entry.kind == FrameKind::topic_deleted) {
      std::erase_if(*tails, [&](const auto& tail) { return tail.first.first == entry.topic_id; });
    }
    NoteLogStart(entry, tails);
    const auto found = tails->find({entry.topic_id, entry.partition});
    if (entry.kind != FrameKind::records || found == tails->end()) continue;
    TailState& tail = found->second;
    tail.unknown = false;
    if (commit.sequence < tail.first_needed_sequence || entry.end_offset <= tail.end_offset)
      continue;
    if (!DecodeRecordsFrame(entry, frame)) {
      tail.lost.push_back(
          {entry.first_offset, entry.end_offset, commit.sequence,
           "commit " + std::to_string(commit.sequence) + " has a frame that cannot be decoded"});
      continue;
    }
    report_.records += static_cast<uint64_t>(entry.end_offset - entry.first_offset);
    if (entry.first_offset > tail.end_offset) {
      TailState::Lost range{
          tail.end_offset, entry.first_offset, commit.sequence,
          "commits before " + std::to_string(commit.sequence) + " are unreadable"};
      if (!tail.lost.empty()) range.what = tail.lost.front().what;
      losses_.push_back({&tail, std::move(range)});
    }
    std::erase_if(tail.lost,
                  [&](const auto& lost) { return lost.first_offset < entry.end_offset; });
    tail.end_offset = entry.end_offset;
  }
}

void JournalVerifier::TellLosses(uint64_t needed_from, const TailStates& tails) {
  for (const auto& [key, state] : tails) {
    int64_t end = state.end_offset;
    for (const TailState::Lost& lost : state.lost) {
      if (lost.end_offset <= end) continue;
      losses_.push_back(
          {&state, {std::max(lost.first_offset, end), lost.end_offset, lost.sequence, lost.what}});
      end = lost.end_offset;
    }
    if (end < state.durable_end_offset) {
      losses_.push_back({&state,
                         {end, state.durable_end_offset, UINT64_MAX,
                          "the checkpoint knows of more records than the journal holds"}});
    }
    if (state.unknown && needed_from == 0) {
      Add(Finding::Kind::fault, std::nullopt,
          state.topic + "-" + std::to_string(key.second) +
              ": unreadable commits may have held its last records, from offset " +
              std::to_string(end) + " on");
    }
  }
  for (const auto& [key, state] : tails) {
    for (const Lost& lost : losses_) {
      if (lost.tail != &state || lost.range.sequence < needed_from) continue;
      Add(Finding::Kind::loss, std::nullopt, lost.range.what);
      Finding& finding = report_.findings.back();
      finding.topic = state.topic;
      finding.partition = key.second;
      finding.first_offset = lost.range.first_offset;
      finding.end_offset = lost.range.end_offset;
    }
  }
}

}  // namespace tidemark::storage
