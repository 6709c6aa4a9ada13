#include "storage/recovery.h"

#include <algorithm>
#include <utility>

namespace tidemark::storage {
namespace {

// Up to 2 MiB each.
constexpr size_t kTornCommitsKept = 4;

}  // namespace

Recovery::Recovery(Context& context, Journal& journal, TopicList& topics, RecoveryReport& report,
                   std::function<Status()> relieve)
    : context_(context),
      journal_(journal),
      topics_(topics),
      report_(report),
      relieve_(std::move(relieve)),
      quarantine_(context.environment, context.options.data_dir) {}

void Recovery::TellDamage(const PartitionCore& partition, int64_t first, int64_t end,
                          const std::string& cause) {
  if (first < end) damage_.emplace_back(&partition, Loss{first, end, cause});
}

void Recovery::ReportDamage() {
  for (const auto& [partition, loss] : damage_) {
    if (deleted_topics_.contains(partition->topic().description().id)) continue;
    const int64_t first = std::max(loss.first_offset, partition->log_start_offset());
    if (first >= loss.end_offset) continue;
    const std::string& topic = partition->topic().description().name;
    report_.damage.push_back({topic, partition->index(), first, loss.end_offset, loss.cause});
    context_.Tell(NoticeLevel::error, topic + "-" + std::to_string(partition->index()) +
                                          ": offsets " + std::to_string(first) + " to " +
                                          std::to_string(loss.end_offset - 1) +
                                          " are lost: " + loss.cause);
  }
  damage_.clear();
}

// --- The journal ---

Status Recovery::ReplayJournal(const Checkpoint* checkpoint, bool brand_new, bool journal_lost) {
  checkpoint_ = checkpoint;
  // What a killed process has written may still be in the device's cache: nothing is served before
  // it is safe.
  if (Status flushed = journal_.file().Flush(); !flushed) return flushed;
  if (brand_new) {
    end_.next_position = journal_.superblock().ring_begin;
  } else if (checkpoint != nullptr && checkpoint->clean) {
    // Nothing was committed behind it: what an opening commits stands behind a checkpoint of its
    // own.
    end_.next_sequence = checkpoint->start_sequence;
    end_.next_position = checkpoint->start_position;
    end_.previous_checksum = checkpoint->previous_checksum;
    end_.last_incarnation = checkpoint->incarnation;
  } else {
    auto end = ScanJournal(
        journal_.file(), journal_.superblock(), checkpoint,
        [this](const FoundCommit& commit, base::ByteSpan data) { return Visit(commit, data); });
    if (!end) return end.error();
    end_ = *end;
    // No commit and no checkpoint: made anew for one that was lost, by an opening that went no
    // further.
    if (checkpoint == nullptr && end_.next_sequence == 1) journal_lost = true;
    if (Status rewritten = RewriteLastCommit(); !rewritten) return rewritten;
  }
  const bool clean = checkpoint != nullptr && checkpoint->clean;
  if (journal_.was_cut_short() && !clean) {
    // Which commits its missing end held is unknown, and which offsets they gave out.
    journal_damaged_ = true;
    journal_lost = true;
    context_.Tell(NoticeLevel::error, journal_.file().path() + ": the file was cut short");
  }
  if (end_.torn_tail) {
    const uint64_t from = end_.next_position;
    Status kept = QuarantineTornCommit();
    context_.Tell(NoticeLevel::warning,
                  journal_.file().path() + " at " + std::to_string(from) +
                      ": the last commit was cut off while it was written, or was damaged "
                      "afterwards; it is kept in "
                      "quarantine/" +
                      (kept.ok() ? "" : " (failed: " + kept.error().message() + ")"));
  }
  for (const auto& topic : topics_) {
    if (deleted_topics_.contains(topic->description().id)) continue;
    for (const auto& partition : topic->partitions()) FinishPartition(*partition, journal_lost);
  }
  ReportDamage();
  return {};
}

Status Recovery::Visit(const FoundCommit& commit, base::ByteSpan data) {
  if (commit.state == FoundCommit::State::intact) {
    live_.push_back(
        {commit.sequence, commit.position, commit.total_bytes, commit.header.previous_checksum});
    ++report_.commits_replayed;
    report_.journal_bytes_replayed += commit.total_bytes;
    return ApplyFrames(commit, data);
  }
  journal_damaged_ = true;
  if (Status kept = QuarantineCommit(commit); !kept) {
    context_.Tell(NoticeLevel::warning, "quarantine: " + kept.error().message());
  }
  if (commit.state == FoundCommit::State::unknown) {
    context_.Tell(NoticeLevel::error, journal_.file().path() + ": " + UnreadableText(commit));
    if (IsWithinEndsOf(checkpoint_, commit)) return {};
    for (const auto& topic : topics_) {
      for (const auto& partition : topic->partitions()) states_[partition.get()].unknown = true;
    }
    return {};
  }
  NoteLosses(commit);
  return {};
}

// Through the page cache a commit whose flush has failed may still be read, though the kernel has
// given its pages up: a flush alone would not write them. So it is written once more, as it is; the
// ones before it were complete.
Status Recovery::RewriteLastCommit() {
  io::File& file = journal_.file();
  if (file.direct() || live_.empty()) return {};
  const Journal::LiveCommit& last = live_.back();
  io::AlignedBuffer bytes = io::AllocateAligned(last.total_bytes, file.block_bytes());
  auto read = file.ReadAt(last.position, {bytes.get(), last.total_bytes});
  if (!read) return read.error();
  return file.WriteAt(last.position, {bytes.get(), *read}, io::Durable::yes);
}

Status Recovery::QuarantineCommit(const FoundCommit& commit) {
  if (commit.position == 0 || commit.total_bytes == 0) return {};
  return quarantine_.Copy(journal_.file(), commit.position, commit.position + commit.total_bytes,
                          "journal-commit-" + std::to_string(commit.sequence),
                          journal_.file().path() + ": commit " + std::to_string(commit.sequence) +
                              " at " + std::to_string(commit.position) + " is damaged");
}

// The last, which was cut off or damaged: how long it is, is not known. Any power cut may leave
// one, for years.
Status Recovery::QuarantineTornCommit() {
  const std::string kind = "journal-torn-commit-";
  const uint64_t from = end_.next_position;
  if (Status fewer = quarantine_.KeepNewest(kind, kTornCommitsKept - 1); !fewer) return fewer;
  return quarantine_.Copy(
      journal_.file(), from,
      std::min(from + MaxCommitBytes(journal_.superblock()), journal_.superblock().journal_bytes),
      kind + std::to_string(end_.next_sequence),
      "the journal ends in commit " + std::to_string(end_.next_sequence) +
          ", which is torn or damaged, at " + std::to_string(from));
}

PartitionCore* Recovery::Find(const DirectoryEntry& entry) const {
  for (const auto& topic : topics_) {
    if (topic->description().id != entry.topic_id) continue;
    const auto& partitions = topic->partitions();
    const auto index = static_cast<size_t>(entry.partition);
    return index < partitions.size() ? partitions[index].get() : nullptr;
  }
  return nullptr;
}

void Recovery::NoteLosses(const FoundCommit& commit) {
  const std::string cause = journal_.file().path() + ": commit " + std::to_string(commit.sequence) +
                            (commit.last ? " is torn or damaged" : " is damaged");
  for (const DirectoryEntry& entry : commit.directory) {
    NoteEnd(commit, entry);
    PartitionCore* partition = Find(entry);
    if (entry.kind != FrameKind::records || partition == nullptr) continue;
    PartitionState& state = states_[partition];
    state.unknown = false;
    if (commit.sequence < state.first_needed_sequence) continue;
    state.losses.push_back({entry.first_offset, entry.end_offset, cause});
  }
}

// Of a topic, or of what stands below a log start. What an intact directory says counts, also
// beside damaged data: it was acknowledged, or might have been.
void Recovery::NoteEnd(const FoundCommit& commit, const DirectoryEntry& entry) {
  if (entry.kind == FrameKind::topic_deleted) {
    deleted_topics_.insert(entry.topic_id);
    first_tombstone_sequence_ = std::min(first_tombstone_sequence_, commit.sequence);
  }
  if (entry.kind != FrameKind::log_start) return;
  PartitionCore* partition = Find(entry);
  if (partition != nullptr && entry.end_offset > partition->log_start_offset())
    partition->SetLogStart(entry.end_offset);
}

Status Recovery::ApplyFrames(const FoundCommit& commit, base::ByteSpan data) {
  for (const DirectoryEntry& entry : commit.directory) {
    const base::ByteSpan frame = data.first(entry.data_bytes);
    data = data.subspan(entry.data_bytes);
    NoteEnd(commit, entry);
    if (entry.kind == FrameKind::records) ApplyRecords(commit, entry, frame);
  }
  return HoldsTooMuch() ? MakeMemoryFree() : Status();
}

bool Recovery::HoldsTooMuch() const {
  constexpr uint64_t kRelieveShare = 4;  // above three quarters
  return context_.tail_memory_bytes >
         context_.options.memory_bytes / kRelieveShare * (kRelieveShare - 1);
}

// What was given up further on in the journal is not packed: its room was given to others, who may
// have used it.
Status Recovery::MakeMemoryFree() {
  if (!std::exchange(looked_ahead_, true)) {
    const auto end = ScanJournal(journal_.file(), journal_.superblock(), checkpoint_,
                                 [this](const FoundCommit& commit, base::ByteSpan) {
                                   for (const DirectoryEntry& entry : commit.directory)
                                     NoteEnd(commit, entry);
                                   return Status();
                                 });
    if (!end) return end.error();
  }
  for (const auto& topic : topics_) {
    for (const auto& partition : topic->partitions()) partition->DropGivenUpRuns();
  }
  return HoldsTooMuch() ? relieve_() : Status();
}

void Recovery::ApplyRecords(const FoundCommit& commit, const DirectoryEntry& entry,
                            base::ByteSpan frame) {
  PartitionCore* partition = Find(entry);
  if (partition == nullptr) return;  // of a topic that is deleted
  PartitionState& state = states_[partition];
  state.unknown = false;
  if (commit.sequence < state.first_needed_sequence || entry.end_offset <= partition->end_offset())
    return;
  const auto decoded = DecodeRecordsFrame(entry, frame);
  if (!decoded) {
    // Its checksum is right and its content is not: a defect of the writer. Never a reason not to
    // start.
    state.losses.push_back({entry.first_offset, entry.end_offset,
                            journal_.file().path() + ": commit " + std::to_string(commit.sequence) +
                                " has a frame that cannot be decoded"});
    journal_damaged_ = true;
    return;
  }
  const int64_t before = partition->end_offset();
  if (entry.first_offset > before) {
    std::string cause = journal_.file().path() + ": commits before " +
                        std::to_string(commit.sequence) + " are unreadable";
    if (!state.losses.empty()) cause = state.losses.front().cause;
    TellDamage(*partition, before, entry.first_offset, cause);
  }
  std::erase_if(state.losses,
                [&](const Loss& loss) { return loss.first_offset < entry.end_offset; });
  partition->Replay(decoded->header, decoded->records, decoded->summary, entry.first_offset,
                    commit.sequence, commit.header.engine_clock_ms);
  report_.records_replayed +=
      static_cast<uint64_t>(partition->end_offset() - std::max(before, entry.first_offset));
}

void Recovery::FinishPartition(PartitionCore& partition, bool journal_lost) {
  PartitionState& state = states_[&partition];
  for (const Loss& loss : state.losses) {
    if (loss.end_offset <= partition.end_offset()) continue;
    TellDamage(partition, std::max(loss.first_offset, partition.end_offset()), loss.end_offset,
               loss.cause);
    partition.SkipTo(loss.end_offset);
  }
  if (partition.end_offset() < state.known_end_offset) {
    TellDamage(partition, partition.end_offset(), state.known_end_offset, state.known_end_cause);
    partition.SkipTo(state.known_end_offset);
  }
  partition.DropGivenUpRuns();
  partition.SkipTo(partition.log_start_offset());  // damage may have taken the records up to it
  if (!state.unknown && !journal_lost) return;
  TellDamage(partition, partition.end_offset(), partition.end_offset() + kUnknownGapOffsets,
             std::string(journal_lost ? "the journal is lost"
                                      : "unreadable commits may have held its last records") +
                 "; the partition goes on above a range of offsets that is left free");
  partition.SkipTo(partition.end_offset() + kUnknownGapOffsets);
}

}  // namespace tidemark::storage
