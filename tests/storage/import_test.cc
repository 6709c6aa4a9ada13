// Taking over what Kafka has written: batch by batch as it is, all or nothing.
#include "storage/import.h"

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <snappy.h>

#include "base/crc32c.h"
#include "base/uuid.h"
#include "storage/manifest.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/record/arbitrary.h"
#include "tests/support/fault_world.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kTimeMs = 1'732'272'000'000;

// Batches as a broker leaves them.
struct KafkaBatch {
  record::BatchHeader header;
  std::vector<std::byte> bytes;
};

void Reseal(KafkaBatch* batch) {
  batch->header.batch_length =
      static_cast<int32_t>(batch->bytes.size() - record::kBatchLengthOverhead);
  record::EncodeBatchHeader(batch->header, batch->bytes.data());
  batch->header.crc = base::Crc32c(base::ByteSpan(batch->bytes).subspan(record::kCrcCoversFrom));
  record::EncodeBatchHeader(batch->header, batch->bytes.data());
}

// `count` records from `base_offset` on, of an idempotent producer, under leader epoch 5.
KafkaBatch BatchAt(int64_t base_offset, int count, int16_t attributes = 0) {
  std::vector<record::OwnedRecord> records;
  for (int i = 0; i < count; ++i) {
    record::OwnedRecord record;
    record.offset = base_offset + i;
    record.timestamp_ms = kTimeMs + record.offset;
    record.key = "key-" + std::to_string(record.offset % 3);
    record.value = "value " + std::to_string(record.offset);
    records.push_back(record);
  }
  KafkaBatch batch;
  record::BatchHeader header = record::HeaderFor(records, base_offset);
  header.leader_epoch = 5;
  header.producer_id = 4000;
  header.producer_epoch = 1;
  header.base_sequence = static_cast<int32_t>(base_offset);
  header.attributes = attributes;
  const auto encoded = record::EncodeAll(records, base_offset, header.base_timestamp_ms);
  batch.header =
      *record::AppendBatch(header, encoded, record::Codec::none, 0, nullptr, &batch.bytes);
  return batch;
}

KafkaBatch SnappyBatchAt(int64_t base_offset, int count) {
  KafkaBatch batch = BatchAt(base_offset, count);
  const std::string plain(
      base::AsText(base::ByteSpan(batch.bytes).subspan(record::kBatchHeaderBytes)));
  std::string compressed;
  snappy::Compress(plain.data(), plain.size(), &compressed);
  const base::ByteSpan bytes = base::AsBytes(compressed);
  batch.bytes.resize(record::kBatchHeaderBytes);
  batch.bytes.insert(batch.bytes.end(), bytes.begin(), bytes.end());
  batch.header.attributes = static_cast<int16_t>(record::Codec::snappy);
  Reseal(&batch);
  return batch;
}

constexpr int16_t kMarker = record::kControlBit | record::kTransactionalBit;

class ImportTest : public StoreFixture {
 protected:
  ImportTest() : logs_(directory_.File("kafka")) { std::filesystem::create_directory(logs_); }

  void Write(const std::string& name, std::string_view content) {
    std::ofstream(io::JoinPath(logs_, name), std::ios::binary) << content;
  }
  // A partition's folder with one segment a list of batches, named after its first offset.
  void MakePartition(const std::string& name,
                     const std::map<int64_t, std::vector<KafkaBatch>>& segments,
                     const std::string& topic_id = kTopicId) {
    const std::string folder = logs_ + "/" + name;
    std::filesystem::create_directory(folder);
    if (!topic_id.empty())
      Write(name + "/partition.metadata", "version: 0\ntopic_id: " + topic_id + "\n");
    for (const auto& [base, batches] : segments) {
      std::string log;
      for (const KafkaBatch& batch : batches) log += base::AsText(batch.bytes);
      Write(storage::SegmentPath(name, base, storage::SegmentFile::log), log);
    }
  }

