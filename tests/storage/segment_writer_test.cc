// Writing segments: what stands in the files, when it is flushed, when a segment is rolled, and how
// failures end a writer.
#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>

#include "tests/storage/segment_fixture.h"

namespace tidemark::storage {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SegmentWriterTest : public SegmentFixture {
 protected:
  std::vector<std::string> TakeLog() { return std::exchange(files_.log, {}); }
};

TEST(SegmentNames, AreBaseOffsetsOfTwentyDigits) {
  EXPECT_EQ(SegmentPath("d", 42, SegmentFile::log), "d/00000000000000000042.log");
  EXPECT_EQ(SegmentPath("d", 42, SegmentFile::offset_index), "d/00000000000000000042.index");
  EXPECT_EQ(SegmentPath("d", 42, SegmentFile::time_index), "d/00000000000000000042.timeindex");
  EXPECT_EQ(SegmentPath("d", INT64_MAX, SegmentFile::log), "d/09223372036854775807.log");
}

TEST(SegmentNames, OnlyLogsOfThatFormAreTakenForSegments) {
  EXPECT_EQ(ParseLogName("00000000000000000042.log"), 42);
  EXPECT_EQ(ParseLogName("09223372036854775807.log"), INT64_MAX);
  for (const char* name :
       {"09223372036854775808.log", "99999999999999999999.log", "42.log", "", ".log",
        "0000000000000000004x.log", "-0000000000000000042.log", "00000000000000000042.index",
        "00000000000000000042.log.deleted", "000000000000000000042.log"}) {
    EXPECT_EQ(ParseLogName(name), std::nullopt) << name;
  }
}

TEST_F(SegmentWriterTest, ListsLogsByBaseOffset) {
  for (const char* name :
       {"00000000000000000100.log", "00000000000000000020.log", "00000000000000000020.index",
        "00000000000000000300.log.deleted", "partition.metadata"}) {
    WriteBytes(folder() + "/" + name, {});
  }
  std::filesystem::create_directory(folder() + "/00000000000000000005.log");
  EXPECT_THAT(*ListSegments(files_, folder()), ElementsAre(20, 100));
  EXPECT_THAT(*ListSegments(files_, folder() + "/missing"), IsEmpty());
}

TEST_F(SegmentWriterTest, BatchesStandInTheLogByteForByte) {
  const auto writer = Resume(-1, 0);
  EXPECT_EQ(writer->active_base_offset(), -1);
  const MadeBatch first = MakeBatch(42, 3, 1000, 10);
  const MadeBatch second = MakeBatch(45, 1, 1001, 20);

  const AppendedBatch one = Append(*writer, first);
  EXPECT_TRUE(one.new_segment);
  EXPECT_EQ(one.segment_base_offset, 42);
  EXPECT_EQ(one.position, 0u);
  EXPECT_EQ(one.header, first.header);
  const AppendedBatch two = Append(*writer, second);
  EXPECT_FALSE(two.new_segment);
  EXPECT_EQ(two.position, first.bytes.size());

  Bytestring both = first.bytes;
  both.insert(both.end(), second.bytes.begin(), second.bytes.end());
  EXPECT_EQ(LogOf(42), both);
  EXPECT_EQ(writer->active_base_offset(), 42);
  EXPECT_EQ(writer->log_bytes(), both.size());
  EXPECT_EQ(writer->TakeBytesWritten(), both.size());
  EXPECT_EQ(writer->TakeBytesWritten(), 0u);
}

TEST_F(SegmentWriterTest, ANewSegmentHasAllThreeFilesAtOnce) {
  const auto writer = Resume(-1, 0);
  Append(*writer, MakeBatch(7, 1, 1000, 10));
  EXPECT_EQ(std::filesystem::file_size(Path(7, SegmentFile::offset_index)), 0u);
  EXPECT_EQ(std::filesystem::file_size(Path(7, SegmentFile::time_index)), 0u);
}

TEST_F(SegmentWriterTest, WhatACrashLeftUnderTheNewNameDoesNotCount) {
  for (const SegmentFile kind :
       {SegmentFile::log, SegmentFile::offset_index, SegmentFile::time_index}) {
    WriteBytes(Path(7, kind), Bytestring(1000, std::byte{7}));
  }
  const auto writer = Resume(-1, 0);
  const MadeBatch batch = MakeBatch(7, 1, 1000, 10);
  Append(*writer, batch);
  ExpectOk(writer->Finish());
  EXPECT_EQ(LogOf(7), batch.bytes);
  ExpectIndexesAsKafkaMakesThem(7);
}

TEST_F(SegmentWriterTest, NothingIsFlushedBeforeFlush) {
  const auto writer = Resume(-1, 0);
  for (int i = 0; i < 20; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 1000));
  EXPECT_THAT(TakeLog(), Not(Contains(HasSubstr("flush"))));
  EXPECT_EQ(writer->flushed_bytes(), 0u);
}

