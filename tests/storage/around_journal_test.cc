// What fills run after run with buffered records is packed and flushed at once, and is durable with
// the checkpoint behind that: the journal holds none of it.
#include <cerrno>
#include <string>
#include <vector>

#include "storage/open.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

class AroundJournalTest : public StoreFixture {
 protected:
  AroundJournalTest() {
    options_.memory_bytes = 4 * options_.journal_bytes;
    world_.plan = [this](Call call, const std::string& path) {
      if (call != Call::write) return 0;
      if (full_ && path.ends_with(".log")) return ENOSPC;
      return broken_journal_ && path.ends_with("journal") ? EIO : 0;
    };
  }
  ~AroundJournalTest() override { engine_.reset(); }  // before its world

  void OpenInWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  void CrashAndOpenInWorld() {
    Crash();
    OpenInWorld();
  }
  void Poll() { engine_->Poll(std::chrono::milliseconds(0)); }
  void PassMs(int64_t milliseconds) {
    for (int64_t i = 0; i < milliseconds; ++i) {
      clock_.now_us += 1000;
      Poll();
    }
  }
  void AppendNext(Partition& partition, Durability durability) {
    Append(partition, ValueOf(partition.end_offset(), kRecordBytes), durability);
  }
  // A run holds four records. Where the first ones of a bulk go by the journal, it becomes known.
  void AppendInBulk(Partition& partition, int count) {
    for (int i = 0; i < count; ++i) AppendNext(partition, Durability::buffered);
  }
  uint64_t around_bytes() const { return engine_->stats().around_journal_bytes; }
  void ExpectRecords(Partition& partition, int64_t end) {
    ASSERT_EQ(partition.end_offset(), end);
    const auto records = ReadFrom(partition, 0);
    ASSERT_EQ(records.size(), static_cast<size_t>(end));
    for (int64_t i = 0; i < end; ++i) {
      ASSERT_EQ(records[static_cast<size_t>(i)].offset, i);
      ASSERT_EQ(records[static_cast<size_t>(i)].value, ValueOf(i, kRecordBytes));
    }
  }

  static constexpr size_t kRecordBytes = 30'000;
  static constexpr int32_t kPartitions = 5;
  static constexpr int kEnough = 60;  // turns in which what waits for no time is done
  FaultWorld world_;
  ManualClock clock_;
  bool full_ = false;
  bool broken_journal_ = false;
};

TEST_F(AroundJournalTest, WhatFillsRunAfterRunIsWrittenOnceAndDurableWithinFlushMs) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 402);
  PassMs(1000);
  EXPECT_EQ(partition.durable_end_offset(), 402);
  const EngineStats stats = engine_->stats();
  EXPECT_GT(stats.around_journal_bytes, stats.encoded_bytes / 10 * 9);
  EXPECT_LT(stats.journal_bytes_written, stats.encoded_bytes / 10);
  CrashAndOpenInWorld();
  EXPECT_EQ(engine_->recovery().damage.size(), 0U);
  ExpectRecords(PartitionOf("t"), 402);
  CloseCleanly();
}

TEST_F(AroundJournalTest, NothingIsDurableBeforeACheckpointKnowsOfIt) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 17);
  PassMs(10);  // what the journal holds is durable, the rest is packed and not flushed
  ASSERT_EQ(partition.durable_end_offset(), 4);
  broken_journal_ = true;
  PassMs(200);
  EXPECT_FALSE(engine_->health().ok());
  EXPECT_EQ(partition.durable_end_offset(), 4);
  EXPECT_EQ(ReadFrom(partition, 0).size(), 4U);
  broken_journal_ = false;
  CrashAndOpenInWorld();
  ExpectRecords(PartitionOf("t"), 4);
}

TEST_F(AroundJournalTest, ADurableRecordBehindThemWaitsForNoTime) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 30);
  for (int i = 0; i < 6; ++i) Poll();
  ASSERT_LT(partition.durable_end_offset(), 28);  // packed, and not flushed
  AppendNext(partition, Durability::durable);
  AppendInBulk(partition, 1);
  for (int i = 0; i < kEnough; ++i) Poll();
  EXPECT_GE(partition.durable_end_offset(), 31);
  EXPECT_GT(around_bytes(), 0U);
  CrashAndOpenInWorld();
  EXPECT_GE(PartitionOf("t").end_offset(), 31);
  ExpectRecords(PartitionOf("t"), PartitionOf("t").end_offset());
}

TEST_F(AroundJournalTest, ADurableRecordBehindThemTakesAlongWhatIsNotYetPacked) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 30);
  AppendNext(partition, Durability::durable);
  for (int i = 0; i < 3; ++i) Poll();  // one commit
  EXPECT_EQ(partition.durable_end_offset(), 31);
  EXPECT_EQ(around_bytes(), 0U);
  ExpectRecords(partition, 31);
}

TEST_F(AroundJournalTest, WhatGoesByTheJournalBetweenThemHoldsNothingUp) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 17);
  PassMs(300);
  EXPECT_EQ(partition.durable_end_offset(), 16);
  AppendInBulk(partition,
               4);  // a run that took too long is closed: it is the journal's, as the next
  PassMs(100);
  EXPECT_EQ(partition.durable_end_offset(), 16);
  const uint64_t before = around_bytes();
  AppendInBulk(partition, 12);
  PassMs(100);
  EXPECT_EQ(partition.durable_end_offset(), 32);
  EXPECT_GT(around_bytes(), before);
  PassMs(1000);
  ExpectRecords(partition, 33);
}

