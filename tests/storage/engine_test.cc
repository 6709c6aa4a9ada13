// What an engine promises, seen through the public API.
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

using EngineTest = StoreFixture;

TEST_F(EngineTest, ARecordComesBackAsItWasAppended) {
  Open();
  Partition& partition = MakeTopic("t");
  const Header headers[] = {{"mqtt.client", "thermo-17"}, {"empty", ""}, {"null", std::nullopt}};
  Record record;
  record.key = std::string_view("k\0ey", 4);
  record.value = "21.37";
  record.timestamp_ms = -5;  // before 1970
  record.headers = headers;
  EXPECT_EQ(Append(partition, record), 0);
  Record empty;
  empty.timestamp_ms = 7;
  EXPECT_EQ(Append(partition, empty), 1);
  PollUntilDurable(partition);
  for (int round = 0; round < 3; ++round) {
    const auto records = ReadFrom(PartitionOf("t"), 0);
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].key, std::string("k\0ey", 4));
    EXPECT_EQ(records[0].value, "21.37");
    EXPECT_EQ(records[0].timestamp_ms, -5);
    ASSERT_EQ(records[0].headers.size(), 3u);
    EXPECT_EQ(records[0].headers[1].second, "");
    EXPECT_EQ(records[0].headers[2].second, std::nullopt);
    EXPECT_EQ(records[1].key, std::nullopt);
    EXPECT_EQ(records[1].value, std::nullopt);
    if (round == 0) CrashAndOpen();  // from the journal
    if (round == 1) {                // from a segment
      CloseCleanly();
      Open();
      EXPECT_TRUE(engine_->recovery().clean);
    }
  }
}

TEST_F(EngineTest, ReadersAreNotShownWhatIsNotDurable) {
  Open();
  Partition& partition = MakeTopic("t");
  AppendDurably(partition, ValueOf(0));
  Append(partition, ValueOf(1), Durability::buffered);
  EXPECT_EQ(partition.end_offset(), 2);
  EXPECT_EQ(partition.durable_end_offset(), 1);
  ExpectInOrder(ReadFrom(partition, 0), 0, 1);
}

TEST_F(EngineTest, PollNamesThePartitionsWhoseDurableEndMoved) {
  Open();
  Partition& first = MakeTopic("t", {}, 2);
  Partition& second = PartitionOf("t", 1);
  Append(second, "x");
  std::vector<Partition*> moved;
  while (second.durable_end_offset() == 0) {
    for (Partition* partition : engine_->Poll(std::chrono::milliseconds(100)))
      moved.push_back(partition);
  }
  ASSERT_EQ(moved.size(), 1u);
  EXPECT_EQ(moved[0], &second);
  EXPECT_EQ(first.durable_end_offset(), 0);
  EXPECT_TRUE(engine_->Poll(std::chrono::milliseconds(0)).empty());
}

TEST_F(EngineTest, ADurableRecordCarriesAlongWhatWasAppendedBeforeIt) {
  Open();
  Partition& partition = MakeTopic("t");
  for (int i = 0; i < 10; ++i) Append(partition, ValueOf(i), Durability::buffered);
  AppendDurably(partition, ValueOf(10));
  CrashAndOpen();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 11);
}

TEST_F(EngineTest, BufferedRecordsBecomeDurableByThemselves) {
  Open();
  TopicConfig config;
  ASSERT_TRUE(config.Set("flush.ms", "20").ok());
  Partition& partition = MakeTopic("t", config);
  Append(partition, ValueOf(0), Durability::buffered);
  PollUntilDurable(partition);
  CrashAndOpen();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 1);
}

TEST_F(EngineTest, TheJournalIsRecycledManyTimes) {
  Open();
  Partition& partition = MakeTopic("t");
  constexpr int64_t kRecords = 200'000;  // 20 MB through a journal of 4
  for (int64_t i = 0; i < kRecords; ++i) {
    Append(partition, ValueOf(i), Durability::buffered);
    if (i % 100 == 0) engine_->Poll(std::chrono::milliseconds(0));
    EXPECT_LE(engine_->stats().memory_bytes, options_.memory_bytes);
  }
  PollUntilDurable(partition);
  EXPECT_GT(engine_->stats().checkpoints, 3u);
  ExpectInOrder(ReadFrom(partition, 0), 0, kRecords);
  CrashAndOpen();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, kRecords);
  CloseCleanly();
  Open();
  EXPECT_EQ(engine_->recovery().commits_replayed, 0u);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, kRecords);
}

TEST_F(EngineTest, CrashesOneAfterTheOtherLoseNothingDurable) {
  Open();
  MakeTopic("t");
  int64_t next = 0;
  for (int round = 0; round < 20; ++round) {
    Partition& partition = PartitionOf("t");
    ASSERT_EQ(partition.end_offset(), next);
    const int64_t durable_until = next + int64_t{300} * (round + 1);
    while (next < durable_until) {
      Append(partition, ValueOf(next++),
             round % 2 == 0 ? Durability::durable : Durability::buffered);
      if (next % 7 == 0) engine_->Poll(std::chrono::milliseconds(0));
    }
    PollUntilDurable(partition);
    CrashAndOpen();
    EXPECT_TRUE(engine_->recovery().damage.empty());
  }
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, next);
}