TEST_F(SegmentWriterTest, DataOfANewSegmentCountAsFlushedOnlyWithTheirDirectoryEntry) {
  const auto writer = Resume(-1, 0);
  Append(*writer, MakeBatch(0, 1, 1000, 10));
  TakeLog();
  ExpectOk(writer->Flush());
  const std::string name = folder().substr(folder().rfind('/') + 1);
  EXPECT_THAT(TakeLog(), ElementsAre("flush 00000000000000000000.log", "flush-directory " + name));
  EXPECT_EQ(writer->flushed_bytes(), writer->log_bytes());

  Append(*writer, MakeBatch(1, 1, 1000, 10));
  TakeLog();
  ExpectOk(writer->Flush());
  EXPECT_THAT(TakeLog(), ElementsAre("flush 00000000000000000000.log"));
  ExpectOk(writer->Flush());
  EXPECT_THAT(TakeLog(), IsEmpty());  // nothing new
}

TEST_F(SegmentWriterTest, IndexesAreWhatKafkasRecoveryWouldMake) {
  const auto writer = Resume(-1, 0);
  const int64_t timestamps[] = {1000, 900,  1200, 1200, 1100, 5000,
                                1300, 1400, -1,   4999, 5001, 6000};
  int64_t offset = 100;
  for (int round = 0; round < 5; ++round) {
    for (const int64_t timestamp : timestamps) {
      Append(*writer, MakeBatch(offset, 5, timestamp + int64_t{100} * round, 1500));
      offset += 5;
    }
  }
  ExpectOk(writer->Finish());
  ExpectIndexesAsKafkaMakesThem(100);
  EXPECT_GT(std::filesystem::file_size(Path(100, SegmentFile::offset_index)), 0u);
}

// What the rule of index::IndexBuilder asks for after 50 batches of one record.
struct WantedEntries {
  size_t offsets = 0;
  size_t times = 0;
};

class SegmentWriterIndexTest : public SegmentWriterTest {
 protected:
  WantedEntries AppendFifty(SegmentWriter& writer) {
    WantedEntries wanted;
    index::IndexBuilder builder(0, kInterval);
    for (int i = 0; i < 50; ++i) {
      const MadeBatch batch = MakeBatch(i, 1, 1000 + i, 1000);
      const AppendedBatch appended = Append(writer, batch);
      const auto due = builder.Add({appended.position, batch.bytes.size(), i, 1000 + i});
      if (due.offset_entry) ++wanted.offsets;
      if (due.time_entry) ++wanted.times;
    }
    EXPECT_GT(wanted.offsets, 5u);
    return wanted;
  }
  size_t OffsetEntries() {
    return ReadBytes(Path(0, SegmentFile::offset_index)).size() / index::kOffsetEntryBytes;
  }
  size_t TimeEntries() {
    return ReadBytes(Path(0, SegmentFile::time_index)).size() / index::kTimeEntryBytes;
  }
};

