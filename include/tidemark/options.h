// What can be set, with the defaults of a small gateway.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/error.h"

namespace tidemark {

// What an acknowledgement means.
enum class Durability : uint8_t {
  durable,   // flushed to the device, with its directory entries
  buffered,  // acknowledged at once, durable within the topic's flush.ms
};

enum class Compression : uint8_t { none, zstd };
enum class TimestampType : uint8_t { create_time, log_append_time };

// What a topic does at the limit of the disk, of EngineOptions::store_bytes, or of its topic_bytes.
enum class WhenFull : uint8_t {
  reject,       // Append() answers disk_full until there is room
  drop_oldest,  // its oldest segments go
};

// What becomes of old records.
enum class CleanupPolicy : uint8_t {
  remove,              // "delete": retention.ms and retention.bytes say when
  compact,             // of each key the last record stays
  compact_and_remove,  // both
};

enum class IoEngine : uint8_t { automatic, io_uring, syscalls };

// Options of one data folder while it is open. The journal's size is fixed when the folder is made.
struct EngineOptions {
  std::string data_dir;
  bool create_if_missing = true;
  IoEngine io_engine = IoEngine::automatic;

  // Size of the journal of a new store; at least kMinJournalBytes. Bounds recovery time, too.
  uint64_t journal_bytes = uint64_t{64} << 20;
  // Bounds what tails, unflushed batches and readers hold; at least kMinMemoryBytes. When it is
  // used up Append() answers busy.
  uint64_t memory_bytes = uint64_t{32} << 20;
  // Byte budget of the whole store, journal included; 0: what the disk has. At the limit Append()
  // drops old segments or answers disk_full, as its topic says (when.full). A new journal takes an
  // eighth of it at most, and segments are rolled so early that they stay small beside it. Else at
  // least kMinStoreBytes.
  uint64_t store_bytes = 0;

  // Partitions of the internal topic for cursors, when it is made. One is enough here; a folder
  // that a Kafka cluster is to take over has the cluster's offsets.topic.num.partitions.
  int32_t cursor_partitions = 1;

  // The scrub: all segments are read again now and then and held against their checksums and
  // indexes, past the page cache, in the background; what is wrong becomes a Notice, once. How much
  // it reads in a second at most; 0: off.
  uint64_t scrub_bytes_per_second = uint64_t{1} << 20;
  // A round over all segments begins so long after the one before has begun, and not before that
  // one has ended; the first one, seconds after opening.
  uint32_t scrub_interval_hours = 168;

  // Compaction, of topics with cleanup.policy=compact. What a pass may take for its map of keys, 24
  // bytes each with a quarter to spare, of memory_bytes; 0: an eighth of these. What does not fit
  // is left to the next pass.
  uint64_t compaction_memory_bytes = 0;
  // How much it reads and writes in a second at most; 0: off.
  uint64_t compaction_bytes_per_second = uint64_t{4} << 20;
};

inline constexpr uint64_t kMinJournalBytes = uint64_t{4} << 20;
inline constexpr uint64_t kMinMemoryBytes = uint64_t{4} << 20;
inline constexpr uint64_t kMinStoreBytes = 8 * kMinJournalBytes;

inline constexpr int64_t kNoTimestampLimit = INT64_MAX;  // Kafka's default

// Settings of a topic; the names in comments are the keys of TopicConfig::Set(), Kafka's where
// Kafka has them.
struct TopicConfig {
  Compression compression = Compression::zstd;  // compression.type: zstd, none ("uncompressed")
  int32_t zstd_level = 14;                      // compression.zstd.level: -7 to 22
  int64_t segment_bytes = int64_t{16} << 20;    // segment.bytes
  int32_t max_message_bytes = 1048588;          // max.message.bytes: a record with its batch header
  int32_t index_interval_bytes = 4096;          // index.interval.bytes
  int32_t segment_index_bytes = 10485760;       // segment.index.bytes: of each index of a segment
  TimestampType timestamp_type = TimestampType::create_time;  // message.timestamp.type
  // message.timestamp.before.max.ms, message.timestamp.after.max.ms: how far a record's own time
  // may lie before and behind its arrival. One that does not is kept under the time of its arrival,
  // its own in the header kOwnTimestampHeader.
  int64_t timestamp_before_max_ms = kNoTimestampLimit;
  int64_t timestamp_after_max_ms = kNoTimestampLimit;
  Durability durability =
      Durability::durable;         // durability: durable, buffered (the topic's default)
  int64_t flush_ms = 1000;         // flush.ms: the window of loss of buffered records
  int64_t commit_linger_ms = 0;    // commit.linger.ms: durable commits wait so long for more
  int64_t segment_ms = 604800000;  // segment.ms: a segment takes records for so long (a week)
  int64_t retention_ms = -1;       // retention.ms: since the record was appended; -1: no limit
  int64_t retention_bytes = -1;    // retention.bytes: of a partition's .log files; -1: no limit
  CleanupPolicy cleanup_policy = CleanupPolicy::remove;  // cleanup.policy: delete, compact, or both
  // min.cleanable.dirty.ratio: a pass is due when so much of the log was not compacted yet
  double min_cleanable_dirty_ratio = 0.5;
  int64_t min_compaction_lag_ms = 0;  // min.compaction.lag.ms: records stay at least so long
  int64_t max_compaction_lag_ms = INT64_MAX;  // max.compaction.lag.ms: a pass is due at the latest
  int64_t delete_retention_ms = 86400000;     // delete.retention.ms: of records without a value
  int64_t topic_bytes = -1;  // topic.bytes: of all the files of its partitions; -1: no limit
  WhenFull when_full = WhenFull::reject;  // when.full: reject, drop_oldest
  int32_t retention_priority = 0;  // retention.priority: of topics that drop, the lower go first

  // Sets one key from text. invalid_argument for an unknown key or a value out of range,
  // unsupported for a setting that Kafka has and this version does not honour; the message names
  // the key.
  Status Set(std::string_view key, std::string_view value);
  // All keys with their present values, in a fixed order.
  std::vector<std::pair<std::string, std::string>> ToPairs() const;

  bool compacts() const { return cleanup_policy != CleanupPolicy::remove; }
  bool deletes() const { return cleanup_policy != CleanupPolicy::compact; }

  bool operator==(const TopicConfig&) const = default;
};

}  // namespace tidemark