  Result<storage::ImportReport> TryImport(std::vector<std::string> paths = {},
                                          const TopicConfig& config = {}) {
    if (paths.empty()) paths = {logs_};
    return storage::ImportFromKafka(world_.environment(), options_, {paths, config});
  }
  storage::ImportReport Import(const TopicConfig& config = {}) {
    auto report = TryImport({}, config);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *report : storage::ImportReport();
  }
  void ExpectRefused(ErrorCode code, const std::string& text,
                     const std::vector<std::string>& paths = {}) {
    const auto report = TryImport(paths);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code(), code) << report.error().ToString();
    EXPECT_THAT(report.error().message(), HasSubstr(text));
  }
  void ExpectInOrderOnDisk() {
    storage::VerifyOptions verify;
    verify.data_dir = options_.data_dir;
    verify.deep = true;
    const auto report = storage::VerifyStore(io::SystemFiles(), verify);
    ASSERT_TRUE(report.ok());
    for (const storage::Finding& finding : report->findings) ADD_FAILURE() << finding.ToText();
  }

  static std::vector<int64_t> OffsetsOf(const std::vector<ReadRecord>& records) {
    std::vector<int64_t> offsets;
    for (const ReadRecord& record : records) {
      EXPECT_EQ(record.value, "value " + std::to_string(record.offset));
      EXPECT_EQ(record.timestamp_ms, kTimeMs + record.offset);
      offsets.push_back(record.offset);
    }
    return offsets;
  }
  std::vector<int64_t> ReadOffsets(const std::string& topic, int32_t partition = 0,
                                   std::vector<LostRange>* lost = nullptr) {
    Partition& from = PartitionOf(topic, partition);
    return OffsetsOf(ReadFrom(from, from.log_start_offset(), lost));
  }
  static std::vector<int64_t> Range(int64_t first, int64_t end) {
    std::vector<int64_t> offsets;
    for (int64_t offset = first; offset < end; ++offset) offsets.push_back(offset);
    return offsets;
  }

  inline static const std::string kTopicId = base::Uuid::FromRandom(11, 12).ToBase64();
  std::string logs_;
  FaultWorld world_;
};

TEST_F(ImportTest, BatchesKeepTheirBytesAndOffsets) {
  const std::vector<KafkaBatch> batches = {BatchAt(0, 10), SnappyBatchAt(10, 10), BatchAt(20, 1)};
  MakePartition("t-0", {{0, batches}});
  const auto report = Import();
  ASSERT_EQ(report.partitions.size(), 1U);
  EXPECT_EQ(report.partitions[0].topic, "t");
  EXPECT_EQ(report.partitions[0].log_start_offset, 0);
  EXPECT_EQ(report.partitions[0].end_offset, 21);
  EXPECT_EQ(report.partitions[0].batches, 3U);
  EXPECT_EQ(report.partitions[0].records, 21U);
  EXPECT_TRUE(report.partitions[0].losses.empty());
  ExpectInOrderOnDisk();

  std::string expected;
  for (KafkaBatch batch : batches) {
    batch.header.leader_epoch = 0;
    record::EncodeBatchHeader(batch.header, batch.bytes.data());
    expected += base::AsText(batch.bytes);
  }
  std::ifstream log(PathOf("t-0/00000000000000000000.log"), std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(log), {}), expected);

  Open();
  EXPECT_TRUE(engine_->recovery().clean);
  EXPECT_EQ(engine_->FindTopic("t")->id(), kTopicId);
  EXPECT_EQ(ReadOffsets("t"), Range(0, 21));
  EXPECT_EQ(AppendDurably(PartitionOf("t"), "next"), 21);
  CrashAndOpen();
  EXPECT_EQ(ReadFrom(PartitionOf("t"), 21).at(0).value, "next");
}

TEST_F(ImportTest, SegmentsAreOfTheTopicsOwnSize) {
  std::vector<KafkaBatch> batches;
  for (int64_t base = 0; base < 4000; base += 40) batches.push_back(BatchAt(base, 40));
  MakePartition("t-0", {{0, batches}});
  TopicConfig config;
  config.segment_bytes = 16384;
  Import(config);
  ExpectInOrderOnDisk();
  EXPECT_TRUE(std::filesystem::exists(PathOf("t-0/00000000000000000000.seal")));
  Open();
  EXPECT_EQ(engine_->FindTopic("t")->config(), config);
  EXPECT_EQ(ReadOffsets("t"), Range(0, 4000));
}

