// Topic settings from and to text, under Kafka's names.
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "record/batch.h"
#include "tidemark/options.h"

namespace tidemark {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

// What a setting may be, ends included. Bounds that Kafka has not got say why.
struct Range {
  int64_t least = 0;
  int64_t most = 0;
};
constexpr Range kZstdLevel{-7, 22};
// Below a kilobyte nearly every batch would become a segment, three files each.
constexpr Range kSegmentBytes{1024, kMaxInt32};
// A larger batch could not be read again.
constexpr Range kMaxMessageBytes{1024, record::kMaxDecompressedBatchBytes};
constexpr Range kIndexIntervalBytes{0, kMaxInt32};
// Below a kilobyte nearly every batch might become a segment.
constexpr Range kSegmentIndexBytes{1024, kMaxInt32};
// A day: who wants a record to be safe "some time" is told that this is not what flush.ms means
// here.
constexpr Range kFlushMs{0, int64_t{24} * 3600 * 1000};
// An hour of waiting for the acknowledgement is beyond what any client waits.
constexpr Range kCommitLingerMs{0, int64_t{3600} * 1000};

constexpr Range kTimestampMaxMs{0, std::numeric_limits<int64_t>::max()};
// Below a second nearly every batch would become a segment.
constexpr Range kSegmentMs{1000, std::numeric_limits<int64_t>::max()};
constexpr Range kRetentionMs{-1, std::numeric_limits<int64_t>::max()};
constexpr Range kRetentionBytes{-1, std::numeric_limits<int64_t>::max()};
// Below a mebibyte the files of a few partitions would take all of it.
constexpr int64_t kLeastTopicBytes = int64_t{1} << 20;
constexpr Range kTopicBytes{-1, std::numeric_limits<int64_t>::max()};
constexpr Range kRetentionPriority{-1000, 1000};
constexpr Range kMinCompactionLagMs{0, std::numeric_limits<int64_t>::max()};
// Below a second nearly every batch would become a segment.
constexpr Range kMaxCompactionLagMs{1000, std::numeric_limits<int64_t>::max()};
// Added to a clock.
constexpr Range kDeleteRetentionMs{0, std::numeric_limits<int64_t>::max() / 2};

// Kafka's topic settings that this version does not honour.
constexpr std::array<std::string_view, 16> kNotHonoured{
    "compression.gzip.level",
    "compression.lz4.level",
    "file.delete.delay.ms",
    "flush.messages",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.storage.enable",
    "segment.jitter.ms",
    "unclean.leader.election.enable",
};

bool IsKafkasOnly(std::string_view key) {
  return std::find(kNotHonoured.begin(), kNotHonoured.end(), key) != kNotHonoured.end() ||
         key.starts_with("remote.") || key.starts_with("local.");
}

Error Invalid(std::string_view key, std::string_view value, const std::string& expected) {
  return Error(ErrorCode::invalid_argument,
               std::string(key) + ": '" + std::string(value) + "' is not " + expected);
}

template <typename Integer>
Status SetNumber(std::string_view key, std::string_view value, Range range, Integer* setting) {
  int64_t number = 0;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (failure != std::errc() || end != value.data() + value.size() || number < range.least ||
      number > range.most) {
    return Invalid(
        key, value,
        "a number from " + std::to_string(range.least) + " to " + std::to_string(range.most));
  }
  *setting = static_cast<Integer>(number);
  return {};
}

// A setting that is one of two words.
template <typename Choice>
struct Words {
  std::string_view first_word;
  Choice first;
  std::string_view second_word;
  Choice second;

