// Retention by time, and rolling by time: on a clock that a test moves.
#include <filesystem>
#include <functional>

#include "storage/open.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

class RetentionTimeTest : public StoreFixture {
 protected:
  ~RetentionTimeTest() override { Crash(); }  // before its world goes

  void OpenWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  // A machine that was started anew: its monotonic clock begins elsewhere, its wall clock is wrong.
  void Reboot(int64_t wall_ms) {
    Crash();
    clock_.now_us = 5'000'000;
    clock_.wall_ms = wall_ms;
    OpenWorld();
  }
  void Turn(int turns = 20) {
    for (int i = 0; i < turns; ++i) engine_->Poll(std::chrono::microseconds(0));
  }
  // In steps, so that what is due by time gets its turns.
  void Pass(int64_t seconds) {
    for (int64_t i = 0; i < seconds; ++i) {
      clock_.AdvanceSeconds(1);
      Turn();
    }
  }
  static TopicConfig Config(int64_t retention_seconds, int64_t segment_seconds) {
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 64 << 10;
    config.retention_ms = retention_seconds * 1000;
    config.segment_ms = segment_seconds * 1000;
    return config;
  }
  static TopicConfig RollingOnly(int64_t segment_seconds) {
    TopicConfig config = Config(0, segment_seconds);
    config.retention_ms = -1;
    return config;
  }
  void AppendNow(int64_t count) {
    Partition& partition = PartitionOf("t");
    for (int64_t i = 0; i < count; ++i) {
      const std::string value = ValueOf(partition.end_offset());
      Record record;
      record.value = value;
      ASSERT_TRUE(partition.Append(record, Durability::durable).ok());
      Turn(2);
    }
    Turn();
    ASSERT_EQ(partition.durable_end_offset(), partition.end_offset());
  }
  // Kept for 200 seconds; the first segment, of three records, is 100 seconds old.
  void MakeAgedStore() {
    OpenWorld();
    MakeTopic("t", Config(200, 20));
    AppendNow(3);
    Pass(25);
    AppendNow(1);
    Pass(75);
    CloseCleanly();
  }
  int64_t log_start() { return PartitionOf("t").log_start_offset(); }
  std::vector<int64_t> Segments() const {
    auto bases = storage::ListSegments(io::SystemFiles(), PathOf("t-0"));
    EXPECT_TRUE(bases.ok());
    return *bases;
  }
  void ExpectClean() {
    const auto report = storage::VerifyStore(io::SystemFiles(), {.data_dir = options_.data_dir});
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    for (const storage::Finding& finding : report->findings) ADD_FAILURE() << finding.ToText();
  }

  FaultWorld world_;
  ManualClock clock_;
};

// A partition that has gone quiet keeps nothing for longer than one segment's span too long, and
// nothing goes early, whatever the wall clock says.
TEST_F(RetentionTimeTest, WhatIsOldGoesThoughNothingIsAppended) {
  OpenWorld();
  MakeTopic("t", Config(/*retention_seconds=*/30, /*segment_seconds=*/10));
  AppendNow(3);
  clock_.wall_ms = 0;
  Pass(15);
  AppendNow(2);
  clock_.wall_ms += int64_t{50} * 365 * 24 * 3600 * 1000;
  Pass(14);
  EXPECT_EQ(log_start(), 0);  // 29 seconds
  Pass(12);
  EXPECT_EQ(log_start(), 3);  // the others are 26 seconds old
  ExpectInOrder(ReadFrom(PartitionOf("t"), 3), 3, 5);
  Pass(15);
  EXPECT_EQ(log_start(), 5);
  EXPECT_EQ(Segments(), std::vector<int64_t>{5});  // empty: it tells where the partition goes on
  AppendNow(1);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 5), 5, 6);
  CloseCleanly();
  ExpectClean();
}

// Rolled with nothing behind it, killed, and opened again.
TEST_F(RetentionTimeTest, AfterAQuietRollThePartitionGoesOn) {
  OpenWorld();
  TopicConfig config = RollingOnly(5);
  MakeTopic("t", config);
  AppendNow(4);
  Pass(12);
  EXPECT_EQ(Segments(), (std::vector<int64_t>{0, 4}));
  for (const bool clean : {false, true}) {
    SCOPED_TRACE(clean);
    if (clean) {
      CloseCleanly();
      ExpectClean();
    }
    Reboot(0);
    EXPECT_TRUE(engine_->recovery().damage.empty());
    const int64_t end = PartitionOf("t").end_offset();
    AppendNow(1);
    ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, end + 1);
    Pass(12);
    EXPECT_EQ(Segments().back(), end + 1);
  }
  CloseCleanly();
  ExpectClean();
}

TEST_F(RetentionTimeTest, ABusyPartitionIsRolledByTime) {
  OpenWorld();
  MakeTopic("t", RollingOnly(10));
  for (int i = 0; i < 40; ++i) {
    AppendNow(1);
    Pass(1);
  }
  EXPECT_GE(Segments().size(), 3U);
  EXPECT_LE(Segments().size(), 6U);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 40);
}

// Its seals know when the segments were appended; time goes on where it stood still.
TEST_F(RetentionTimeTest, AReopenedStoreKnowsHowOldItsSegmentsAre) {
  MakeAgedStore();
  ASSERT_EQ(Segments().front(), 0);
  Reboot(/*wall_ms=*/int64_t{100} * 365 * 24 * 3600 * 1000);
  Pass(90);
  EXPECT_EQ(log_start(), 0);  // 190 seconds
  Pass(15);
  EXPECT_EQ(log_start(), 3);
}

TEST_F(RetentionTimeTest, WithoutItsSealASegmentIsAsOldAsTheOpening) {
  MakeAgedStore();
  std::filesystem::remove(storage::SegmentPath(PathOf("t-0"), 0, storage::SegmentFile::seal));
  Reboot(0);
  Pass(195);
  EXPECT_EQ(log_start(), 0);
  Pass(10);
  EXPECT_GE(log_start(), 3);
}

TEST_F(RetentionTimeTest, ALimitThatIsSetLaterHoldsForWhatIsThere) {
  OpenWorld();
  TopicConfig config = RollingOnly(5);
  MakeTopic("t", config);
  AppendNow(3);
  Pass(20);
  EXPECT_EQ(log_start(), 0);
  config.retention_ms = 10'000;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  Pass(2);
  EXPECT_EQ(log_start(), 3);
}

}  // namespace
}  // namespace tidemark::testing
