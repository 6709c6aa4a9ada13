// The cursors of one engine: a map in memory, and the internal topic in which each commit is a
// record. The map is what reading that topic to its durable end would give, no more: it is read at
// first use, and later commits join it when they are durable. Belongs to the core's thread.
//
// A cursor is its topic's by id, not by name. So nothing has to happen at once when a topic is
// deleted: the records that deletes its cursors, once its files are gone, only lets the log be
// compacted, and one that a crash has kept away is made up for at the next reading.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/context.h"
#include "storage/cursor_format.h"
#include "storage/packer.h"
#include "storage/partition.h"
#include "storage/reader.h"
#include "tidemark/cursor.h"

namespace tidemark::storage {

// Settings that the internal topic is made with. How it is cleaned is decided here, and only here.
TopicConfig CursorTopicConfig();
// invalid_argument when `config` would have it cleaned in another way.
Status CheckCursorTopicConfig(const TopicConfig& config);
// What who appends to it, creates or deletes it is told.
Error IsInternal(std::string_view topic);

class Cursors {
 public:
  // `make_topic` makes the internal topic.
  Cursors(Context& context, const TopicList& topics, std::function<Result<TopicCore*>()> make_topic)
      : context_(context), topics_(topics), make_topic_(std::move(make_topic)) {}
  ~Cursors() { context_.cursor_memory_bytes -= bytes_; }
  Cursors(const Cursors&) = delete;
  Cursors& operator=(const Cursors&) = delete;

  // As Engine's calls of these names (engine.h).
  Result<CursorTicket> Commit(std::string_view group, std::span<const CursorPosition> positions);
  Result<CursorTicket> Delete(std::string_view group, std::optional<std::string_view> topic);
  Result<std::vector<Cursor>> Of(std::string_view group);
  Result<std::vector<std::string>> Groups();

  // Some topic is deleted, its files are gone.
  void TopicIsGone();
  // Lets go of the reader, if there is one.
  void StopReading() { reader_.reset(); }

 private:
  struct Key {
    std::string group;
    std::string topic;
    int32_t partition = 0;
    bool operator<(const Key& other) const;
  };
  struct Entry {
    base::Uuid topic_id;
    int64_t offset = 0;
    int32_t leader_epoch = -1;
    std::string metadata;
    int64_t commit_timestamp_ms = 0;
  };
  using Entries = std::map<Key, Entry>;
  // A record that was appended and is not durable yet.
  struct Underway {
    int64_t offset = 0;
    Key key;
    std::optional<Entry> entry;  // nullopt: the cursor is deleted
    uint64_t new_bytes = 0;      // what the map will grow by
  };

  static uint64_t BytesOf(const Key& key, const Entry& entry);
  Result<TopicCore*> CheckPosition(const CursorPosition& position) const;
  TopicCore* FindTopic(std::string_view name) const;
  bool IsAlive(const Key& key, const Entry& entry) const;
  bool IsGone(const base::Uuid& topic_id) const;

  // Reads on. busy: the disk is being read.
  Status Load();
  Status LoadSome(PartitionCore& partition);
  Status TakeRecord(const PartitionCore& partition, const RecordView& record);
  void TellLost(const PartitionCore& partition);
  void TellUnreadable();
  void BuryDead();

  // Takes in what has become durable.
  void Settle();
  void Apply(Key key, std::optional<Entry> entry);
  PartitionCore& PartitionOf(TopicCore& topic, std::string_view group) const;
  Result<int64_t> Append(PartitionCore& to, const Key& key, const std::optional<Entry>& entry,
                         Durability durability);

  Context& context_;
  const TopicList& topics_;
  std::function<Result<TopicCore*>()> make_topic_;
  Entries entries_;
  uint64_t bytes_ = 0;  // of entries_
  std::map<PartitionCore*, std::deque<Underway>> underway_;
  uint64_t underway_new_bytes_ = 0;

  bool loaded_ = false;
  std::unique_ptr<ReaderCore> reader_;
  size_t loading_ = 0;  // the partition that is read
  uint64_t unreadable_ = 0;
  std::string first_unreadable_;
  std::optional<Error> refusal_;  // there are more than the memory holds
};

}  // namespace tidemark::storage
