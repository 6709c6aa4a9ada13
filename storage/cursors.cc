#include "storage/cursors.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace tidemark::storage {
namespace {

// Shares of the engine's memory: what commits may fill, and what may be read. The latter is larger:
// the log may hold cursors of topics that are gone, and the memory option may have been lowered.
constexpr uint64_t kCommitShare = 8;
constexpr uint64_t kLoadShare = 4;
// What a node of the map takes beyond what it holds.
constexpr uint64_t kNodeBytes = 48;
// Small, so that what was overwritten soon stands in a segment that can be compacted.
constexpr int64_t kCursorSegmentBytes = int64_t{1} << 20;

Error TooMany(uint64_t bytes) {
  return Error(ErrorCode::invalid_argument, "the cursors of all groups may take " +
                                                std::to_string(bytes) +
                                                " bytes of memory; a larger memory_bytes, or "
                                                "deleting those of old groups, makes room");
}

std::string NameOf(const PartitionCore& partition) {
  return partition.topic().description().name + "-" + std::to_string(partition.index());
}

}  // namespace

TopicConfig CursorTopicConfig() {
  TopicConfig config;
  config.cleanup_policy = CleanupPolicy::compact;
  config.segment_bytes = kCursorSegmentBytes;
  return config;
}

Status CheckCursorTopicConfig(const TopicConfig& config) {
  const TopicConfig own = CursorTopicConfig();
  if (config.cleanup_policy == own.cleanup_policy && config.topic_bytes == own.topic_bytes &&
      config.retention_ms == own.retention_ms && config.retention_bytes == own.retention_bytes &&
      config.when_full == own.when_full && config.timestamp_type == own.timestamp_type) {
    return {};
  }
  return Error(
      ErrorCode::invalid_argument,
      std::string(kCursorTopic) + " is internal: how it is cleaned and stamped cannot be altered");
}

Error IsInternal(std::string_view topic) {
  return Error(ErrorCode::invalid_argument,
               "topic " + std::string(topic) + " is internal: only the engine itself writes to it");
}

bool Cursors::Key::operator<(const Key& other) const {
  return std::tie(group, topic, partition) < std::tie(other.group, other.topic, other.partition);
}

uint64_t Cursors::BytesOf(const Key& key, const Entry& entry) {
  return kNodeBytes + sizeof(Entries::value_type) + key.group.size() + key.topic.size() +
         entry.metadata.size();
}

TopicCore* Cursors::FindTopic(std::string_view name) const {
  for (const auto& topic : topics_) {
    if (!topic->deleted && topic->description().name == name) return topic.get();
  }
  return nullptr;
}

bool Cursors::IsAlive(const Key& key, const Entry& entry) const {
  const TopicCore* topic = FindTopic(key.topic);
  return topic != nullptr && topic->description().id == entry.topic_id &&
         static_cast<size_t>(key.partition) < topic->partitions().size();
}

// A topic whose deletion may still be undone by a crash is not.
bool Cursors::IsGone(const base::Uuid& topic_id) const {
  return std::none_of(topics_.begin(), topics_.end(), [&](const auto& topic) {
    return !topic->gone && topic->description().id == topic_id;
  });
}

// --- Reading what is there -----------------------------------------------------------------------

Status Cursors::Load() {
  if (refusal_) return *refusal_;
  if (loaded_) return {};
  if (TopicCore* topic = FindTopic(kCursorTopic); topic != nullptr) {
    for (; loading_ < topic->partitions().size(); ++loading_) {
      if (Status read = LoadSome(*topic->partitions()[loading_]); !read) return read;
    }
    TellUnreadable();
  }
  loaded_ = true;
  BuryDead();
  return {};
}

// To the partition's durable end.
Status Cursors::LoadSome(PartitionCore& partition) {
  if (reader_ == nullptr) {
    reader_ = std::make_unique<ReaderCore>(context_, partition, partition.log_start_offset());
  }
  for (;;) {
    const int64_t position = reader_->position();
    const auto state = reader_->Next();
    TellLost(partition);
    if (!state && reader_->position() > position) continue;  // behind the damage
    if (!state) return state.error();
    if (*state == ReadState::pending)
      return Error(ErrorCode::busy, "the cursors are being read; try again after a poll");
    if (*state == ReadState::at_end) break;
    for (const RecordView& record : reader_->batch().records) {
      if (Status taken = TakeRecord(partition, record); !taken) return taken;
    }
  }
  reader_.reset();
  return {};
}

