// Damage to segments and their indexes: every intact batch stays readable at its offset, what is
// lost is told exactly.
#include <algorithm>

#include "storage/verify.h"
#include "tests/support/damage_fixture.h"

namespace tidemark::testing {
namespace {

class SegmentDamageTest : public DamageFixture {
 protected:
  static constexpr int64_t kRecords = 30'000;
  // One segment with several batches, after a clean stop.
  void MakeStore() { MakeSegments(kRecords); }
};

TEST_F(SegmentDamageTest, OneBadBatchCostsOneBatch) {
  for (uint64_t where : {0u, 8u, 16u, 20u, 61u, 5'000u}) {  // offset, length, magic, crc, data
    SCOPED_TRACE(where);
    std::filesystem::remove_all(options_.data_dir);
    MakeStore();
    const auto batches = Batches();
    ASSERT_GT(batches.size(), 4u);
    const auto& [position, header] = batches[2];
    Overwrite(LogPath(), position + where, "\xff\xff\xff\xff");
    Open();
    std::vector<LostRange> lost;
    const auto records = ReadFrom(PartitionOf("t"), 0, &lost);
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(lost[0].first_offset, header.base_offset);
    EXPECT_EQ(lost[0].end_offset, header.next_offset());
    EXPECT_EQ(records.size(), static_cast<size_t>(kRecords - header.record_count));
    // Reading from behind the damage does not stumble over it.
    ExpectInOrder(ReadFrom(PartitionOf("t"), header.next_offset()), header.next_offset(), kRecords);
    // And writing goes on.
    EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
    CloseCleanly();
    Open();
    ExpectInOrder(ReadFrom(PartitionOf("t"), header.next_offset()), header.next_offset(),
                  kRecords + 1);
    Crash();
  }
}

TEST_F(SegmentDamageTest, IndexesAreHints) {
  for (const char* file :
       {"t-0/00000000000000000000.index", "t-0/00000000000000000000.timeindex"}) {
    for (const std::string& content :
         {std::string(), std::string(1'000, '\0'), std::string(999, '\x7f')}) {
      std::filesystem::remove_all(options_.data_dir);
      MakeStore();
      if (content.empty()) {
        std::filesystem::remove(PathOf(file));
      } else {
        WriteFile(PathOf(file), content);
      }
      Open();
      ExpectInOrder(ReadFrom(PartitionOf("t"), 17'777), 17'777, kRecords);
      EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
      CloseCleanly();
      Open();
      ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, kRecords + 1);
      Crash();
    }
  }
}

TEST_F(SegmentDamageTest, ALogThatWasCutShortLosesItsEndOnly) {
  MakeStore();
  const auto batches = Batches();
  const auto& [position, header] = batches[batches.size() - 2];
  std::filesystem::resize_file(LogPath(), position + 100);
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1u);
  EXPECT_EQ(engine_->recovery().damage[0].first_offset, header.base_offset);
  EXPECT_EQ(engine_->recovery().damage[0].end_offset, kRecords);
  std::vector<LostRange> lost;
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0, &lost), 0, header.base_offset);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
  CloseCleanly();
  Open();
  ExpectInOrder(ReadFrom(PartitionOf("t"), kRecords), kRecords, kRecords + 1);
}

TEST_F(SegmentDamageTest, AMissingLogIsTold) {
  MakeStore();
  std::filesystem::remove(LogPath());
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1u);
  EXPECT_EQ(engine_->recovery().damage[0].first_offset, 0);
  EXPECT_EQ(engine_->recovery().damage[0].end_offset, kRecords);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
}

// Found by the simulator: a sector of zeroes ended one batch and began the next, whose base offset
// then was just where the first one belonged.
TEST_F(SegmentDamageTest, ABatchBehindDamageIsNotTakenForTheDamagedOne) {
  MakeStore();
  const auto batches = Batches();
  ASSERT_GT(batches.size(), 4u);
  const uint64_t second = batches[1].first;
  Overwrite(LogPath(), second - 100, std::string(108, '\0'));
  Open();
  const int64_t intact = batches[2].second.base_offset;
  std::vector<LostRange> lost;
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0, &lost), intact, kRecords);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].first_offset, 0);
  EXPECT_EQ(lost[0].end_offset, intact);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
  CloseCleanly();
  const auto report = storage::VerifyStore(io::SystemFiles(), {.data_dir = options_.data_dir});
  ASSERT_TRUE(report.ok());
  const auto loss = std::find_if(
      report->findings.begin(), report->findings.end(),
      [](const auto& finding) { return finding.kind == storage::Finding::Kind::loss; });
  ASSERT_NE(loss, report->findings.end());
  EXPECT_EQ(loss->first_offset, 0);
  EXPECT_EQ(loss->end_offset, intact);
  Open();
  ExpectInOrder(ReadFrom(PartitionOf("t"), intact), intact, kRecords + 1);
}

