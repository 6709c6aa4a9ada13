// Compaction as a user sees it: what stays, what goes, and what readers see of it.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "storage/run.h"
#include "storage/seal.h"
#include "tests/storage/compaction_fixture.h"

namespace tidemark::testing {
namespace {

class CompactionTest : public CompactionFixture {};

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

// For a Kafka broker that takes the folder over: it cleans only what is dirty.
TEST_F(CompactionTest, ACleanStopTellsKafkasCleanerWhatIsClean) {
  const auto told = [&] {
    std::ifstream file(PathOf("cleaner-offset-checkpoint"));
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 5'000, 50);
  MakeTopic("u", {});
  CloseCleanly();
  EXPECT_EQ(told(), "0\n0\n");  // no pass was there yet
  OpenInWorld();
  EXPECT_EQ(told(), "");
  PollUntilPasses(1);
  PutMany(PartitionOf("t"), 100, 50);
  const int64_t active_base = Segments().back();
  CloseCleanly();
  EXPECT_EQ(told(), "0\n1\nt 0 " + std::to_string(active_base) + "\n");
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
  std::map<int64_t, std::filesystem::file_time_type> written;
  for (const int64_t base : Segments())
    written[base] = std::filesystem::last_write_time(
        storage::SegmentPath(PathOf("t-0"), base, storage::SegmentFile::log));
  PollUntilPasses(1);
  ASSERT_EQ(Segments().size(), written.size());
  for (const auto& [base, time] : written) {
    EXPECT_EQ(std::filesystem::last_write_time(
                  storage::SegmentPath(PathOf("t-0"), base, storage::SegmentFile::log)),
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

// A read brings two full batches. Nothing is written here: no two records have the same key.
TEST_F(CompactionTest, OneReadBringsTwoBatches) {
  TopicConfig config = Compacted();
  config.segment_bytes = int64_t{8} << 20;
  OpenInWorld();
  PutMany(MakeTopic("t", config), 100'000, 1'000'000);
  CloseCleanly();
  uint64_t reads = 0;
  world_.plan = [&](Call call, const std::string& path) {
    reads += call == Call::read && path.ends_with(".log");
    return 0;
  };
  OpenInWorld();
  PollUntilPasses(1);
  const uint64_t batches = engine_->stats().compaction_bytes / storage::kRunBytes;
  EXPECT_GT(batches, 60U);
  EXPECT_LT(reads, batches * 5 / 8);
}

// Found by the simulator (seed 5200000687): killed before the last flush of a swap, then cut off
// from power in the middle of the next draft of that segment, a store had the old seal beside the
// new log.
TEST_F(CompactionTest, NoDraftBeforeTheFolderIsFlushed) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  CloseCleanly();
  bool flushed = false;
  int drafts = 0;
  world_.plan = [&](Call call, const std::string& path) {
    flushed = flushed || (call == Call::flush_directory && path == PathOf("t-0"));
    if (call == Call::open && path.ends_with(".log.cleaned")) {
      ++drafts;
      EXPECT_TRUE(flushed);
    }
    return 0;
  };
  OpenInWorld();
  flushed = false;
  PollUntilPasses(1);
  EXPECT_GT(drafts, 0);
}

TEST_F(CompactionTest, SearchesByTimeFindWhatIsLeft) {
  OpenInWorld();
  PutMany(MakeTopic("t", Compacted()), 10'000, 50);
  Settle();
  PollUntilPasses(1);
  const auto all = ReadWhole();
  for (int64_t offset = 0; offset < 10'000; offset += 333) {
    const auto found = ReadFromTime(PartitionOf("t"), kRecordTimeMs + offset);
    const auto expected = std::find_if(
        all.begin(), all.end(), [&](const ReadRecord& record) { return record.offset >= offset; });
    ASSERT_EQ(found, std::vector<ReadRecord>(expected, all.end()));
    ASSERT_EQ(ReadFrom(PartitionOf("t"), offset), found);
  }
}

}  // namespace
}  // namespace tidemark::testing
