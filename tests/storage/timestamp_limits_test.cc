// message.timestamp.before.max.ms and .after.max.ms: what a device says that cannot be is not
// believed, and not thrown away.
#include "storage/open.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

constexpr int64_t kBeforeMs = 60'000;
constexpr int64_t kAfterMs = 5'000;

class TimestampLimitsTest : public StoreFixture {
 protected:
  ~TimestampLimitsTest() override { Crash(); }  // before its world goes

  Partition& Make(const TopicConfig& config) {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    EXPECT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    return MakeTopic("t", config);
  }
  static TopicConfig Limits(int64_t before_max_ms, int64_t after_max_ms) {
    TopicConfig config;
    config.timestamp_before_max_ms = before_max_ms;
    config.timestamp_after_max_ms = after_max_ms;
    return config;
  }
  ReadRecord AppendAndRead(Partition& partition, const Record& record) {
    const int64_t offset = Append(partition, record);
    PollUntilDurable(partition);
    auto reader = engine_->OpenReader(partition, offset);
    EXPECT_TRUE(reader.ok()) << reader.error().ToString();
    const std::vector<ReadRecord> read = ReadToEnd(**reader);
    EXPECT_EQ(read.size(), 1U);
    return read.empty() ? ReadRecord() : read.front();
  }
  void ExpectBelieved(Partition& partition, int64_t timestamp_ms) {
    const ReadRecord read = AppendAndRead(partition, At(timestamp_ms));
    EXPECT_EQ(read.timestamp_ms, timestamp_ms);
    EXPECT_TRUE(read.headers.empty());
  }
  void ExpectArrival(Partition& partition, int64_t timestamp_ms) {
    const ReadRecord read = AppendAndRead(partition, At(timestamp_ms));
    EXPECT_EQ(read.timestamp_ms, clock_.wall_ms);
    ASSERT_EQ(read.headers.size(), 1U);
    EXPECT_EQ(read.headers[0].first, kOwnTimestampHeader);
    EXPECT_EQ(read.headers[0].second, std::to_string(timestamp_ms));
  }
  static Record At(int64_t timestamp_ms) {
    Record record;
    record.value = "v";
    record.timestamp_ms = timestamp_ms;
    return record;
  }

  FaultWorld world_;
  ManualClock clock_;
};

TEST_F(TimestampLimitsTest, WhatIsInRangeIsKeptAndWhatIsNotComesWithItsArrival) {
  Partition& partition = Make(Limits(kBeforeMs, kAfterMs));
  const int64_t now_ms = clock_.wall_ms;
  ExpectBelieved(partition, now_ms);
  ExpectBelieved(partition, now_ms - kBeforeMs);
  ExpectBelieved(partition, now_ms + kAfterMs);
  ExpectArrival(partition, now_ms - kBeforeMs - 1);
  ExpectArrival(partition, now_ms + kAfterMs + 1);
  ExpectArrival(partition, 0);
  ExpectArrival(partition, INT64_MIN + 1);
  ExpectArrival(partition, INT64_MAX);
}

TEST_F(TimestampLimitsTest, EachSideHasItsOwnLimit) {
  Partition& past = Make(Limits(kBeforeMs, kNoTimestampLimit));
  ExpectBelieved(past, INT64_MAX);
  ExpectArrival(past, 0);
  Partition& future = MakeTopic("future", Limits(kNoTimestampLimit, kAfterMs));
  ExpectBelieved(future, INT64_MIN + 1);
  ExpectArrival(future, clock_.wall_ms + kAfterMs + 1);
}

TEST_F(TimestampLimitsTest, TheClockIsTheGatewaysWhateverItSays) {
  Partition& partition = Make(Limits(kBeforeMs, kAfterMs));
  const int64_t true_ms = clock_.wall_ms;
  clock_.wall_ms = 0;  // 1970
  ExpectArrival(partition, true_ms);
  clock_.wall_ms = true_ms;
  ExpectBelieved(partition, true_ms);
}

TEST_F(TimestampLimitsTest, ItsOtherHeadersStayBeforeIt) {
  Partition& partition = Make(Limits(kBeforeMs, kAfterMs));
  const Header header{"h", "1"};
  Record record = At(12);
  record.key = "k";
  record.headers = {&header, 1};
  const ReadRecord read = AppendAndRead(partition, record);
  EXPECT_EQ(read.key, "k");
  EXPECT_EQ(read.value, "v");
  ASSERT_EQ(read.headers.size(), 2U);
  EXPECT_EQ(read.headers[0].first, "h");
  EXPECT_EQ(read.headers[1].second, "12");
}

TEST_F(TimestampLimitsTest, UnderLogAppendTimeThereIsNothingToBelieve) {
  TopicConfig config = Limits(0, 0);
  config.timestamp_type = TimestampType::log_append_time;
  const ReadRecord read = AppendAndRead(Make(config), At(12));
  EXPECT_EQ(read.timestamp_ms, clock_.wall_ms);
  EXPECT_TRUE(read.headers.empty());
}

}  // namespace
}  // namespace tidemark::testing
