// Going on with a segment after a crash: the indexes become what Kafka's recovery makes of the
// .log, whatever the crash has left of them.
#include <filesystem>
#include <random>

#include <gmock/gmock.h>

#include "tests/storage/segment_fixture.h"

namespace tidemark::storage {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class SegmentResumeTest : public SegmentFixture {
 protected:
  static constexpr int64_t kBase = 1000;

  void SetUp() override {
    MakeSegment(kBase, 60);
    offset_file_ = ReadBytes(Path(kBase, SegmentFile::offset_index));
    time_file_ = ReadBytes(Path(kBase, SegmentFile::time_index));
    ASSERT_GE(offset_file_.size(), 10 * index::kOffsetEntryBytes);
    ASSERT_GE(time_file_.size(), 10 * index::kTimeEntryBytes);
  }

  uint64_t LogBytes() const { return std::filesystem::file_size(Path(kBase, SegmentFile::log)); }

  // Goes on from the log's end and checks both the files at once and those after some more batches.
  void ExpectGoesOn() {
    const auto writer = Resume(kBase, LogBytes());
    ExpectIndexesAsKafkaMakesThem(kBase);
    for (int i = 0; i < 30; ++i) {
      Append(*writer, MakeBatch(next_offset_++, 1, 5000 + 7 * i % 20, 700));
    }
    ExpectOk(writer->Finish());
    ExpectIndexesAsKafkaMakesThem(kBase);
  }

