// A journal that has no room for the next commit, on a disk that has none for segments.
#include <cerrno>
#include <string>
#include <vector>

#include "storage/open.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

class FullJournalTest : public StoreFixture {
 protected:
  FullJournalTest() {
    options_.memory_bytes = 4 * options_.journal_bytes;
    world_.plan = [this](Call call, const std::string& path) {
      return full_ && call == Call::write && path.ends_with(".log") ? ENOSPC : 0;
    };
  }
  ~FullJournalTest() override { engine_.reset(); }  // before its world

  void OpenInWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  uint64_t PercentOfTheRing(uint64_t percent) const {
    return engine_->stats().journal_capacity_bytes / 100 * percent;
  }
  void Poll() { engine_->Poll(std::chrono::milliseconds(0)); }
  void AppendNext() {
    Partition& partition = PartitionOf("t");
    AppendDurably(partition, ValueOf(partition.end_offset(), kRecordBytes));
  }
  void AppendUntilUsed(uint64_t percent) {
    while (engine_->stats().journal_used_bytes < PercentOfTheRing(percent)) AppendNext();
  }
  // 14% of the ring are free before what is used and some 16% behind it: neither place takes the
  // one record of "large", and the records behind it wait, though there would be room for them. A
  // run of "t" is durable up to `durable_`, and holds more.
  void FillJournal() {
    OpenInWorld();
    MakeTopic("t");
    MakeTopic("large");
    AppendUntilUsed(14);
    CloseCleanly();
    OpenInWorld();
    full_ = true;
    AppendUntilUsed(69);
    AppendNext();
    Partition& partition = PartitionOf("t");
    durable_ = partition.durable_end_offset();
    Record record;
    const std::string large = ValueOf(0, PercentOfTheRing(18));
    record.value = large;
    const auto appended = PartitionOf("large").Append(record, Durability::durable);
    ASSERT_TRUE(appended.ok()) << appended.error().ToString();
    const std::string value = ValueOf(durable_, kRecordBytes);
    record.value = value;
    ASSERT_TRUE(partition.Append(record, Durability::durable).ok());
    for (int i = 0; i < 10; ++i) Poll();
    ASSERT_TRUE(engine_->health().ok());
    ASSERT_EQ(partition.durable_end_offset(), durable_) << "the journal is not full";
  }
  void ExpectRecords(int64_t end) {
    const auto records = ReadFrom(PartitionOf("t"), 0);
    ASSERT_EQ(records.size(), static_cast<size_t>(end));
    for (int64_t i = 0; i < end; ++i) {
      ASSERT_EQ(records[static_cast<size_t>(i)].offset, i);
      ASSERT_EQ(records[static_cast<size_t>(i)].value, ValueOf(i, kRecordBytes));
    }
  }
  // Where the batches of "t" end.
  std::vector<int64_t> BatchEnds() {
    std::vector<int64_t> ends;
    auto reader = engine_->OpenReader(PartitionOf("t"), 0);
    EXPECT_TRUE(reader.ok());
    while (true) {
      const auto state = (*reader)->Next();
      EXPECT_TRUE(state.ok());
      if (!state.ok() || *state == ReadState::at_end) return ends;
      if (*state == ReadState::batch) ends.push_back((*reader)->batch().next_offset);
      if (*state == ReadState::pending) Poll();
    }
  }

  static constexpr size_t kRecordBytes = 30'000;
  FaultWorld world_;
  ManualClock clock_;
  bool full_ = false;
  int64_t durable_ = 0;
};

TEST_F(FullJournalTest, ClosingTellsThatBothAreFullAndKeepsWhatIsDurable) {
  FillJournal();
  const Status closed = engine_->Close();
  ASSERT_FALSE(closed.ok());
  EXPECT_EQ(closed.error().code(), ErrorCode::disk_full);
  EXPECT_NE(closed.error().message().find("the journal is full"), std::string::npos)
      << closed.error().ToString();
  Crash();
  full_ = false;
  OpenInWorld();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_EQ(PartitionOf("large").end_offset(), 0);
  EXPECT_EQ(PartitionOf("t").end_offset(), durable_);
  ExpectRecords(durable_);
  CloseCleanly();
}

TEST_F(FullJournalTest, WhatIsDurableIsPackedWithoutTheRestOnceThereIsRoom) {
  FillJournal();
  full_ = false;
  clock_.AdvanceSeconds(2);  // packing is tried again
  Partition& partition = PartitionOf("t");
  for (int i = 0; i < 1'000 && partition.durable_end_offset() < partition.end_offset(); ++i) Poll();
  ASSERT_EQ(partition.durable_end_offset(), partition.end_offset());
  ASSERT_EQ(PartitionOf("large").durable_end_offset(), 1);
  ExpectRecords(durable_ + 1);
  CloseCleanly();
  OpenInWorld();
  ExpectRecords(durable_ + 1);
  const std::vector<int64_t> ends = BatchEnds();
  ASSERT_GE(ends.size(), 2U);
  EXPECT_EQ(ends.back(), durable_ + 1);
  EXPECT_EQ(ends[ends.size() - 2], durable_);
}

}  // namespace
}  // namespace tidemark::testing
