// Seals: what a roll writes, that it is the same whether a writer has seen all of a segment or
// found it half written, and that nothing depends on one.
#include "storage/seal.h"

#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>

#include "base/hash.h"
#include "tests/storage/segment_fixture.h"

namespace tidemark::storage {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class SealTest : public SegmentFixture {
 protected:
  static constexpr int kBatches = 40;
  static constexpr int64_t kNext = 1000;  // the base offset of what follows the sealed segment

  static MadeBatch Batch(int i, size_t value_bytes = 100'000) {
    return MakeBatch(int64_t{2} * i, 2, 5000 - i % 7, value_bytes);
  }
  void Roll(SegmentWriter& writer) {
    EXPECT_TRUE(Append(writer, MakeBatch(kNext, 1, 9000, 10), /*segment_bytes=*/1).new_segment);
  }
  // A sealed segment of some blocks at 0, and the first batch of the next one.
  void MakeSealed() {
    const auto writer = Resume(-1, 0);
    for (int i = 0; i < kBatches; ++i) Append(*writer, Batch(i));
    Roll(*writer);
    ExpectOk(writer->Flush());
  }
  Seal SealOf(int64_t base_offset) {
    auto seal = ReadSeal(files_, folder(), base_offset);
    EXPECT_TRUE(seal.ok()) << seal.error().ToString();
    return seal.ok() ? *std::move(seal) : Seal();
  }
  FileSum SumOf(SegmentFile kind) {
    const Bytestring bytes = ReadBytes(Path(0, kind));
    return {bytes.size(), base::Xxh3(bytes)};
  }
  bool HasSeal(int64_t base_offset) {
    return std::filesystem::exists(Path(base_offset, SegmentFile::seal));
  }
  bool LogSays(const std::string& operation) {
    return std::find(files_.log.begin(), files_.log.end(), operation) != files_.log.end();
  }
};

TEST_F(SealTest, ARollSaysWhatTheFilesAre) {
  MakeSealed();
  const Seal seal = SealOf(0);
  const Bytestring log = LogOf(0);
  EXPECT_EQ(seal.owner, kTerms.owner);
  EXPECT_EQ(seal.base_offset, 0);
  EXPECT_EQ(seal.end_offset, 2 * kBatches);
  EXPECT_EQ(seal.batch_count, uint64_t{kBatches});
  EXPECT_EQ(seal.record_count, uint64_t{kBatches});
  EXPECT_EQ(seal.least_base_timestamp_ms, 4994);
  EXPECT_EQ(seal.max_timestamp_ms, 5000);
  EXPECT_EQ(seal.appended, (AppendTimes{0, (2 * kBatches - 1) * 100 + 50}));
  EXPECT_EQ(seal.offset_index, SumOf(SegmentFile::offset_index));
  EXPECT_EQ(seal.time_index, SumOf(SegmentFile::time_index));
  EXPECT_GT(seal.offset_index.bytes, 0u);
  EXPECT_GT(seal.time_index.bytes, 0u);
  EXPECT_EQ(seal.log_bytes, log.size());
  std::vector<uint64_t> blocks;
  for (size_t at = 0; at < log.size(); at += kSealBlockBytes) {
    blocks.push_back(base::Xxh3(
        base::ByteSpan(log).subspan(at, std::min<size_t>(kSealBlockBytes, log.size() - at))));
  }
  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(seal.block_checksums, blocks);
  EXPECT_FALSE(HasSeal(kNext));  // the active one
}

TEST_F(SealTest, ItIsWrittenAndFlushedBehindItsFilesAndBeforeTheNextSegment) {
  MakeSealed();
  const auto at = [this](const std::string& operation) {
    const auto found = std::find(files_.log.begin(), files_.log.end(), operation);
    EXPECT_NE(found, files_.log.end()) << operation;
    return found - files_.log.begin();
  };
  const auto written = at("write 00000000000000000000.seal");
  for (const char* flushed : {"flush 00000000000000000000.log", "flush 00000000000000000000.index",
                              "flush 00000000000000000000.timeindex"})
    EXPECT_LT(at(flushed), written);
  EXPECT_LT(written, at("flush 00000000000000000000.seal"));
  EXPECT_LT(at("flush 00000000000000000000.seal"), at("create 00000000000000001000.log"));
  // Its directory entry goes with those of the next segment.
  EXPECT_THAT(files_.log.back(), HasSubstr("flush-directory"));
}

TEST_F(SealTest, NothingIsReadForItButTheIndexes) {
  const auto writer = Resume(-1, 0);
  for (int i = 0; i < kBatches; ++i) Append(*writer, Batch(i));
  const uint64_t before = files_.bytes_read;
  Roll(*writer);
  const Seal seal = SealOf(0);
  EXPECT_LE(files_.bytes_read - before,
            seal.offset_index.bytes + seal.time_index.bytes + SealBytes(4));
}

// A crash or a clean stop in the middle, at any batch: the seal is the same but for the times.
TEST_F(SealTest, AWriterThatGoesOnReadsWhatWasThereWhenItRolls) {
  MakeSealed();
  const Seal whole = SealOf(0);
  for (const int before : {1, 20, kBatches}) {
    SCOPED_TRACE(before);
    for (const int64_t base_offset : {int64_t{0}, kNext})
      ExpectOk(RemoveSegment(files_, folder(), base_offset));
    auto writer = Resume(-1, 0);
    for (int i = 0; i < before; ++i) Append(*writer, Batch(i));
    ExpectOk(writer->Finish());
    writer = Resume(0, writer->flushed_bytes());
    const uint64_t read = files_.bytes_read;
    for (int i = before; i < kBatches; ++i) Append(*writer, Batch(i));
    EXPECT_EQ(files_.bytes_read, read);  // not before it rolls
    Roll(*writer);
    EXPECT_GE(files_.bytes_read - read, whole.log_bytes);
    Seal seal = SealOf(0);
    // What was there was appended before what came next.
    const int64_t known_ms = before == kBatches ? kNext * 100 : int64_t{before} * 200;
    EXPECT_EQ(seal.appended.first_ms, known_ms);
    EXPECT_EQ(seal.appended.last_ms, before == kBatches ? kNext * 100 : whole.appended.last_ms);
    seal.appended = whole.appended;
    EXPECT_EQ(seal, whole);
  }
}

// Written and thrown away again: the writer that comes next begins at the flushed length.
TEST_F(SealTest, WhatWasNotFlushedIsInNoSeal) {
  auto writer = Resume(-1, 0);
  for (int i = 0; i < 10; ++i) Append(*writer, Batch(i));
  ExpectOk(writer->Flush());
  const uint64_t flushed = writer->flushed_bytes();
  for (int i = 10; i < 20; ++i) Append(*writer, Batch(i));
  writer.reset();
  ExpectOk(CutSegment(files_, folder(), 0, flushed));
  writer = Resume(0, flushed);
  for (int i = 10; i < 15; ++i) Append(*writer, Batch(i, 70'000));
  Roll(*writer);
  const Seal seal = SealOf(0);
  EXPECT_EQ(seal.log_bytes, LogOf(0).size());
  const auto digest = DigestLog(files_, folder(), 0, {seal.log_bytes, kNext});
  ASSERT_TRUE(digest);
  const auto made = MakeSeal(files_, folder(), 0, *digest, kTerms.owner, seal.appended);
  ASSERT_TRUE(made);
  EXPECT_EQ(seal, *made);
}

TEST_F(SealTest, ADamagedSegmentIsNotSealed) {
  auto writer = Resume(-1, 0);
  for (int i = 0; i < kBatches; ++i) Append(*writer, Batch(i));
  ExpectOk(writer->Finish());
  Bytestring log = LogOf(0);
  log[300'000] ^= std::byte{1};
  WriteBytes(Path(0, SegmentFile::log), log);
  writer = Resume(0, log.size());
  Roll(*writer);
  EXPECT_FALSE(HasSeal(0));
}

TEST_F(SealTest, TheSealOfAnotherLifeIsRemovedWhereTheSegmentGoesOnOrBeginsAnew) {
  MakeSealed();
  const uint64_t bytes = LogOf(0).size();
  ExpectOk(RemoveSegment(files_, folder(), kNext));
  files_.log.clear();
  auto writer = Resume(0, bytes);
  EXPECT_FALSE(HasSeal(0));
  ExpectOk(writer->Flush());
  EXPECT_THAT(files_.log, Contains(HasSubstr("flush-directory")));

  WriteBytes(Path(kNext, SegmentFile::seal), Bytestring(10));
  Roll(*writer);
  EXPECT_FALSE(HasSeal(kNext));
}

TEST_F(SealTest, CuttingAndRemovingTakeTheSealAlong) {
  MakeSealed();
  ExpectOk(CutSegment(files_, folder(), 0, 500'000));
  EXPECT_FALSE(HasSeal(0));
  ExpectOk(RemoveSegment(files_, folder(), kNext));
  MakeSealed();
  ExpectOk(RemoveSegment(files_, folder(), 0));
  EXPECT_FALSE(HasSeal(0));
  EXPECT_TRUE(LogSays("remove 00000000000000000000.seal"));
}

TEST_F(SealTest, ADiskWithoutRoomForItCostsTheSealOnly) {
  for (const char* operation :
       {"create 00000000000000000000.seal", "write 00000000000000000000.seal",
        "flush 00000000000000000000.seal"}) {
    SCOPED_TRACE(operation);
    const auto writer = Resume(-1, 0);
    for (int i = 0; i < 5; ++i) Append(*writer, Batch(i));
    files_.failure_errno = ENOSPC;
    files_.fails = [&](const std::string& asked) { return asked == operation; };
    Roll(*writer);
    files_.fails = [](const std::string&) { return false; };
    EXPECT_FALSE(HasSeal(0));
    ExpectOk(writer->Flush());
    for (const int64_t base_offset : {int64_t{0}, kNext})
      ExpectOk(RemoveSegment(files_, folder(), base_offset));
  }
}

TEST_F(SealTest, AnyOtherFailureOfWritingItEndsTheWriter) {
  const auto writer = Resume(-1, 0);
  Append(*writer, Batch(0));
  files_.fails = [](const std::string& asked) { return asked.ends_with(".seal"); };
  const MadeBatch next = MakeBatch(kNext, 1, 9000, 10);
  EXPECT_EQ(writer->Append(next.header, next.bytes, TimesOf(next.header), 1).error().code(),
            ErrorCode::io_error);
  EXPECT_EQ(writer->Flush().error().code(), ErrorCode::stopped);
}

class SealedOpenTest : public SealTest {
 protected:
  void SetUp() override {
    MakeSealed();
    for (const SegmentFile kind :
         {SegmentFile::seal, SegmentFile::offset_index, SegmentFile::time_index})
      hint_bytes_ += std::filesystem::file_size(Path(0, kind));
    by_scan_ = OpenIt({});
  }
  std::unique_ptr<OpenSegment> OpenIt(std::optional<SegmentOwner> owner) {
    files_.bytes_read = 0;
    auto segment = OpenSegmentForReading(files_, folder(), 0, {std::nullopt, kNext}, owner);
    EXPECT_TRUE(segment.ok()) << segment.error().ToString();
    return *std::move(segment);
  }
  void ExpectTheSame(const OpenSegment& segment) {
    EXPECT_EQ(segment.log_bytes, by_scan_->log_bytes);
    EXPECT_EQ(segment.next_offset, by_scan_->next_offset);
    EXPECT_EQ(segment.max_timestamp_ms, by_scan_->max_timestamp_ms);
    const auto same = [](const auto& a, const auto& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end());
    };
    EXPECT_TRUE(same(segment.offsets.entries(), by_scan_->offsets.entries()));
    EXPECT_TRUE(same(segment.times.entries(), by_scan_->times.entries()));
  }
  bool ReadTheLog() const { return files_.bytes_read > hint_bytes_; }
  void FlipIn(SegmentFile kind, size_t at) {
    Bytestring bytes = ReadBytes(Path(0, kind));
    bytes[at] ^= std::byte{1};
    WriteBytes(Path(0, kind), bytes);
  }

  uint64_t hint_bytes_ = 0;
  std::unique_ptr<OpenSegment> by_scan_;
};

TEST_F(SealedOpenTest, NothingOfTheLogIsRead) {
  EXPECT_TRUE(ReadTheLog());  // without
  const auto segment = OpenIt(kTerms.owner);
  EXPECT_FALSE(ReadTheLog());
  ExpectTheSame(*segment);
}

TEST_F(SealedOpenTest, WithoutASealThatFitsItIsScanned) {
  const auto expect_scan = [this] {
    const auto segment = OpenIt(kTerms.owner);
    EXPECT_TRUE(ReadTheLog());
    EXPECT_EQ(segment->next_offset, by_scan_->next_offset);
    EXPECT_EQ(segment->max_timestamp_ms, by_scan_->max_timestamp_ms);
  };
  SegmentOwner other = kTerms.owner;
  ++other.partition;
  ExpectTheSame(*OpenIt(other));
  EXPECT_TRUE(ReadTheLog());
  for (const SegmentFile kind :
       {SegmentFile::seal, SegmentFile::offset_index, SegmentFile::time_index}) {
    FlipIn(kind, 3);
    expect_scan();
    FlipIn(kind, 3);
  }
  std::filesystem::remove(Path(0, SegmentFile::seal));
  expect_scan();
}

// A batch is missing at the end: the seal knows of it, and is not asked.
TEST_F(SealedOpenTest, OfALogThatWasCutShortIsToldWhatIsThere) {
  Bytestring log = LogOf(0);
  log.resize(log.size() - Batch(kBatches - 1).bytes.size());
  WriteBytes(Path(0, SegmentFile::log), log);
  const auto segment = OpenIt(kTerms.owner);
  EXPECT_EQ(segment->next_offset, int64_t{2} * (kBatches - 1));
  EXPECT_EQ(segment->log_bytes, log.size());
}

TEST_F(SealTest, ReadingItSaysWhatIsWrong) {
  EXPECT_EQ(ReadSeal(files_, folder(), 0).error().system_errno(), ENOENT);
  MakeSealed();
  std::filesystem::copy_file(Path(0, SegmentFile::seal), Path(kNext, SegmentFile::seal));
  const auto misplaced = ReadSeal(files_, folder(), kNext);
  EXPECT_EQ(misplaced.error().code(), ErrorCode::corrupt);
  EXPECT_THAT(misplaced.error().message(), HasSubstr("begins at 0"));
  Bytestring bytes = ReadBytes(Path(0, SegmentFile::seal));
  bytes.resize(kMaxSealBytes + 100);
  WriteBytes(Path(0, SegmentFile::seal), bytes);
  EXPECT_EQ(ReadSeal(files_, folder(), 0).error().code(), ErrorCode::corrupt);
}

}  // namespace
}  // namespace tidemark::storage