Status Cursors::TakeRecord(const PartitionCore& partition, const RecordView& record) {
  const auto note = [&](const Error& error) {
    if (unreadable_++ == 0) {
      first_unreadable_ = NameOf(partition) + " at offset " + std::to_string(record.offset) + ": " +
                          error.message();
    }
  };
  const auto key = DecodeCursorKey(record.key.value_or(Bytes()));
  if (!key) {
    note(key.error());
    return {};
  }
  if (!*key) return {};
  Key owned{std::string((*key)->group), std::string((*key)->topic), (*key)->partition};
  if (!record.value) {
    Apply(std::move(owned), std::nullopt);
    return {};
  }
  const auto value = DecodeCursorValue(*record.value);
  if (!value) {
    note(value.error());
    return {};
  }
  Entry entry{{},
              value->offset,
              value->leader_epoch,
              std::string(value->metadata),
              value->commit_timestamp_ms};
  if (const auto id = FindTopicId(record.headers)) {
    entry.topic_id = *id;
  } else if (const TopicCore* topic = FindTopic(owned.topic); topic != nullptr) {
    entry.topic_id = topic->description().id;
  }
  Apply(std::move(owned), std::move(entry));
  const uint64_t limit = context_.options.memory_bytes / kLoadShare;
  if (bytes_ <= limit) return {};
  reader_.reset();
  refusal_ = TooMany(limit);
  return *refusal_;
}

void Cursors::TellLost(const PartitionCore& partition) {
  for (const LostRange& range : reader_->TakeLost()) {
    context_.Tell(NoticeLevel::warning,
                  NameOf(partition) + ": offsets " + std::to_string(range.first_offset) + " to " +
                      std::to_string(range.end_offset - 1) + " are lost: " + range.cause +
                      "; groups whose last commit was there go on from the one before");
  }
}

void Cursors::TellUnreadable() {
  if (unreadable_ == 0) return;
  context_.Tell(NoticeLevel::warning,
                std::to_string(unreadable_) +
                    " commits of cursors are not understood; their groups go on from the one "
                    "before. The first: " +
                    first_unreadable_);
}

// Deletes the cursors of topics that are gone: of one just now, or before a crash or on a full
// disk, which have kept it from being done. A key that is committed to again is left alone: what is
// appended now would come behind that.
void Cursors::BuryDead() {
  Settle();
  TopicCore* topic = FindTopic(kCursorTopic);
  if (topic == nullptr) return;
  std::set<Key> busy;
  for (const auto& [partition, records] : underway_) {
    for (const Underway& record : records) busy.insert(record.key);
  }
  std::vector<Key> dead;
  for (const auto& [key, entry] : entries_) {
    if (IsGone(entry.topic_id) && !busy.contains(key)) dead.push_back(key);
  }
  for (const Key& key : dead) {
    Apply(key, std::nullopt);
    (void)Append(PartitionOf(*topic, key.group), key, std::nullopt, Durability::buffered);
  }
}

void Cursors::TopicIsGone() {
  if (loaded_) BuryDead();
}

// --- The map -------------------------------------------------------------------------------------

void Cursors::Settle() {
  for (auto& [partition, records] : underway_) {
    while (!records.empty() && records.front().offset < partition->durable_end_offset()) {
      Underway record = std::move(records.front());
      records.pop_front();
      underway_new_bytes_ -= record.new_bytes;
      Apply(std::move(record.key), std::move(record.entry));
    }
  }
}

void Cursors::Apply(Key key, std::optional<Entry> entry) {
  uint64_t before = 0;
  uint64_t after = 0;
  const auto found = entries_.find(key);
  if (found != entries_.end()) before = BytesOf(found->first, found->second);
  if (entry) {
    after = BytesOf(key, *entry);
    if (found != entries_.end()) {
      found->second = std::move(*entry);
    } else {
      entries_.emplace(std::move(key), std::move(*entry));
    }
  } else if (found != entries_.end()) {
    entries_.erase(found);
  }
  bytes_ += after - before;
  context_.cursor_memory_bytes += after - before;
}

// --- Calls ---------------------------------------------------------------------------------------

Result<TopicCore*> Cursors::CheckPosition(const CursorPosition& position) const {
  const std::string name = position.topic + "-" + std::to_string(position.partition);
  TopicCore* topic = FindTopic(position.topic);
  if (topic == nullptr || position.partition < 0 ||
      static_cast<size_t>(position.partition) >= topic->partitions().size()) {
    return Error(ErrorCode::unknown_topic, "there is no partition " + name);
  }
  const int64_t end =
      topic->partitions()[static_cast<size_t>(position.partition)]->durable_end_offset();
  if (position.offset < 0 || position.offset > end) {
    return Error(ErrorCode::offset_out_of_range,
                 name + ": offset " + std::to_string(position.offset) +
                     " cannot be committed: what is durable ends at " + std::to_string(end));
  }
  if (Status noted = CheckCursorMetadata(position.metadata); !noted) return noted.error();
  return topic;
}

