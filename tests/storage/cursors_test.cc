// Cursors of groups: what is committed, what is there after a crash, and what is refused.
#include <gmock/gmock.h>

#include "storage/cursor_format.h"
#include "tests/support/cursor_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CursorsTest : public CursorFixture {
 protected:
  void SetUp() override { Open(); }
  int64_t InternalRecords() {
    Topic* topic = engine_->FindTopic(kInternal);
    return topic == nullptr ? -1 : topic->partition(0)->end_offset();
  }
};

TEST_F(CursorsTest, ACommitIsThereAfterACrash) {
  MakeFilledTopic("t", 10, 2);
  Commit("g", {At("t", 7, 1), At("t", 3)});
  Commit("other", {At("t", 1)});
  Commit("g", {At("t", 5)});
  for (int life = 0; life < 3; ++life) {
    EXPECT_EQ(OffsetOf("g", "t", 0), 5);
    EXPECT_EQ(OffsetOf("g", "t", 1), 7);
    EXPECT_EQ(OffsetOf("other", "t"), 1);
    EXPECT_THAT(Groups(), ElementsAre("g", "other"));
    if (life == 1) {
      CloseCleanly();
      Open();
    } else {
      CrashAndOpen();
    }
  }
}

TEST_F(CursorsTest, AllFieldsComeBack) {
  MakeFilledTopic("t", 3);
  CursorPosition position = At("t", 2);
  position.leader_epoch = 4;
  position.metadata = "host-17\n\xe2\x82\xac";
  Commit("gr\xc3\xbc n", {position});
  CrashAndOpen();
  const auto cursors = CursorsOf("gr\xc3\xbc n");
  ASSERT_EQ(cursors.size(), 1U);
  EXPECT_EQ(cursors[0].leader_epoch, 4);
  EXPECT_EQ(cursors[0].metadata, position.metadata);
  EXPECT_GT(cursors[0].commit_timestamp_ms, 1'600'000'000'000);
}

TEST_F(CursorsTest, OnlyWhatIsDurableIsShown) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 1)});
  const auto second = BeginCommit("g", {At("t", 2)});
  const auto third = BeginCommit("g", {At("t", 3)});
  ASSERT_TRUE(second.ok() && third.ok());
  EXPECT_FALSE(second->durable());
  EXPECT_EQ(OffsetOf("g", "t"), 1);
  Await(third);
  EXPECT_TRUE(second->durable());
  EXPECT_EQ(OffsetOf("g", "t"), 3);
}

// A commit that was not acknowledged may be there or not; here the process ends before it is begun.
TEST_F(CursorsTest, ACommitThatWasNotPolledForIsLostInACrash) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 1)});
  ASSERT_TRUE(BeginCommit("g", {At("t", 2)}).ok());
  CrashAndOpen();
  EXPECT_EQ(OffsetOf("g", "t"), 1);
}

TEST_F(CursorsTest, ACursorMayGoBackAndStandBelowTheLogStart) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 8)});
  ASSERT_TRUE(PartitionOf("t").DeleteRecords(6).ok());
  while (PartitionOf("t").log_start_offset() < 6) engine_->Poll(std::chrono::milliseconds(10));
  Commit("g", {At("t", 2)});
  CrashAndOpen();
  EXPECT_EQ(OffsetOf("g", "t"), 2);
}

TEST_F(CursorsTest, WhatIsNotDurableCannotBeCommitted) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 10)});
  Append(PartitionOf("t"), "not durable yet");
  for (const int64_t offset : {int64_t{11}, int64_t{12}, int64_t{-1}}) {
    const auto refused = BeginCommit("g", {At("t", 4), At("t", offset)});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), ErrorCode::offset_out_of_range);
  }
  EXPECT_EQ(InternalRecords(), 1);  // nothing of the others was committed either
}

