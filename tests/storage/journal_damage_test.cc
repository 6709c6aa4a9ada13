// What damage costs: the commit that it hits, told as exactly as can be, and no other.
//
// A scan is told in a line: "1 2:data-damaged 3-5:unknown 6:directory-only | next 7 torn".
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "tests/support/journal_image.h"
#include "tests/support/memory_file.h"

namespace tidemark::storage {
namespace {

using test_support::JournalImage;
using test_support::kBlock;
using test_support::MemoryFile;
using ::testing::HasSubstr;
using ::testing::Not;

// --- damage --------------------------------------------------------------------------------------

class JournalDamageTest : public ::testing::Test {
 protected:
  JournalDamageTest() {
    for (int i = 0; i < 6; ++i) image_.AppendBlocks(2);
  }
  std::string Scan() { return image_.ScanNow().text; }

  JournalImage image_{16};
};

TEST_F(JournalDamageTest, DamagedDataLoseOneCommitsRecordsOnly) {
  image_.DamageData(3);
  EXPECT_EQ(Scan(), "1 2 3:data-damaged 4 5 6 | next 7");
}

TEST_F(JournalDamageTest, ADamagedDirectoryIsReadFromItsCopy) {
  image_.DamageDirectory(3);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 | next 7");
}

TEST_F(JournalDamageTest, ADamagedCopyAloneLosesNothing) {
  image_.DamageCopy(3);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 | next 7");
}

TEST_F(JournalDamageTest, DirectoryAndDataDamagedStillTellsTheOffsets) {
  image_.DamageDirectory(3);
  image_.DamageData(3);
  EXPECT_EQ(Scan(), "1 2 3:data-damaged 4 5 6 | next 7");
}

TEST_F(JournalDamageTest, BothDirectoriesDamagedMakesACommitUnknown) {
  image_.DamageDirectory(3);
  image_.DamageCopy(3);
  const auto scan = image_.ScanNow();
  EXPECT_EQ(scan.text, "1 2 3:unknown 4 5 6 | next 7");
  EXPECT_EQ(scan.found.at(3).position, image_.At(3).position) << "for the quarantine";
  EXPECT_EQ(scan.found.at(3).total_bytes, 2 * kBlock);
}

TEST_F(JournalDamageTest, ADamagedHeaderLeavesTheCopyOfTheDirectory) {
  image_.DamageHeader(3);
  const auto scan = image_.ScanNow();
  EXPECT_EQ(scan.text, "1 2 3:directory-only 4 5 6 | next 7");
  EXPECT_EQ(scan.found.at(3).position, image_.At(3).position);
  EXPECT_EQ(scan.found.at(3).total_bytes, 2 * kBlock);
}

TEST_F(JournalDamageTest, ADamagedHeaderAndCopyMakeACommitUnknown) {
  image_.DamageHeader(3);
  image_.DamageCopy(3);
  EXPECT_EQ(Scan(), "1 2 3:unknown 4 5 6 | next 7");
}

TEST_F(JournalDamageTest, OfSeveralInARowTheLastIsKnown) {
  for (const uint64_t sequence : {2u, 3u, 4u}) image_.DamageHeader(sequence);
  const auto scan = image_.ScanNow();
  EXPECT_EQ(scan.text, "1 2-3:unknown 4:directory-only 5 6 | next 7");
  EXPECT_EQ(scan.found.at(2).position, image_.At(2).position);
  EXPECT_EQ(scan.found.at(2).total_bytes, 6 * kBlock) << "the stretch they stood in";
  EXPECT_EQ(scan.found.at(4).position, 0u);
}

TEST_F(JournalDamageTest, DamageInSeveralPlacesIsToldForEach) {
  image_.DamageHeader(1);
  image_.DamageData(3);
  image_.DamageHeader(5);
  EXPECT_EQ(Scan(), "1:directory-only 2 3:data-damaged 4 5:directory-only 6 | next 7");
}

TEST_F(JournalDamageTest, TheFirstCommitsAreToldTooWhenTheyAreGone) {
  image_.Zero(image_.superblock.ring_begin, 6 * kBlock);
  EXPECT_EQ(Scan(), "1-2:unknown 3:directory-only 4 5 6 | next 7");
}

TEST_F(JournalDamageTest, OnlyWhatIsClaimedAsDurableIsMissed) {
  image_.durable_sequence = 6;
  image_.AppendBlocks(1);
  image_.AppendBlocks(1);  // claims no more than 6
  image_.DamageHeader(7);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 | next 7 torn") << "7 was cut off, and 8 has outlived it";
}

TEST_F(JournalDamageTest, CommitsThatHangOnToTheProofByChecksumAreKept) {
  image_.durable_sequence = 6;
  for (int i = 0; i < 3; ++i) image_.AppendBlocks(1);  // three in flight, 7 to 9
  image_.durable_sequence = 9;
  image_.AppendBlocks(1);
  image_.DamageHeader(7);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 7:directory-only 8 9 10 | next 11");
}

TEST_F(JournalDamageTest, ACommitThatTheProofDoesNotHangOnToIsNotKept) {
  image_.durable_sequence = 6;
  image_.AppendBlocks(1);
  JournalImage other = image_;
  for (int i = 0; i < 2; ++i) image_.AppendBlocks(1);
  image_.durable_sequence = 9;
  image_.AppendBlocks(1);
  // Commit 8 as it might have been, in 8's place.
  const JournalImage::Commit& another = other.Append(std::string(3000, 'x'));
  ASSERT_EQ(another.position, image_.At(8).position);
  const base::ByteSpan bytes = other.Bytes(another.position, kBlock);
  std::copy(bytes.begin(), bytes.end(), &image_.bytes[another.position]);
  image_.DamageHeader(7);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 7:unknown 8:directory-only 9 10 | next 11");
}

TEST_F(JournalDamageTest, AnIncompleteCommitThatNobodyClaimsAsDurableEndsTheLog) {
  image_.durable_sequence = 6;
  for (int i = 0; i < 3; ++i) image_.AppendBlocks(1);  // three in flight, 7 to 9
  image_.DamageData(8);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 7 8:data-damaged(last) | next 9");
  image_.DamageDirectory(7);
  image_.DamageCopy(7);
  EXPECT_EQ(Scan(), "1 2 3 4 5 6 | next 7 torn");
}

TEST_F(JournalDamageTest, ADamagedCommitBeforeOneThatWasCutOffIsDamage) {
  image_.DamageHeader(5);
  image_.DamageDirectory(6);
  const auto scan = image_.ScanNow();
  EXPECT_EQ(scan.text, "1 2 3 4 5:directory-only | next 6 torn");
  EXPECT_EQ(scan.end.next_position, image_.At(6).position);
  EXPECT_EQ(scan.end.previous_checksum, image_.At(5).header.checksum);
  EXPECT_EQ(scan.end.last_directory, image_.At(5).directory);
  EXPECT_FALSE(scan.end.last_is_empty);
  // The log goes on there.
  JournalImage after = image_;
  after.Reopen(scan.end);
  after.incarnation = scan.end.last_incarnation + 1;
  after.AppendBlocks(1);
  after.AppendBlocks(1);
  EXPECT_THAT(after.ScanNow().text, HasSubstr("4 5:directory-only"));
  EXPECT_THAT(after.ScanNow().text, HasSubstr("6 7 | next 8"));
}

TEST_F(JournalDamageTest, WhatNobodyKnowsIsNotRepeatedAsAnEmptyDirectory) {
  image_.DamageHeader(5);
  image_.DamageCopy(5);
  image_.DamageDirectory(6);
  const auto scan = image_.ScanNow();
  ASSERT_EQ(scan.text, "1 2 3 4 5:unknown | next 6 torn");
  image_.Reopen(scan.end);
  image_.AppendBlocks(1);
  EXPECT_EQ(Scan(), "1 2 3 4 5:unknown 6 | next 7") << "not: 5 is known to hold nothing";
}

TEST(JournalScanTest, BehindALostFirstCommitTheBlocksThatItSkippedAreUsedAgain) {
  JournalImage image(8);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.StartAt(4);       // two blocks are left
  image.AppendBlocks(3);  // at the ring's beginning
  image.AppendBlocks(4);  // over the checkpoint's start
  image.AppendBlocks(1);
  image.DamageHeader(4);
  EXPECT_EQ(image.ScanNow().text, "4:directory-only 5 6 | next 7");
  image.DamageHeader(5);
  EXPECT_EQ(image.ScanNow().text, "4:unknown 5:directory-only 6 | next 7");
}

TEST(JournalScanTest, LostCommitsAtTheRingsEndAreFoundInTheirStretches) {
  JournalImage image(8);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.StartAt(3);
  image.AppendBlocks(1);  // one block is left behind it
  image.AppendBlocks(2);  // at the ring's beginning
  image.AppendBlocks(1);
  image.DamageHeader(4);
  auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "3 4:directory-only 5 6 | next 7");
  EXPECT_EQ(scan.found.at(4).position, image.At(4).position);
  EXPECT_EQ(scan.found.at(4).total_bytes, 2 * kBlock) << "up to the file's end";
  image.DamageHeader(5);
  scan = image.ScanNow();
  EXPECT_EQ(scan.text, "3 4:unknown 5:directory-only 6 | next 7");
  EXPECT_EQ(scan.found.at(4).position, image.At(4).position);
  EXPECT_EQ(scan.found.at(5).position, image.superblock.ring_begin);
  EXPECT_EQ(scan.found.at(5).total_bytes, 2 * kBlock);
}

// --- a device that gives up on blocks ------------------------------------------------------------

class JournalReadErrorTest : public JournalDamageTest {
 protected:
  std::string ScanWithUnreadable(const std::vector<uint64_t>& positions) {
    MemoryFile file(image_.bytes);
    for (const uint64_t position : positions) file.MakeUnreadable(position);
    return image_.ScanFile(file, &image_.checkpoint).text;
  }
};

TEST_F(JournalReadErrorTest, AnUnreadableBlockIsDamageToWhatItHolds) {
  EXPECT_EQ(ScanWithUnreadable({image_.At(3).position + kBlock}),
            "1 2 3:data-damaged 4 5 6 | next 7");
  EXPECT_EQ(ScanWithUnreadable({image_.At(3).position}), "1 2 3:directory-only 4 5 6 | next 7");
}

TEST_F(JournalReadErrorTest, AnUnreadableBlockWhereTheNextCommitGoesMayHoldOne) {
  EXPECT_EQ(ScanWithUnreadable({image_.At(6).position}), "1 2 3 4 5 | next 6 torn");
}

TEST_F(JournalReadErrorTest, ADeviceThatReadsNothingIsNoEmptyJournal) {
  std::vector<uint64_t> all;
  for (uint64_t at = 0; at < image_.bytes.size(); at += kBlock) all.push_back(at);
  EXPECT_THAT(ScanWithUnreadable(all), HasSubstr("io_error"));
}

TEST_F(JournalReadErrorTest, AFileThatWasCutShortKeepsWhatIsLeft) {
  image_.bytes.resize(image_.At(4).position + kBlock + 100);
  EXPECT_EQ(Scan(), "1 2 3 | next 4");
}

// --- every byte ----------------------------------------------------------------------------------

// Commits 3 to 6; 5 and 6 stand at the ring's beginning again, before commit 2 of the lap before.
class FlippedByteTest : public ::testing::Test {
 protected:
  FlippedByteTest() {
    for (const uint64_t blocks : {4u, 1u, 1u, 2u}) image_.AppendBlocks(blocks);
    image_.StartAt(3);
    for (const uint64_t blocks : {3u, 1u}) image_.AppendBlocks(blocks);
  }

