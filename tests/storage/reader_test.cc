// Readers that follow while their place moves from memory into one segment after the other.
#include <algorithm>
#include <numeric>
#include <random>

#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

class ReaderTest : public StoreFixture {
 protected:
  // Until there is a batch; whether one was there at once.
  bool NextBatch(Reader& reader) {
    bool at_once = true;
    while (true) {
      const auto state = reader.Next();
      EXPECT_TRUE(state.ok()) << state.error().ToString();
      if (!state.ok() || *state != ReadState::pending) {
        EXPECT_TRUE(state.ok() && *state == ReadState::batch);
        return at_once;
      }
      at_once = false;
      engine_->Poll(std::chrono::milliseconds(100));
    }
  }
  int64_t FirstOffsetOf(Reader& reader) { return (*reader.batch().records.begin()).offset; }
};

// Found by kills under load: a reader that had read a segment, went on in the tail and came back to
// the next segment took the bytes it still held for that one's, and told intact records as lost.
// The tests had found nothing because their readers stayed behind, or their segments were large.
TEST_F(ReaderTest, GoesFromTheTailIntoTheNextSegment) {
  Open();
  TopicConfig config;
  config.segment_bytes = int64_t{64} << 10;
  Partition& partition = MakeTopic("t", config);
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  int64_t next = 0;
  for (int64_t burst : {40'000, 40'000, 40'000}) {
    const int64_t first = next;
    for (const int64_t end = next + burst; next < end; ++next) Append(partition, ValueOf(next));
    PollUntilDurable(partition);
    ExpectInOrder(ReadToEnd(**reader), first, next);
  }
}

// Found by the simulator: a search by time that was in a segment while it was rolled found it too
// old when it came back, kept its place in it, and went to that place in the next segment.
TEST_F(ReaderTest, ASearchByTimeLeavesARolledSegmentForTheBeginningOfTheNext) {
  constexpr int64_t kOld = 1'000;
  constexpr int64_t kNew = 2'000;
  constexpr int64_t kOldRecords = 1'000;
  constexpr int64_t kNewRecords = 40'000;
  TopicConfig config;
  config.segment_bytes = int64_t{64} << 10;
  Open();
  MakeTopic("t", config);
  auto append = [&](int64_t number, int64_t timestamp_ms) {
    const std::string value = ValueOf(number);
    Record record;
    record.value = value;
    record.timestamp_ms = timestamp_ms;
    Append(PartitionOf("t"), record);
  };
  for (int64_t i = 0; i < kOldRecords; ++i) append(i, kOld);
  CloseCleanly();  // all of them stand in the active segment now
  Open();
  Partition& partition = PartitionOf("t");
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  ASSERT_TRUE((*reader)->SeekToTimestamp(kNew).ok());
  for (int opened_then_read = 0; opened_then_read < 2; ++opened_then_read) {
    auto state = (*reader)->Next();
    ASSERT_TRUE(state.ok()) << state.error().ToString();
    ASSERT_EQ(*state, ReadState::pending);
    engine_->Poll(std::chrono::milliseconds(100));
  }
  for (int64_t i = 0; i < kNewRecords; ++i) append(kOldRecords + i, kNew);
  PollUntilDurable(partition);
  ExpectInOrder(ReadToEnd(**reader), kOldRecords, kOldRecords + kNewRecords);
}

// Large batches and small ones, so that the index leads ahead of the wanted one, to it, and before
// it; segments of all sizes.
TEST_F(ReaderTest, FindsEveryOffsetFromAnywhere) {
  TopicConfig config;
  config.compression = Compression::none;
  config.segment_bytes = int64_t{256} << 10;
  int64_t end = 0;
  for (const int64_t burst : {1, 3, 4'000, 1, 1, 20, 700, 2, 3'000, 5}) {
    Open();
    if (end == 0) MakeTopic("t", config);
    for (int64_t i = 0; i < burst; ++i) Append(PartitionOf("t"), ValueOf(end++));
    CloseCleanly();
  }
  Open();
  std::vector<int64_t> offsets(static_cast<size_t>(end));
  std::iota(offsets.begin(), offsets.end(), int64_t{0});
  std::shuffle(offsets.begin(), offsets.end(), std::mt19937_64(1));
  auto reader = engine_->OpenReader(PartitionOf("t"), 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  for (const int64_t offset : offsets) {
    ASSERT_TRUE((*reader)->Seek(offset).ok());
    NextBatch(**reader);
    ASSERT_EQ(FirstOffsetOf(**reader), offset);
    ASSERT_EQ((*(*reader)->batch().records.begin()).value, ValueOf(offset));
  }
  EXPECT_TRUE((*reader)->TakeLost().empty());
}

TEST_F(ReaderTest, ARecordOfTheBatchOpenedLastNeedsNoRead) {
  Open();
  MakeTopic("t");
  for (int64_t i = 0; i < 100; ++i) Append(PartitionOf("t"), ValueOf(i));
  CloseCleanly();
  Open();
  auto reader = engine_->OpenReader(PartitionOf("t"), 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  EXPECT_FALSE(NextBatch(**reader));
  for (const int64_t offset : {50, 3, 99, 0}) {
    ASSERT_TRUE((*reader)->Seek(offset).ok());
    EXPECT_TRUE(NextBatch(**reader)) << offset;
    EXPECT_EQ(FirstOffsetOf(**reader), offset);
  }
}

}  // namespace
}  // namespace tidemark::testing