TEST_F(CursorsTest, WhatIsNotThereOrHasABadNameIsRefused) {
  MakeFilledTopic("t", 10);
  const auto code = [&](std::string_view group, const CursorPosition& position) {
    const auto refused = BeginCommit(group, {position});
    return refused.ok() ? std::string("accepted")
                        : std::string(ErrorCodeName(refused.error().code()));
  };
  EXPECT_EQ(code("g", At("u", 0)), "unknown_topic");
  EXPECT_EQ(code("g", At("t", 0, 1)), "unknown_topic");
  EXPECT_EQ(code("g", At("t", 0, -1)), "unknown_topic");
  EXPECT_EQ(code("", At("t", 0)), "invalid_argument");
  EXPECT_EQ(code("a\tb", At("t", 0)), "invalid_argument");
  CursorPosition noted = At("t", 0);
  noted.metadata.assign(storage::kMaxCursorMetadataBytes + 1, 'm');
  EXPECT_EQ(code("g", noted), "invalid_argument");
  EXPECT_FALSE(engine_->Cursors("").ok());
  EXPECT_FALSE(engine_->DeleteCursors("\n").ok());
  EXPECT_EQ(engine_->FindTopic(kInternal), nullptr);  // nothing was committed: it is not made
}

TEST_F(CursorsTest, NothingIsThereAtFirst) {
  EXPECT_THAT(Groups(), IsEmpty());
  EXPECT_THAT(CursorsOf("g"), IsEmpty());
  const auto nothing = engine_->DeleteCursors("g");
  ASSERT_TRUE(nothing.ok());
  EXPECT_TRUE(nothing->durable());
  EXPECT_EQ(engine_->FindTopic(kInternal), nullptr);
}

TEST_F(CursorsTest, DeletedOnesStayDeleted) {
  MakeFilledTopic("t", 10, 2);
  MakeFilledTopic("u", 10);
  Commit("g", {At("t", 1), At("t", 2, 1), At("u", 3)});
  Commit("h", {At("t", 4)});
  Delete("g", "t");
  EXPECT_EQ(CursorsOf("g").size(), 1U);
  CrashAndOpen();
  EXPECT_EQ(CursorsOf("g").size(), 1U);
  EXPECT_EQ(OffsetOf("g", "u"), 3);
  Delete("g");
  EXPECT_THAT(Groups(), ElementsAre("h"));
  CrashAndOpen();
  EXPECT_THAT(Groups(), ElementsAre("h"));
  Commit("g", {At("t", 5)});
  CrashAndOpen();
  EXPECT_EQ(OffsetOf("g", "t"), 5);
}

TEST_F(CursorsTest, ADeletionCoversCommitsUnderWay) {
  MakeFilledTopic("t", 10);
  ASSERT_TRUE(BeginCommit("g", {At("t", 1)}).ok());
  Delete("g");
  EXPECT_THAT(Groups(), IsEmpty());
  CrashAndOpen();
  EXPECT_THAT(Groups(), IsEmpty());
}

// --- Topics that go ------------------------------------------------------------------------------

TEST_F(CursorsTest, ATopicThatIsMadeAnewHasNoCursors) {
  MakeFilledTopic("t", 10);
  MakeFilledTopic("u", 10);
  Commit("g", {At("t", 5), At("u", 6)});
  Commit("only t", {At("t", 7)});
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  EXPECT_EQ(OffsetOf("g", "t"), -1);  // at once
  EXPECT_THAT(Groups(), ElementsAre("g"));
  while (engine_->deletions_pending()) engine_->Poll(std::chrono::milliseconds(100));
  MakeFilledTopic("t", 20);
  EXPECT_EQ(OffsetOf("g", "t"), -1);
  Commit("g", {At("t", 15)});
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(OffsetOf("g", "t"), 15);
    EXPECT_EQ(OffsetOf("g", "u"), 6);
    EXPECT_THAT(CursorsOf("only t"), IsEmpty());
    CrashAndOpen();
  }
}

// The cursors had never been read when the topic went, so that nobody has deleted them with it.
TEST_F(CursorsTest, NorDoesItWhenNobodyLookedAtThemMeanwhile) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 5)});
  CrashAndOpen();
  DeleteTopicWholly("t");
  CrashAndOpen();
  MakeFilledTopic("t", 20);
  CrashAndOpen();
  EXPECT_EQ(InternalRecords(), 1);
  EXPECT_EQ(OffsetOf("g", "t"), -1);
  PollUntilDurable(PartitionOf(kInternal));
  EXPECT_EQ(InternalRecords(), 2);  // now it is deleted in the log, too
  CrashAndOpen();
  EXPECT_THAT(Groups(), IsEmpty());
  PollUntilDurable(PartitionOf(kInternal));
  EXPECT_EQ(InternalRecords(), 2);  // once
}

TEST_F(CursorsTest, ADeletionThatACrashUndoesTakesNoCursor) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 5)});
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  EXPECT_THAT(Groups(), IsEmpty());
  CrashAndOpen();
  ASSERT_NE(engine_->FindTopic("t"), nullptr);
  EXPECT_EQ(OffsetOf("g", "t"), 5);
}