// The base offset has no checksum: records would have been shown at offsets that are not theirs.
TEST_F(SegmentDamageTest, AWrongBaseOffsetIsNeverBelieved) {
  MakeStore();
  const auto batches = Batches();
  ASSERT_GT(batches.size(), 4u);
  for (const size_t which : {size_t{0}, size_t{1}, size_t{3}, batches.size() - 1}) {
    const auto& [position, header] = batches[which];
    for (const int64_t wrong :
         {int64_t{0}, header.base_offset - 1, header.base_offset + 1,
          header.base_offset + header.last_offset_delta, header.base_offset + 100'000,
          header.base_offset ^ 0x0100, header.base_offset | int64_t{1} << 40}) {
      if (wrong < 0 || wrong == header.base_offset) continue;
      SCOPED_TRACE(std::to_string(which) + ": " + std::to_string(wrong));
      std::string bytes(8, '\0');
      base::StoreBig(reinterpret_cast<std::byte*>(bytes.data()), wrong);
      Overwrite(LogPath(), position, bytes);
      Open();
      std::vector<LostRange> lost;
      const auto records = ReadFrom(PartitionOf("t"), 0, &lost);
      ASSERT_EQ(lost.size(), 1u);
      EXPECT_EQ(lost[0].first_offset, header.base_offset);
      EXPECT_EQ(lost[0].end_offset, header.next_offset());
      EXPECT_EQ(records.size(), static_cast<size_t>(kRecords - header.record_count));
      for (const ReadRecord& record : records) ASSERT_EQ(record.value, ValueOf(record.offset));
      ExpectInOrder(ReadFrom(PartitionOf("t"), header.next_offset()), header.next_offset(),
                    kRecords);
      CloseCleanly();
      base::StoreBig(reinterpret_cast<std::byte*>(bytes.data()), header.base_offset);
      Overwrite(LogPath(), position, bytes);
    }
  }
}

// Found by the simulator (101000012546): the batch behind it had gaps on both sides, so that of the
// two neither was believed, though the damaged one's offset lay behind all that there is.
TEST_F(SegmentDamageTest, ABaseOffsetBehindTheEndCastsNoDoubtOnWhatFollows) {
  MakeStore();
  const auto batches = Batches();
  ASSERT_GT(batches.size(), 5u);
  std::string beyond(8, '\0');
  base::StoreBig(reinterpret_cast<std::byte*>(beyond.data()), int64_t{1} << 20);
  Overwrite(LogPath(), batches[0].first, beyond);
  for (const size_t which : {1u, 3u})
    Overwrite(LogPath(), batches[which].first + 16, "X");  // its magic
  const auto check = [&](const auto& lost) {
    ASSERT_EQ(lost.size(), 2u);
    EXPECT_EQ(lost[0].first_offset, 0);
    EXPECT_EQ(lost[0].end_offset, batches[2].second.base_offset);
    EXPECT_EQ(lost[1].first_offset, batches[3].second.base_offset);
    EXPECT_EQ(lost[1].end_offset, batches[4].second.base_offset);
  };
  Open();
  std::vector<LostRange> lost;
  ReadFrom(PartitionOf("t"), 0, &lost);
  check(lost);
  Crash();
  const auto report = storage::VerifyStore(io::SystemFiles(), {.data_dir = options_.data_dir});
  ASSERT_TRUE(report.ok());
  std::vector<storage::Finding> losses;
  std::copy_if(report->findings.begin(), report->findings.end(), std::back_inserter(losses),
               [](const auto& found) { return found.kind == storage::Finding::Kind::loss; });
  check(losses);
}

