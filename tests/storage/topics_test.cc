// Topics that are made, altered, made larger and deleted while the engine runs.
#include <filesystem>

#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

using TopicsTest = StoreFixture;

TEST_F(TopicsTest, ADeletedTopicIsGoneAndItsNameStartsAnew) {
  Open();
  Partition& partition = MakeTopic("t", {}, 3);
  for (int64_t i = 0; i < 1'000; ++i) Append(partition, ValueOf(i));
  PollUntilDurable(partition);
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  EXPECT_EQ(engine_->FindTopic("t"), nullptr);
  EXPECT_EQ(partition.Append(Record{}).error().code(), ErrorCode::unknown_topic);
  while (engine_->deletions_pending()) engine_->Poll(std::chrono::milliseconds(100));
  EXPECT_FALSE(std::filesystem::exists(PathOf("t-0")));
  Partition& fresh = MakeTopic("t");
  AppendDurably(fresh, ValueOf(0));
  CrashAndOpen();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 1);
}

TEST_F(TopicsTest, ADeletionThatWasCommittedIsFinishedAfterACrash) {
  Open();
  AppendDurably(MakeTopic("t"), ValueOf(0));
  MakeTopic("other");
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  // The tombstone becomes durable with this commit; whether the files go before the crash is left
  // open.
  AppendDurably(PartitionOf("other"), ValueOf(0));
  CrashAndOpen();
  EXPECT_EQ(engine_->FindTopic("t"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(PathOf("t-0")));
  ExpectInOrder(ReadFrom(PartitionOf("other"), 0), 0, 1);
}

TEST_F(TopicsTest, RemainsOfADeletedTopicGoUnlessAFolderIsInThem) {
  const std::string remains = directory_.File("remains");
  for (const bool with_folder : {false, true}) {
    SCOPED_TRACE(with_folder);
    Open();
    AppendDurably(MakeTopic("t"), "v");
    std::filesystem::remove_all(remains);
    std::filesystem::copy(PathOf("t-0"), remains);
    ASSERT_TRUE(engine_->DeleteTopic("t").ok());
    while (engine_->deletions_pending()) engine_->Poll(std::chrono::milliseconds(100));
    Crash();
    std::filesystem::copy(remains, PathOf("t-0"));
    if (with_folder) std::filesystem::create_directory(PathOf("t-0/mine"));
    Open();
    EXPECT_EQ(std::filesystem::exists(PathOf("t-0")), with_folder);
    CloseCleanly();
  }
}

TEST_F(TopicsTest, TopicsAndSettingsSurvive) {
  Open();
  TopicConfig config;
  ASSERT_TRUE(config.Set("compression.type", "none").ok());
  MakeTopic("b", config, 4);
  MakeTopic("a");
  ASSERT_TRUE(config.Set("segment.bytes", "2000000").ok());
  ASSERT_TRUE(engine_->AlterTopic("b", config).ok());
  CrashAndOpen();
  ASSERT_EQ(engine_->Topics().size(), 2u);
  EXPECT_EQ(engine_->Topics()[0]->name(), "a");
  EXPECT_EQ(engine_->FindTopic("b")->config(), config);
  EXPECT_EQ(engine_->FindTopic("b")->partition_count(), 4);
  EXPECT_EQ(engine_->CreateTopic("a", 1, {}).error().code(), ErrorCode::topic_exists);
  EXPECT_EQ(engine_->CreateTopic("a/b", 1, {}).error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(engine_->CreateTopic("c", 0, {}).error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(engine_->DeleteTopic("c").error().code(), ErrorCode::unknown_topic);
}

TEST_F(TopicsTest, PartitionsAreAddedWhileItRuns) {
  Open();
  AppendDurably(MakeTopic("t"), ValueOf(0));
  MakeTopic("other");
  ASSERT_TRUE(engine_->AddPartitions("t", 3).ok());
  EXPECT_EQ(engine_->FindTopic("t")->partition_count(), 3);
  AppendDurably(PartitionOf("t", 2), ValueOf(0));
  AppendDurably(PartitionOf("t", 0), ValueOf(1));
  CrashAndOpen();
  ASSERT_EQ(engine_->FindTopic("t")->partition_count(), 3);
  ExpectInOrder(ReadFrom(PartitionOf("t", 0), 0), 0, 2);
  ExpectInOrder(ReadFrom(PartitionOf("t", 1), 0), 0, 0);
  ExpectInOrder(ReadFrom(PartitionOf("t", 2), 0), 0, 1);
  CloseCleanly();
  Open();
  ExpectInOrder(ReadFrom(PartitionOf("t", 2), 0), 0, 1);
}

TEST_F(TopicsTest, PartitionsAreNeitherTakenAwayNorMoreThanTheJournalHolds) {
  Open();
  MakeTopic("t", {}, 2);
  for (const int32_t count : {-1, 0, 1, 2, 1'000'000})
    EXPECT_EQ(engine_->AddPartitions("t", count).error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(engine_->AddPartitions("u", 2).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->FindTopic("t")->partition_count(), 2);
  EXPECT_FALSE(std::filesystem::exists(PathOf("t-2")));
}

// Found by the simulator (seed 1400000069): a change of the index interval finishes the active
// segment; where there was none, closing waited for that without end.
TEST_F(TopicsTest, ClosingEndsWhereNothingIsThereToBeFinished) {
  Open();
  MakeTopic("t");
  while (engine_->stats().checkpoints < 2) engine_->Poll(std::chrono::milliseconds(100));
  TopicConfig config;
  config.index_interval_bytes = 64;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  CloseCleanly();
}

}  // namespace
}  // namespace tidemark::testing