// --- The internal topic --------------------------------------------------------------------------

TEST_F(CursorsTest, TheInternalTopicIsTheEnginesOwn) {
  const auto refused = [](const auto& result) {
    return !result.ok() && result.error().code() == ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused(engine_->CreateTopic(kInternal, 1, {})));
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 5)});
  Topic* topic = engine_->FindTopic(kInternal);
  ASSERT_NE(topic, nullptr);
  EXPECT_TRUE(topic->internal());
  EXPECT_FALSE(engine_->FindTopic("t")->internal());
  EXPECT_TRUE(refused(topic->partition(0)->Append(Record())));
  EXPECT_TRUE(refused(topic->partition(0)->Append(Record(), Durability::buffered)));
  EXPECT_TRUE(refused(topic->partition(0)->DeleteRecords(1)));
  EXPECT_TRUE(refused(engine_->DeleteTopic(kInternal)));
  EXPECT_TRUE(refused(engine_->AddPartitions(kInternal, 2)));
  EXPECT_EQ(topic->config().cleanup_policy, CleanupPolicy::compact);
  for (const auto& [key, value] :
       {std::pair("retention.ms", "1000"), std::pair("retention.bytes", "1"),
        std::pair("when.full", "drop_oldest"), std::pair("cleanup.policy", "delete"),
        std::pair("topic.bytes", "1048576"),
        std::pair("message.timestamp.type", "LogAppendTime")}) {
    TopicConfig config = topic->config();
    ASSERT_TRUE(config.Set(key, value).ok());
    EXPECT_TRUE(refused(engine_->AlterTopic(kInternal, config))) << key;
  }
  TopicConfig config = topic->config();
  ASSERT_TRUE(config.Set("commit.linger.ms", "5").ok());
  EXPECT_TRUE(engine_->AlterTopic(kInternal, config).ok());
  EXPECT_EQ(OffsetOf("g", "t"), 5);
  // It is read as every other.
  EXPECT_EQ(ReadFrom(*topic->partition(0), 0).size(), 1U);
}

TEST_F(CursorsTest, GroupsGoToThePartitionsOfTheInternalTopicAsWithKafka) {
  options_.cursor_partitions = 50;
  CrashAndOpen();
  MakeFilledTopic("t", 10);
  const std::vector<std::string> groups = {"gateway-7", "hello", "meter", "polygenelubricants"};
  for (size_t i = 0; i < groups.size(); ++i)
    Commit(groups[i], {At("t", static_cast<int64_t>(i + 1))});
  options_.cursor_partitions = 1;  // only counts when the topic is made
  CrashAndOpen();
  EXPECT_EQ(PartitionOf(kInternal, 6).end_offset(), 1);   // gateway-7
  EXPECT_EQ(PartitionOf(kInternal, 22).end_offset(), 1);  // hello
  EXPECT_EQ(Groups(), groups);
  for (size_t i = 0; i < groups.size(); ++i)
    EXPECT_EQ(OffsetOf(groups[i], "t"), static_cast<int64_t>(i + 1));
}

TEST_F(CursorsTest, TheirMemoryIsBounded) {
  MakeFilledTopic("t", 10);
  const uint64_t before = engine_->stats().memory_bytes;
  CursorPosition position = At("t", 1);
  position.metadata.assign(storage::kMaxCursorMetadataBytes, 'm');
  int groups = 0;
  Result<CursorTicket> ticket = CursorTicket{};
  while (groups < 1000) {
    ticket = BeginCommit("group " + std::to_string(groups), {position});
    if (!ticket.ok()) break;
    Await(ticket);
    ++groups;
  }
  ASSERT_FALSE(ticket.ok());
  EXPECT_EQ(ticket.error().code(), ErrorCode::invalid_argument);
  EXPECT_THAT(ticket.error().message(), HasSubstr("524288 bytes"));  // an eighth of 4 MiB
  EXPECT_GT(groups, 100);
  EXPECT_GT(engine_->stats().memory_bytes, before + 400'000);
  Commit("group 0", {At("t", 2)});  // no new one
  CrashAndOpen();
  EXPECT_EQ(Groups().size(), static_cast<size_t>(groups));
  Delete("group 1");
  Delete("group 2");
  Commit("another", {position});
}

}  // namespace
}  // namespace tidemark::testing
