// Compaction as a user sees it: what stays, what goes, and when.
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "storage/open.h"
#include "storage/seal.h"
#include "storage/segment.h"
#include "storage/segment_swap.h"
#include "storage/verify.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using storage::SegmentFile;

constexpr int64_t kRecordTime = 1'700'000'000'000;

class CompactionTest : public StoreFixture {
 protected:
  CompactionTest() {
    options_.compaction_bytes_per_second = uint64_t{1} << 40;
    options_.memory_bytes = uint64_t{16} << 20;
  }
  ~CompactionTest() override { engine_.reset(); }  // before its world
  static TopicConfig Compacted() {
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 64 << 10;
    config.cleanup_policy = CleanupPolicy::compact;
    config.min_cleanable_dirty_ratio = 0;
    return config;
  }
  void OpenInWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    Gather();
  }
  void Gather() {
    for (const Notice& notice : engine_->TakeNotices()) notices_.push_back(notice);
  }
  // What a reader must see: the last record of each key, and what may be there besides.
  int64_t Put(Partition& partition, const std::string& key, std::optional<std::string> value) {
    Record record;
    record.key = key;
    if (value) record.value = *value;
    record.timestamp_ms = kRecordTime + appended_;
    const int64_t offset = Append(partition, record, Durability::buffered);
    EXPECT_EQ(offset, appended_);
    ++appended_;
    last_[key] = {offset, record.timestamp_ms, key, value, {}};
    return offset;
  }
  void PutMany(Partition& partition, int64_t records, int64_t keys, size_t bytes = 100) {
    for (int64_t i = 0; i < records; ++i)
      Put(partition, "key-" + std::to_string(appended_ % keys), ValueOf(appended_, bytes));
  }
  // Every record is packed and in a finished segment, and a checkpoint knows that: all but those of
  // the last segment, which takes on.
  void Settle() {
    CloseCleanly();
    OpenInWorld();
  }
  void Poll() {
    engine_->Poll(std::chrono::milliseconds(0));
    clock_.now_us += 10'000;
    Gather();
  }
  void PollSeconds(int64_t seconds) {
    const int64_t until_us = clock_.now_us + seconds * 1'000'000;
    while (clock_.now_us < until_us) Poll();
  }
  void PollUntilPasses(uint64_t passes) {
    for (int turns = 0; engine_->stats().compaction_passes < passes; ++turns) {
      ASSERT_LT(turns, 50'000) << "it never happens";
      Poll();
    }
  }
  std::vector<int64_t> Segments() const {
    auto bases = storage::ListSegments(io::SystemFiles(), PathOf("t-0"));
    EXPECT_TRUE(bases.ok());
    return *bases;
  }
  uint64_t LogBytes() const {
    uint64_t bytes = 0;
    for (const int64_t base : Segments())
      bytes += fs::file_size(storage::SegmentPath(PathOf("t-0"), base, SegmentFile::log));
    return bytes;
  }
  std::vector<ReadRecord> ReadWhole() {
    Partition& partition = PartitionOf("t");
    return ReadFrom(partition, partition.log_start_offset());
  }
  // In order, each at its offset, as it was appended; of each key the last one at least.
  void ExpectCompacted(const std::vector<ReadRecord>& records) {
    std::map<std::string, ReadRecord> seen;
    int64_t before = -1;
    for (const ReadRecord& record : records) {
      ASSERT_GT(record.offset, before);
      before = record.offset;
      ASSERT_EQ(record.timestamp_ms, kRecordTime + record.offset);
      seen[record.key.value_or("")] = record;
    }
    for (const auto& [key, record] : last_) {
      ASSERT_TRUE(seen.contains(key)) << key;
      ASSERT_EQ(seen[key], record);
    }
  }
  void ExpectNothingIsWrong() {
    storage::VerifyOptions options;
    options.data_dir = options_.data_dir;
    options.deep = true;
    const auto report = storage::VerifyStore(io::SystemFiles(), options);
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    for (const storage::Finding& finding : report->findings) ADD_FAILURE() << finding.ToText();
  }

  FaultWorld world_;
  ManualClock clock_;
  int64_t appended_ = 0;
  std::map<std::string, ReadRecord> last_;
};