  // What a scan must say when the byte at `position` has changed.
  std::string Expected(uint64_t position) const {
    for (uint64_t sequence = 3; sequence <= 6; ++sequence) {
      const JournalImage::Commit& commit = image_.At(sequence);
      if (position < commit.position || position >= commit.end()) continue;
      if (position < commit.directory_position()) return Without(sequence, ":directory-only");
      if (position < commit.copy_position() && sequence == 6) return Without(sequence, "");
      if (position < commit.data_position()) break;  // the other copy of the directory is there
      if (position < commit.data_position() + commit.data.size()) {
        return Without(sequence, ":data-damaged");
      }
    }
    return "3 4 5 6 | next 7";
  }

  JournalImage image_{10};

 private:
  static std::string Without(uint64_t sequence, const std::string& what) {
    if (sequence == 6) {
      return what == ":data-damaged" ? "3 4 5 6:data-damaged(last) | next 7"
                                     : "3 4 5 | next 6 torn";
    }
    std::string text = "3 4 5 6 | next 7";
    const std::string name = std::to_string(sequence);
    return text.replace(text.find(name), name.size(), name + what);
  }
};

TEST_F(FlippedByteTest, CostsNoMoreThanTheCommitThatItIsIn) {
  ASSERT_EQ(image_.ScanNow().text, "3 4 5 6 | next 7");
  MemoryFile file(image_.bytes);
  for (uint64_t position = 0; position < image_.bytes.size(); ++position) {
    const std::byte flip = std::byte{1} << (position % 7);
    file.bytes()[position] ^= flip;
    ASSERT_EQ(image_.ScanFile(file, &image_.checkpoint).text, Expected(position)) << position;
    file.bytes()[position] ^= flip;
  }
}

TEST_F(FlippedByteTest, NeverBringsAWrongRecordWithoutACheckpointEither) {
  MemoryFile file(image_.bytes);
  for (uint64_t position = 0; position < image_.bytes.size(); position += 5) {
    file.bytes()[position] ^= std::byte{0xff};
    const std::string text = image_.ScanFile(file, nullptr).text;
    ASSERT_THAT(text, Not(HasSubstr("WRONG"))) << position;
    ASSERT_THAT(text, HasSubstr("next")) << position;
    file.bytes()[position] ^= std::byte{0xff};
  }
}

TEST_F(FlippedByteTest, ABlankedBlockNeverBringsAWrongRecord) {
  for (uint64_t first = 0; first < image_.bytes.size(); first += kBlock) {
    for (uint64_t end = first + kBlock; end <= image_.bytes.size(); end += kBlock) {
      JournalImage damaged = image_;
      damaged.Zero(first, end - first);
      ASSERT_THAT(damaged.ScanNow().text, Not(HasSubstr("WRONG"))) << first << " to " << end;
      ASSERT_THAT(damaged.ScanWithoutCheckpoint().text, Not(HasSubstr("WRONG")));
    }
  }
}

}  // namespace
}  // namespace tidemark::storage
