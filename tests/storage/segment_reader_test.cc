// Reading segments: opening them, walking over their batches, finding the way around damage,
// cutting and removing them.
#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>

#include "tests/storage/segment_fixture.h"

namespace tidemark::storage {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SegmentReaderTest : public SegmentFixture {
 protected:
  static constexpr int64_t kBase = 1000;
  static constexpr int kBatches = 60;

  void SetUp() override {
    MakeSegment(kBase, kBatches);
    log_ = *files_.Open(Path(kBase, SegmentFile::log), {.write = true});
    size_ = *log_->Size();
    ExpectOk(WalkBatchHeaders(*log_, 0, size_, [this](const BatchAt& batch) {
      batches_.push_back(batch);
      return true;
    }));
    ASSERT_EQ(batches_.size(), static_cast<size_t>(kBatches));
  }

  std::unique_ptr<OpenSegment> OpenIt(std::optional<uint64_t> limit = std::nullopt) {
    auto segment = OpenSegmentForReading(files_, folder(), kBase, {limit, std::nullopt});
    EXPECT_TRUE(segment.ok()) << segment.error().ToString();
    return *std::move(segment);
  }
  void Damage(uint64_t position, size_t bytes) {
    ExpectOk(log_->WriteAt(position, Bytestring(bytes, std::byte{0xee}), io::Durable::no));
  }
  // Where a reader that looks for an offset begins, by the index.
  static uint64_t StartFor(const OpenSegment& segment, int64_t offset) {
    const auto entry = segment.offsets.Floor(static_cast<int32_t>(offset - segment.base_offset));
    return entry ? static_cast<uint64_t>(entry->position) : 0;
  }

