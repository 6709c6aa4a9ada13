// In which order an import is done: the store is settled by an opening and a clean stop; under its
// lock the partitions are copied; then the checkpoint comes to know them, and last the manifest.
#include "storage/import.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "storage/import_partition.h"
#include "storage/journal.h"
#include "storage/open.h"
#include "storage/quarantine.h"

namespace tidemark::storage {
namespace {

class Import {
 public:
  Import(io::Environment environment, EngineOptions options, const TopicConfig& config)
      : environment_(std::move(environment)), options_(std::move(options)), config_(config) {}

  Status Settle(ImportReport* report);
  Status Lock(const SourceTopics& sources);
  Status CopyTopics(const SourceTopics& sources, ImportReport* report);
  Status Publish();
  void Unlock() { journal_.reset(); }
  // Nothing of what was copied is of use.
  void RemoveCopies();

 private:
  Status CheckTopic(const std::string& name, const SourceTopic& source) const;
  Status CopyTopic(const TopicDescription& topic, const SourceTopic& source, ImportReport* report);
  Result<CheckpointEntry> CopyPartition(const TopicDescription& topic, int32_t partition,
                                        const SourceTopic& source, ImportReport* report);

  io::Environment environment_;
  EngineOptions options_;
  TopicConfig config_;
  std::unique_ptr<Journal> journal_;  // which holds the lock
  Checkpoint checkpoint_;
  Manifest manifest_;
  std::vector<std::string> folders_;  // made
};

Status Import::Settle(ImportReport* report) {
  auto engine = OpenEngine(environment_, options_);
  if (!engine) return engine.error();
  for (const Notice& notice : (*engine)->TakeNotices()) {
    if (notice.level == NoticeLevel::error) report->notices.push_back(notice.text);
  }
  return (*engine)->Close();
}

Status Import::Lock(const SourceTopics& sources) {
  auto journal = Journal::Open(environment_, io::JoinPath(options_.data_dir, "journal"));
  if (!journal) return journal.error();
  journal_ = *std::move(journal);
  auto slots = ReadCheckpoints(journal_->file(), journal_->superblock());
  if (!slots) return slots.error();
  auto found = ReadManifest(environment_.files, options_.data_dir);
  if (!found) return found.error();
  if (!slots->newest || !slots->newest->clean) {
    // Somebody was faster than this lock.
    return Error(ErrorCode::busy, options_.data_dir + ": the store is in use; try again");
  }
  checkpoint_ = *slots->newest;
  manifest_ = std::move(found->manifest);
  size_t partitions = checkpoint_.entries.size();
  for (const auto& [name, source] : sources) {
    if (Status checked = CheckTopic(name, source); !checked.ok()) return checked;
    partitions += static_cast<size_t>(source.partitions.rbegin()->first) + 1;
  }
  if (partitions <= journal_->max_partitions()) return {};
  return Error(ErrorCode::invalid_argument, "the journal's checkpoints hold " +
                                                std::to_string(journal_->max_partitions()) +
                                                " partitions at most; a larger journal holds more");
}

Status Import::CheckTopic(const std::string& name, const SourceTopic& source) const {
  for (const TopicDescription& topic : manifest_.topics) {
    if (topic.name == name) return Error(ErrorCode::topic_exists, "topic " + name + " exists");
    if (source.id && topic.id == *source.id) {
      return Error(ErrorCode::topic_exists,
                   "topic " + topic.name + " has the id that " + name + " has in Kafka");
    }
  }
  return {};
}

Status Import::CopyTopics(const SourceTopics& sources, ImportReport* report) {
  for (const auto& [name, source] : sources) {
    TopicDescription topic;
    topic.id = source.id.value_or(
        base::Uuid::FromRandom(environment_.random64(), environment_.random64()));
    topic.name = name;
    topic.partitions = source.partitions.rbegin()->first + 1;
    topic.config = config_;
    if (Status copied = CopyTopic(topic, source, report); !copied.ok()) return copied;
    manifest_.topics.push_back(std::move(topic));
  }
  return {};
}

// Partitions that are not there, since another broker has them, are empty.
Status Import::CopyTopic(const TopicDescription& topic, const SourceTopic& source,
                         ImportReport* report) {
  for (int32_t partition = 0; partition < topic.partitions; ++partition) {
    auto entry = CopyPartition(topic, partition, source, report);
    if (!entry) return entry.error();
    entry->first_needed_sequence = checkpoint_.start_sequence;
    checkpoint_.entries.push_back(*entry);
  }
  return {};
}

Result<CheckpointEntry> Import::CopyPartition(const TopicDescription& topic, int32_t partition,
                                              const SourceTopic& source, ImportReport* report) {
  io::FileSystem& files = environment_.files;
  const std::string folder = PartitionFolder(options_.data_dir, topic.name, partition);
  const auto exists = files.Exists(folder);
  if (!exists) return exists.error();
  if (*exists) {
    Quarantine quarantine(environment_, options_.data_dir);
    const auto moved = quarantine.MoveSegments(folder, "it was here before its topic was imported");
    if (!moved) return moved.error();
  }
  folders_.push_back(folder);
  if (Status made = MakePartitionFolder(files, folder, topic.id); !made.ok()) return made.error();
  const auto found = source.partitions.find(partition);
  if (found == source.partitions.end()) {
    CheckpointEntry empty;
    empty.topic_id = topic.id;
    empty.partition = partition;
    return empty;
  }
  PartitionImport copy(files, found->second, folder, topic, partition, checkpoint_.engine_clock_ms);
  if (Status copied = copy.Run(); !copied.ok()) return copied.error();
  report->partitions.push_back(copy.imported());
  return copy.entry();
}

// The checkpoint first: without the manifest its new entries are nobody's.
Status Import::Publish() {
  Status flushed = environment_.files.FlushDirectory(options_.data_dir);
  if (!flushed.ok()) return flushed;
  ++checkpoint_.number;
  if (Status written = journal_->WriteCheckpoint(checkpoint_); !written.ok()) return written;
  return WriteManifest(environment_.files, options_.data_dir, manifest_);
}

// What cannot be removed is put aside by whoever makes a topic of that name.
void Import::RemoveCopies() {
  io::FileSystem& files = environment_.files;
  for (const std::string& folder : folders_) {
    const auto entries = files.List(folder);
    if (!entries) continue;
    Status removed;
    for (const io::DirectoryEntry& entry : *entries) {
      if (removed.ok()) removed = files.Remove(io::JoinPath(folder, entry.name));
    }
    if (removed.ok()) removed = files.Remove(folder);
    if (!removed.ok()) return;
  }
}

}  // namespace

Result<ImportReport> ImportFromKafka(const io::Environment& environment,
                                     const EngineOptions& options, const ImportOptions& import) {
  ImportReport report;
  const auto sources = FindSources(environment.files, import.paths, &report.left_out);
  if (!sources) return sources.error();
  Import work(environment, options, import.config);
  Status done = work.Settle(&report);
  if (done.ok()) done = work.Lock(*sources);
  if (!done.ok()) return done.error();
  done = work.CopyTopics(*sources, &report);
  if (!done.ok()) {
    work.RemoveCopies();
    return done.error();
  }
  if (Status published = work.Publish(); !published.ok()) return published.error();
  work.Unlock();
  // Once more: what was taken over is seen to be a store, and Kafka's checkpoint files tell of it.
  if (Status settled = work.Settle(&report); !settled.ok()) return settled.error();
  return report;
}

}  // namespace tidemark::storage