// What a transaction was is not looked at: as Kafka's consumers do by default.
TEST_F(ImportTest, MarkersOfTransactionsAreKeptAndNotShown) {
  MakePartition("t-0", {{0,
                         {BatchAt(0, 2, record::kTransactionalBit), BatchAt(2, 1, kMarker),
                          BatchAt(3, 2), BatchAt(5, 1, kMarker)}}});
  Import();
  ExpectInOrderOnDisk();
  Open();
  EXPECT_EQ(ReadOffsets("t"), (std::vector<int64_t>{0, 1, 3, 4}));
  EXPECT_EQ(OffsetsOf(ReadFromTime(PartitionOf("t"), kTimeMs + 2)), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(PartitionOf("t").durable_end_offset(), 6);
}

TEST_F(ImportTest, OffsetsThatKafkasCompactionHasFreedAreTakenUp) {
  MakePartition("t-0", {{0, {BatchAt(7, 3), BatchAt(20, 2)}}, {30, {BatchAt(31, 1)}}, {40, {}}});
  Import();
  ExpectInOrderOnDisk();
  Open();
  std::vector<int64_t> expected = {7, 8, 9, 20, 21, 31};
  EXPECT_EQ(ReadOffsets("t"), expected);  // and nothing is lost
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 0);
  EXPECT_EQ(PartitionOf("t").durable_end_offset(), 40);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), "next"), 40);
}

TEST_F(ImportTest, AHoleMayBeLargerThanABatchCanTakeUp) {
  constexpr int64_t kFar = int64_t{3} * std::numeric_limits<int32_t>::max() + 17;
  MakePartition("t-0", {{0, {BatchAt(0, 1)}}, {kFar, {BatchAt(kFar, 1)}}});
  Import();
  ExpectInOrderOnDisk();
  Open();
  EXPECT_EQ(ReadOffsets("t"), (std::vector<int64_t>{0, kFar}));
}

// Empty batches for all of it would fill the disk.
TEST_F(ImportTest, AHoleThatNoLogHasIsRefused) {
  constexpr int64_t kFar = std::numeric_limits<int64_t>::max() - 10;
  MakePartition("t-0", {{0, {BatchAt(0, 1)}}, {kFar, {}}});
  ExpectRefused(ErrorCode::invalid_argument, "t-0: nothing stands at the offsets 1 to");
  std::filesystem::remove(storage::SegmentPath(logs_ + "/t-0", kFar, storage::SegmentFile::log));
  Import();
  ExpectInOrderOnDisk();
}

TEST_F(ImportTest, WhatKafkaHasGivenUpStaysGivenUp) {
  MakePartition("t-0", {{0, {BatchAt(0, 10)}}, {10, {BatchAt(10, 10), BatchAt(20, 10)}}});
  MakePartition("t-1", {{100, {BatchAt(100, 5)}}});
  Write("log-start-offset-checkpoint", "0\n2\nt-0 0 3\nt 0 15\n");
  Import();
  ExpectInOrderOnDisk();
  Open();
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 15);
  EXPECT_EQ(ReadOffsets("t"), Range(15, 30));
  // Of this one the first segment's name tells it.
  EXPECT_EQ(PartitionOf("t", 1).log_start_offset(), 100);
  EXPECT_EQ(ReadOffsets("t", 1), Range(100, 105));
}

TEST_F(ImportTest, AnEmptyPartitionKeepsItsEnd) {
  MakePartition("t-0", {{5000, {}}});
  MakePartition("t-2", {{0, {BatchAt(0, 1)}}});
  Import();
  ExpectInOrderOnDisk();
  Open();
  EXPECT_EQ(PartitionOf("t", 0).log_start_offset(), 5000);
  EXPECT_EQ(PartitionOf("t", 0).durable_end_offset(), 5000);
  EXPECT_EQ(AppendDurably(PartitionOf("t", 0), "next"), 5000);
  // Another broker may have this one.
  EXPECT_EQ(PartitionOf("t", 1).durable_end_offset(), 0);
  EXPECT_EQ(AppendDurably(PartitionOf("t", 1), "first"), 0);
  CrashAndOpen();
  EXPECT_EQ(PartitionOf("t", 0).durable_end_offset(), 5001);
}

TEST_F(ImportTest, DamageAtTheEndOfASegmentEndsWhereTheNextBegins) {
  KafkaBatch damaged = BatchAt(10, 10);
  damaged.bytes[80] ^= std::byte{0xff};
  MakePartition("t-0", {{0, {BatchAt(0, 10), damaged}}, {20, {BatchAt(20, 10)}}});
  const auto report = Import();
  const auto& losses = report.partitions.at(0).losses;
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(losses[0].first_offset, 10);
  EXPECT_EQ(losses[0].end_offset, 20);
}