// Entries that go upwards, as they should, but name a place that is not theirs.
TEST_F(SegmentDamageTest, AWrongIndexEntryHidesNoBatch) {
  MakeStore();
  const auto batches = Batches();
  const std::string path = PathOf("t-0/00000000000000000000.index");
  const std::string whole = ReadFile(path);
  ASSERT_GT(whole.size(), 3 * index::kOffsetEntryBytes);
  for (const int32_t change : {-1, 1, 500, -500}) {
    for (const size_t field : {size_t{0}, size_t{4}}) {
      SCOPED_TRACE(std::to_string(change) + " at " + std::to_string(field));
      std::string damaged = whole;
      std::byte* const entry =
          reinterpret_cast<std::byte*>(damaged.data()) + index::kOffsetEntryBytes + field;
      base::StoreBig(entry, base::LoadBig<int32_t>(entry) + change);
      WriteFile(path, damaged);
      Open();
      for (size_t i = 0; i < 5; ++i) {
        for (const int64_t offset :
             {batches[i].second.base_offset, batches[i].second.last_offset()}) {
          ExpectInOrder(ReadFrom(PartitionOf("t"), offset), offset, kRecords);
        }
      }
      CloseCleanly();
    }
  }
}

// An entry that leads to a batch, but not to the one that it names.
TEST_F(SegmentDamageTest, AnIndexEntryThatLeadsToAnotherBatchHidesNone) {
  constexpr int64_t kStops = 20;
  constexpr int64_t kBatchRecords = 10;
  for (int64_t stop = 0; stop < kStops; ++stop) {
    Open();
    if (stop == 0) MakeTopic("t");
    AppendRange(stop * kBatchRecords, (stop + 1) * kBatchRecords);
    CloseCleanly();
  }
  const auto batches = Batches();
  ASSERT_EQ(batches.size(), static_cast<size_t>(kStops));
  const std::string path = SegmentFilePath(0, storage::SegmentFile::offset_index);
  const std::string whole = ReadFile(path);
  index::OffsetIndex index;
  index.Load(base::AsBytes(whole), UINT32_MAX);
  const auto entries = index.entries();
  ASSERT_GE(entries.size(), 2u);
  int tried = 0;
  for (const auto& [position, header] : batches) {
    const bool between = position > static_cast<uint64_t>(entries[0].position) &&
                         position < static_cast<uint64_t>(entries[1].position);
    if (!between) continue;
    ++tried;
    std::string damaged = whole;
    base::StoreBig(reinterpret_cast<std::byte*>(damaged.data()) + 4,
                   static_cast<int32_t>(position));
    WriteFile(path, damaged);
    Open();
    for (const auto& [at, wanted] : batches) {
      ExpectInOrder(ReadFrom(PartitionOf("t"), wanted.base_offset), wanted.base_offset,
                    kStops * kBatchRecords);
    }
    Crash();
  }
  EXPECT_GT(tried, 0);
}

// Who goes on in the segment goes on from what the log bears out.
TEST_F(SegmentDamageTest, AWrongLastIndexEntryIsMadeAnew) {
  MakeStore();
  const std::string path = SegmentFilePath(0, storage::SegmentFile::offset_index);
  const std::string whole = ReadFile(path);
  for (const size_t field : {size_t{0}, size_t{4}}) {
    SCOPED_TRACE(field);
    std::string damaged = whole;
    std::byte* const entry = reinterpret_cast<std::byte*>(damaged.data()) + damaged.size() -
                             index::kOffsetEntryBytes + field;
    base::StoreBig(entry, base::LoadBig<int32_t>(entry) + 1);
    WriteFile(path, damaged);
    Open();
    const int64_t end = PartitionOf("t").end_offset();
    EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(end)), end);
    CloseCleanly();
    EXPECT_EQ(ReadFile(path).substr(0, whole.size()), whole);
  }
}

