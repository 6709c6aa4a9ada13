// Tidemark's core: four concepts.
//
//   Engine     one data folder, open for writing: a journal, topics, one thread
//   Topic      a named set of partitions with settings
//   Partition  an ordered log of records, each at its offset
//   Reader     a position in a partition that moves forward
//
// THREADS. All calls on an engine and what belongs to it come from one thread at a time. None of
// them blocks, except where it says "administration": those flush files. Progress is made by
// Engine::Poll(), which never calls into user code. For use from many threads see
// concurrent_engine.h.
//
// DURABILITY. Append() gives a record its offset. The record is durable once
// Partition::durable_end_offset() is greater than that offset; until then it is provisional, no
// reader is shown it, and after a crash the offset may name another record. Poll() names the
// partitions whose durable end has moved.
//
// AFTER A FAILED WRITE OR FLUSH the outcome is unknown: the engine accepts nothing more (code
// stopped, and Engine::health() says why), keeps serving what is durable, and recovers when the
// folder is opened again.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/cursor.h"
#include "tidemark/error.h"
#include "tidemark/options.h"
#include "tidemark/record.h"

namespace tidemark {

namespace storage {
class EngineCore;
class PartitionCore;
class TopicCore;
class ReaderCore;
}  // namespace storage

class Topic;

// Owned by its engine; pointers stay valid until the engine is gone. After its topic was deleted,
// calls answer unknown_topic.
class Partition {
 public:
  const Topic& topic() const;
  int32_t index() const;

  // Takes a copy of `record` and returns its offset: the caller is acknowledged when
  // durable_end_offset() has passed it. `durability` decides how soon a commit is started: at the
  // next Poll() (durable), or within flush.ms (buffered). A durable record carries along what was
  // appended before it. A topic that is compacted takes no record without a key
  // (invalid_argument). Errors: busy, disk_full (nothing was appended; try again after Poll()),
  // record_too_large, invalid_argument, unknown_topic, stopped.
  Result<int64_t> Append(const Record& record, Durability durability);
  // The same with the topic's default durability.
  Result<int64_t> Append(const Record& record);

  // Gives up the records below `before_offset` (at most the durable end), as Kafka's DeleteRecords
  // does: log_start_offset() is there when a later Poll() has made that durable, and whole segments
  // below it are removed. Errors: offset_out_of_range, unknown_topic, stopped.
  Status DeleteRecords(int64_t before_offset);

  // First offset that is still kept, end of what is durable (exclusive), and end of what was
  // appended.
  int64_t log_start_offset() const;
  int64_t durable_end_offset() const;
  int64_t end_offset() const;

 private:
  friend class Engine;
  friend class storage::EngineCore;
  friend class storage::TopicCore;
  friend class storage::PartitionCore;
  friend class Reader;
  explicit Partition(storage::PartitionCore* core) : core_(core) {}
  storage::PartitionCore* core_;
};

// Owned by its engine; valid until the engine is gone.
class Topic {
 public:
  const std::string& name() const;
  const std::string& id() const;  // a UUID in base64url, as in partition.metadata
  const TopicConfig& config() const;
  // The engine's own: it is read as every other, but appended to by the engine only.
  bool internal() const;
  int32_t partition_count() const;
  // nullptr when there is no partition of that number.
  Partition* partition(int32_t index) const;
  // The partition of a key, chosen as Kafka's clients do (murmur2).
  Partition* PartitionForKey(Bytes key) const;

 private:
  friend class storage::EngineCore;
  friend class storage::TopicCore;
  explicit Topic(storage::TopicCore* core) : core_(core) {}
  storage::TopicCore* core_;
};

// A batch that a reader has found: records, and the bytes of a record batch v2 that hold them. Both
// live until the reader's next call.
struct Batch {
  RecordRange records;       // from the reader's position, at most to the durable end
  std::string_view encoded;  // the whole batch, which may begin before the reader's position
  int64_t next_offset = 0;   // where the reader goes on
  int32_t record_count = 0;  // of the whole batch
};

enum class ReadState {
  batch,    // Reader::batch() holds records (none after compaction, or of a control batch)
  pending,  // the disk is being read; try again after a Poll()
  at_end,   // nothing durable stands at or behind the position yet
};

// A range of offsets whose records are lost by damage. What a reader finds missing, it skips and
// tells.
struct LostRange {
  int64_t first_offset = 0;
  int64_t end_offset = 0;
  std::string cause;
};

// A position in a partition. Destroy it before its engine.
class Reader {
 public:
  ~Reader();
  // Reads the next batch. Errors: offset_out_of_range (retention has passed the position; Seek
  // anew), corrupt (TakeLost() names what was skipped; the next call goes on behind it), io_error,
  // unknown_topic.
  Result<ReadState> Next();
  const Batch& batch() const;
  int64_t position() const;

  // Moves to an offset from log_start_offset() to end_offset(), else offset_out_of_range.
  Status Seek(int64_t offset);
  // Moves to the first record whose timestamp is at or after `timestamp_ms` (to the durable end
  // when there is none). The search is done by the following calls of Next().
  Status SeekToTimestamp(int64_t timestamp_ms);

  // Ranges skipped since the last call.
  std::vector<LostRange> TakeLost();

