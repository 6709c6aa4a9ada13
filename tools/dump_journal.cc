// The journal: superblock, checkpoint, commits with their directories (docs/formats.md).
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "record/batch.h"
#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "storage/manifest.h"
#include "tools/dump.h"

namespace tidemark::tools {
namespace {

using storage::FoundCommit;

const char* KindName(storage::FrameKind kind) {
  switch (kind) {
    case storage::FrameKind::records:
      return "records";
    case storage::FrameKind::batch:
      return "batch";
    case storage::FrameKind::log_start:
      return "log_start";
    case storage::FrameKind::topic_deleted:
      return "topic_deleted";
  }
  return "unknown";
}

const char* StateName(const FoundCommit& commit) {
  switch (commit.state) {
    case FoundCommit::State::intact:
      return "intact";
    case FoundCommit::State::data_damaged:
      return commit.last ? "torn or damaged" : "data damaged";
    case FoundCommit::State::directory_only:
      return "data lost";
    case FoundCommit::State::unknown:
      return "lost";
  }
  return "unknown";
}

class JournalDump {
 public:
  JournalDump(const DumpFile& file, DumpReport* report) : file_(file), report_(*report) {}
  void Run();

 private:
  // Damage of commits: told at the end, when it is known what was only being overwritten.
  struct Suspect {
    uint64_t sequence = 0;
    uint64_t position = 0;
    std::string what;
  };

  void ReadTopicNames();
  std::string TopicName(const base::Uuid& id) const;
  void ShowSuperblock(const storage::Superblock& superblock);
  void CheckSuperblockCopies(const storage::Superblock& superblock);
  void ShowCheckpoint(const storage::Checkpoint& checkpoint);
  void ShowCommit(const FoundCommit& commit, base::ByteSpan data);
  void ShowFrame(const storage::DirectoryEntry& frame, base::ByteSpan data);
  void ShowRecords(const storage::DirectoryEntry& frame, base::ByteSpan data);
  void TellSuspects(const storage::Superblock& superblock);