// The index leads to a damaged batch, and the wanted offset is in the middle of the one behind it.
TEST_F(SegmentDamageTest, ASearchThatBeginsInDamageLosesNothingBehindIt) {
  MakeStore();
  const auto batches = Batches();
  Overwrite(LogPath(), batches[2].first + 16, "XXXXXX");
  Open();
  const int64_t wanted = batches[3].second.base_offset + 1;
  ExpectInOrder(ReadFrom(PartitionOf("t"), wanted), wanted, kRecords);
}

TEST_F(SegmentDamageTest, AWrongTimeEntryHidesNoRecord) {
  constexpr int64_t kEarly = 1'000'000;
  Open();
  Partition& partition = MakeTopic("t");
  const std::string value = ValueOf(0, 1'000);
  for (int64_t i = 0; i < 3'000; ++i) {
    Record record;
    record.value = value;
    record.timestamp_ms = kEarly + i;
    Append(partition, record);
  }
  CloseCleanly();
  const std::string path = PathOf("t-0/00000000000000000000.timeindex");
  const std::string whole = ReadFile(path);
  ASSERT_GT(whole.size(), 3 * index::kTimeEntryBytes);
  for (const int64_t change : {-300, -1, 1, 300}) {
    for (const size_t field : {size_t{0}, size_t{8}}) {
      SCOPED_TRACE(std::to_string(change) + " at " + std::to_string(field));
      std::string damaged = whole;
      std::byte* const entry =
          reinterpret_cast<std::byte*>(damaged.data()) + index::kTimeEntryBytes + field;
      if (field == 0) {
        base::StoreBig(entry, base::LoadBig<int64_t>(entry) + change);
      } else {
        base::StoreBig(entry, static_cast<int32_t>(base::LoadBig<int32_t>(entry) + change));
      }
      WriteFile(path, damaged);
      Open();
      for (int64_t wanted = 0; wanted < 3'000; wanted += 50) {
        const auto records = ReadFromTime(PartitionOf("t"), kEarly + wanted);
        ASSERT_FALSE(records.empty());
        EXPECT_EQ(records[0].offset, wanted);
      }
      CloseCleanly();
    }
  }
}

// What is wanted may have been in the damage: a search by time tells it, once, and goes on behind.
TEST_F(SegmentDamageTest, ASearchByTimeTellsTheDamageThatItMeetsAndGoesOn) {
  MakeStore();
  const auto batches = Batches();
  ASSERT_GT(batches.size(), 4u);
  const auto& [position, damaged] = batches[2];
  Overwrite(LogPath(), position + 100, "XXXXXX");
  Open();
  for (const int64_t wanted : {damaged.base_offset, damaged.base_offset + 1, damaged.last_offset(),
                               damaged.next_offset(), damaged.next_offset() + 1}) {
    SCOPED_TRACE(wanted);
    std::vector<LostRange> lost;
    const int64_t first = std::max(wanted, damaged.next_offset());
    ExpectInOrder(ReadFromTime(PartitionOf("t"), kFirstTimestampMs + wanted, &lost), first,
                  kRecords);
    ASSERT_LE(lost.size(), 1u);
    EXPECT_TRUE(wanted >= damaged.next_offset() || !lost.empty());
    for (const LostRange& range : lost) {
      EXPECT_EQ(range.first_offset, damaged.base_offset);
      EXPECT_EQ(range.end_offset, damaged.next_offset());
    }
  }
}

// After a crash without new records the clean stop had no writer, and left the indexes as they
// were.
TEST_F(SegmentDamageTest, ACleanStopLeavesCompleteIndexesOfWhatACrashHasLeft) {
  MakeStore();
  const std::string index = PathOf("t-0/00000000000000000000.index");
  const std::string times = PathOf("t-0/00000000000000000000.timeindex");
  const std::string whole_index = ReadFile(index);
  const std::string whole_times = ReadFile(times);
  ASSERT_GT(whole_index.size(), 16u);
  Open();
  Crash();
  std::filesystem::resize_file(index, 8);
  std::filesystem::remove(times);
  Open();
  CloseCleanly();
  EXPECT_EQ(ReadFile(index), whole_index);
  EXPECT_EQ(ReadFile(times), whole_times);
}

// A store of several segments: their base offsets, each with its end.
class ManySegmentsTest : public DamageFixture {
 protected:
  static constexpr int64_t kRecords = 30'000;
  void MakeStore() {
    MakeSegments(kRecords, int64_t{512} << 10);
    bases_ = SegmentBases();
    ASSERT_GE(bases_.size(), 4u);
  }
  void ExpectLost(int64_t first, int64_t end, int64_t log_end) {
    std::vector<LostRange> lost;
    const auto records = ReadFrom(PartitionOf("t"), 0, &lost);
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(lost[0].first_offset, first);
    EXPECT_EQ(lost[0].end_offset, end);
    ASSERT_EQ(static_cast<int64_t>(records.size()), log_end - (end - first));
    for (const ReadRecord& record : records) ASSERT_EQ(record.value, ValueOf(record.offset));
  }
  std::vector<int64_t> bases_;
};

// The opening behind the one that had found the active segment missing took all that was there for
// what a crash has left, and removed it.
TEST_F(ManySegmentsTest, AMissingActiveSegmentCostsOnlyItsOwnRecords) {
  MakeStore();
  std::filesystem::remove(LogPath(bases_.back()));
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1u);
  EXPECT_EQ(engine_->recovery().damage[0].first_offset, bases_.back());
  EXPECT_EQ(engine_->recovery().damage[0].end_offset, kRecords);
  ExpectLost(bases_.back(), kRecords, kRecords);
  for (const bool clean : {false, true, true}) {
    SCOPED_TRACE(clean);
    if (clean) {
      CloseCleanly();
    } else {
      Crash();
    }
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty());
    ExpectLost(bases_.back(), kRecords, kRecords);
  }
  for (int64_t end = kRecords; end < kRecords + 3; ++end) {
    EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(end)), end);
    CloseCleanly();
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty());
    ExpectLost(bases_.back(), kRecords, end + 1);
  }
}