TEST_F(CompactionTest, OfEachKeyTheLastRecordStaysAndTheSpaceComesBack) {
  OpenInWorld();
  Partition& partition = MakeTopic("t", Compacted());
  PutMany(partition, 10'000, 50);
  Settle();
  const uint64_t bytes_before = LogBytes();
  ASSERT_GT(Segments().size(), 5U);
  PollUntilPasses(1);
  EXPECT_LT(LogBytes(), bytes_before / 5);
  const auto records = ReadWhole();
  ExpectCompacted(records);
  EXPECT_LT(records.size(), 1'500U);  // the active segment is not touched
  // Over a crash, and a clean stop: the same.
  engine_.reset();
  OpenInWorld();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_EQ(ReadWhole(), records);
  CloseCleanly();
  ExpectNothingIsWrong();
  OpenInWorld();
  EXPECT_EQ(ReadWhole(), records);
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 0);
  EXPECT_EQ(PartitionOf("t").end_offset(), 10'000);
}

// What the last pass has left of segments is little, and becomes one.
TEST_F(CompactionTest, SmallNeighboursBecomeOne) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  PollUntilPasses(1);
  const size_t before = Segments().size();
  PutMany(PartitionOf("t"), 3'000, 50);
  Settle();
  PollUntilPasses(1);
  EXPECT_LT(Segments().size(), before);
  EXPECT_GT(engine_->stats().segments_compacted, before - 2);
  ExpectCompacted(ReadWhole());
  CloseCleanly();
  ExpectNothingIsWrong();
}

TEST_F(CompactionTest, WhatIsCleanIsNotTouchedAgain) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 5'000, 50);
  Settle();
  PollUntilPasses(1);
  const uint64_t bytes = engine_->stats().compaction_bytes;
  PollSeconds(100);
  EXPECT_EQ(engine_->stats().compaction_passes, 1U);
  EXPECT_EQ(engine_->stats().compaction_bytes, bytes);
  Settle();  // the seals say so, too
  PollSeconds(100);
  EXPECT_EQ(engine_->stats().compaction_bytes, 0U);
}

// Keys that come once: nothing to be removed, nothing to be written.
TEST_F(CompactionTest, ASegmentInWhichNothingChangesIsNotWrittenAgain) {
  TopicConfig config = Compacted();
  config.segment_bytes = 1024;  // every batch is one, so that none becomes one with its neighbour
  OpenInWorld();
  Partition& partition = MakeTopic("t", config);
  PutMany(partition, 5'000, 1'000'000, 1000);
  Settle();
  std::map<int64_t, fs::file_time_type> written;
  for (const int64_t base : Segments())
    written[base] =
        fs::last_write_time(storage::SegmentPath(PathOf("t-0"), base, SegmentFile::log));
  PollUntilPasses(1);
  ASSERT_EQ(Segments().size(), written.size());
  for (const auto& [base, time] : written) {
    EXPECT_EQ(fs::last_write_time(storage::SegmentPath(PathOf("t-0"), base, SegmentFile::log)),
              time);
  }
  const auto seal = storage::ReadSeal(io::SystemFiles(), PathOf("t-0"), 0);
  ASSERT_TRUE(seal.ok());
  ASSERT_TRUE(seal->compacted);
  EXPECT_EQ(seal->compacted->clean_end_offset, seal->end_offset);
  PollSeconds(10);
  EXPECT_EQ(engine_->stats().compaction_passes, 1U);
  CloseCleanly();
  ExpectNothingIsWrong();
}

TEST_F(CompactionTest, TheRatioDecidesWhenAPassIsDue) {
  TopicConfig config = Compacted();
  config.min_cleanable_dirty_ratio = 0.5;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 10'000, 4'000);
  Settle();
  PollUntilPasses(1);  // all was dirty
  PutMany(PartitionOf("t"), 2'000, 4'000);
  Settle();
  PollSeconds(10);
  EXPECT_EQ(engine_->stats().compaction_passes, 0U);
  PutMany(PartitionOf("t"), 6'000, 4'000);
  Settle();
  PollUntilPasses(1);
  ExpectCompacted(ReadWhole());
}

TEST_F(CompactionTest, YoungRecordsStayForTheirLag) {
  TopicConfig config = Compacted();
  config.min_compaction_lag_ms = 60'000;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 5'000, 50);
  Settle();
  PollSeconds(30);
  EXPECT_EQ(engine_->stats().compaction_passes, 0U);
  EXPECT_EQ(ReadWhole().size(), 5'000U);
  PollSeconds(40);
  EXPECT_EQ(engine_->stats().compaction_passes, 1U);
  ExpectCompacted(ReadWhole());
}

// Whatever the ratio, and though the segment would have taken records for a week.
TEST_F(CompactionTest, APassIsDueAtTheLatestByTheOtherLag) {
  TopicConfig config = Compacted();
  config.min_cleanable_dirty_ratio = 1;
  config.max_compaction_lag_ms = 60'000;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 100, 10);
  PollSeconds(30);
  EXPECT_EQ(engine_->stats().compaction_passes, 0U);
  PollSeconds(200);
  EXPECT_GE(engine_->stats().compaction_passes, 1U);
  const auto records = ReadWhole();
  ExpectCompacted(records);
  EXPECT_EQ(records.size(), 10U);
}

TEST_F(CompactionTest, TombstonesGoAfterTheirTime) {
  TopicConfig config = Compacted();
  config.delete_retention_ms = 100'000;
  OpenInWorld();
  Partition& partition = MakeTopic("t", config);
  PutMany(partition, 1'000, 10);
  const int64_t tombstone = Put(partition, "key-3", std::nullopt);
  last_.erase("key-3");
  PutMany(partition, 3, 1'000'000);
  const auto has_tombstone = [&] {
    const auto records = ReadWhole();
    ExpectCompacted(records);
    bool found = false;
    for (const ReadRecord& record : records) {
      if (record.key != "key-3") continue;
      EXPECT_EQ(record.offset, tombstone);  // nothing older is there
      found = true;
    }
    return found;
  };
  // So that the tombstone is in a finished segment.
  for (int i = 0; i < 2'000; ++i) Put(partition, "other", ValueOf(i));
  Settle();
  PollUntilPasses(1);
  EXPECT_TRUE(has_tombstone());
  PollSeconds(90);
  EXPECT_TRUE(has_tombstone());
  Settle();  // the horizon is in the batch, and the clock goes on
  EXPECT_TRUE(has_tombstone());
  PollSeconds(30);
  EXPECT_FALSE(has_tombstone());
  const uint64_t passes = engine_->stats().compaction_passes;
  PollSeconds(300);
  EXPECT_EQ(engine_->stats().compaction_passes, passes);
  CloseCleanly();
  ExpectNothingIsWrong();
}

// The map holds a few keys: pass after pass the clean part grows, until all is clean.
TEST_F(CompactionTest, WhatDoesNotFitIntoTheMapIsLeftToTheNextPass) {
  options_.compaction_memory_bytes = 3'000;  // some ninety keys
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 6'000, 300);
  Settle();
  PollSeconds(60);
  EXPECT_GT(engine_->stats().compaction_passes, 10U);
  const auto records = ReadWhole();
  ExpectCompacted(records);
  EXPECT_LT(records.size(), 300 + 1'500U);
  const uint64_t passes = engine_->stats().compaction_passes;
  PollSeconds(60);
  EXPECT_EQ(engine_->stats().compaction_passes, passes);
}

TEST_F(CompactionTest, GoesOnWhileRecordsComeAllTheTime) {
  OpenInWorld();
  Partition& partition = MakeTopic("t", Compacted());
  for (int i = 0; i < 3'000; ++i) {
    PutMany(partition, 20, 50);
    Poll();
  }
  EXPECT_GT(engine_->stats().compaction_passes, 3U);
  PollUntilDurable(partition);
  EXPECT_LT(LogBytes(), uint64_t{2} << 20);  // of six
  ExpectCompacted(ReadWhole());
}

// It has the old segments open, and goes on with them; then with what has taken their place.
TEST_F(CompactionTest, AReaderIsToldOfNothingLost) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  Partition& partition = PartitionOf("t");
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::map<std::string, ReadRecord>> seen;
  for (int64_t i = 0; i < 20; ++i) {
    auto reader = engine_->OpenReader(partition, i * 450);
    ASSERT_TRUE(reader.ok());
    readers.push_back(std::move(*reader));
    seen.emplace_back();
  }
  const auto read_on = [&](size_t which) {
    auto state = readers[which]->Next();
    ASSERT_TRUE(state.ok()) << state.error().ToString();
    if (*state != ReadState::batch) return;
    for (const RecordView& view : readers[which]->batch().records)
      seen[which][std::string(*view.key)] = Copy(view);
  };
  for (int turns = 0; engine_->stats().compaction_passes == 0; ++turns) {
    ASSERT_LT(turns, 50'000);
    Poll();
    if (turns % 3 == 0) read_on(static_cast<size_t>(turns / 3) % readers.size());
  }
  for (size_t i = 0; i < readers.size(); ++i) {
    for (ReadRecord& record : ReadToEnd(*readers[i])) seen[i][*record.key] = record;
    EXPECT_EQ(seen[i], last_) << i;
  }
  readers.clear();
}

TEST_F(CompactionTest, SearchesByTimeFindWhatIsLeft) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  PollUntilPasses(1);
  const auto all = ReadWhole();
  for (int64_t offset = 0; offset < 10'000; offset += 333) {
    const auto found = ReadFromTime(PartitionOf("t"), kRecordTime + offset);
    const auto expected = std::find_if(
        all.begin(), all.end(), [&](const ReadRecord& record) { return record.offset >= offset; });
    ASSERT_EQ(found, std::vector<ReadRecord>(expected, all.end()));
    ASSERT_EQ(ReadFrom(PartitionOf("t"), offset), found);
  }
}

TEST_F(CompactionTest, ARecordWithoutAKeyIsRefused) {
  OpenInWorld();
  Partition& partition = MakeTopic("t", Compacted());
  Record record;
  record.value = "x";
  const auto refused = partition.Append(record);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message().find("key"), std::string::npos);
  record.key = "";
  EXPECT_TRUE(partition.Append(record).ok());
}

// What was appended before the topic was compacted has no later one of its key.
TEST_F(CompactionTest, RecordsWithoutAKeyFromBeforeStay) {
  TopicConfig config = Compacted();
  config.cleanup_policy = CleanupPolicy::remove;
  OpenInWorld();
  Partition& partition = MakeTopic("t", config);
  for (int64_t i = 0; i < 2'000; ++i) Append(partition, ValueOf(i), Durability::buffered);
  PollSeconds(5);
  EXPECT_EQ(engine_->stats().compaction_bytes, 0U);
  ASSERT_TRUE(engine_->AlterTopic("t", Compacted()).ok());
  Settle();
  PollUntilPasses(1);
  ExpectInOrder(ReadWhole(), 0, 2'000);
}

TEST_F(CompactionTest, BothPoliciesTogether) {
  TopicConfig config = Compacted();
  config.cleanup_policy = CleanupPolicy::compact_and_remove;
  config.retention_ms = 600'000;
  config.segment_ms = 60'000;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 10'000, 50);
  Settle();
  PollUntilPasses(1);
  ExpectCompacted(ReadWhole());
  PollSeconds(1'200);
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 10'000);
  EXPECT_TRUE(ReadWhole().empty());
  CloseCleanly();
  ExpectNothingIsWrong();
}

// compact alone gives nothing up by age or size.
TEST_F(CompactionTest, CompactAloneKnowsNoAge) {
  TopicConfig config = Compacted();
  config.retention_ms = 1'000;
  config.retention_bytes = 1;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 5'000, 50);
  Settle();
  PollUntilPasses(1);
  PollSeconds(100);
  EXPECT_EQ(PartitionOf("t").log_start_offset(), 0);
  ExpectCompacted(ReadWhole());
}

TEST_F(CompactionTest, KeepsItsRate) {
  options_.compaction_bytes_per_second = uint64_t{64} << 10;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);  // a megabyte
  Settle();
  PollSeconds(5);
  EXPECT_LT(engine_->stats().compaction_bytes, uint64_t{64 * 5 + 512 + 64} << 10);
  EXPECT_GT(engine_->stats().compaction_bytes, uint64_t{64} << 10);
  EXPECT_EQ(engine_->stats().compaction_passes, 0U);
  options_.compaction_bytes_per_second = 0;  // off
  Settle();
  PollSeconds(100);
  EXPECT_EQ(engine_->stats().compaction_bytes, 0U);
}

TEST_F(CompactionTest, TheMapIsPartOfTheMemory) {
  options_.compaction_memory_bytes = options_.memory_bytes;
  const auto refused = storage::OpenEngine(world_.environment(clock_), options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  options_.compaction_memory_bytes = options_.memory_bytes / 2;
  options_.compaction_bytes_per_second = 1000;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 5'000, 50);
  Settle();
  const uint64_t before = engine_->stats().memory_bytes;
  PollSeconds(2);
  EXPECT_GT(engine_->stats().memory_bytes, before + options_.memory_bytes / 2 - 1024);
}

TEST_F(CompactionTest, ATopicIsDeletedInTheMiddleOfAPass) {
  options_.compaction_bytes_per_second = uint64_t{256} << 10;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  PollSeconds(3);
  ASSERT_GT(engine_->stats().compaction_bytes, 0U);
  ASSERT_EQ(engine_->stats().compaction_passes, 0U);
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  PollSeconds(3);
  EXPECT_FALSE(engine_->deletions_pending());
  EXPECT_FALSE(fs::exists(PathOf("t-0")));
  PollSeconds(30);
  CloseCleanly();
}

// Records that are given up while they are compacted stay given up, and the rest is there.
TEST_F(CompactionTest, RecordsAreDeletedInTheMiddleOfAPass) {
  options_.compaction_bytes_per_second = uint64_t{256} << 10;
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  for (int64_t start = 500; start < 9'000; start += 500) {
    ASSERT_TRUE(PartitionOf("t").DeleteRecords(start).ok());
    PollSeconds(1);
    ASSERT_EQ(PartitionOf("t").log_start_offset(), start);
  }
  PollSeconds(60);
  ExpectCompacted(ReadWhole());
  CloseCleanly();
  ExpectNothingIsWrong();
}

TEST_F(CompactionTest, ADamagedSegmentIsToldOnceAndLeft) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  CloseCleanly();
  const std::vector<int64_t> bases = Segments();
  const std::string path = storage::SegmentPath(PathOf("t-0"), bases[3], SegmentFile::log);
  {
    auto log = io::SystemFiles().Open(path, {.write = true});
    ASSERT_TRUE(log.ok());
    const std::array<std::byte, 4> damage{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    ASSERT_TRUE((*log)->WriteAt(200, damage, io::Durable::no).ok());
  }
  const auto damaged_size = fs::file_size(path);
  OpenInWorld();
  PollUntilPasses(1);
  PollSeconds(30);
  size_t told = 0;
  for (const Notice& notice : notices_)
    told += notice.text.find("left as it is") != std::string::npos;
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(fs::file_size(path), damaged_size);
  EXPECT_LT(LogBytes(), 3 * damaged_size);
  // The others are compacted, and what is lost is told as what it is.
  std::vector<LostRange> lost;
  ExpectCompacted(ReadFrom(PartitionOf("t"), 0, &lost));
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost[0].first_offset, bases[3]);
  EXPECT_LE(lost[0].end_offset, bases[4]);
}

// In a compacted segment, too, damage is told as exactly those offsets that it has hit.
TEST_F(CompactionTest, DamageInACompactedSegmentIsToldExactly) {
  OpenInWorld();
  TopicConfig config = Compacted();
  MakeTopic("t", config);
  for (int i = 0; i < 30; ++i) {  // batches of their own, of which some are emptied
    PutMany(PartitionOf("t"), 200, i % 3 == 0 ? 1'000'000 : 40);
    Settle();
  }
  config.segment_bytes = 1 << 20;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  PollSeconds(30);
  CloseCleanly();
  const int64_t base = Segments().front();
  std::vector<storage::BatchAt> batches;
  auto log = io::SystemFiles().Open(storage::SegmentPath(PathOf("t-0"), base, SegmentFile::log),
                                    {.write = true});
  ASSERT_TRUE(log.ok());
  ASSERT_TRUE(storage::WalkBatchHeaders(**log, 0, *(*log)->Size(), [&](const auto& batch) {
                batches.push_back(batch);
                return true;
              }).ok());
  ASSERT_GT(batches.size(), 3U);
  const storage::BatchAt& hit = batches[batches.size() / 2];
  std::byte byte{};
  ASSERT_TRUE((*log)->ReadAt(hit.position + 40, {&byte, 1}).ok());
  byte ^= std::byte{1};
  ASSERT_TRUE((*log)->WriteAt(hit.position + 40, {&byte, 1}, io::Durable::no).ok());
  storage::VerifyOptions options;
  options.data_dir = options_.data_dir;
  const auto report = storage::VerifyStore(io::SystemFiles(), options);
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->findings.size(), 1U);
  EXPECT_EQ(report->findings[0].kind, storage::Finding::Kind::loss);
  EXPECT_EQ(report->findings[0].first_offset, hit.header.base_offset);
  EXPECT_EQ(report->findings[0].end_offset, hit.header.next_offset());
}

// Every setting of the fixture but the world: the real one, with its threads.
TEST_F(CompactionTest, RunsOnBothIoEngines) {
  for (const IoEngine io_engine : {IoEngine::syscalls, IoEngine::automatic}) {
    options_.io_engine = io_engine;
    options_.data_dir = directory_.File(io_engine == IoEngine::syscalls ? "calls" : "ring");
    last_.clear();
    appended_ = 0;
    Open();
    PutMany(MakeTopic("t", Compacted()), 10'000, 50);
    CloseCleanly();
    Open();
    for (int turns = 0; engine_->stats().compaction_passes == 0; ++turns) {
      ASSERT_LT(turns, 10'000);
      engine_->Poll(std::chrono::milliseconds(10));
    }
    ExpectCompacted(ReadWhole());
    CloseCleanly();
    ExpectNothingIsWrong();
  }
}

}  // namespace
}  // namespace tidemark::testing
