// Topic settings from text: Kafka's names, strict values, and refusals that name the key.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tidemark/options.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

void ExpectRefused(std::string_view key, std::string_view value, ErrorCode code) {
  TopicConfig config;
  const Status status = config.Set(key, value);
  ASSERT_FALSE(status.ok()) << key << "=" << value;
  EXPECT_EQ(status.error().code(), code) << status.error().ToString();
  EXPECT_THAT(status.error().message(), HasSubstr(std::string(key)));
  EXPECT_EQ(config, TopicConfig()) << key << "=" << value;
}

void ExpectOk(const Status& status) { EXPECT_TRUE(status.ok()) << status.error().ToString(); }

TEST(TopicConfigTest, SetsEverySetting) {
  TopicConfig config;
  ExpectOk(config.Set("compression.type", "none"));
  ExpectOk(config.Set("compression.zstd.level", "-7"));
  ExpectOk(config.Set("segment.bytes", "2147483647"));
  ExpectOk(config.Set("max.message.bytes", "2097152"));
  ExpectOk(config.Set("index.interval.bytes", "0"));
  ExpectOk(config.Set("segment.index.bytes", "65536"));
  ExpectOk(config.Set("message.timestamp.type", "LogAppendTime"));
  ExpectOk(config.Set("message.timestamp.before.max.ms", "3600000"));
  ExpectOk(config.Set("message.timestamp.after.max.ms", "0"));
  ExpectOk(config.Set("durability", "buffered"));
  ExpectOk(config.Set("flush.ms", "250"));
  ExpectOk(config.Set("commit.linger.ms", "20"));
  ExpectOk(config.Set("segment.ms", "60000"));
  ExpectOk(config.Set("retention.ms", "86400000"));
  ExpectOk(config.Set("retention.bytes", "1048576"));
  ExpectOk(config.Set("topic.bytes", "1048576"));
  ExpectOk(config.Set("when.full", "drop_oldest"));
  ExpectOk(config.Set("retention.priority", "-3"));
  ExpectOk(config.Set("cleanup.policy", "compact"));
  ExpectOk(config.Set("min.cleanable.dirty.ratio", "0.25"));
  ExpectOk(config.Set("min.compaction.lag.ms", "1000"));
  ExpectOk(config.Set("max.compaction.lag.ms", "60000"));
  ExpectOk(config.Set("delete.retention.ms", "5000"));

  TopicConfig expected;
  expected.compression = Compression::none;
  expected.zstd_level = -7;
  expected.segment_bytes = 2147483647;
  expected.max_message_bytes = 2097152;
  expected.index_interval_bytes = 0;
  expected.segment_index_bytes = 65536;
  expected.timestamp_type = TimestampType::log_append_time;
  expected.timestamp_before_max_ms = 3'600'000;
  expected.timestamp_after_max_ms = 0;
  expected.durability = Durability::buffered;
  expected.flush_ms = 250;
  expected.commit_linger_ms = 20;
  expected.segment_ms = 60'000;
  expected.retention_ms = 86'400'000;
  expected.retention_bytes = 1048576;
  expected.topic_bytes = 1048576;
  expected.when_full = WhenFull::drop_oldest;
  expected.retention_priority = -3;
  expected.cleanup_policy = CleanupPolicy::compact;
  expected.min_cleanable_dirty_ratio = 0.25;
  expected.min_compaction_lag_ms = 1'000;
  expected.max_compaction_lag_ms = 60'000;
  expected.delete_retention_ms = 5'000;
  EXPECT_EQ(config, expected);
}

TEST(TopicConfigTest, PairsSetWhatTheyWereTakenFrom) {
  TopicConfig config;
  config.compression = Compression::none;
  config.zstd_level = 19;
  config.segment_bytes = 4096;
  config.segment_index_bytes = 2048;
  config.timestamp_type = TimestampType::log_append_time;
  config.durability = Durability::buffered;
  config.timestamp_before_max_ms = 5;
  config.timestamp_after_max_ms = 6;
  config.commit_linger_ms = 7;
  config.segment_ms = 1000;
  config.retention_ms = 0;
  config.retention_bytes = 0;
  config.topic_bytes = int64_t{5} << 30;
  config.when_full = WhenFull::drop_oldest;
  config.retention_priority = 9;
  config.cleanup_policy = CleanupPolicy::compact_and_remove;
  config.min_cleanable_dirty_ratio = 0.1;
  config.min_compaction_lag_ms = 7;
  config.max_compaction_lag_ms = 70'000;
  config.delete_retention_ms = 0;
  TopicConfig copy;
  for (const auto& [key, value] : config.ToPairs()) ExpectOk(copy.Set(key, value));
  EXPECT_EQ(copy, config);
  EXPECT_EQ(config.ToPairs().front().first, "compression.type");
  EXPECT_EQ(config.ToPairs().size(), 23u);
}

TEST(TopicConfigTest, KafkasNameForNoCompressionIsUnderstood) {
  TopicConfig config;
  ExpectOk(config.Set("compression.type", "uncompressed"));
  EXPECT_EQ(config.compression, Compression::none);
}