  Bytestring offset_file_;
  Bytestring time_file_;
  int64_t next_offset_ = kBase + 1000;
};

TEST_F(SegmentResumeTest, IntactIndexesAreLeftAlone) {
  files_.log.clear();
  Resume(kBase, LogBytes());
  EXPECT_THAT(files_.log, Not(Contains(HasSubstr("write"))));
  EXPECT_THAT(files_.log, Not(Contains(HasSubstr("truncate"))));
  ExpectGoesOn();
}

// Found by the simulator: their flush had failed, the page cache still showed them, and so they
// were called finished; the next power cut took them.
TEST_F(SegmentResumeTest, IntactIndexesThatWereNotFlushedAreWrittenOnceMore) {
  WriterTerms terms = kTerms;
  terms.indexes_flushed = false;
  const auto writer = SegmentWriter::Resume(files_, folder(), kBase, LogBytes(), terms);
  ASSERT_TRUE(writer.ok()) << writer.error().ToString();
  EXPECT_EQ((*writer)->TakeBytesWritten(), offset_file_.size() + time_file_.size());
  EXPECT_EQ(ReadBytes(Path(kBase, SegmentFile::offset_index)), offset_file_);
  EXPECT_EQ(ReadBytes(Path(kBase, SegmentFile::time_index)), time_file_);
  // Who was killed may have made them anew: their names need not be on the device either.
  files_.log.clear();
  ExpectOk((*writer)->Flush());
  EXPECT_THAT(files_.log, Contains(HasSubstr("flush-directory")));
  ExpectGoesOn();
}

TEST_F(SegmentResumeTest, OnlyTheHeadersBehindTheLastEntriesAreRead) {
  files_.bytes_read = 0;
  Resume(kBase, LogBytes());
  EXPECT_LT(files_.bytes_read, LogBytes() / 2);
}

TEST_F(SegmentResumeTest, MissingIndexes) {
  std::filesystem::remove(Path(kBase, SegmentFile::offset_index));
  std::filesystem::remove(Path(kBase, SegmentFile::time_index));
  files_.log.clear();
  const auto writer = Resume(kBase, LogBytes());
  ExpectIndexesAsKafkaMakesThem(kBase);
  // The files are new in the folder: they are flushed with it, though the log has nothing to flush.
  ExpectOk(writer->Flush());
  EXPECT_THAT(files_.log, Contains(HasSubstr("flush-directory")));
  ExpectGoesOn();
}

TEST_F(SegmentResumeTest, AnIndexCutAnywhere) {
  for (size_t bytes = 0; bytes < offset_file_.size(); bytes += 5) {
    Bytestring cut = offset_file_;
    cut.resize(bytes);
    WriteBytes(Path(kBase, SegmentFile::offset_index), cut);
    Resume(kBase, LogBytes());
    ExpectIndexesAsKafkaMakesThem(kBase);
  }
  for (size_t bytes = 0; bytes < time_file_.size(); bytes += 5) {
    Bytestring cut = time_file_;
    cut.resize(bytes);
    WriteBytes(Path(kBase, SegmentFile::time_index), cut);
    Resume(kBase, LogBytes());
    ExpectIndexesAsKafkaMakesThem(kBase);
  }
}

TEST_F(SegmentResumeTest, ZerosWhereEntriesWereNotWrittenBack) {
  for (const size_t from : {size_t{0}, size_t{24}, size_t{48}}) {
    Bytestring offsets = offset_file_;
    std::fill(offsets.begin() + static_cast<std::ptrdiff_t>(from), offsets.end(), std::byte{0});
    WriteBytes(Path(kBase, SegmentFile::offset_index), offsets);
    Bytestring times = time_file_;
    std::fill(times.begin() + static_cast<std::ptrdiff_t>(from), times.end(), std::byte{0});
    WriteBytes(Path(kBase, SegmentFile::time_index), times);
    ExpectGoesOn();
  }
}

TEST_F(SegmentResumeTest, EntriesOfBatchesThatWereCutOff) {
  // The crash has cut the log back to its first half; the index files still know the rest.
  uint64_t kept = 0;
  auto log = *io::SystemFiles().Open(Path(kBase, SegmentFile::log), {});
  ExpectOk(WalkBatchHeaders(*log, 0, LogBytes(), [&](const BatchAt& batch) {
    kept = batch.position;
    return batch.position < LogBytes() / 2;
  }));
  Resume(kBase, kept);
  EXPECT_EQ(LogBytes(), kept);
  ExpectIndexesAsKafkaMakesThem(kBase);
  ExpectGoesOn();
}

TEST_F(SegmentResumeTest, EntriesThatLookValidButNameNoBatch) {
  Bytestring offsets = offset_file_;
  base::StoreBig(offsets.data() + offsets.size() - 4,
                 base::LoadBig<int32_t>(offsets.data() + offsets.size() - 4) + 1);
  WriteBytes(Path(kBase, SegmentFile::offset_index), offsets);
  Bytestring times = time_file_;
  base::StoreBig(times.data() + times.size() - index::kTimeEntryBytes, int64_t{1} << 50);
  WriteBytes(Path(kBase, SegmentFile::time_index), times);
  ExpectGoesOn();
}

TEST_F(SegmentResumeTest, ALogShorterThanWhatWasFlushedIsDamage) {
  const auto writer = SegmentWriter::Resume(files_, folder(), kBase, LogBytes() + 1, kTerms);
  EXPECT_EQ(writer.error().code(), ErrorCode::corrupt);
}

TEST_F(SegmentResumeTest, DamageInTheLogDoesNotKeepOneFromGoingOn) {
  Bytestring log = LogOf(kBase);
  std::fill_n(log.begin() + 20000, 3000, std::byte{0xee});
  WriteBytes(Path(kBase, SegmentFile::log), log);
  std::filesystem::remove(Path(kBase, SegmentFile::offset_index));
  const auto writer = Resume(kBase, log.size());
  Append(*writer, MakeBatch(kBase + 500, 1, 9000, 10));
  ExpectOk(writer->Finish());

  const auto segment = OpenSegmentForReading(files_, folder(), kBase, {});
  ASSERT_TRUE(segment.ok());
  EXPECT_EQ((*segment)->next_offset, kBase + 501);  // what stands behind the damage is indexed
}

TEST_F(SegmentResumeTest, AnEmptyActiveSegment) {
  ExpectOk(CutSegment(files_, folder(), kBase, 0));
  const auto writer = Resume(kBase, 0);
  EXPECT_EQ(writer->log_bytes(), 0u);
  EXPECT_FALSE(Append(*writer, MakeBatch(kBase, 1, 1000, 10)).new_segment);
  ExpectOk(writer->Finish());
  ExpectIndexesAsKafkaMakesThem(kBase);
}

// Any batches, any stop, any of the ways in which unflushed index files come back.
class SegmentResumeRandomTest : public SegmentFixture, public ::testing::WithParamInterface<int> {
 protected:
  int64_t Number(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }
  MadeBatch NextBatch() {
    const int32_t offsets = static_cast<int32_t>(Number(1, 100));
    clock_ += Number(0, 3);
    int64_t timestamp = clock_;
    const int64_t kind = Number(0, 99);
    if (kind < 20) timestamp -= Number(0, 10000);
    if (kind == 20) timestamp = 0;
    if (kind == 21) timestamp = int64_t{4} << 40;
    if (kind == 22) timestamp = -5;
    const size_t bytes =
        static_cast<size_t>(Number(0, 9) == 0 ? Number(3000, 9000) : Number(10, 900));
    MadeBatch batch = MakeBatch(next_offset_, offsets, timestamp, bytes);
    next_offset_ += offsets + (Number(0, 9) == 0 ? Number(1, 50) : 0);
    return batch;
  }
  // What a power cut makes of a file that was not flushed: a page may be old, zero or new.
  void Spoil(SegmentFile kind) {
    Bytestring bytes = ReadBytes(Path(0, kind));
    const auto size = static_cast<int64_t>(bytes.size());
    switch (Number(0, 4)) {
      case 0:
        return;
      case 1:
        bytes.resize(static_cast<size_t>(Number(0, size)));
        break;
      case 2:
        std::fill(bytes.begin() + Number(0, size), bytes.end(), std::byte{0});
        break;
      case 3:
        for (int64_t i = Number(0, size); i < size; ++i) {
          bytes[static_cast<size_t>(i)] = static_cast<std::byte>(Number(0, 255));
        }
        break;
      default:
        bytes.resize(bytes.size() + static_cast<size_t>(Number(1, 5000)));
        break;
    }
    WriteBytes(Path(0, kind), bytes);
  }