TEST_F(SegmentWriterIndexTest, EntriesAreWrittenTogetherWithAFlush) {
  const auto writer = Resume(-1, 0);
  const WantedEntries wanted = AppendFifty(*writer);
  EXPECT_EQ(OffsetEntries(), 0u);
  TakeLog();
  ExpectOk(writer->Flush());
  EXPECT_EQ(OffsetEntries(), wanted.offsets);
  EXPECT_EQ(TimeEntries(), wanted.times);
  EXPECT_THAT(
      TakeLog(),
      ElementsAre("write 00000000000000000000.index", "write 00000000000000000000.timeindex",
                  "flush 00000000000000000000.log", ::testing::StartsWith("flush-directory ")));
  ExpectOk(writer->Finish());
  ExpectIndexesAsKafkaMakesThem(0);
}

TEST_F(SegmentWriterIndexTest, NoRoomForEntriesIsNoFailedFlush) {
  const auto writer = Resume(-1, 0);
  const WantedEntries wanted = AppendFifty(*writer);
  files_.failure_errno = ENOSPC;
  files_.fails = [](const std::string& operation) { return operation.ends_with("index"); };
  ExpectOk(writer->Flush());
  EXPECT_EQ(writer->flushed_bytes(), writer->log_bytes());
  EXPECT_EQ(TimeEntries(), 0u);

  files_.fails = [](const std::string&) { return false; };
  ExpectOk(writer->Flush());
  EXPECT_EQ(OffsetEntries(), wanted.offsets);
  EXPECT_EQ(TimeEntries(), wanted.times);
}