TEST_F(ImportTest, DamageIsToldAndTheRestTakenOver) {
  KafkaBatch damaged = BatchAt(10, 10);
  damaged.bytes[80] ^= std::byte{0xff};
  KafkaBatch torn = BatchAt(40, 5);
  torn.bytes.resize(torn.bytes.size() / 2);
  MakePartition("t-0",
                {{0, {BatchAt(0, 10), damaged, BatchAt(20, 10)}}, {30, {BatchAt(30, 10), torn}}});
  const auto report = Import();
  const auto& losses = report.partitions.at(0).losses;
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_EQ(losses[0].path, logs_ + "/t-0/00000000000000000000.log");
  EXPECT_EQ(losses[0].position, BatchAt(0, 10).bytes.size());
  EXPECT_EQ(losses[0].first_offset, 10);
  EXPECT_EQ(losses[0].end_offset, 20);
  EXPECT_EQ(losses[1].first_offset, 40);
  EXPECT_FALSE(losses[1].end_offset);
  Open();
  std::vector<LostRange> lost;
  std::vector<int64_t> expected = Range(0, 10);
  for (const int64_t offset : Range(20, 40)) expected.push_back(offset);
  EXPECT_EQ(ReadOffsets("t", 0, &lost), expected);
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost[0].first_offset, 10);
  EXPECT_EQ(lost[0].end_offset, 20);
  EXPECT_EQ(PartitionOf("t").durable_end_offset(), 40);
}

TEST_F(ImportTest, DamageAtASegmentsEndIsAGapBeforeTheNext) {
  KafkaBatch torn = BatchAt(10, 10);
  torn.bytes.resize(torn.bytes.size() - 1);
  MakePartition("t-0", {{0, {BatchAt(0, 10), torn}}, {20, {BatchAt(20, 10)}}});
  EXPECT_EQ(Import().partitions.at(0).losses.size(), 1U);
  Open();
  std::vector<LostRange> lost;
  ReadOffsets("t", 0, &lost);
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost[0].first_offset, 10);
  EXPECT_EQ(lost[0].end_offset, 20);
}

TEST_F(ImportTest, TopicsJoinAStoreThatHasOthers) {
  Open();
  AppendDurably(MakeTopic("other"), "mine");
  CloseCleanly();
  MakePartition("t-0", {{0, {BatchAt(0, 3)}}}, /*topic_id=*/"");
  MakePartition("u-0", {{0, {BatchAt(0, 4)}}});
  EXPECT_EQ(Import().partitions.size(), 2U);
  ExpectInOrderOnDisk();
  Open();
  EXPECT_EQ(ReadFrom(PartitionOf("other"), 0).at(0).value, "mine");
  EXPECT_EQ(ReadOffsets("t"), Range(0, 3));
  EXPECT_EQ(ReadOffsets("u"), Range(0, 4));
  EXPECT_EQ(engine_->FindTopic("u")->id(), kTopicId);
  EXPECT_NE(engine_->FindTopic("t")->id(), kTopicId);
}

TEST_F(ImportTest, WhatWasWrongWithTheStoreIsTold) {
  Open();
  AppendDurably(MakeTopic("other"), "mine");
  CloseCleanly();
  std::filesystem::remove(PathOf("journal"));
  MakePartition("t-0", {{0, {BatchAt(0, 3)}}});
  EXPECT_THAT(Import().notices, ::testing::Contains(HasSubstr("the journal is missing")));
  Open();
  EXPECT_EQ(ReadOffsets("t"), Range(0, 3));
  std::vector<LostRange> lost;  // what the journal may have given out
  EXPECT_EQ(ReadFrom(PartitionOf("other"), 0, &lost).at(0).value, "mine");
}

TEST_F(ImportTest, FoldersOfPartitionsMayBeNamedOneByOne) {
  MakePartition("t-0", {{0, {BatchAt(0, 3)}}});
  MakePartition("t-1", {{0, {BatchAt(0, 4)}}});
  MakePartition("u-0", {{0, {BatchAt(0, 5)}}});
  ASSERT_TRUE(TryImport({logs_ + "/t-1/", logs_ + "/t-0"}).ok());
  Open();
  EXPECT_EQ(ReadOffsets("t", 0), Range(0, 3));
  EXPECT_EQ(ReadOffsets("t", 1), Range(0, 4));
  EXPECT_EQ(engine_->FindTopic("u"), nullptr);
}