  std::mt19937_64 random_{static_cast<uint64_t>(GetParam())};
  int64_t next_offset_ = 0;
  int64_t clock_ = 1'700'000'000'000;
};

TEST_P(SegmentResumeRandomTest, IndexesAreAlwaysWhatKafkaMakesOfTheLog) {
  auto writer = Resume(-1, 0);
  Append(*writer, NextBatch());
  ExpectOk(writer->Flush());
  for (int crash = 0; crash < 12; ++crash) {
    uint64_t flushed_bytes = writer->flushed_bytes();
    int64_t flushed_next_offset = next_offset_;
    const int64_t batches = Number(0, 60);
    for (int64_t i = 0; i < batches; ++i) {
      Append(*writer, NextBatch());
      if (Number(0, 3) == 0) {
        ExpectOk(Number(0, 9) == 0 ? writer->Finish() : writer->Flush());
        flushed_bytes = writer->flushed_bytes();
        flushed_next_offset = next_offset_;
      }
    }
    writer.reset();
    Spoil(SegmentFile::offset_index);
    Spoil(SegmentFile::time_index);
    writer = Resume(0, flushed_bytes);
    next_offset_ = flushed_next_offset;
    ASSERT_EQ(std::filesystem::file_size(Path(0, SegmentFile::log)), flushed_bytes);
    ExpectIndexesAsKafkaMakesThem(0);
    if (HasFailure()) FAIL() << "seed " << GetParam() << ", crash " << crash;
  }
  ExpectOk(writer->Finish());
  ExpectIndexesAsKafkaMakesThem(0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SegmentResumeRandomTest, ::testing::Range(0, 40));

}  // namespace
}  // namespace tidemark::storage