  const DumpFile& file_;
  DumpReport& report_;
  std::map<base::Uuid, std::string> topic_names_;
  uint64_t commit_position_ = 0;
  std::vector<Suspect> suspects_;
};

void JournalDump::ReadTopicNames() {
  const auto found = storage::ReadManifest(io::SystemFiles(), file_.folder);
  if (!found.ok()) return;  // ids will do
  for (const storage::TopicDescription& topic : found->manifest.topics) {
    topic_names_[topic.id] = topic.name;
  }
}

std::string JournalDump::TopicName(const base::Uuid& id) const {
  const auto found = topic_names_.find(id);
  return found == topic_names_.end() ? id.ToBase64() : found->second;
}

void JournalDump::ShowSuperblock(const storage::Superblock& superblock) {
  Json object;
  object["type"] = "superblock";
  object["version"] = superblock.version;
  object["block_bytes"] = superblock.block_bytes;
  object["store_id"] = superblock.store_id.ToBase64();
  object["journal_id"] = superblock.journal_id.ToBase64();
  object["journal_bytes"] = superblock.journal_bytes;
  object["slot_bytes"] = superblock.slot_bytes;
  object["ring_begin"] = superblock.ring_begin;
  object["created_ms"] = superblock.created_ms;
  report_.Add(object, "superblock version: " + std::to_string(superblock.version) +
                          " blockBytes: " + std::to_string(superblock.block_bytes) +
                          " storeId: " + superblock.store_id.ToBase64() +
                          " journalId: " + superblock.journal_id.ToBase64() +
                          " journalBytes: " + std::to_string(superblock.journal_bytes) +
                          " slotBytes: " + std::to_string(superblock.slot_bytes) +
                          " ringBegin: " + std::to_string(superblock.ring_begin) +
                          " createdMs: " + std::to_string(superblock.created_ms));
}

void JournalDump::CheckSuperblockCopies(const storage::Superblock& superblock) {
  for (const uint64_t position : {uint64_t{0}, uint64_t{superblock.block_bytes}}) {
    std::vector<std::byte> bytes(storage::kSuperblockBytes);
    const auto got = file_.file->ReadAt(position, bytes);
    if (!got.ok()) {
      report_.Unreadable(got.error());
      continue;
    }
    const auto copy = storage::DecodeSuperblock(base::ByteSpan(bytes).first(*got));
    if (!copy.ok() || *copy != superblock) {
      report_.Damage(position, "this copy of the superblock is damaged; the other one counts");
    }
  }
}

void JournalDump::ShowCheckpoint(const storage::Checkpoint& checkpoint) {
  Json object;
  object["type"] = "checkpoint";
  object["number"] = checkpoint.number;
  object["incarnation"] = checkpoint.incarnation;
  object["start_sequence"] = checkpoint.start_sequence;
  object["start_position"] = checkpoint.start_position;
  object["clean"] = checkpoint.clean;
  object["engine_clock_ms"] = checkpoint.engine_clock_ms;
  object["wall_clock_ms"] = checkpoint.wall_clock_ms;
  report_.Add(object, "checkpoint number: " + std::to_string(checkpoint.number) +
                          " incarnation: " + std::to_string(checkpoint.incarnation) +
                          " startSequence: " + std::to_string(checkpoint.start_sequence) +
                          " startPosition: " + std::to_string(checkpoint.start_position) +
                          " clean: " + (checkpoint.clean ? "true" : "false") +
                          " engineClockMs: " + std::to_string(checkpoint.engine_clock_ms) +
                          " wallClockMs: " + std::to_string(checkpoint.wall_clock_ms) +
                          " partitions: " + std::to_string(checkpoint.entries.size()));
  for (const storage::CheckpointEntry& entry : checkpoint.entries) {
    Json line;
    line["type"] = "checkpoint_entry";
    line["topic"] = TopicName(entry.topic_id);
    line["partition"] = entry.partition;
    line["leader_epoch"] = entry.leader_epoch;
    line["log_start_offset"] = entry.log_start_offset;
    line["durable_end_offset"] = entry.durable_end_offset;
    line["packed_end_offset"] = entry.packed_end_offset;
    line["active_base_offset"] = entry.active_base_offset;
    line["active_flushed_bytes"] = entry.active_flushed_bytes;
    line["first_needed_sequence"] = entry.first_needed_sequence;
    report_.Add(line, "| topic: " + TopicName(entry.topic_id) +
                          " partition: " + std::to_string(entry.partition) +
                          " leaderEpoch: " + std::to_string(entry.leader_epoch) +
                          " logStart: " + std::to_string(entry.log_start_offset) +
                          " durableEnd: " + std::to_string(entry.durable_end_offset) +
                          " packedEnd: " + std::to_string(entry.packed_end_offset) +
                          " activeBase: " + std::to_string(entry.active_base_offset) +
                          " activeFlushedBytes: " + std::to_string(entry.active_flushed_bytes) +
                          " firstNeededSequence: " + std::to_string(entry.first_needed_sequence));
  }
}

void JournalDump::ShowFrame(const storage::DirectoryEntry& frame, base::ByteSpan data) {
  Json object;
  object["type"] = "frame";
  object["topic"] = TopicName(frame.topic_id);
  object["partition"] = frame.partition;
  object["kind"] = KindName(frame.kind);
  object["first_offset"] = frame.first_offset;
  object["end_offset"] = frame.end_offset;
  object["bytes"] = frame.data_bytes;
  object["carried"] = frame.carried;
  report_.Add(object, "| topic: " + TopicName(frame.topic_id) + " partition: " +
                          std::to_string(frame.partition) + " kind: " + KindName(frame.kind) +
                          " firstOffset: " + std::to_string(frame.first_offset) +
                          " endOffset: " + std::to_string(frame.end_offset) +
                          " bytes: " + std::to_string(frame.data_bytes) +
                          " carried: " + (frame.carried ? "true" : "false"));
  if (report_.with_records() && frame.kind == storage::FrameKind::records && !data.empty()) {
    ShowRecords(frame, data);
  }
}

void JournalDump::ShowRecords(const storage::DirectoryEntry& frame, base::ByteSpan data) {
  const auto header = storage::DecodeRecordsFrameHeader(data);
  const int64_t count = frame.end_offset - frame.first_offset;
  if (!header.ok()) return report_.Damage(commit_position_, header.error().message());
  const int64_t last_delta = frame.end_offset - 1 - header->base_offset;
  const auto records = data.subspan(storage::kRecordsFrameHeaderBytes);
  if (count > INT32_MAX || last_delta < 0 || last_delta > INT32_MAX) {
    return report_.Damage(commit_position_, "a frame's offsets do not fit its run");
  }
  const auto checked =
      record::CheckRecords(records, static_cast<int32_t>(count), static_cast<int32_t>(last_delta));
  if (!checked.ok()) return report_.Damage(commit_position_, checked.error().message());
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(records).data();
  encoded.count = static_cast<int32_t>(count);
  encoded.base_offset = header->base_offset;
  encoded.base_timestamp_ms = header->base_timestamp_ms;
  const bool append_time = (header->attributes & record::kLogAppendTimeBit) != 0;
  const char* timestamp_type = append_time ? "LogAppendTime" : "CreateTime";
  if (append_time) {
    encoded.append_timestamp_ms = header->base_timestamp_ms;
  }
  for (const RecordView& record : RecordRange(encoded)) {
    report_.AddRecord(record, "| | ", timestamp_type);
  }
}

void JournalDump::ShowCommit(const FoundCommit& commit, base::ByteSpan data) {
  commit_position_ = commit.position;
  uint64_t frames_bytes = 0;
  for (const auto& frame : commit.directory) frames_bytes += frame.data_bytes;
  Json object;
  object["type"] = "commit";
  object["sequence"] = commit.sequence;
  object["position"] = commit.position;
  object["bytes"] = commit.total_bytes;
  object["incarnation"] = commit.header.incarnation;
  object["durable_sequence"] = commit.header.durable_sequence;
  object["engine_clock_ms"] = commit.header.engine_clock_ms;
  object["frames"] = commit.directory.size();
  object["data_bytes"] = frames_bytes;
  object["state"] = StateName(commit);
  if (commit.unknown_count > 1) object["commits"] = commit.unknown_count;
  report_.Add(object, "commit sequence: " + std::to_string(commit.sequence) +
                          " position: " + std::to_string(commit.position) +
                          " bytes: " + std::to_string(commit.total_bytes) +
                          " incarnation: " + std::to_string(commit.header.incarnation) +
                          " durableSequence: " + std::to_string(commit.header.durable_sequence) +
                          " engineClockMs: " + std::to_string(commit.header.engine_clock_ms) +
                          " frames: " + std::to_string(commit.directory.size()) + " dataBytes: " +
                          std::to_string(frames_bytes) + " state: " + StateName(commit));
  for (const storage::DirectoryEntry& frame : commit.directory) {
    const auto own = data.first(std::min<size_t>(data.size(), frame.data_bytes));
    ShowFrame(frame, own);
    data = data.subspan(own.size());
  }
  // The last commit of a store that was not stopped cleanly may have been cut off: no damage.
  if (commit.state == FoundCommit::State::intact || commit.last) return;
  const uint64_t more = std::max<uint64_t>(commit.unknown_count, 1) - 1;
  suspects_.push_back({commit.sequence, commit.position,
                       "commit " + std::to_string(commit.sequence) +
                           (more > 0 ? " and " + std::to_string(more) + " more are " : " is ") +
                           StateName(commit)});
}

// Beside a running engine a block may be overwritten while it is read: after its checkpoint had
// made it free. The checkpoint as it is now tells.
void JournalDump::TellSuspects(const storage::Superblock& superblock) {
  uint64_t needed_from = 0;
  if (file_.store_in_use && !suspects_.empty()) {
    const auto slots = storage::ReadCheckpoints(*file_.file, superblock);
    if (slots.ok() && slots->newest) needed_from = slots->newest->start_sequence;
  }
  for (const Suspect& suspect : suspects_) {
    if (suspect.sequence >= needed_from) report_.Damage(suspect.position, suspect.what);
  }
}

void JournalDump::Run() {
  ReadTopicNames();
  const auto superblock = storage::ReadSuperblock(*file_.file);
  if (!superblock.ok()) return report_.Damage(0, superblock.error().message());
  ShowSuperblock(*superblock);
  CheckSuperblockCopies(*superblock);
  if (file_.bytes != superblock->journal_bytes) {
    report_.Damage(std::min(file_.bytes, superblock->journal_bytes),
                   "the file has " + std::to_string(file_.bytes) + " bytes, its superblock says " +
                       std::to_string(superblock->journal_bytes));
  }
  const auto slots = storage::ReadCheckpoints(*file_.file, *superblock);
  if (!slots.ok()) return report_.Unreadable(slots.error());
  for (const int slot : {0, 1}) {
    // One may be just being written.
    if (slots->damaged[slot] && !file_.store_in_use) {
      report_.Damage(superblock->slot_position(slot), "this copy of the checkpoint is damaged");
    }
  }
  if (slots->newest) ShowCheckpoint(*slots->newest);
  const auto end = storage::ScanJournal(
      *file_.file, *superblock, slots->newest ? &*slots->newest : nullptr,
      [this](const FoundCommit& commit, base::ByteSpan data) -> Status {
        ShowCommit(commit, data);
        if (!report_.finished()) return {};
        return Error(ErrorCode::invalid_argument, "nobody reads the output any more");
      });
  if (report_.finished()) return;
  if (!end.ok()) report_.Unreadable(end.error());
  TellSuspects(*superblock);
  if (end.ok() && end->torn_tail && !file_.store_in_use) {
    report_.Note("behind the last commit stands one that was cut off");
  }
}

}  // namespace

void DumpJournal(const DumpFile& file, DumpReport* report) { JournalDump(file, report).Run(); }

}  // namespace tidemark::tools