TEST_F(ImportTest, KafkasOwnTopicsAreLeftOut) {
  MakePartition("t-0", {{0, {BatchAt(0, 3)}}});
  MakePartition("__consumer_offsets-0", {{0, {BatchAt(0, 3)}}});
  MakePartition("__cluster_metadata-0", {{0, {}}});
  std::filesystem::create_directory(logs_ + "/t-1.0123456789abcdef-delete");
  const auto report = Import();
  EXPECT_EQ(report.partitions.size(), 1U);
  ASSERT_EQ(report.left_out.size(), 2U);
  EXPECT_THAT(report.left_out[1], HasSubstr("__consumer_offsets-0"));
  Open();
  EXPECT_EQ(engine_->Topics().size(), 1U);
}

TEST_F(ImportTest, WhatCannotBeTakenOverIsRefusedAndChangesNothing) {
  ExpectRefused(ErrorCode::invalid_argument, "no partition");
  MakePartition("t-0", {{0, {BatchAt(0, 3)}}});
  ExpectRefused(ErrorCode::invalid_argument, "twice", {logs_, logs_ + "/t-0"});
  ExpectRefused(ErrorCode::io_error, "nowhere", {directory_.File("nowhere")});
  MakePartition("t-1", {{0, {}}}, base::Uuid::FromRandom(1, 2).ToBase64());
  ExpectRefused(ErrorCode::invalid_argument, "another id");
  std::filesystem::remove_all(logs_ + "/t-1");
  Import();
  ExpectRefused(ErrorCode::invalid_argument, "Tidemark", {options_.data_dir});
  ExpectRefused(ErrorCode::topic_exists, "topic t exists");
  std::filesystem::rename(logs_ + "/t-0", logs_ + "/u-0");
  ExpectRefused(ErrorCode::topic_exists, "topic t has the id");
  ExpectInOrderOnDisk();
  Open();
  EXPECT_EQ(engine_->Topics().size(), 1U);
  ExpectRefused(ErrorCode::locked, "", {logs_});
}

// Whatever call fails: the topic is there whole or not at all, and can then be imported again.
TEST_F(ImportTest, AFailureAnywhereLeavesAllOrNothing) {
  std::vector<KafkaBatch> batches;
  for (int64_t base = 0; base < 800; base += 40) batches.push_back(BatchAt(base, 40));
  MakePartition("t-0", {{0, batches}});
  MakePartition("t-1", {{0, {BatchAt(0, 3)}}});
  TopicConfig config;
  config.segment_bytes = 16384;
  Open();
  AppendDurably(MakeTopic("other"), "mine");
  CloseCleanly();
  const std::string before = directory_.File("before");
  std::filesystem::copy(options_.data_dir, before, std::filesystem::copy_options::recursive);
  int failures = 0;
  int whole = 0;
  // Every third call: each kind of them is among these.
  for (int fail_at = 0;; fail_at += 3) {
    SCOPED_TRACE(fail_at);
    std::filesystem::remove_all(options_.data_dir);
    std::filesystem::copy(before, options_.data_dir, std::filesystem::copy_options::recursive);
    int calls = 0;
    world_.plan = [&](Call call, const std::string&) {
      return call != Call::read && calls++ >= fail_at ? EIO : 0;
    };
    const auto report = TryImport({}, config);
    world_.plan = [](Call, const std::string&) { return 0; };
    Open();
    EXPECT_EQ(ReadFrom(PartitionOf("other"), 0).at(0).value, "mine");
    const bool there = engine_->FindTopic("t") != nullptr;
    CloseCleanly();
    EXPECT_TRUE(!report.ok() || there);
    if (!there) Import(config);
    Open();
    EXPECT_EQ(ReadOffsets("t", 0), Range(0, 800));
    EXPECT_EQ(ReadOffsets("t", 1), Range(0, 3));
    Crash();
    if (report.ok()) break;
    ++failures;
    if (there) ++whole;
  }
  EXPECT_GT(failures, 30);
  EXPECT_GT(whole, 0);
  EXPECT_LT(whole, failures);
}

}  // namespace
}  // namespace tidemark::testing