TEST_F(SegmentWriterTest, WritebackBeginsWithEveryWholePageOnce) {
  const auto writer = Resume(-1, 0);
  writer->StartWriteback();
  const MadeBatch batch = MakeBatch(0, 1, 1000, 10'000);
  Append(*writer, batch);
  writer->StartWriteback();
  writer->StartWriteback();
  const uint64_t first = batch.bytes.size() / 4096 * 4096;
  EXPECT_THAT(files_.writebacks, ElementsAre(std::pair(uint64_t{0}, first)));
  Append(*writer, MakeBatch(1, 1, 1000, 10'000));
  writer->StartWriteback();
  ASSERT_EQ(files_.writebacks.size(), 2u);
  EXPECT_EQ(files_.writebacks[1].first, first);
  ExpectOk(writer->Flush());
  writer->StartWriteback();
  EXPECT_EQ(files_.writebacks.size(), 2u);
}

TEST_F(SegmentWriterTest, RollsBeforeASegmentBecomesLargerThanItMay) {
  const auto writer = Resume(-1, 0);
  const MadeBatch first = MakeBatch(0, 1, 1000, 1000);
  const auto limit = static_cast<int64_t>(2 * first.bytes.size());
  EXPECT_TRUE(Append(*writer, first, limit).new_segment);
  EXPECT_FALSE(Append(*writer, MakeBatch(1, 1, 1001, 1000), limit).new_segment);  // just fits
  const AppendedBatch third = Append(*writer, MakeBatch(2, 1, 1002, 1000), limit);
  EXPECT_TRUE(third.new_segment);
  EXPECT_EQ(third.segment_base_offset, 2);
  EXPECT_EQ(third.position, 0u);
  EXPECT_THAT(*ListSegments(files_, folder()), ElementsAre(0, 2));
}

// With an entry for every batch but the first, of 1,024 bytes the offset index takes 128 and the
// time index 85, of which one is kept for the end.
TEST_F(SegmentWriterTest, RollsWhenAnIndexIsFull) {
  WriterTerms terms = kTerms;
  terms.index_interval_bytes = 0;
  terms.index_bytes = 1024;
  const auto writer = *SegmentWriter::Resume(files_, folder(), -1, 0, terms);
  for (int64_t i = 0; i < 200; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 10));
  ExpectOk(writer->Finish());
  EXPECT_EQ(*ListSegments(files_, folder()), (std::vector<int64_t>{0, 85, 170}));
  EXPECT_EQ(ReadBytes(Path(0, SegmentFile::time_index)).size(), 84U * 12);
  EXPECT_EQ(ReadBytes(Path(0, SegmentFile::offset_index)).size(), 84U * 8);

  // Where time stands still, the offset index is full first. It is asked at once.
  terms.index_bytes = 512;
  writer->SetTerms(terms);
  for (int64_t i = 200; i < 300; ++i) Append(*writer, MakeBatch(i, 1, 5000, 10));
  ExpectOk(writer->Finish());
  EXPECT_EQ(*ListSegments(files_, folder()), (std::vector<int64_t>{0, 85, 170, 235}));
}

// Found by the simulator: an altered topic rolls, and the segment that it rolled into kept the old
// interval, so that verify missed entries in it.
TEST_F(SegmentWriterTest, AnEmptySegmentTakesANewInterval) {
  constexpr int64_t kBatches = 20;
  WriterTerms terms = kTerms;
  terms.index_interval_bytes = 1 << 20;
  const auto writer = *SegmentWriter::Resume(files_, folder(), -1, 0, terms);
  Append(*writer, MakeBatch(0, 1, 1000, 10));
  ExpectOk(writer->Roll(1, 1000));
  terms.index_interval_bytes = 0;
  writer->SetTerms(terms);
  for (int64_t i = 1; i <= kBatches; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 10));
  ExpectOk(writer->Finish());
  EXPECT_EQ(ReadBytes(Path(1, SegmentFile::offset_index)).size(), (kBatches - 1) * 8U);
}

TEST_F(SegmentWriterTest, ASingleBatchMayBeLargerThanASegment) {
  const auto writer = Resume(-1, 0);
  EXPECT_TRUE(Append(*writer, MakeBatch(0, 1, 1000, 5000), 1024).new_segment);
  EXPECT_TRUE(Append(*writer, MakeBatch(1, 1, 1000, 5000), 1024).new_segment);
  EXPECT_THAT(*ListSegments(files_, folder()), ElementsAre(0, 1));
}

TEST_F(SegmentWriterTest, RollsWhereRelativeOffsetsWouldNotFit) {
  const auto writer = Resume(-1, 0);
  Append(*writer, MakeBatch(10, 1, 1000, 10));
  const int64_t last_that_fits = 10 + int64_t{INT32_MAX};
  EXPECT_FALSE(Append(*writer, MakeBatch(last_that_fits, 1, 1000, 10)).new_segment);
  EXPECT_TRUE(Append(*writer, MakeBatch(last_that_fits + 1, 1, 1000, 10)).new_segment);
}

TEST_F(SegmentWriterTest, RollingFlushesTheFinishedSegmentWholeFirst) {
  const auto writer = Resume(-1, 0);
  for (int i = 0; i < 10; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 1000), 10240 + 2000);
  TakeLog();
  for (int i = 10; i < 14; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 1000), 10240 + 2000);

  const auto log = TakeLog();
  const auto created = std::find(log.begin(), log.end(), "create 00000000000000000011.log");
  ASSERT_NE(created, log.end());
  const std::vector<std::string> before(log.begin(), created);
  EXPECT_THAT(before, Contains("flush 00000000000000000000.log"));
  EXPECT_THAT(before, Contains("flush 00000000000000000000.index"));
  EXPECT_THAT(before, Contains("flush 00000000000000000000.timeindex"));
  EXPECT_THAT(before, Contains(HasSubstr("flush-directory")));
  ExpectIndexesAsKafkaMakesThem(0);
  EXPECT_EQ(writer->flushed_bytes(), 0u);
}

TEST_F(SegmentWriterTest, FinishFlushesAllThreeFilesAndOneMayGoOnAppending) {
  const auto writer = Resume(-1, 0);
  for (int i = 0; i < 6; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 1000));
  TakeLog();
  ExpectOk(writer->Finish());
  const auto log = TakeLog();
  EXPECT_THAT(log, Contains("flush 00000000000000000000.log"));
  EXPECT_THAT(log, Contains("flush 00000000000000000000.index"));
  EXPECT_THAT(log, Contains("flush 00000000000000000000.timeindex"));
  EXPECT_EQ(writer->flushed_bytes(), writer->log_bytes());
  ExpectIndexesAsKafkaMakesThem(0);

  for (int i = 6; i < 40; ++i) Append(*writer, MakeBatch(i, 1, 1000 + i, 1000));
  ExpectOk(writer->Finish());
  ExpectIndexesAsKafkaMakesThem(0);  // the first final entry has made room for the rule's
}

