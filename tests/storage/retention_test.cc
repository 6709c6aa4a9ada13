// What is old is given up: in which order, how far, and what a crash leaves of that.
#include <cerrno>
#include <filesystem>

#include "storage/open.h"
#include "storage/verify.h"
#include "tests/support/fault_world.h"
#include "tests/support/retention_fixture.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using RetentionTest = RetentionFixture;

TEST_F(RetentionTest, DeletedRecordsAreGoneOnceThatIsDurable) {
  MakeSegments(SmallSegments(), 5'000);
  Partition& partition = PartitionOf("t");
  const std::vector<int64_t> before = Segments();
  ASSERT_GT(before.size(), 4U);
  const int64_t start = before[3] + 7;
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(partition.DeleteRecords(start).ok());
  EXPECT_EQ(partition.log_start_offset(), 0);  // nothing holds it yet
  PollUntilRemoved(3);
  EXPECT_EQ(partition.log_start_offset(), start);
  EXPECT_EQ(Segments(), std::vector<int64_t>(before.begin() + 3, before.end()));
  EXPECT_EQ((*reader)->Next().error().code(), ErrorCode::offset_out_of_range);
  EXPECT_EQ(engine_->OpenReader(partition, start - 1).error().code(),
            ErrorCode::offset_out_of_range);
  ExpectInOrder(ReadFrom(partition, start), start, 5'000);
  reader->reset();  // before its engine
  CrashAndOpen();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_EQ(PartitionOf("t").log_start_offset(), start);
  ExpectInOrder(ReadFrom(PartitionOf("t"), start), start, 5'000);
}

TEST_F(RetentionTest, OnlyWhatIsDurableCanBeDeleted) {
  Open();
  Partition& partition = MakeTopic("t");
  AppendDurably(partition, ValueOf(0));
  Append(partition, ValueOf(1));
  EXPECT_EQ(partition.DeleteRecords(2).error().code(), ErrorCode::offset_out_of_range);
  EXPECT_EQ(partition.DeleteRecords(-1).error().code(), ErrorCode::offset_out_of_range);
  EXPECT_TRUE(partition.DeleteRecords(1).ok());
  EXPECT_TRUE(partition.DeleteRecords(0).ok());  // is so already
  PollUntil([&] { return partition.log_start_offset() == 1; });
}

// The tail goes with the rest; the next offset stays what it was, over a clean stop, too.
TEST_F(RetentionTest, AllRecordsCanBeDeletedAndNoOffsetIsUsedAgain) {
  Open();
  Partition& partition = MakeTopic("t");
  for (int64_t i = 0; i < 10; ++i) AppendDurably(partition, ValueOf(i));
  ASSERT_TRUE(partition.DeleteRecords(10).ok());
  PollUntil([&] { return partition.log_start_offset() == 10; });
  CrashAndOpen();
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 10);
  EXPECT_TRUE(ReadFrom(PartitionOf("t"), 10).empty());
  CloseCleanly();
  Open();
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(10)), 10);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 10), 10, 11);
}