  std::string NameOf(Choice choice) const {
    return std::string(choice == first ? first_word : second_word);
  }
};
constexpr Words<Compression> kCompressions{"zstd", Compression::zstd, "none", Compression::none};
constexpr Words<TimestampType> kTimestampTypes{"CreateTime", TimestampType::create_time,
                                               "LogAppendTime", TimestampType::log_append_time};
constexpr Words<Durability> kDurabilities{"durable", Durability::durable, "buffered",
                                          Durability::buffered};
constexpr Words<WhenFull> kWhenFull{"reject", WhenFull::reject, "drop_oldest",
                                    WhenFull::drop_oldest};

template <typename Choice>
Status SetWord(std::string_view key, std::string_view value, const Words<Choice>& words,
               Choice* setting) {
  if (value != words.first_word && value != words.second_word) {
    return Invalid(key, value,
                   std::string(words.first_word) + " or " + std::string(words.second_word));
  }
  *setting = value == words.first_word ? words.first : words.second;
  return {};
}

Status SetCompression(std::string_view key, std::string_view value, Compression* setting) {
  if (value == "gzip" || value == "snappy" || value == "lz4" || value == "producer") {
    return Error(ErrorCode::unsupported,
                 std::string(key) + ": '" + std::string(value) +
                     "' is not supported by this version; zstd and none are");
  }
  if (value == "uncompressed") value = "none";  // Kafka's name for it
  return SetWord(key, value, kCompressions, setting);
}

Status SetTopicBytes(std::string_view key, std::string_view value, int64_t* setting) {
  int64_t bytes = 0;
  Status set = SetNumber(key, value, kTopicBytes, &bytes);
  if (set.ok() && bytes >= 0 && bytes < kLeastTopicBytes)
    set = Invalid(key, value, "-1, nor at least " + std::to_string(kLeastTopicBytes));
  if (set.ok()) *setting = bytes;
  return set;
}

// A list in Kafka's eyes: the order is the user's, and twice the same is once.
Status SetCleanupPolicy(std::string_view key, std::string_view value, CleanupPolicy* setting) {
  bool removes = false;
  bool compacts = false;
  for (std::string_view left = value;;) {
    const size_t comma = left.find(',');
    std::string_view word = left.substr(0, comma);
    word.remove_prefix(std::min(word.find_first_not_of(' '), word.size()));
    word = word.substr(0, word.find_last_not_of(' ') + 1);
    if (word != "delete" && word != "compact")
      return Invalid(key, value, "delete, compact, or compact,delete");
    removes = removes || word == "delete";
    compacts = compacts || word == "compact";
    if (comma == std::string_view::npos) break;
    left = left.substr(comma + 1);
  }
  *setting = !compacts ? CleanupPolicy::remove
             : removes ? CleanupPolicy::compact_and_remove
                       : CleanupPolicy::compact;
  return {};
}

std::string NameOf(CleanupPolicy policy) {
  switch (policy) {
    case CleanupPolicy::remove:
      return "delete";
    case CleanupPolicy::compact:
      return "compact";
    case CleanupPolicy::compact_and_remove:
      return "compact,delete";
  }
  return "";
}

Status SetRatio(std::string_view key, std::string_view value, double* setting) {
  double ratio = -1;
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), ratio);
  // (written so that what is no number fails, too)
  const bool within = ratio >= 0 && ratio <= 1;
  if (failure != std::errc() || end != value.data() + value.size() || !within)
    return Invalid(key, value, "a number from 0 to 1");
  *setting = ratio == 0 ? 0 : ratio;  // no "-0"
  return {};
}

// As short as reads back the same.
std::string TextOf(double ratio) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), ratio).ptr;
  return {text.data(), end};
}

}  // namespace