TEST_F(SegmentWriterTest, FinishOfAPartitionWithoutSegmentsDoesNothing) {
  ExpectOk(Resume(-1, 0)->Finish());
  EXPECT_THAT(TakeLog(), IsEmpty());
}

TEST_F(SegmentWriterTest, AFailedFlushIsNeverRepeated) {
  const auto writer = Resume(-1, 0);
  Append(*writer, MakeBatch(0, 1, 1000, 10));
  files_.fails = [](const std::string& operation) { return operation.ends_with(".log"); };
  EXPECT_EQ(writer->Flush().error().code(), ErrorCode::io_error);
  EXPECT_EQ(writer->flushed_bytes(), 0u);

  files_.fails = [](const std::string&) { return false; };
  TakeLog();
  const Status again = writer->Flush();
  EXPECT_EQ(again.error().code(), ErrorCode::stopped);
  EXPECT_THAT(again.error().message(), HasSubstr("flush failed"));
  EXPECT_EQ(writer->Finish().error().code(), ErrorCode::stopped);
  const MadeBatch next = MakeBatch(1, 1, 1000, 10);
  EXPECT_EQ(writer->Append(next.header, next.bytes, TimesOf(next.header), kNoRoll).error().code(),
            ErrorCode::stopped);
  EXPECT_THAT(TakeLog(), IsEmpty());  // nothing touched the disk any more
  EXPECT_EQ(writer->flushed_bytes(), 0u);
}

// Whatever fails, of whatever a writer does: it says so, claims nothing as flushed that it has not
// flushed, and from the flushed length a new writer goes on.
TEST_F(SegmentWriterTest, AnyFailureEndsTheWriterAndTheFlushedPartSurvives) {
  for (size_t failing = 0;; ++failing) {
    const std::vector<int64_t> old = *ListSegments(files_, folder());
    for (const int64_t base_offset : old) {
      ExpectOk(RemoveSegment(files_, folder(), base_offset));
    }
    auto writer = Resume(-1, 0);
    size_t operations = 0;
    files_.fails = [&](const std::string&) { return operations++ == failing; };
    bool failed = false;
    Bytestring flushed_log;
    for (int i = 0; i < 16 && !failed; ++i) {
      const MadeBatch batch = MakeBatch(i, 1, 1000 + i, 1000);
      failed = !writer->Append(batch.header, batch.bytes, TimesOf(batch.header), 9000).ok();
      if (!failed && i % 4 == 3) failed = !writer->Flush().ok();
      if (!failed && i % 4 == 3) flushed_log = LogOf(writer->active_base_offset());
    }
    files_.fails = [](const std::string&) { return false; };
    if (!failed) break;
    EXPECT_EQ(writer->Flush().error().code(), ErrorCode::stopped);

    const auto segments = *ListSegments(files_, folder());
    const int64_t active = writer->active_base_offset();
    const uint64_t flushed_bytes = writer->flushed_bytes();
    if (std::find(segments.begin(), segments.end(), active) == segments.end()) continue;
    Bytestring kept = LogOf(active);
    ASSERT_GE(kept.size(), flushed_bytes) << failing;
    kept.resize(flushed_bytes);
    writer = Resume(active, flushed_bytes);
    EXPECT_EQ(LogOf(active), kept) << failing;
    Append(*writer, MakeBatch(100, 1, 5000, 1000));
    ExpectOk(writer->Finish());
    ExpectIndexesAsKafkaMakesThem(active);
  }
}

}  // namespace
}  // namespace tidemark::storage