TEST_F(ManySegmentsTest, AMissingSealedSegmentCostsOnlyItsOwnRecords) {
  MakeStore();
  std::filesystem::remove(LogPath(bases_[1]));
  for (int opening = 0; opening < 2; ++opening) {
    Open();
    ExpectLost(bases_[1], bases_[2], kRecords);
    CloseCleanly();
  }
}

// Behind damage a segment may hold any timestamp, though nothing before it is late enough.
TEST_F(ManySegmentsTest, DamageDoesNotMakeASegmentTooOldForASearch) {
  MakeStore();
  const auto batches = Batches();
  ASSERT_GT(batches.size(), 2u);
  const auto& [position, damaged] = batches[1];
  Overwrite(LogPath(), position + 16, "X");  // its magic
  std::filesystem::remove(SegmentFilePath(0, storage::SegmentFile::offset_index));
  std::filesystem::remove(SegmentFilePath(0, storage::SegmentFile::time_index));
  Open();
  ExpectLost(damaged.base_offset, damaged.next_offset(), kRecords);  // it was opened once
  const int64_t wanted = batches[2].second.base_offset + 1;
  std::vector<LostRange> lost;
  ExpectInOrder(ReadFromTime(PartitionOf("t"), kFirstTimestampMs + wanted, &lost), wanted,
                kRecords);
}

}  // namespace
}  // namespace tidemark::testing