TEST(TopicConfigTest, NumbersAreStrict) {
  for (const char* value : {"", " 5", "5 ", "+5", "5.0", "0x10", "1e3", "five", "5k",
                            "99999999999999999999", "-1", "-9223372036854775809"}) {
    ExpectRefused("flush.ms", value, ErrorCode::invalid_argument);
  }
}

TEST(TopicConfigTest, NumbersHaveRanges) {
  for (const auto& [key, value] : {std::pair("segment.bytes", "2147483648"),
                                   std::pair("segment.bytes", "1023"),
                                   std::pair("max.message.bytes", "0"),
                                   std::pair("max.message.bytes", "67108865"),
                                   std::pair("index.interval.bytes", "-1"),
                                   std::pair("index.interval.bytes", "2147483648"),
                                   std::pair("segment.index.bytes", "1023"),
                                   std::pair("compression.zstd.level", "23"),
                                   std::pair("compression.zstd.level", "-8"),
                                   std::pair("flush.ms", "9223372036854775807"),
                                   std::pair("segment.ms", "999"),
                                   std::pair("retention.ms", "-2"),
                                   std::pair("retention.bytes", "-2"),
                                   std::pair("retention.priority", "1001"),
                                   std::pair("topic.bytes", "1048575"),
                                   std::pair("topic.bytes", "-2"),
                                   std::pair("message.timestamp.before.max.ms", "-1"),
                                   std::pair("min.compaction.lag.ms", "-1"),
                                   std::pair("max.compaction.lag.ms", "999"),
                                   std::pair("delete.retention.ms", "-1"),
                                   std::pair("delete.retention.ms", "9223372036854775807"),
                                   std::pair("commit.linger.ms", "9223372036854775807")}) {
    ExpectRefused(key, value, ErrorCode::invalid_argument);
  }
}

TEST(TopicConfigTest, WordsAreStrict) {
  ExpectRefused("compression.type", "ZSTD", ErrorCode::invalid_argument);
  ExpectRefused("compression.type", "", ErrorCode::invalid_argument);
  ExpectRefused("message.timestamp.type", "createtime", ErrorCode::invalid_argument);
  ExpectRefused("durability", "fsync", ErrorCode::invalid_argument);
}

TEST(TopicConfigTest, CodecsOfKafkaThatAreNotWrittenAreRefusedByName) {
  for (const char* codec : {"gzip", "snappy", "lz4", "producer"}) {
    TopicConfig config;
    const Status status = config.Set("compression.type", codec);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), ErrorCode::unsupported);
    EXPECT_THAT(status.error().message(), HasSubstr(codec));
  }
}

TEST(TopicConfigTest, SettingsOfKafkaThatAreNotHonouredAreRefusedByName) {
  for (const char* key :
       {"segment.jitter.ms", "file.delete.delay.ms", "flush.messages",
        "message.timestamp.difference.max.ms", "min.insync.replicas", "preallocate",
        "unclean.leader.election.enable", "message.format.version", "message.downconversion.enable",
        "compression.gzip.level", "compression.lz4.level", "remote.storage.enable",
        "remote.log.copy.disable", "local.retention.ms", "local.retention.bytes",
        "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"}) {
    ExpectRefused(key, "1", ErrorCode::unsupported);
  }
}

TEST(TopicConfigTest, TheCleanupPolicyIsAList) {
  const auto policy = [](const char* value) {
    TopicConfig config;
    EXPECT_TRUE(config.Set("cleanup.policy", value).ok()) << value;
    return config.cleanup_policy;
  };
  EXPECT_EQ(policy("delete"), CleanupPolicy::remove);
  EXPECT_EQ(policy("compact"), CleanupPolicy::compact);
  for (const char* both :
       {"compact,delete", "delete,compact", "compact, delete", "compact,delete,compact"})
    EXPECT_EQ(policy(both), CleanupPolicy::compact_and_remove) << both;
  for (const char* wrong : {"", ",", "compact,", "Compact", "compact delete", "none"})
    ExpectRefused("cleanup.policy", wrong, ErrorCode::invalid_argument);
}

TEST(TopicConfigTest, TheDirtyRatioIsReadBackAsItWas) {
  for (const char* ratio : {"0", "1", "0.5", "0.1", "0.3333"}) {
    TopicConfig config;
    ASSERT_TRUE(config.Set("min.cleanable.dirty.ratio", ratio).ok());
    bool found = false;
    for (const auto& [key, value] : config.ToPairs()) {
      if (key != "min.cleanable.dirty.ratio") continue;
      found = true;
      EXPECT_EQ(value, ratio);
    }
    EXPECT_TRUE(found);
  }
  for (const char* wrong : {"", "-0.1", "1.01", "nan", "inf", "0.5x", "0,5"})
    ExpectRefused("min.cleanable.dirty.ratio", wrong, ErrorCode::invalid_argument);
}

TEST(TopicConfigTest, OtherKeysAreUnknown) {
  for (const char* key : {"retention", "Segment.Bytes", "segment_bytes", "segment.bytes "}) {
    ExpectRefused(key, "4096", ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace tidemark