Status TopicConfig::Set(std::string_view key, std::string_view value) {
  if (key == "compression.type") return SetCompression(key, value, &compression);
  if (key == "compression.zstd.level") return SetNumber(key, value, kZstdLevel, &zstd_level);
  if (key == "segment.bytes") return SetNumber(key, value, kSegmentBytes, &segment_bytes);
  if (key == "max.message.bytes") {
    return SetNumber(key, value, kMaxMessageBytes, &max_message_bytes);
  }
  if (key == "index.interval.bytes") {
    return SetNumber(key, value, kIndexIntervalBytes, &index_interval_bytes);
  }
  if (key == "segment.index.bytes") {
    return SetNumber(key, value, kSegmentIndexBytes, &segment_index_bytes);
  }
  if (key == "message.timestamp.type") {
    return SetWord(key, value, kTimestampTypes, &timestamp_type);
  }
  if (key == "message.timestamp.before.max.ms") {
    return SetNumber(key, value, kTimestampMaxMs, &timestamp_before_max_ms);
  }
  if (key == "message.timestamp.after.max.ms") {
    return SetNumber(key, value, kTimestampMaxMs, &timestamp_after_max_ms);
  }
  if (key == "durability") return SetWord(key, value, kDurabilities, &durability);
  if (key == "flush.ms") return SetNumber(key, value, kFlushMs, &flush_ms);
  if (key == "commit.linger.ms") return SetNumber(key, value, kCommitLingerMs, &commit_linger_ms);
  if (key == "segment.ms") return SetNumber(key, value, kSegmentMs, &segment_ms);
  if (key == "retention.ms") return SetNumber(key, value, kRetentionMs, &retention_ms);
  if (key == "retention.bytes") return SetNumber(key, value, kRetentionBytes, &retention_bytes);
  if (key == "topic.bytes") return SetTopicBytes(key, value, &topic_bytes);
  if (key == "cleanup.policy") return SetCleanupPolicy(key, value, &cleanup_policy);
  if (key == "min.cleanable.dirty.ratio") return SetRatio(key, value, &min_cleanable_dirty_ratio);
  if (key == "min.compaction.lag.ms")
    return SetNumber(key, value, kMinCompactionLagMs, &min_compaction_lag_ms);
  if (key == "max.compaction.lag.ms")
    return SetNumber(key, value, kMaxCompactionLagMs, &max_compaction_lag_ms);
  if (key == "delete.retention.ms")
    return SetNumber(key, value, kDeleteRetentionMs, &delete_retention_ms);
  if (key == "when.full") return SetWord(key, value, kWhenFull, &when_full);
  if (key == "retention.priority") {
    return SetNumber(key, value, kRetentionPriority, &retention_priority);
  }
  if (IsKafkasOnly(key)) {
    return Error(ErrorCode::unsupported,
                 std::string(key) + ": a setting of Kafka's that this version does not honour");
  }
  return Error(ErrorCode::invalid_argument, "'" + std::string(key) + "' is not a topic setting");
}

std::vector<std::pair<std::string, std::string>> TopicConfig::ToPairs() const {
  return {
      {"compression.type", kCompressions.NameOf(compression)},
      {"compression.zstd.level", std::to_string(zstd_level)},
      {"segment.bytes", std::to_string(segment_bytes)},
      {"max.message.bytes", std::to_string(max_message_bytes)},
      {"index.interval.bytes", std::to_string(index_interval_bytes)},
      {"segment.index.bytes", std::to_string(segment_index_bytes)},
      {"message.timestamp.type", kTimestampTypes.NameOf(timestamp_type)},
      {"message.timestamp.before.max.ms", std::to_string(timestamp_before_max_ms)},
      {"message.timestamp.after.max.ms", std::to_string(timestamp_after_max_ms)},
      {"durability", kDurabilities.NameOf(durability)},
      {"flush.ms", std::to_string(flush_ms)},
      {"commit.linger.ms", std::to_string(commit_linger_ms)},
      {"segment.ms", std::to_string(segment_ms)},
      {"retention.ms", std::to_string(retention_ms)},
      {"retention.bytes", std::to_string(retention_bytes)},
      {"topic.bytes", std::to_string(topic_bytes)},
      {"cleanup.policy", NameOf(cleanup_policy)},
      {"min.cleanable.dirty.ratio", TextOf(min_cleanable_dirty_ratio)},
      {"min.compaction.lag.ms", std::to_string(min_compaction_lag_ms)},
      {"max.compaction.lag.ms", std::to_string(max_compaction_lag_ms)},
      {"delete.retention.ms", std::to_string(delete_retention_ms)},
      {"when.full", kWhenFull.NameOf(when_full)},
      {"retention.priority", std::to_string(retention_priority)},
  };
}

}  // namespace tidemark