 private:
  friend class Engine;
  explicit Reader(std::unique_ptr<storage::ReaderCore> core);
  std::unique_ptr<storage::ReaderCore> core_;
};

enum class NoticeLevel { info, warning, error };
// Something that the operator should know: the I/O engine in use, damage found, a refused O_DIRECT.
struct Notice {
  NoticeLevel level = NoticeLevel::info;
  std::string text;
};

struct Damage {
  std::string topic;
  int32_t partition = 0;
  int64_t first_offset = 0;  // lost: first_offset <= offset < end_offset
  int64_t end_offset = 0;
  std::string cause;
};

// What opening found.
struct RecoveryReport {
  bool created = false;  // the store was made by this opening
  bool clean = false;    // the last stop was a clean one
  uint64_t commits_replayed = 0;
  uint64_t records_replayed = 0;
  uint64_t journal_bytes_replayed = 0;
  int64_t duration_us = 0;
  std::vector<Damage> damage;
};

struct EngineStats {
  uint64_t records_appended = 0;
  uint64_t encoded_bytes = 0;  // record bytes as they stand in batches before compression
  uint64_t commits = 0;
  uint64_t journal_bytes_written = 0;  // padding, carried frames and checkpoints included
  uint64_t carried_bytes = 0;
  uint64_t around_journal_bytes = 0;   // of encoded_bytes, made durable by their segments alone
  uint64_t segment_bytes_written = 0;  // .log, .index and .timeindex
  uint64_t segments_removed = 0;       // by retention
  uint64_t checkpoints = 0;
  uint64_t memory_bytes = 0;  // counted against EngineOptions::memory_bytes
  uint64_t journal_used_bytes = 0;
  uint64_t journal_capacity_bytes = 0;
  uint64_t scrubbed_bytes = 0;      // of .log, read by the scrub
  uint64_t scrub_rounds = 0;        // that have come to their end
  uint64_t compaction_passes = 0;   // that have come to their end
  uint64_t compaction_bytes = 0;    // read and written
  uint64_t compaction_records = 0;  // removed
  uint64_t segments_compacted = 0;  // that others have replaced
};

class Engine {
 public:
  // Opens (and with create_if_missing makes) a data folder; recovers it if need be. Administration.
  // Errors: locked (names the other process), unsupported (a newer format), corrupt (the store's
  // identity is unreadable in every copy; says what to do), io_error, disk_full, invalid_argument.
  static Result<std::unique_ptr<Engine>> Open(const EngineOptions& options);

  // Without Close() first: as a crash, nothing durable is lost.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Commits, packs and flushes everything, and marks the stop as a clean one. Administration.
  // Nothing but the destructor may follow.
  Status Close();

  // Starts commits that are due, waits up to `max_wait` for something to happen (0: not at all) and
  // takes in what has. Returns the partitions whose durable end has moved since the last call; the
  // span lives until the next call.
  std::span<Partition* const> Poll(std::chrono::microseconds max_wait);
  // From any thread: makes a Poll() that waits return soon.
  void Wake();

  // Topics. Names: letters, digits, '.', '_' and '-', at most 249, not "." or ".." (Kafka's rule).
  // Administration.
  Result<Topic*> CreateTopic(std::string_view name, int32_t partitions, const TopicConfig& config);
  Status AlterTopic(std::string_view name, const TopicConfig& config);
  // The topic has `count` partitions from now on; invalid_argument unless those are more than
  // before. What they hold stays where it is, while keys may go to another partition than before.
  Status AddPartitions(std::string_view name, int32_t count);
  // The topic is gone for callers at once. The deletion survives a crash, and its files are gone,
  // when a later Poll() has left deletions_pending() false.
  Status DeleteTopic(std::string_view name);
  bool deletions_pending() const;
  Topic* FindTopic(std::string_view name) const;  // nullptr: none
  std::vector<Topic*> Topics() const;             // by name

  Result<std::unique_ptr<Reader>> OpenReader(Partition& partition, int64_t offset);

  // Cursors of groups (cursor.h). A group's name: UTF-8 without control characters, 1 to 255 bytes.
  // Each of these calls answers busy while the cursors are read from the disk, at first use, and
  // while there is no room for a commit: try again after a Poll(). Only what is durable is shown.
  //
  // Several partitions' positions may be committed in one call, and several commits be under way;
  // after busy or disk_full call again with all of them, though some may be in already. The first
  // commit of a store makes the internal topic (administration). Errors, with nothing committed:
  // unknown_topic, offset_out_of_range (above the durable end), invalid_argument (a name, or more
  // cursors than an eighth of EngineOptions::memory_bytes holds), stopped.
  Result<CursorTicket> CommitCursors(std::string_view group,
                                     std::span<const CursorPosition> positions);
  // Those of one topic, or all.
  Result<CursorTicket> DeleteCursors(std::string_view group,
                                     std::optional<std::string_view> topic = std::nullopt);
  // By topic and partition; none for a group that nobody knows.
  Result<std::vector<Cursor>> Cursors(std::string_view group);
  Result<std::vector<std::string>> CursorGroups();  // those that have cursors, by name

  const RecoveryReport& recovery() const;
  EngineStats stats() const;
  // Ok while records are accepted; else why not (stopped).
  Status health() const;
  // Notices since the last call, oldest first.
  std::vector<Notice> TakeNotices();

 private:
  friend class storage::EngineCore;
  explicit Engine(std::unique_ptr<storage::EngineCore> core);
  std::unique_ptr<storage::EngineCore> core_;
};

}  // namespace tidemark
