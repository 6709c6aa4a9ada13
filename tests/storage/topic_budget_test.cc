// topic.bytes: what the files of one topic may take, whatever the others do.
#include <map>
#include <string>

#include "tests/support/retention_fixture.h"

namespace tidemark::testing {
namespace {

constexpr int64_t kBudget = int64_t{4} << 20;
constexpr size_t kRecordBytes = 5'000;

class TopicBudgetTest : public RetentionFixture {
 protected:
  static TopicConfig WithBudget(WhenFull when_full, int64_t bytes = kBudget) {
    TopicConfig config = SmallSegments(1 << 20);
    config.topic_bytes = bytes;
    config.when_full = when_full;
    return config;
  }
  uint64_t TopicBytes(const std::string& topic, int32_t partitions) const {
    uint64_t bytes = 0;
    for (int32_t i = 0; i < partitions; ++i)
      bytes += BytesBelow(PathOf(topic + "-" + std::to_string(i)));
    return bytes;
  }
  // Until the topic refuses, or `most` records. Polls while it is busy.
  int64_t AppendUntilFull(Partition& partition, int64_t most) {
    for (int64_t i = 0; i < most; ++i) {
      const std::string value = ValueOf(partition.end_offset(), kRecordBytes);
      Record record;
      record.value = value;
      auto offset = partition.Append(record, Durability::buffered);
      while (!offset.ok() && offset.error().code() == ErrorCode::busy) {
        engine_->Poll(std::chrono::milliseconds(100));
        offset = partition.Append(record, Durability::buffered);
      }
      if (offset.ok()) continue;
      EXPECT_EQ(offset.error().code(), ErrorCode::disk_full) << offset.error().ToString();
      EXPECT_NE(offset.error().message().find("topic.bytes=4194304"), std::string::npos)
          << offset.error().message();
      return i;
    }
    return most;
  }
};

TEST_F(TopicBudgetTest, ItsOldestSegmentsGoAndNoOtherTopics) {
  Open();
  TopicConfig other = SmallSegments();
  other.when_full = WhenFull::drop_oldest;
  other.retention_priority = -1;  // it would be the first to go
  Partition& beside = MakeTopic("beside", other);
  for (int64_t i = 0; i < 200; ++i) Append(beside, ValueOf(i, kRecordBytes), Durability::buffered);
  MakeTopic("t", WithBudget(WhenFull::drop_oldest), 2);
  constexpr int64_t kRecords = 2'000;  // five times the budget
  for (int64_t i = 0; i < kRecords; ++i) {
    for (const int32_t index : {0, 1})
      Append(PartitionOf("t", index), ValueOf(i, kRecordBytes), Durability::buffered);
    if (i % 50 != 0) continue;
    ASSERT_LE(TopicBytes("t", 2), static_cast<uint64_t>(kBudget)) << "record " << i;
  }
  PollUntilDurable(PartitionOf("t", 1));
  EXPECT_GT(TopicBytes("t", 2), static_cast<uint64_t>(kBudget / 2));
  EXPECT_EQ(beside.log_start_offset(), 0);
  // The oldest go first: neither partition is emptied for the other.
  const int64_t first = PartitionOf("t", 0).log_start_offset();
  const int64_t second = PartitionOf("t", 1).log_start_offset();
  EXPECT_GT(first, kRecords / 2);
  EXPECT_GT(second, kRecords / 2);
  EXPECT_NEAR(static_cast<double>(first), static_cast<double>(second), kRecords / 10.0);
}

TEST_F(TopicBudgetTest, OneThatRejectsRefusesAtItsBudgetAndKeepsWhatItHas) {
  Open();
  Partition& partition = MakeTopic("t", WithBudget(WhenFull::reject));
  const int64_t taken = AppendUntilFull(partition, 2'000);
  EXPECT_GT(taken * static_cast<int64_t>(kRecordBytes), kBudget / 2);
  ASSERT_LT(taken, 2'000);
  Append(MakeTopic("other"), ValueOf(0));  // has room
  CloseCleanly();
  EXPECT_LE(TopicBytes("t", 1), static_cast<uint64_t>(kBudget));
  Open();
  Partition& again = PartitionOf("t");
  ASSERT_EQ(again.end_offset(), taken);
  ASSERT_EQ(again.log_start_offset(), 0);
  AppendUntilFull(again, 2'000);  // at once or nearly: what was charged too much is known now
  EXPECT_LT(again.end_offset(), taken * 11 / 10);
  // Room comes with what is given up, and with a larger budget.
  ASSERT_TRUE(again.DeleteRecords(Segments()[Segments().size() / 2]).ok());
  PollUntilRemoved(1);
  PollUntil([&] { return AppendUntilFull(again, 1) == 1; });
  AppendUntilFull(again, 2'000);
  TopicConfig larger = WithBudget(WhenFull::reject, 4 * kBudget);
  ASSERT_TRUE(engine_->AlterTopic("t", larger).ok());
  EXPECT_EQ(AppendUntilFull(again, 200), 200);
  larger.topic_bytes = -1;
  ASSERT_TRUE(engine_->AlterTopic("t", larger).ok());
  EXPECT_EQ(AppendUntilFull(again, 4'000), 4'000);
}

// Appends leave the room that compaction needs: else a topic that is full would stay full for ever.
TEST_F(TopicBudgetTest, ACompactedOneThatIsFullIsMadeSmaller) {
  options_.compaction_bytes_per_second = uint64_t{256} << 20;
  Open();
  TopicConfig config = WithBudget(WhenFull::reject);
  config.cleanup_policy = CleanupPolicy::compact;
  Partition& partition = MakeTopic("t", config);
  constexpr int64_t kRecords = 2'500;  // three times the budget
  constexpr int64_t kKeys = 10;
  int64_t times_full = 0;
  for (int64_t i = 0; i < kRecords; ++i) {
    const std::string key = "key-" + std::to_string(i % kKeys);
    const std::string value = ValueOf(i, kRecordBytes);
    Record record;
    record.key = key;
    record.value = value;
    auto offset = partition.Append(record, Durability::buffered);
    for (int turns = 0; !offset.ok(); ++turns) {
      ASSERT_LT(turns, 20'000) << "record " << i << ": " << offset.error().ToString();
      times_full += offset.error().code() == ErrorCode::disk_full ? 1 : 0;
      engine_->Poll(std::chrono::milliseconds(10));
      offset = partition.Append(record, Durability::buffered);
    }
    if (i % 50 != 0) continue;
    ASSERT_LE(TopicBytes("t", 1), static_cast<uint64_t>(kBudget)) << i;
  }
  EXPECT_GT(times_full, 0);
  PollUntilDurable(partition);
  std::map<std::string, std::string> last;
  for (const ReadRecord& record : ReadFrom(partition, 0)) last[*record.key] = *record.value;
  ASSERT_EQ(std::ssize(last), kKeys);
  for (int64_t i = kRecords - kKeys; i < kRecords; ++i)
    EXPECT_EQ(last["key-" + std::to_string(i % kKeys)], ValueOf(i, kRecordBytes));
}

TEST_F(TopicBudgetTest, OneThatIsSetLaterIsReachedByDropping) {
  TopicConfig config = SmallSegments(256 << 10);
  config.when_full = WhenFull::drop_oldest;
  Open();
  MakeTopic("t", config);
  for (int64_t i = 0; i < 2'000; ++i)
    Append(PartitionOf("t"), ValueOf(i, kRecordBytes), Durability::buffered);
  CloseCleanly();
  Open();
  config.topic_bytes = kBudget;
  ASSERT_GT(TopicBytes("t", 1), static_cast<uint64_t>(kBudget));
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  PollUntil([&] { return TopicBytes("t", 1) <= static_cast<uint64_t>(kBudget); });
  // What it keeps free may still be leaving: then a reader is told so, and begins anew.
  int64_t start = 0;
  std::vector<ReadRecord> records;
  std::vector<LostRange> lost;
  for (int tries = 0; tries < 100 && std::ssize(records) != 2'000 - start; ++tries) {
    start = PartitionOf("t").log_start_offset();
    records = ReadFrom(PartitionOf("t"), start, &lost);
  }
  EXPECT_TRUE(lost.empty());
  ASSERT_EQ(std::ssize(records), 2'000 - start);
  EXPECT_EQ(records.front().value, ValueOf(start, kRecordBytes));
}

}  // namespace
}  // namespace tidemark::testing