// A search by time passes over what is given up meanwhile; it is told of nothing lost.
TEST_F(RetentionTest, ASearchByTimeGoesOnAtTheNewLogStart) {
  MakeSegments(SmallSegments(), 3'000);
  Partition& partition = PartitionOf("t");
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE((*reader)->SeekToTimestamp(0).ok());
  const int64_t start = Segments()[2];
  ASSERT_TRUE(partition.DeleteRecords(start).ok());
  PollUntilRemoved(2);
  ExpectInOrder(ReadToEnd(**reader), start, 3'000);
}

TEST_F(RetentionTest, TheOldestSegmentsGoAndTheLimitStays) {
  TopicConfig config = SmallSegments(256 << 10);
  config.retention_bytes = 600 << 10;
  MakeSegments(config, 30'000);  // three megabytes
  const auto limit = static_cast<uint64_t>(config.retention_bytes);
  const auto segment = static_cast<uint64_t>(config.segment_bytes);
  Partition& partition = PartitionOf("t");
  PollUntil([&] {
    return LogBytes() < limit + segment && Segments().front() == partition.log_start_offset();
  });
  EXPECT_GE(LogBytes(), limit);
  ExpectInOrder(ReadFrom(partition, partition.log_start_offset()), partition.log_start_offset(),
                30'000);
}

TEST_F(RetentionTest, AnAlteredLimitIsHeldAtOnce) {
  MakeSegments(SmallSegments(), 5'000);
  const uint64_t before = LogBytes();
  TopicConfig config = SmallSegments();
  config.retention_bytes = 0;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  PollUntil([&] { return Segments().size() == 1; });  // the active one stays
  EXPECT_LT(LogBytes(), before);
}

// What a crash has left of a removal is removed by the next opening.
TEST_F(RetentionTest, LeftoversAreRemovedByTheNextOpening) {
  MakeSegments(SmallSegments(), 5'000);
  CloseCleanly();
  {
    FaultWorld world;
    auto engine = storage::OpenEngine(world.environment(), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    world.plan = [](Call call, const std::string&) { return call == Call::remove ? EIO : 0; };
    Partition& partition = PartitionOf("t");
    ASSERT_TRUE(partition.DeleteRecords(Segments()[4]).ok());
    PollUntil([&] { return partition.log_start_offset() > 0; });
    PollUntil([&] {
      for (const Notice& notice : engine_->TakeNotices()) notices_.push_back(notice);
      return NoticesMention("retention: ");
    });
    EXPECT_TRUE(engine_->health().ok());
    EXPECT_EQ(engine_->stats().segments_removed, 0U);
    Crash();
  }
  const std::vector<int64_t> before = Segments();
  Open();
  const int64_t start = PartitionOf("t").log_start_offset();
  EXPECT_GT(start, before.front());
  PollUntilRemoved(4);
  EXPECT_EQ(Segments().front(), start);
}

TEST_F(RetentionTest, ABudgetIsHeldByDroppingTheOldest) {
  options_.store_bytes = uint64_t{32} << 20;
  options_.journal_bytes = kMinJournalBytes;
  Open();
  TopicConfig config = SmallSegments(16 << 20);  // larger than may be in this budget
  config.when_full = WhenFull::drop_oldest;
  Partition& partition = MakeTopic("t", config);
  constexpr int64_t kRecords = 10'000;
  constexpr size_t kRecordBytes = 10'000;
  for (int64_t i = 0; i < kRecords; ++i) {
    Append(partition, ValueOf(i, kRecordBytes), Durability::buffered);
    if (i % 100 != 0) continue;
    ASSERT_LE(StoreBytes(), options_.store_bytes) << "record " << i;
  }
  PollUntilDurable(partition);
  ASSERT_LE(StoreBytes(), options_.store_bytes);
  // It is used, too.
  EXPECT_GT(StoreBytes(), options_.store_bytes / 2);
  // Segments may still be leaving: then a reader is told so, and begins anew.
  int64_t start = 0;
  std::vector<ReadRecord> records;
  std::vector<LostRange> lost;
  for (int tries = 0; tries < 100 && std::ssize(records) != kRecords - start; ++tries) {
    start = partition.log_start_offset();
    records = ReadFrom(partition, start, &lost);
  }
  EXPECT_TRUE(lost.empty());
  ASSERT_EQ(std::ssize(records), kRecords - start);
  EXPECT_EQ(records.front().value, ValueOf(start, kRecordBytes));
  EXPECT_EQ(records.back().value, ValueOf(kRecords - 1, kRecordBytes));
}

// Of a store that is larger already.
TEST_F(RetentionTest, ABudgetThatIsLoweredIsReachedByDropping) {
  TopicConfig config = SmallSegments(1 << 20);
  config.when_full = WhenFull::drop_oldest;
  Open();
  Partition& partition = MakeTopic("t", config);
  for (int64_t i = 0; i < 6'000; ++i) Append(partition, ValueOf(i, 10'000), Durability::buffered);
  CloseCleanly();
  options_.store_bytes = uint64_t{32} << 20;
  ASSERT_GT(StoreBytes(), options_.store_bytes);
  Open();
  PollUntil([&] { return StoreBytes() <= options_.store_bytes; });
  const int64_t end = Append(PartitionOf("t"), ValueOf(6'000, 10'000));
  EXPECT_EQ(end, 6'000);
  for (int64_t i = end + 1; i < end + 1'000; ++i) {
    Append(PartitionOf("t"), ValueOf(i, 10'000), Durability::buffered);
    if (i % 50 != 0) continue;
    ASSERT_LE(StoreBytes(), options_.store_bytes);
  }
}

TEST_F(RetentionTest, TheTopicOfTheLowerPriorityGivesWayAndOneThatRejectsKeepsAll) {
  options_.store_bytes = uint64_t{32} << 20;
  Open();
  TopicConfig config = SmallSegments();
  Partition& kept = MakeTopic("kept", config);
  config.when_full = WhenFull::drop_oldest;
  Partition& low = MakeTopic("low", config);
  config.retention_priority = 1;
  Partition& high = MakeTopic("high", config);
  for (int64_t i = 0; i < 200; ++i) {
    for (Partition* partition : {&kept, &low, &high})
      Append(*partition, ValueOf(i, 10'000), Durability::buffered);
  }
  for (int64_t i = 200; i < 4'000 && high.log_start_offset() == 0; ++i)
    Append(high, ValueOf(i, 10'000), Durability::buffered);
  EXPECT_GT(high.log_start_offset(), 0);  // in the end it gives way, too
  EXPECT_GT(low.log_start_offset(), 0);
  EXPECT_LE(Segments("low-0").size(), 2U);  // but only when that one has nothing left to give
  EXPECT_EQ(kept.log_start_offset(), 0);
}

// What a reader has open is gone from the folder, and takes its room until it is let go.
TEST_F(RetentionTest, AReaderKeepsWhatItHasOpen) {
  MakeSegments(SmallSegments(), 5'000);
  Partition& partition = PartitionOf("t");
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE(reader.ok());
  auto state = (*reader)->Next();
  while (state.ok() && *state == ReadState::pending) {
    engine_->Poll(std::chrono::milliseconds(10));
    state = (*reader)->Next();
  }
  ASSERT_TRUE(state.ok());
  const std::string first = std::string((*(*reader)->batch().records.begin()).value.value());
  ASSERT_TRUE(partition.DeleteRecords(5'000).ok());
  PollUntilRemoved(4);
  EXPECT_EQ((*(*reader)->batch().records.begin()).value, first);  // until its next call
  EXPECT_EQ((*reader)->Next().error().code(), ErrorCode::offset_out_of_range);
  ASSERT_TRUE((*reader)->Seek(partition.log_start_offset()).ok());
  EXPECT_TRUE(ReadToEnd(**reader).empty());
}

// What readers have open takes its room: more than is kept free.
TEST_F(RetentionTest, WhatReadersHaveOpenCountsInTheBudget) {
  options_.store_bytes = uint64_t{32} << 20;
  TopicConfig config = SmallSegments(1 << 20);
  config.when_full = WhenFull::drop_oldest;
  Open();
  Partition& partition = MakeTopic("t", config);
  int64_t next = 0;
  const auto append_some = [&](int64_t records) {
    for (const int64_t end = next + records; next < end; ++next)
      Append(partition, ValueOf(next, 10'000), Durability::buffered);
  };
  append_some(1'200);
  PollUntil([&] { return Segments().size() >= 8; });
  const std::vector<int64_t> bases = Segments();
  std::vector<std::unique_ptr<Reader>> readers;
  uint64_t held_bytes = 0;
  for (size_t i = 0; i < 6; ++i) {
    auto reader = engine_->OpenReader(partition, bases[i]);
    ASSERT_TRUE(reader.ok()) << reader.error().ToString();
    PollUntil([&] { return *(*reader)->Next() == ReadState::batch; });
    readers.push_back(std::move(*reader));
    held_bytes +=
        fs::file_size(storage::SegmentPath(PathOf("t-0"), bases[i], storage::SegmentFile::log));
  }
  ASSERT_GT(held_bytes, options_.store_bytes / 8);  // twice what is kept free
  for (int i = 0; i < 40; ++i) {
    append_some(100);
    if (partition.log_start_offset() <= bases[5]) continue;
    ASSERT_LE(StoreBytes() + held_bytes, options_.store_bytes) << "record " << next;
  }
  ASSERT_GT(partition.log_start_offset(), bases[6]);
}

// Neither by an opening nor by verification, though the checkpoint knows of the older start only.
TEST_F(RetentionTest, WhatIsGivenUpIsNotToldAsLost) {
  MakeSegments(SmallSegments(), 5'000);
  const std::vector<int64_t> before = Segments();
  CloseCleanly();
  fs::remove(storage::SegmentPath(PathOf("t-0"), before[1], storage::SegmentFile::log));
  const auto losses = [&] {
    const auto report = storage::VerifyStore(io::SystemFiles(), {.data_dir = options_.data_dir});
    EXPECT_TRUE(report.ok());
    return report->Has(storage::Finding::Kind::loss);
  };
  EXPECT_TRUE(losses());
  Open();
  ASSERT_TRUE(PartitionOf("t").DeleteRecords(before[2]).ok());
  PollUntil([&] { return PartitionOf("t").log_start_offset() == before[2]; });
  Crash();
  EXPECT_FALSE(losses());
  Open();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  ExpectInOrder(ReadFrom(PartitionOf("t"), before[2]), before[2], 5'000);
}

}  // namespace
}  // namespace tidemark::testing
