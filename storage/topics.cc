// Topics of an engine: made, altered, deleted. Administration: these calls flush files.
#include <algorithm>

#include "storage/engine_core.h"
#include "storage/quarantine.h"

namespace tidemark::storage {

namespace {

// A partition's folder, partition.metadata and leader-epoch-checkpoint.
constexpr uint64_t kPartitionFilesBytes = 3 * kFileSlackBytes;

}  // namespace

TopicCore* EngineCore::FindCore(std::string_view name) const {
  for (const auto& topic : topics_) {
    if (!topic->deleted && topic->description().name == name) return topic.get();
  }
  return nullptr;
}

Topic* EngineCore::FindTopic(std::string_view name) const {
  TopicCore* topic = FindCore(name);
  return topic != nullptr ? &topic->handle() : nullptr;
}

std::vector<Topic*> EngineCore::Topics() const {
  std::vector<TopicCore*> cores;
  for (const auto& topic : topics_) {
    if (!topic->deleted) cores.push_back(topic.get());
  }
  std::sort(cores.begin(), cores.end(), [](const TopicCore* a, const TopicCore* b) {
    return a->description().name < b->description().name;
  });
  std::vector<Topic*> topics;
  for (TopicCore* core : cores) topics.push_back(&core->handle());
  return topics;
}

size_t EngineCore::partition_count() const {
  size_t count = 0;
  for (const auto& topic : topics_) count += topic->gone ? 0 : topic->partitions().size();
  return count;
}

// disk_full: nothing has changed on the disk. After any other failure it is not known what a
// restart will find, and the engine stops.
Status EngineCore::SaveManifest() {
  Manifest manifest;
  manifest.store_id = store_id_;
  for (Topic* topic : Topics()) manifest.topics.push_back(topic->core_->description());
  Status saved = WriteManifest(context_.environment.files, context_.options.data_dir, manifest);
  if (!saved.ok() && saved.error().code() != ErrorCode::disk_full) context_.Stop(saved.error());
  return saved;
}

// In the checkpoints, and in the byte budgets: `topic` is nullptr if it is to be made.
Status EngineCore::CheckPartitionRoom(const TopicCore* topic, int32_t more) const {
  if (partition_count() + static_cast<size_t>(more) > journal_->max_partitions()) {
    return Error(ErrorCode::invalid_argument,
                 "the journal's checkpoints hold " + std::to_string(journal_->max_partitions()) +
                     " partitions at most; a larger journal holds more");
  }
  const uint64_t bytes = static_cast<uint64_t>(more) * kPartitionFilesBytes;
  if (topic != nullptr && topic->budget_bytes() != 0 && !topic->space.Fits(bytes))
    return Error(ErrorCode::disk_full,
                 "topic.bytes of " + topic->description().name +
                     " has no room for more partitions: raise it, or delete records");
  if (context_.options.store_bytes != 0 && !context_.space.Fits(bytes))
    return Error(ErrorCode::disk_full,
                 "storage.store_bytes has no room for more partitions: raise it, or delete topics "
                 "or records");
  return {};
}

// Makes what a topic lacks up to `count` partitions, with their folders. It is not in the manifest
// yet: empty folders that a failure leaves are used at the next attempt.
Status EngineCore::MakePartitions(TopicCore& topic, int32_t count) {
  const TopicDescription& description = topic.description();
  const auto before = static_cast<int32_t>(topic.partitions().size());
  std::vector<std::string> folders;
  bool any_set_aside = false;
  for (int32_t index = before; index < count; ++index) {
    folders.push_back(PartitionFolder(context_.options.data_dir, description.name, index));
    const auto set_aside = SetAsideRemains(folders.back());
    if (!set_aside) return set_aside.error();
    any_set_aside = any_set_aside || *set_aside;
  }
  if (any_set_aside) retention_->CountStore();  // the quarantine's notes take room, too
  Status made = MakePartitionFolders(context_.environment.files, context_.options.data_dir, folders,
                                     description.id);
  if (!made.ok()) return made;
  for (int32_t index = before; index < count; ++index) {
    topic.partitions().push_back(
        std::make_unique<PartitionCore>(context_, *committer_, topic, index,
                                        std::move(folders[static_cast<size_t>(index - before)])));
  }
  return {};
}

// The manifest names them.
void EngineCore::NotePartitionsMade(TopicCore& topic, int32_t count) {
  retention_->LookSoon();
  compaction_->LookSoon();
  context_.space.Settle(0, static_cast<uint64_t>(count) * kPartitionFilesBytes);
  packer_->RequestCheckpoint();
  retention_->Count(topic);
}

Result<Topic*> EngineCore::CreateTopic(std::string_view name, int32_t partitions,
                                       const TopicConfig& config) {
  if (name == kCursorTopic) return IsInternal(name);
  return MakeTopic(name, partitions, config);
}

Result<Topic*> EngineCore::MakeTopic(std::string_view name, int32_t partitions,
                                     const TopicConfig& config) {
  if (!context_.health.ok()) return context_.health.error();
  if (Status valid = CheckTopicName(name); !valid) return valid.error();
  if (FindCore(name) != nullptr)
    return Error(ErrorCode::topic_exists, "topic " + std::string(name) + " exists");
  const bool being_deleted =
      std::any_of(deleting_.begin(), deleting_.end(),
                  [&](const TopicCore* topic) { return topic->description().name == name; });
  if (being_deleted) {
    return Error(ErrorCode::busy,
                 "topic " + std::string(name) + " is still being deleted; try again after a poll");
  }
  if (partitions < 1)
    return Error(ErrorCode::invalid_argument, "a topic has at least one partition");
  if (Status room = CheckPartitionRoom(nullptr, partitions); !room) return room.error();
  TopicDescription description;
  description.id =
      base::Uuid::FromRandom(context_.environment.random64(), context_.environment.random64());
  description.name = name;
  description.partitions = partitions;
  description.config = config;
  auto topic = std::make_unique<TopicCore>(description);
  if (Status made = MakePartitions(*topic, partitions); !made) return made.error();
  topics_.push_back(std::move(topic));
  if (Status saved = SaveManifest(); !saved) {
    topics_.pop_back();
    return saved.error();
  }
  NotePartitionsMade(*topics_.back(), partitions);
  return &topics_.back()->handle();
}

Status EngineCore::AddPartitions(std::string_view name, int32_t count) {
  if (!context_.health.ok()) return context_.health;
  TopicCore* topic = FindCore(name);
  if (topic == nullptr)
    return Error(ErrorCode::unknown_topic, "there is no topic " + std::string(name));
  if (topic->internal()) return IsInternal(name);  // a group's partition follows from their number
  const auto before = static_cast<int32_t>(topic->partitions().size());
  if (count <= before) {
    return Error(ErrorCode::invalid_argument, "topic " + std::string(name) + " has " +
                                                  std::to_string(before) +
                                                  " partitions; their number can only grow");
  }
  if (Status room = CheckPartitionRoom(topic, count - before); !room) return room;
  Status done = MakePartitions(*topic, count);
  if (done) {
    topic->set_partition_count(count);
    done = SaveManifest();
  }
  if (!done) {
    topic->set_partition_count(before);
    topic->partitions().resize(static_cast<size_t>(before));
    return done;
  }
  NotePartitionsMade(*topic, count - before);
  return {};
}

// A deletion that a crash has cut off may have left segments in the folder of a topic that is in
// the manifest no more, or somebody has put them there: they are none of the new topic's. Whether
// there were any.
Result<bool> EngineCore::SetAsideRemains(const std::string& folder) {
  const auto exists = context_.environment.files.Exists(folder);
  if (!exists) return exists.error();
  if (!*exists) return false;
  Quarantine quarantine(context_.environment, context_.options.data_dir);
  return quarantine.MoveSegments(folder, "it was here before its topic was made");
}

Status EngineCore::AlterTopic(std::string_view name, const TopicConfig& config) {
  if (!context_.health.ok()) return context_.health;
  TopicCore* topic = FindCore(name);
  if (topic == nullptr)
    return Error(ErrorCode::unknown_topic, "there is no topic " + std::string(name));
  if (topic->internal()) {
    if (Status kept = CheckCursorTopicConfig(config); !kept) return kept;
  }
  const TopicConfig before = topic->config();
  topic->set_config(config);
  Status saved = SaveManifest();
  if (!saved.ok()) topic->set_config(before);
  retention_->LookSoon();
  if (saved.ok()) retention_->Count(*topic);
  compaction_->LookSoon();
  // A segment's index follows one interval, so that it can be told whether it is whole.
  if (saved.ok() && config.index_interval_bytes != before.index_interval_bytes) {
    for (auto& partition : topic->partitions()) packer_->RollSoon(*partition);
  }
  return saved;
}

Status EngineCore::DeleteTopic(std::string_view name) {
  if (!context_.health.ok()) return context_.health;
  TopicCore* topic = FindCore(name);
  if (topic == nullptr)
    return Error(ErrorCode::unknown_topic, "there is no topic " + std::string(name));
  if (topic->internal()) return IsInternal(name);
  topic->deleted = true;
  for (auto& partition : topic->partitions()) partition->deleted = true;
  committer_->DeleteTopic(topic->description().id);
  doomed_.push_back(topic);
  deleting_.push_back(topic);
  return {};
}

// A deletion is done once its tombstone is durable and neither commit nor worker has a part in its
// runs.
void EngineCore::FinishDeletions() {
  for (const base::Uuid& id : committer_->TakeDurableDeletions()) {
    std::erase_if(doomed_, [&](const TopicCore* topic) { return topic->description().id == id; });
  }
  if (!deletions_ready() || !packer_->idle() || committer_->in_flight() || !context_.health.ok())
    return;
  if (retention_ && !retention_->idle()) return;
  if (compaction_ && !compaction_->idle()) return;
  std::vector<TopicCore*> ready;
  for (TopicCore* topic : deleting_) {
    if (std::find(doomed_.begin(), doomed_.end(), topic) == doomed_.end()) ready.push_back(topic);
  }
  for (TopicCore* topic : ready) {
    for (auto& partition : topic->partitions()) {
      packer_->Forget(*partition);
      committer_->Forget(*partition);
      if (retention_) retention_->Forget(*partition);
      if (compaction_) compaction_->Forget(*partition);
      partition->DropRuns();
      partition->segments().clear();
    }
  }
  Status done = SaveManifest();
  if (!done.ok() && done.error().code() == ErrorCode::disk_full) {
    // The tombstones are durable: what the segments take is free, for the manifest to begin with.
    done = {};
    for (TopicCore* topic : ready) {
      if (done.ok()) done = RemoveTopicSegments(*topic);
    }
    if (done.ok()) done = SaveManifest();
  }
  if (!done.ok() && done.error().code() == ErrorCode::disk_full) {
    retry_deletions_at_us_ = context_.now_us + kRetryDiskFullUs;
    return;
  }
  for (TopicCore* topic : ready) {
    if (done.ok()) done = RemoveTopicFiles(*topic);
  }
  if (!done.ok()) {
    context_.Stop(done.error());
    return;
  }
  for (TopicCore* topic : ready) topic->gone = true;
  if (cursors_) cursors_->TopicIsGone();
  if (doomed_.empty()) committer_->ForgetTombstones();
  std::erase_if(deleting_, [&](TopicCore* topic) {
    return std::find(ready.begin(), ready.end(), topic) != ready.end();
  });
}

Status EngineCore::RemoveTopicSegments(TopicCore& topic) {
  io::FileSystem& files = context_.environment.files;
  for (const auto& partition : topic.partitions()) {
    auto bases = ListSegments(files, partition->folder());
    if (!bases) return bases.error();
    for (const int64_t base : *bases) {
      if (Status removed = RemoveSegment(files, partition->folder(), base); !removed)
        return removed;
    }
  }
  return {};
}

Status EngineCore::RemoveTopicFiles(TopicCore& topic) {
  Status removed = RemovePartitionFolders(context_.environment.files, context_.options.data_dir,
                                          topic.folders());
  if (removed.ok() && retention_) retention_->CountSoon();  // the store has room again
  return removed;
}

// Of deletions that were cut off behind the manifest: their tombstones are in the journal still.
Status EngineCore::RemoveRemains(std::set<base::Uuid> deleted_topics) {
  for (const auto& topic : topics_) deleted_topics.erase(topic->description().id);
  if (deleted_topics.empty()) return {};
  io::FileSystem& files = context_.environment.files;
  const auto entries = files.List(context_.options.data_dir);
  if (!entries) return entries.error();
  std::vector<std::string> folders;
  for (const io::DirectoryEntry& entry : *entries) {
    if (!entry.is_directory) continue;
    std::string folder = io::JoinPath(context_.options.data_dir, entry.name);
    // Of a topic that is there nothing goes, whatever a damaged file says.
    const auto name = ParsePartitionFolder(entry.name);
    if (!name || FindCore(name->topic) != nullptr) continue;
    const auto id = ReadTopicId(files, folder);
    const auto inside = files.List(folder);
    if (!inside) return inside.error();
    // One with a folder in it is somebody's, and no reason not to open.
    const bool has_folder = std::any_of(inside->begin(), inside->end(),
                                        [](const auto& each) { return each.is_directory; });
    if (has_folder || !(id ? deleted_topics.contains(*id) : inside->empty())) continue;
    folders.push_back(std::move(folder));
  }
  return RemovePartitionFolders(files, context_.options.data_dir, folders);
}

Result<std::unique_ptr<ReaderCore>> EngineCore::OpenReader(PartitionCore& partition,
                                                           int64_t offset) {
  if (partition.deleted) return Error(ErrorCode::unknown_topic, "the topic was deleted");
  auto reader = std::make_unique<ReaderCore>(context_, partition, offset);
  if (Status placed = reader->Seek(offset); !placed) return placed.error();
  return reader;
}

}  // namespace tidemark::storage