TEST_F(AroundJournalTest, WhereDurableRecordsComeItIsTheJournal) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendNext(partition, Durability::durable);
  clock_.AdvanceSeconds(9);
  AppendInBulk(partition, 40);
  EXPECT_EQ(around_bytes(), 0U);
  PassMs(1000);
  EXPECT_EQ(around_bytes(), 0U);
  EXPECT_EQ(partition.durable_end_offset(), 41);
  AppendInBulk(partition, 40);
  PassMs(1000);
  EXPECT_GT(around_bytes(), 0U);
  ExpectRecords(partition, 81);
}

TEST_F(AroundJournalTest, WhatFillsSlowlyGoesByTheJournal) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  for (int i = 0; i < 40; ++i) {
    AppendInBulk(partition, 1);
    PassMs(100);
  }
  PassMs(1000);
  EXPECT_EQ(around_bytes(), 0U);
  EXPECT_EQ(partition.durable_end_offset(), 40);
}

// Within flush.ms all the same, though nothing can be packed.
TEST_F(AroundJournalTest, WhatTheDiskHasNoRoomForGoesBackToTheJournal) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 8);
  PassMs(1000);
  full_ = true;
  AppendInBulk(partition, 42);
  const uint64_t before = around_bytes();
  PassMs(1000);
  EXPECT_TRUE(engine_->health().ok());
  EXPECT_EQ(around_bytes(), before);
  EXPECT_EQ(partition.durable_end_offset(), 50);
  Crash();
  full_ = false;
  OpenInWorld();
  ExpectRecords(PartitionOf("t"), 50);
  CloseCleanly();
}

TEST_F(AroundJournalTest, OnAFullDiskAllPartitionsGoBackAtOnce) {
  OpenInWorld();
  TopicConfig config;
  config.flush_ms = 500;
  MakeTopic("t", config, kPartitions);
  for (int32_t i = 0; i < kPartitions; ++i) AppendInBulk(PartitionOf("t", i), 8);
  PassMs(500);
  full_ = true;
  for (int32_t i = 0; i < kPartitions; ++i) AppendInBulk(PartitionOf("t", i), 9);
  PassMs(500);
  EXPECT_TRUE(engine_->health().ok());
  for (int32_t i = 0; i < kPartitions; ++i)
    EXPECT_EQ(PartitionOf("t", i).durable_end_offset(), 17) << "partition " << i;
}

// What they are compressed to is too little for a flush, and no commit makes a reclaim due.
TEST_F(AroundJournalTest, ASmallJournalDoesNotStopWhatCompressesWell) {
  options_.memory_bytes = 8 * options_.journal_bytes;
  OpenInWorld();
  Partition& durable = MakeTopic("durable");
  for (int i = 0; i < 38; ++i) {  // a third of the ring: less than a reclaim asks for
    AppendNext(durable, Durability::durable);
    Poll();
  }
  for (int i = 0; i < kEnough; ++i) Poll();
  TopicConfig config;
  config.flush_ms = 60'000;
  Partition& partition = MakeTopic("t", config);
  Record record;
  const std::string value(kRecordBytes, 'v');
  record.value = value;
  int turns = 0;
  while (partition.end_offset() < 400) {
    Poll();
    if (partition.Append(record, Durability::buffered).ok()) continue;
    ASSERT_LT(++turns, 1000) << "for ever busy at " << partition.end_offset();
    Poll();
  }
  EXPECT_GT(around_bytes(), 0U);
}

TEST_F(AroundJournalTest, ASegmentThatIsRolledTakesThemAlong) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 17);
  PassMs(10);  // packed, and not flushed
  ASSERT_EQ(partition.durable_end_offset(), 4);
  TopicConfig config;
  config.index_interval_bytes = 8192;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  for (int i = 0; i < kEnough; ++i) Poll();
  EXPECT_EQ(partition.durable_end_offset(), 17);
  EXPECT_GT(around_bytes(), 0U);
  CrashAndOpenInWorld();
  ExpectRecords(PartitionOf("t"), 17);
}

TEST_F(AroundJournalTest, ACloseMakesThemDurable) {
  OpenInWorld();
  Partition& partition = MakeTopic("t");
  AppendInBulk(partition, 35);
  EXPECT_LT(partition.durable_end_offset(), 35);
  CloseCleanly();
  OpenInWorld();
  EXPECT_TRUE(engine_->recovery().clean);
  ExpectRecords(PartitionOf("t"), 35);
}

TEST_F(AroundJournalTest, ATopicCanBeDeletedMeanwhile) {
  OpenInWorld();
  AppendInBulk(MakeTopic("t"), 30);
  Poll();
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  for (int i = 0; i < kEnough; ++i) Poll();
  ASSERT_FALSE(engine_->deletions_pending());
  Partition& other = MakeTopic("t");
  AppendInBulk(other, 402);  // more than the journal holds: nothing of the other one takes its room
  PassMs(1000);
  EXPECT_EQ(other.durable_end_offset(), 402);
  ExpectRecords(other, 402);
  CloseCleanly();
}

}  // namespace
}  // namespace tidemark::testing