Result<CursorTicket> Cursors::Commit(std::string_view group,
                                     std::span<const CursorPosition> positions) {
  if (!context_.health.ok()) return context_.health.error();
  if (Status named = CheckGroupName(group); !named) return named.error();
  if (positions.empty()) return CursorTicket{};
  if (Status loaded = Load(); !loaded) return loaded.error();
  Settle();
  std::vector<std::pair<Key, Entry>> records;
  uint64_t new_bytes = 0;
  for (const CursorPosition& position : positions) {
    const auto topic = CheckPosition(position);
    if (!topic) return topic.error();
    Key key{std::string(group), position.topic, position.partition};
    Entry entry{(*topic)->description().id, position.offset, position.leader_epoch,
                position.metadata, context_.environment.clock.WallMs()};
    if (!entries_.contains(key)) new_bytes += BytesOf(key, entry);
    records.emplace_back(std::move(key), std::move(entry));
  }
  const uint64_t limit = context_.options.memory_bytes / kCommitShare;
  if (new_bytes > 0 && bytes_ + underway_new_bytes_ + new_bytes > limit) return TooMany(limit);

  TopicCore* internal = FindTopic(kCursorTopic);
  if (internal == nullptr) {
    const auto made = make_topic_();
    if (!made) return made.error();
    internal = *made;
  }
  PartitionCore& to = PartitionOf(*internal, group);
  CursorTicket ticket{&to.handle(), -1};
  for (auto& [key, entry] : records) {
    const auto offset = Append(to, key, entry, Durability::durable);
    if (!offset) return offset.error();
    ticket.offset = *offset;
  }
  return ticket;
}

PartitionCore& Cursors::PartitionOf(TopicCore& topic, std::string_view group) const {
  const auto count = static_cast<int32_t>(topic.partitions().size());
  return *topic.partitions()[static_cast<size_t>(PartitionForGroup(group, count))];
}

Result<int64_t> Cursors::Append(PartitionCore& to, const Key& key,
                                const std::optional<Entry>& entry, Durability durability) {
  const std::string key_bytes = EncodeCursorKey({key.group, key.topic, key.partition});
  std::string value_bytes;
  Record record;
  record.key = key_bytes;
  Header id{kTopicIdHeader, std::nullopt};
  if (entry) {
    value_bytes = EncodeCursorValue(
        {entry->offset, entry->leader_epoch, entry->metadata, entry->commit_timestamp_ms});
    record.value = value_bytes;
    id.value = base::AsText(entry->topic_id.bytes);
    record.headers = std::span(&id, 1);
  }
  auto offset = to.Append(record, durability);
  if (!offset) return offset;
  Underway underway{*offset, key, entry, 0};
  if (entry && !entries_.contains(key)) underway.new_bytes = BytesOf(key, *entry);
  underway_new_bytes_ += underway.new_bytes;
  underway_[&to].push_back(std::move(underway));
  return offset;
}

Result<CursorTicket> Cursors::Delete(std::string_view group,
                                     std::optional<std::string_view> topic) {
  if (!context_.health.ok()) return context_.health.error();
  if (Status named = CheckGroupName(group); !named) return named.error();
  if (Status loaded = Load(); !loaded) return loaded.error();
  Settle();
  TopicCore* internal = FindTopic(kCursorTopic);
  if (internal == nullptr) return CursorTicket{};
  PartitionCore& to = PartitionOf(*internal, group);
  std::set<Key> keys;
  const auto want = [&](const Key& key) {
    if (key.group == group && (!topic || key.topic == *topic)) keys.insert(key);
  };
  for (auto entry = entries_.lower_bound(Key{std::string(group), {}, 0});
       entry != entries_.end() && entry->first.group == group; ++entry) {
    want(entry->first);
  }
  // What is not durable yet would else come behind.
  for (const Underway& record : underway_[&to]) want(record.key);
  CursorTicket ticket;
  for (const Key& key : keys) {
    const auto offset = Append(to, key, std::nullopt, Durability::durable);
    if (!offset) return offset.error();
    ticket = {&to.handle(), *offset};
  }
  return ticket;
}

Result<std::vector<Cursor>> Cursors::Of(std::string_view group) {
  if (Status named = CheckGroupName(group); !named) return named.error();
  if (Status loaded = Load(); !loaded) return loaded.error();
  Settle();
  std::vector<Cursor> cursors;
  for (auto found = entries_.lower_bound(Key{std::string(group), {}, 0});
       found != entries_.end() && found->first.group == group; ++found) {
    const auto& [key, entry] = *found;
    if (!IsAlive(key, entry)) continue;
    Cursor cursor;
    cursor.topic = key.topic;
    cursor.partition = key.partition;
    cursor.offset = entry.offset;
    cursor.leader_epoch = entry.leader_epoch;
    cursor.metadata = entry.metadata;
    cursor.commit_timestamp_ms = entry.commit_timestamp_ms;
    cursors.push_back(std::move(cursor));
  }
  return cursors;
}

Result<std::vector<std::string>> Cursors::Groups() {
  if (Status loaded = Load(); !loaded) return loaded.error();
  Settle();
  std::vector<std::string> groups;
  for (const auto& [key, entry] : entries_) {
    if (IsAlive(key, entry) && (groups.empty() || groups.back() != key.group))
      groups.push_back(key.group);
  }
  return groups;
}

}  // namespace tidemark::storage
