// Compaction: settings, and what else happens to a topic meanwhile.
#include <filesystem>

#include "tests/storage/compaction_fixture.h"

namespace tidemark::testing {
namespace {

class CompactionSettingsTest : public CompactionFixture {};

TEST_F(CompactionSettingsTest, ARecordWithoutAKeyIsRefused) {
  OpenInWorld();
  Partition& partition = MakeTopic("t", Compacted());
  Record record;
  record.value = "x";
  const auto refused = partition.Append(record);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message().find("key"), std::string::npos);
  record.key = "";
  EXPECT_TRUE(partition.Append(record).ok());
}

// What was appended before the topic was compacted has no later one of its key.
TEST_F(CompactionSettingsTest, RecordsWithoutAKeyFromBeforeStay) {
  TopicConfig config = Compacted();
  config.cleanup_policy = CleanupPolicy::remove;
  OpenInWorld();
  Partition& partition = MakeTopic("t", config);
  for (int64_t i = 0; i < 2'000; ++i) Append(partition, ValueOf(i), Durability::buffered);
  PollSeconds(5);
  EXPECT_EQ(engine_->stats().compaction_bytes, 0U);
  ASSERT_TRUE(engine_->AlterTopic("t", Compacted()).ok());
  Settle();
  PollUntilPasses(1);
  ExpectInOrder(ReadWhole(), 0, 2'000);
}

TEST_F(CompactionSettingsTest, BothPoliciesTogether) {
  TopicConfig config = Compacted();
  config.cleanup_policy = CleanupPolicy::compact_and_remove;
  config.retention_ms = 600'000;
  config.segment_ms = 60'000;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 10'000, 50);
  Settle();
  PollUntilPasses(1);
  ExpectCompacted(ReadWhole());
  PollSeconds(1'200);
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 10'000);
  EXPECT_TRUE(ReadWhole().empty());
  CloseCleanly();
  ExpectNothingIsWrong();
}

// compact alone gives nothing up by age or size.
TEST_F(CompactionSettingsTest, CompactAloneKnowsNoAge) {
  TopicConfig config = Compacted();
  config.retention_ms = 1'000;
  config.retention_bytes = 1;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 5'000, 50);
  Settle();
  PollUntilPasses(1);
  PollSeconds(100);
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 0);
  ExpectCompacted(ReadWhole());
}

TEST_F(CompactionSettingsTest, KeepsItsRate) {
  options_.compaction_bytes_per_second = uint64_t{64} << 10;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);  // a megabyte
  Settle();
  PollSeconds(5);
  EXPECT_LT(engine_->stats().compaction_bytes, uint64_t{64 * 5 + 512 + 64} << 10);
  EXPECT_GT(engine_->stats().compaction_bytes, uint64_t{64} << 10);
  EXPECT_EQ(engine_->stats().compaction_passes, 0U);
  options_.compaction_bytes_per_second = 0;  // off
  Settle();
  PollSeconds(100);
  EXPECT_EQ(engine_->stats().compaction_bytes, 0U);
}

TEST_F(CompactionSettingsTest, TheMapIsPartOfTheMemory) {
  options_.compaction_memory_bytes = options_.memory_bytes;
  const auto refused = storage::OpenEngine(world_.environment(clock_), options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  options_.compaction_memory_bytes = options_.memory_bytes / 2;
  options_.compaction_bytes_per_second = 1000;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 5'000, 50);
  Settle();
  const uint64_t before = engine_->stats().memory_bytes;
  PollSeconds(2);
  EXPECT_GT(engine_->stats().memory_bytes, before + options_.memory_bytes / 2 - 1024);
}

TEST_F(CompactionSettingsTest, ATopicIsDeletedInTheMiddleOfAPass) {
  options_.compaction_bytes_per_second = uint64_t{256} << 10;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  PollSeconds(3);
  ASSERT_GT(engine_->stats().compaction_bytes, 0U);
  ASSERT_EQ(engine_->stats().compaction_passes, 0U);
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  PollSeconds(3);
  EXPECT_FALSE(engine_->deletions_pending());
  EXPECT_FALSE(std::filesystem::exists(PathOf("t-0")));
  PollSeconds(30);
  CloseCleanly();
}

// Records that are given up while they are compacted stay given up, and the rest is there.
TEST_F(CompactionSettingsTest, RecordsAreDeletedInTheMiddleOfAPass) {
  options_.compaction_bytes_per_second = uint64_t{256} << 10;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  for (int64_t start = 500; start < 9'000; start += 500) {
    ASSERT_TRUE(PartitionOf("t").DeleteRecords(start).ok());
    PollSeconds(1);
    ASSERT_EQ(PartitionOf("t").log_start_offset(), start);
  }
  PollSeconds(60);
  ExpectCompacted(ReadWhole());
  CloseCleanly();
  ExpectNothingIsWrong();
}

// Every setting of the fixture but the world: the real one, with its threads.
TEST_F(CompactionSettingsTest, RunsOnBothIoEngines) {
  for (const IoEngine io_engine : {IoEngine::syscalls, IoEngine::automatic}) {
    options_.io_engine = io_engine;
    options_.data_dir = directory_.File(io_engine == IoEngine::syscalls ? "calls" : "ring");
    last_.clear();
    appended_ = 0;
    Open();
    PutMany(MakeTopic("t", Compacted()), 10'000, 50);
    CloseCleanly();
    Open();
    for (int turns = 0; engine_->stats().compaction_passes == 0; ++turns) {
      ASSERT_LT(turns, 10'000);
      engine_->Poll(std::chrono::milliseconds(10));
    }
    ExpectCompacted(ReadWhole());
    CloseCleanly();
    ExpectNothingIsWrong();
  }
}

}  // namespace
}  // namespace tidemark::testing