  std::unique_ptr<io::File> log_;
  uint64_t size_ = 0;
  std::vector<BatchAt> batches_;
};

TEST_F(SegmentReaderTest, ASealedSegmentIsOpenedWithoutReadingItsLog) {
  files_.bytes_read = 0;
  files_.log.clear();
  const auto segment = OpenIt();
  EXPECT_LT(files_.bytes_read, uint64_t{32} << 10);
  EXPECT_THAT(files_.log, IsEmpty());  // and without changing anything
  EXPECT_EQ(segment->log_bytes, size_);
  EXPECT_EQ(segment->next_offset, kBase + int64_t{2} * kBatches);
  EXPECT_EQ(segment->max_timestamp_ms, 1000 + kBatches - 1);
}

TEST_F(SegmentReaderTest, TheIndexLeadsCloseToEveryOffset) {
  const auto segment = OpenIt();
  for (const BatchAt& batch : batches_) {
    for (int64_t offset = batch.header.base_offset; offset < batch.header.next_offset(); ++offset) {
      const uint64_t start = StartFor(*segment, offset);
      EXPECT_LE(start, batch.position);
      EXPECT_LE(batch.position - start, kInterval + 2 * batch.header.total_bytes());
    }
  }
}

TEST_F(SegmentReaderTest, AnActiveSegmentCountsUpToItsFlushedLength) {
  const BatchAt& cut = batches_[30];
  const auto segment = OpenIt(cut.position);
  EXPECT_EQ(segment->log_bytes, cut.position);
  EXPECT_EQ(segment->next_offset, cut.header.base_offset);
  EXPECT_EQ(segment->max_timestamp_ms, batches_[29].header.max_timestamp_ms);
  ASSERT_FALSE(segment->times.entries().empty());
  EXPECT_LT(segment->times.entries().back().relative_offset, cut.header.base_offset - kBase);
  EXPECT_LT(segment->offsets.entries().back().position, static_cast<int64_t>(cut.position));
}

TEST_F(SegmentReaderTest, WithoutIndexFilesTheyAreMadeInMemory) {
  const auto intact = OpenIt();
  std::filesystem::remove(Path(kBase, SegmentFile::offset_index));
  std::filesystem::remove(Path(kBase, SegmentFile::time_index));
  files_.log.clear();
  const auto segment = OpenIt();
  EXPECT_THAT(files_.log, IsEmpty());
  EXPECT_EQ(segment->next_offset, intact->next_offset);
  EXPECT_EQ(segment->max_timestamp_ms, intact->max_timestamp_ms);
  ASSERT_EQ(segment->offsets.entries().size(), intact->offsets.entries().size());
  EXPECT_TRUE(std::equal(segment->offsets.entries().begin(), segment->offsets.entries().end(),
                         intact->offsets.entries().begin()));
}

TEST_F(SegmentReaderTest, GarbageInTheIndexFilesIsNotBelieved) {
  Bytestring times = ReadBytes(Path(kBase, SegmentFile::time_index));
  base::StoreBig(times.data() + times.size() - index::kTimeEntryBytes, int64_t{1} << 50);
  WriteBytes(Path(kBase, SegmentFile::time_index), times);
  Bytestring offsets = ReadBytes(Path(kBase, SegmentFile::offset_index));
  base::StoreBig(offsets.data() + offsets.size() - 4,
                 base::LoadBig<int32_t>(offsets.data() + offsets.size() - 4) + 10);
  WriteBytes(Path(kBase, SegmentFile::offset_index), offsets);
  const auto segment = OpenIt();
  EXPECT_EQ(segment->max_timestamp_ms, 1000 + kBatches - 1);
  EXPECT_EQ(segment->next_offset, kBase + int64_t{2} * kBatches);
  EXPECT_EQ(segment->offsets.entries().back().position,
            base::LoadBig<int32_t>(offsets.data() + offsets.size() - 4) - 10);
}

TEST_F(SegmentReaderTest, ACorruptHeaderEndsWhatIsKnownButNotTheSegment) {
  Damage(batches_[kBatches - 1].position, 30);  // behind the last index entry
  const auto segment = OpenIt();
  EXPECT_EQ(segment->log_bytes, size_);
  EXPECT_EQ(segment->next_offset, batches_[kBatches - 1].header.base_offset);
}

TEST_F(SegmentReaderTest, AnEmptySegmentEndsWhereItBegins) {
  ExpectOk(CutSegment(files_, folder(), kBase, 0));
  const auto segment = OpenIt();
  EXPECT_EQ(segment->log_bytes, 0u);
  EXPECT_EQ(segment->next_offset, kBase);
  EXPECT_EQ(segment->max_timestamp_ms, INT64_MIN);
}

TEST_F(SegmentReaderTest, WithoutALogThereIsNoSegment) {
  EXPECT_FALSE(OpenSegmentForReading(files_, folder(), 5, {}).ok());
}

TEST_F(SegmentReaderTest, TimesBefore1970AreNotInTheIndexButKnown) {
  const auto writer = Resume(-1, 0);
  for (int i = 0; i < 40; ++i) Append(*writer, MakeBatch(5000 + i, 1, -1000 + i, 1000));
  ExpectOk(writer->Finish());
  const auto segment = OpenSegmentForReading(files_, folder(), 5000, {});
  ASSERT_TRUE(segment.ok());
  EXPECT_THAT((*segment)->times.entries(), IsEmpty());
  EXPECT_EQ((*segment)->max_timestamp_ms, -1000 + 39);
}

// --- Walking
// ----------------------------------------------------------------------------------------

TEST_F(SegmentReaderTest, AWalkVisitsEveryBatchUntilItIsStopped) {
  uint64_t position = 0;
  for (const BatchAt& batch : batches_) {
    EXPECT_EQ(batch.position, position);
    position += batch.header.total_bytes();
  }
  EXPECT_EQ(position, size_);

  int visited = 0;
  ExpectOk(WalkBatchHeaders(*log_, batches_[5].position, size_, [&](const BatchAt& batch) {
    EXPECT_EQ(batch.position, batches_[static_cast<size_t>(5 + visited)].position);
    return ++visited < 3;
  }));
  EXPECT_EQ(visited, 3);
}

TEST_F(SegmentReaderTest, AWalkReadsHeadersOnly) {
  const auto writer = Resume(-1, 0);
  for (int i = 0; i < 4; ++i) Append(*writer, MakeBatch(9000 + i, 1, 1, 500'000));
  const auto log = *files_.Open(Path(9000, SegmentFile::log), {});
  files_.bytes_read = 0;
  int visited = 0;
  ExpectOk(WalkBatchHeaders(*log, 0, *log->Size(), [&](const BatchAt&) { return ++visited > 0; }));
  EXPECT_EQ(visited, 4);
  EXPECT_LE(files_.bytes_read, uint64_t{4} * 4096);
}

TEST_F(SegmentReaderTest, AWalkSaysWhereNoBatchStands) {
  Damage(batches_[7].position + 16, 1);  // the magic
  size_t visited = 0;
  const Status walked = WalkBatchHeaders(*log_, 0, size_, [&](const BatchAt&) {
    ++visited;
    return true;
  });
  EXPECT_EQ(visited, 7u);
  EXPECT_EQ(walked.error().code(), ErrorCode::corrupt);
  EXPECT_THAT(walked.error().message(), HasSubstr(std::to_string(batches_[7].position)));
}

TEST_F(SegmentReaderTest, ABatchThatDoesNotFitIsNone) {
  const Status walked = WalkBatchHeaders(*log_, batches_[7].position, batches_[8].position - 1,
                                         [](const BatchAt&) { return true; });
  EXPECT_EQ(walked.error().code(), ErrorCode::corrupt);
  const auto found = FindNextIntactBatch(*log_, batches_[7].position, batches_[8].position - 1, 0);
  EXPECT_EQ(*found, std::nullopt);
}

TEST_F(SegmentReaderTest, AnOffsetThatGoesBackIsDamage) {
  // The base offset has no checksum: this batch's CRC is right.
  std::byte offset[8];
  base::StoreBig(offset, kBase);
  ExpectOk(log_->WriteAt(batches_[7].position, offset, io::Durable::no));
  const Status walked = WalkBatchHeaders(*log_, 0, size_, [](const BatchAt&) { return true; });
  EXPECT_EQ(walked.error().code(), ErrorCode::corrupt);
}

// --- Damage
// -----------------------------------------------------------------------------------------

TEST_F(SegmentReaderTest, TheNextIntactBatchIsFoundBehindDamageOfAnyLength) {
  const uint64_t from = batches_[10].position;
  for (const size_t bytes : {size_t{1}, size_t{61}, size_t{1100}, size_t{3000}, size_t{30000}}) {
    Damage(from, bytes);
    const auto next = std::find_if(batches_.begin(), batches_.end(), [&](const BatchAt& batch) {
      return batch.position >= from + bytes;
    });
    const auto found = FindNextIntactBatch(*log_, from + 1, size_, kBase);
    ASSERT_TRUE(found.ok() && *found);
    EXPECT_EQ((*found)->position, next->position);
    EXPECT_EQ((*found)->header, next->header);
  }
}

TEST_F(SegmentReaderTest, ABatchWhoseBytesAreDamagedIsNotIntact) {
  Damage(batches_[10].position + 500, 1);
  const auto found = FindNextIntactBatch(*log_, batches_[10].position, size_, kBase);
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_EQ((*found)->position, batches_[11].position);
}

TEST_F(SegmentReaderTest, BatchesBelowTheOffsetAskedForArePassedOver) {
  const auto found = FindNextIntactBatch(*log_, 0, size_, batches_[20].header.base_offset - 1);
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_EQ((*found)->position, batches_[20].position);
  EXPECT_EQ(*FindNextIntactBatch(*log_, 0, size_, kBase + 100000), std::nullopt);
}

TEST_F(SegmentReaderTest, ABatchLargerThanTheSearchsMemoryIsFound) {
  const auto writer = Resume(-1, 0);
  const MadeBatch small = MakeBatch(9000, 1, 1, 100);
  const MadeBatch large = MakeBatch(9001, 1, 1, 700'000);
  Append(*writer, small);
  Append(*writer, large);
  const auto log = *files_.Open(Path(9000, SegmentFile::log), {});
  const auto found = FindNextIntactBatch(*log, 1, *log->Size(), 9000);
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_EQ((*found)->position, small.bytes.size());
}

TEST_F(SegmentReaderTest, WhereNothingIsIntactNothingIsFound) {
  Damage(0, size_);
  EXPECT_EQ(*FindNextIntactBatch(*log_, 0, size_, 0), std::nullopt);
  EXPECT_EQ(*FindNextIntactBatch(*log_, size_, size_, 0), std::nullopt);
}

TEST_F(SegmentReaderTest, TheIntactPrefixEndsAtTheFirstDamage) {
  auto prefix = MeasureIntactPrefix(files_, folder(), kBase);
  EXPECT_EQ(prefix->bytes, size_);
  EXPECT_EQ(prefix->next_offset, kBase + int64_t{2} * kBatches);

  Damage(batches_[33].position + 700, 1);  // in the records: only the CRC tells
  prefix = MeasureIntactPrefix(files_, folder(), kBase);
  EXPECT_EQ(prefix->bytes, batches_[33].position);
  EXPECT_EQ(prefix->next_offset, batches_[33].header.base_offset);

  Damage(0, 100);
  prefix = MeasureIntactPrefix(files_, folder(), kBase);
  EXPECT_EQ(prefix->bytes, 0u);
  EXPECT_EQ(prefix->next_offset, kBase);
}

TEST_F(SegmentReaderTest, ATornEndIsNotPartOfTheIntactPrefix) {
  ExpectOk(log_->Truncate(batches_[59].position + 100));
  const auto prefix = MeasureIntactPrefix(files_, folder(), kBase);
  EXPECT_EQ(prefix->bytes, batches_[59].position);
}

// --- Cutting and removing
// -----------------------------------------------------------------------------

TEST_F(SegmentReaderTest, CuttingTakesTheIndexesAlongAndFlushesWhatChanged) {
  files_.log.clear();
  const BatchAt& cut = batches_[30];
  ExpectOk(CutSegment(files_, folder(), kBase, cut.position));
  EXPECT_EQ(std::filesystem::file_size(Path(kBase, SegmentFile::log)), cut.position);
  EXPECT_THAT(files_.log, Contains("flush 00000000000000001000.log"));
  EXPECT_THAT(files_.log, Contains("flush 00000000000000001000.index"));
  EXPECT_THAT(files_.log, Contains("flush 00000000000000001000.timeindex"));

  index::OffsetIndex offsets;
  const Bytestring offset_file = ReadBytes(Path(kBase, SegmentFile::offset_index));
  EXPECT_EQ(offsets.Load(offset_file, cut.position), offset_file.size());
  EXPECT_FALSE(offsets.entries().empty());
  index::TimeIndex times;
  const Bytestring time_file = ReadBytes(Path(kBase, SegmentFile::time_index));
  const auto last = static_cast<int32_t>(cut.header.base_offset - 1 - kBase);
  EXPECT_EQ(times.Load(time_file, last), time_file.size());
  EXPECT_FALSE(times.entries().empty());
}

TEST_F(SegmentReaderTest, CuttingDropsGarbageFromTheIndexes) {
  Bytestring offsets = ReadBytes(Path(kBase, SegmentFile::offset_index));
  const size_t valid = offsets.size();
  offsets.resize(valid + 1000);
  WriteBytes(Path(kBase, SegmentFile::offset_index), offsets);
  ExpectOk(CutSegment(files_, folder(), kBase, size_));
  EXPECT_EQ(std::filesystem::file_size(Path(kBase, SegmentFile::offset_index)), valid);
}

// The flushes are for what somebody may have cut before.
TEST_F(SegmentReaderTest, CuttingToTheWholeLengthChangesNothing) {
  files_.log.clear();
  ExpectOk(CutSegment(files_, folder(), kBase, size_));
  ExpectOk(CutSegment(files_, folder(), kBase, size_ + 1000));  // never lengthens
  EXPECT_THAT(files_.log, Each(StartsWith("flush ")));
  EXPECT_EQ(files_.log.size(), 2 * 3U);
  EXPECT_EQ(std::filesystem::file_size(Path(kBase, SegmentFile::log)), size_);
}

TEST_F(SegmentReaderTest, CuttingWithoutIndexesOrLog) {
  std::filesystem::remove(Path(kBase, SegmentFile::offset_index));
  std::filesystem::remove(Path(kBase, SegmentFile::time_index));
  ExpectOk(CutSegment(files_, folder(), kBase, batches_[3].position));
  EXPECT_FALSE(std::filesystem::exists(Path(kBase, SegmentFile::offset_index)));
  EXPECT_FALSE(CutSegment(files_, folder(), 5, 0).ok());
}

TEST_F(SegmentReaderTest, RemovingTakesAllThreeFilesTheLogFirst) {
  files_.log.clear();
  ExpectOk(RemoveSegment(files_, folder(), kBase));
  EXPECT_THAT(files_.log,
              ElementsAre("remove 00000000000000001000.log", "remove 00000000000000001000.index",
                          "remove 00000000000000001000.timeindex"));
  ExpectOk(RemoveSegment(files_, folder(), kBase));  // gone already
  EXPECT_THAT(*ListSegments(files_, folder()), IsEmpty());
}

}  // namespace
}  // namespace tidemark::storage
