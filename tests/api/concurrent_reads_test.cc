// Reads of the engine for many threads.
#include <chrono>
#include <future>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/concurrent_engine_fixture.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(ConcurrentEngineTest, ReadsGoOnWhereTheLastOneStopped) {
  for (int i = 0; i < 25; ++i) Append(std::to_string(i));
  int64_t offset = 0;
  std::vector<std::string> all;
  while (true) {
    const auto records = Read(offset, 4);
    if (records.empty()) break;
    EXPECT_LE(records.size(), 4u);
    for (const OwnedRecord& record : records) EXPECT_EQ(record.offset, offset++);
    for (const std::string& value : Values(records)) all.push_back(value);
  }
  ASSERT_THAT(all, SizeIs(25));
  for (int i = 0; i < 25; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], std::to_string(i));
}

TEST_F(ConcurrentEngineTest, ReadsOfSegmentsAndOfTheTail) {
  const std::string large(50'000, 'x');
  for (int i = 0; i < 150; ++i) Append(large + std::to_string(i));
  ExpectOk(engine_->Close());
  Open();
  Append("tail");
  EXPECT_THAT(Read(0, 1000), SizeIs(151));
  EXPECT_THAT(Values(Read(150, 1000)), ElementsAre("tail"));
  EXPECT_EQ(Values(Read(77, 1)).at(0), large + "77");
}

TEST_F(ConcurrentEngineTest, AtTheEndThereIsNothingToRead) {
  EXPECT_THAT(Read(0, 10), IsEmpty());
  Append("x");
  EXPECT_THAT(Read(1, 10), IsEmpty());
  EXPECT_THAT(Read(0, 0), IsEmpty());
}

TEST_F(ConcurrentEngineTest, ReadTellsWhatIsWrong) {
  EXPECT_EQ(engine_->Read("none", 0, 0, 1).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Read("t", 9, 0, 1).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Read("t", 0, 5, 1).error().code(), ErrorCode::offset_out_of_range);
  EXPECT_EQ(engine_->Read("t", 0, -1, 1).error().code(), ErrorCode::offset_out_of_range);
}

TEST_F(ConcurrentEngineTest, AReadThatWaitsGetsTheRecordWhenItIsDurable) {
  std::vector<std::future<Result<std::vector<OwnedRecord>>>> readers;
  for (int i = 0; i < 8; ++i) {
    readers.push_back(
        std::async(std::launch::async, [this] { return engine_->Read("t", 0, 0, 10, kForEver); }));
  }
  Append("x");
  for (auto& reader : readers) EXPECT_THAT(Values(*reader.get()), ElementsAre("x"));
}

TEST_F(ConcurrentEngineTest, AReadThatHasWaitedLongEnoughReturnsNothing) {
  const auto records = engine_->Read("t", 0, 0, 10, std::chrono::milliseconds(5));
  ASSERT_TRUE(records.ok());
  EXPECT_THAT(*records, IsEmpty());
}

TEST_F(ConcurrentEngineTest, AReadThatWaitsOnADeletedTopicIsAnswered) {
  ExpectOk(engine_->EnsureTopic("gone", 1));
  auto reader =
      std::async(std::launch::async, [this] { return engine_->Read("gone", 0, 0, 1, kForEver); });
  ExpectOk(engine_->Run([](Engine& engine) { ExpectOk(engine.DeleteTopic("gone")); }));
  EXPECT_EQ(reader.get().error().code(), ErrorCode::unknown_topic);
}

TEST_F(ConcurrentEngineTest, ProvisionalRecordsAreNotShown) {
  TopicConfig config;
  ExpectOk(config.Set("flush.ms", "86400000"));
  ExpectOk(engine_->EnsureTopic("b", 1, config));
  ASSERT_TRUE(engine_->Append("b", 0, Value("x"), Durability::buffered).ok());
  EXPECT_THAT(*engine_->Read("b", 0, 0, 1), IsEmpty());
  ASSERT_TRUE(engine_->Append("b", 0, Value("y"), Durability::durable).ok());
  EXPECT_THAT(Values(*engine_->Read("b", 0, 0, 10)), ElementsAre("x", "y"));
}

TEST_F(ConcurrentEngineTest, OffsetsByTime) {
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 0), 0);  // empty: the end
  for (const int64_t timestamp : {1000, 2000, 1500, 3000}) {
    Record record = Value("x");
    record.timestamp_ms = timestamp;
    ASSERT_TRUE(engine_->Append("t", 0, record).ok());
  }
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 0), 0);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 1000), 0);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 1001), 1);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 2001), 3);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 3001), 4);
  EXPECT_EQ(engine_->OffsetForTimestamp("none", 0, 0).error().code(), ErrorCode::unknown_topic);
}

}  // namespace
}  // namespace tidemark
