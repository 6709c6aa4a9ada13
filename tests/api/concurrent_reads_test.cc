// Reads of the engine for many threads.
#include <chrono>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "record/batch.h"
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

// A log of batches of a few records each, of which one is damaged while nobody has it open.
class DamagedReadsTest : public ConcurrentEngineTest {
 protected:
  static constexpr int64_t kRecords = 60;
  static int64_t TimestampOf(int64_t offset) { return 1'000'000 + offset; }

  void MakeLog() {
    for (int64_t i = 0; i < kRecords; ++i) {
      const std::string value = std::string(50'000, 'x') + std::to_string(i);
      Record record = Value(value);
      record.timestamp_ms = TimestampOf(i);
      ASSERT_TRUE(engine_->Append("t", 0, record).ok());
    }
    ExpectOk(engine_->Close());
  }
  // The offsets of the batch that is damaged.
  std::pair<int64_t, int64_t> DamageBatchOf(int64_t offset) {
    const std::string path = options_.data_dir + "/t-0/00000000000000000000.log";
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    const std::string log{std::istreambuf_iterator<char>(file), {}};
    record::BatchHeader header;
    for (size_t at = 0; at < log.size(); at += header.total_bytes()) {
      header = *record::DecodeBatchHeader(base::AsBytes(log).subspan(at));
      if (header.next_offset() <= offset) continue;
      file.clear();
      file.seekp(static_cast<std::streamoff>(at + header.total_bytes() / 2));
      file << "damaged";
      return {header.base_offset, header.next_offset()};
    }
    ADD_FAILURE() << "no batch holds " << offset;
    return {0, 0};
  }
  static std::vector<int64_t> Offsets(const std::vector<OwnedRecord>& records) {
    std::vector<int64_t> offsets;
    for (const OwnedRecord& record : records) offsets.push_back(record.offset);
    return offsets;
  }
};

TEST_F(DamagedReadsTest, ReadsPassOverTheDamageAndTheOffsetsTellOfIt) {
  MakeLog();
  const auto [first, end] = DamageBatchOf(31);
  Open();
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < kRecords; ++i) {
    if (i < first || i >= end) kept.push_back(i);
  }
  ASSERT_LT(kept.size(), static_cast<size_t>(kRecords));
  EXPECT_EQ(Offsets(Read(0, 1'000)), kept);
  EXPECT_THAT(Offsets(Read(first, 1)), ElementsAre(end));
  EXPECT_THAT(Offsets(Read(first - 1, 2)), ElementsAre(first - 1, end));
  EXPECT_THAT(Offsets(Read(end, 1)), ElementsAre(end));
  std::vector<int64_t> in_pieces;  // each goes on behind what the last one has told
  for (int64_t next = 0; next < kRecords; next = in_pieces.back() + 1) {
    const auto records = Read(next, 7);
    ASSERT_THAT(records, ::testing::Not(IsEmpty()));
    for (const int64_t offset : Offsets(records)) in_pieces.push_back(offset);
  }
  EXPECT_EQ(in_pieces, kept);
}

TEST_F(DamagedReadsTest, ASearchByTimeFindsWhatComesBehindTheDamage) {
  MakeLog();
  const auto [first, end] = DamageBatchOf(31);
  Open();
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, TimestampOf(first - 1)), first - 1);
  for (int64_t wanted = first; wanted <= end; ++wanted)
    EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, TimestampOf(wanted)), end);
}

// Nobody waits for records that are not there.
TEST_F(DamagedReadsTest, BehindADamagedEndThereIsNothingUntilMoreComes) {
  MakeLog();
  const auto [first, end] = DamageBatchOf(kRecords - 1);
  ASSERT_EQ(end, kRecords);
  Open();
  EXPECT_THAT(Read(first, 10), IsEmpty());
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, TimestampOf(first)), kRecords);
  auto reader = std::async(std::launch::async, [this, offset = first] {
    return engine_->Read("t", 0, offset, 10, kForEver);
  });
  EXPECT_EQ(Append("more"), kRecords);
  EXPECT_THAT(Offsets(*reader.get()), ElementsAre(kRecords));
}

}  // namespace
}  // namespace tidemark