// The commit that witnesses the last one may be what makes a checkpoint due.
TEST_F(EngineTest, ItClosesWithAJournalThatIsJustBelowTheMarkOfAReclaim) {
  Open();
  Partition& partition = MakeTopic("t");
  constexpr uint64_t kCommitBytes = 4096;
  int64_t records = 0;
  auto next_is_above = [this] {
    const EngineStats stats = engine_->stats();
    return (stats.journal_used_bytes + kCommitBytes) * 8 > stats.journal_capacity_bytes * 3;
  };
  while (!next_is_above()) AppendDurably(partition, ValueOf(records++));
  CloseCleanly();
  Open();
  EXPECT_TRUE(engine_->recovery().clean);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, records);
}

TEST_F(EngineTest, QuietPartitionsAreCarriedForward) {
  Open();
  MakeTopic("busy");
  MakeTopic("quiet", {}, 50);
  for (int i = 0; i < 50; ++i) Append(PartitionOf("quiet", i), ValueOf(0));
  for (int i = 0; i < 50; ++i) PollUntilDurable(PartitionOf("quiet", i));
  // Small durable commits: the padding alone fills the journal several times.
  Partition& busy = PartitionOf("busy");
  for (int64_t i = 0; i < 5'000; ++i) AppendDurably(busy, ValueOf(i));
  EXPECT_GT(engine_->stats().carried_bytes, 0u);
  EXPECT_LT(engine_->stats().carried_bytes, engine_->stats().journal_bytes_written / 4);
  CrashAndOpen();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  for (int i = 0; i < 50; ++i) ExpectInOrder(ReadFrom(PartitionOf("quiet", i), 0), 0, 1);
  ExpectInOrder(ReadFrom(PartitionOf("busy"), 0), 0, 5'000);
}

TEST_F(EngineTest, ManyPartitionsShareOneCommit) {
  Open();
  MakeTopic("t", {}, 200);
  for (int i = 0; i < 200; ++i) Append(PartitionOf("t", i), ValueOf(0));
  const uint64_t before = engine_->stats().commits;
  for (int i = 0; i < 200; ++i) PollUntilDurable(PartitionOf("t", i));
  EXPECT_EQ(engine_->stats().commits, before + 1);
  CrashAndOpen();
  for (int i = 0; i < 200; ++i) ExpectInOrder(ReadFrom(PartitionOf("t", i), 0), 0, 1);
}

TEST_F(EngineTest, SegmentsRollBySizeAndAreReadAcross) {
  Open();
  TopicConfig config;
  ASSERT_TRUE(config.Set("segment.bytes", "1048576").ok());
  Partition& partition = MakeTopic("t", config);
  constexpr int64_t kRecords = 50'000;
  for (int64_t i = 0; i < kRecords; ++i) {
    Record record;
    const std::string value = ValueOf(i);
    record.value = value;
    record.timestamp_ms = 1'000 + i * 10;
    Append(partition, record, Durability::buffered);
    if (i % 100 == 0) engine_->Poll(std::chrono::milliseconds(0));
  }
  CloseCleanly();
  Open();
  Partition& reopened = PartitionOf("t");
  ExpectInOrder(ReadFrom(reopened, 0), 0, kRecords);
  ExpectInOrder(ReadFrom(reopened, 33'333), 33'333, kRecords);
  EXPECT_TRUE(ReadFrom(reopened, kRecords).empty());
  EXPECT_EQ(engine_->OpenReader(reopened, kRecords + 1).error().code(),
            ErrorCode::offset_out_of_range);
  for (int64_t wanted : {0L, 1'000L, 1'001L, 250'015L, 1'000 + (kRecords - 1) * 10}) {
    auto reader = engine_->OpenReader(reopened, 0);
    ASSERT_TRUE((*reader)->SeekToTimestamp(wanted).ok());
    const int64_t first = std::max<int64_t>(0, (wanted - 1'000 + 9) / 10);
    ExpectInOrder(ReadToEnd(**reader), first, kRecords);
  }
  auto reader = engine_->OpenReader(reopened, 0);
  ASSERT_TRUE((*reader)->SeekToTimestamp(1'000 + kRecords * 10).ok());
  EXPECT_TRUE(ReadToEnd(**reader).empty());
}

TEST_F(EngineTest, ATimestampIsFoundInTheTailToo) {
  Open();
  Partition& partition = MakeTopic("t");
  for (int64_t i = 0; i < 100; ++i) {
    Record record;
    const std::string value = ValueOf(i);
    record.value = value;
    record.timestamp_ms = i * 10;
    Append(partition, record);
  }
  PollUntilDurable(partition);
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE((*reader)->SeekToTimestamp(455).ok());
  ExpectInOrder(ReadToEnd(**reader), 46, 100);
}

TEST_F(EngineTest, AReaderFollowsWhileWritingGoesOn) {
  Open();
  TopicConfig config;
  ASSERT_TRUE(config.Set("segment.bytes", "1048576").ok());
  Partition& partition = MakeTopic("t", config);
  auto reader = engine_->OpenReader(partition, 0);
  std::vector<ReadRecord> seen;
  constexpr int64_t kRecords = 60'000;
  for (int64_t i = 0; i < kRecords; ++i) {
    Append(partition, ValueOf(i), Durability::buffered);
    if (i % 500 != 0) continue;
    engine_->Poll(std::chrono::milliseconds(0));
    for (ReadRecord& record : ReadToEnd(**reader)) seen.push_back(std::move(record));
  }
  PollUntilDurable(partition);
  for (ReadRecord& record : ReadToEnd(**reader)) seen.push_back(std::move(record));
  ExpectInOrder(seen, 0, kRecords);
}

TEST_F(EngineTest, MemoryIsBoundedByTheOption) {
  Open();
  Partition& partition = MakeTopic("t");
  const std::string value = ValueOf(1, 10'000);
  Record record;
  record.value = value;
  // Without a poll nothing can leave the memory.
  Result<int64_t> offset = 0;
  while (offset.ok()) offset = partition.Append(record, Durability::buffered);
  EXPECT_EQ(offset.error().code(), ErrorCode::busy);
  EXPECT_LE(engine_->stats().memory_bytes, options_.memory_bytes);
  while (!partition.Append(record, Durability::buffered).ok())
    engine_->Poll(std::chrono::milliseconds(100));
}

TEST_F(EngineTest, ARecordThatIsTooLargeIsRefusedAndNothingElseHappens) {
  Open();
  TopicConfig config;
  ASSERT_TRUE(config.Set("max.message.bytes", "2000").ok());
  Partition& partition = MakeTopic("t", config);
  Record record;
  const std::string value(2'000, 'x');
  record.value = value;
  EXPECT_EQ(partition.Append(record).error().code(), ErrorCode::record_too_large);
  EXPECT_EQ(partition.end_offset(), 0);
}

TEST_F(EngineTest, TheLargestRecordThatIsTakenComesBack) {
  options_.journal_bytes = uint64_t{64} << 20;
  options_.memory_bytes = uint64_t{16} << 20;
  Open();
  Partition& partition = MakeTopic("t");
  const std::string value = ValueOf(7, 1'048'000);
  for (int i = 0; i < 5; ++i) AppendDurably(partition, value);
  CrashAndOpen();
  CloseCleanly();
  Open();
  const auto records = ReadFrom(PartitionOf("t"), 0);
  ASSERT_EQ(records.size(), 5u);
  for (const ReadRecord& record : records) EXPECT_EQ(record.value, value);
}

TEST_F(EngineTest, LogAppendTimeStampsWithArrival) {
  Open();
  TopicConfig config;
  ASSERT_TRUE(config.Set("message.timestamp.type", "LogAppendTime").ok());
  Partition& partition = MakeTopic("t", config);
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  for (int i = 0; i < 10; ++i) AppendDurably(partition, ValueOf(i));
  CrashAndOpen();
  CloseCleanly();
  Open();
  const auto records = ReadFrom(PartitionOf("t"), 0);
  ExpectInOrder(records, 0, 10);
  for (const ReadRecord& record : records) EXPECT_GE(record.timestamp_ms, now - 1'000);
}

TEST_F(EngineTest, ASecondWriterIsToldWhoHasTheFolder) {
  Open();
  auto second = Engine::Open(options_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), ErrorCode::locked);
  EXPECT_NE(second.error().message().find(std::to_string(getpid())), std::string::npos)
      << second.error().message();
}

TEST_F(EngineTest, OptionsAreChecked) {
  options_.journal_bytes = kMinJournalBytes - 1;
  EXPECT_EQ(Engine::Open(options_).error().code(), ErrorCode::invalid_argument);
  options_.journal_bytes = kMinJournalBytes;
  options_.create_if_missing = false;
  EXPECT_EQ(Engine::Open(options_).error().code(), ErrorCode::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(options_.data_dir));
}

TEST_F(EngineTest, ARecordBeyondTheByteBudgetIsRefused) {
  options_.store_bytes = uint64_t{32} << 20;
  Open();
  Partition& partition = MakeTopic("t");
  Record record;
  const std::string value = ValueOf(3, 10'000);
  record.value = value;
  Result<int64_t> offset = 0;
  int64_t accepted = 0;
  while (true) {
    offset = partition.Append(record, Durability::buffered);
    if (offset.ok()) {
      ++accepted;
    } else if (offset.error().code() != ErrorCode::busy) {
      break;
    }
    engine_->Poll(std::chrono::milliseconds(offset.ok() ? 0 : 100));
  }
  EXPECT_EQ(offset.error().code(), ErrorCode::disk_full);
  CloseCleanly();
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.data_dir)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  EXPECT_LE(bytes, options_.store_bytes);
  EXPECT_GT(accepted * 10'000, static_cast<int64_t>(options_.store_bytes) / 2);
  Open();
  EXPECT_EQ(PartitionOf("t").end_offset(), accepted);
}

}  // namespace
}  // namespace tidemark::testing
