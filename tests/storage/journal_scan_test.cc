// What counts after a crash: each rule of replay with the way of losing data that it answers.
//
// A scan is told in a line: "1 2:data-damaged 3-5:unknown 6:directory-only | next 7 torn".
#include "storage/journal_scan.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "storage/journal_format.h"
#include "tests/support/journal_image.h"
#include "tests/support/memory_file.h"

namespace tidemark::storage {
namespace {

using test_support::JournalImage;
using test_support::kBlock;
using test_support::MemoryFile;

// --- the log as it was written -------------------------------------------------------------------

TEST(JournalScanTest, AnEmptyJournalHasNoCommits) {
  const JournalImage image(8);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "| next 1");
  EXPECT_EQ(scan.end.next_position, image.superblock.ring_begin);
  EXPECT_EQ(scan.end.last_incarnation, 1u) << "the checkpoint's: it must not be used again";
  EXPECT_TRUE(scan.end.last_is_empty);
}

TEST(JournalScanTest, CommitsComeInOrderWithTheirData) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(2);
  const auto& last = image.AppendBlocks(1);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "1 2 3 | next 4");
  EXPECT_EQ(scan.end.next_position, last.end());
  EXPECT_EQ(scan.end.previous_checksum, last.header.checksum);
  EXPECT_EQ(scan.end.last_engine_clock_ms, 30);
  EXPECT_EQ(scan.end.last_directory, last.directory);
  EXPECT_EQ(scan.end.last_directory_checksum, last.header.directory_checksum);
  EXPECT_FALSE(scan.end.last_is_empty);
  EXPECT_EQ(scan.found.at(2).position, image.At(2).position);
  EXPECT_EQ(scan.found.at(2).total_bytes, 2 * kBlock);
  EXPECT_EQ(scan.found.at(2).header, image.At(2).header);
  EXPECT_FALSE(scan.found.at(2).last);
  EXPECT_TRUE(scan.found.at(3).last);
}

TEST(JournalScanTest, AnEmptyCommitLeavesNothingToBeWitnessed) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendEmpty();
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "1 2 | next 3");
  EXPECT_TRUE(scan.end.last_is_empty);
}

TEST(JournalScanTest, StartsAtTheCheckpoint) {
  JournalImage image(8);
  for (int i = 0; i < 4; ++i) image.AppendBlocks(1);
  image.StartAt(3);
  EXPECT_EQ(image.ScanNow().text, "3 4 | next 5");
  image.StartAt(5);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "| next 5");
  EXPECT_EQ(scan.end.next_position, image.At(4).end());
  EXPECT_EQ(scan.end.previous_checksum, image.At(4).header.checksum);
}

TEST(JournalScanTest, AVisitThatFailsEndsTheScan) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  MemoryFile file(image.bytes);
  int visits = 0;
  const auto end = ScanJournal(file, image.superblock, &image.checkpoint,
                               [&](const FoundCommit&, base::ByteSpan) -> Status {
                                 ++visits;
                                 return Error(ErrorCode::disk_full, "enough");
                               });
  EXPECT_EQ(end.error().code(), ErrorCode::disk_full);
  EXPECT_EQ(visits, 1);
}

// --- the ring ------------------------------------------------------------------------------------

TEST(JournalScanTest, ACommitThatDoesNotFitStartsAtTheRingsBeginning) {
  JournalImage image(8);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.StartAt(3);
  const auto& wrapped = image.AppendBlocks(3);  // two blocks are left
  ASSERT_EQ(wrapped.position, image.superblock.ring_begin);
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanNow().text, "3 4 5 | next 6");
}

TEST(JournalScanTest, ACommitThatEndsWithTheFileIsFollowedAtTheRingsBeginning) {
  JournalImage image(6);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.StartAt(3);
  EXPECT_EQ(image.ScanNow().end.next_position, image.superblock.journal_bytes);
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanNow().text, "3 4 | next 5");
}

TEST(JournalScanTest, ACheckpointsStartMayBeWhereTheNextCommitDidNotFit) {
  JournalImage image(8);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.AppendBlocks(1);
  image.StartAt(5);  // one block is left
  image.AppendBlocks(3);
  EXPECT_EQ(image.ScanNow().text, "5 | next 6");
}

TEST(JournalScanTest, TheBlocksSkippedBeforeTheStartAreUsedAgain) {
  JournalImage image(8);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.StartAt(4);       // two blocks are left
  image.AppendBlocks(4);  // at the ring's beginning
  image.AppendBlocks(2);
  image.AppendBlocks(2);  // in the skipped blocks, more than a ring behind the checkpoint's start
  EXPECT_EQ(image.ScanNow().text, "4 5 6 | next 7");
  image.DamageHeader(5);
  EXPECT_EQ(image.ScanNow().text, "4 5:directory-only 6 | next 7");
}

TEST(JournalScanTest, ACommitOfAnEarlierLapDoesNotComeBack) {
  JournalImage image(6);
  for (int i = 0; i < 6; ++i) image.AppendBlocks(1);
  image.StartAt(6);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  // Commits 3 to 5 stand where 9 and later ones will.
  EXPECT_EQ(image.ScanNow().text, "6 7 8 | next 9");
}

TEST(JournalScanTest, CommitsOfAnotherJournalDoNotCount) {
  JournalImage other(8, /*journal_id=*/0x33);
  other.AppendBlocks(1);
  other.AppendBlocks(1);
  // A journal made anew on the same blocks: sequence, place and checksum would all fit.
  JournalImage image(8);
  const uint64_t ring = image.superblock.ring_begin;
  std::copy_n(&other.bytes[ring], 2 * kBlock, &image.bytes[ring]);
  EXPECT_EQ(image.ScanNow().text, "| next 1");
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "| next 1");
}

TEST(JournalScanTest, ACommitThatWouldHaveFitBeforeTheEndIsNotLookedForAtTheBeginning) {
  JournalImage shorter(4);
  JournalImage image(8);
  for (JournalImage* both : {&shorter, &image}) {
    both->AppendBlocks(2);
    both->AppendBlocks(2);
    both->StartAt(2);
  }
  const uint64_t wrapped = shorter.AppendBlocks(1).position;
  ASSERT_EQ(shorter.ScanNow().text, "2 3 | next 4");
  std::copy_n(&shorter.bytes[wrapped], kBlock, &image.bytes[wrapped]);
  EXPECT_EQ(image.ScanNow().text, "2 | next 3");
}

TEST(JournalScanTest, CommitsLargerThanTheReadAheadAndAcrossItsEdges) {
  JournalImage image(2000);
  for (const uint64_t blocks : {200u, 90u, 300u, 1u, 255u, 257u, 256u, 600u})
    image.AppendBlocks(blocks);
  EXPECT_EQ(image.ScanNow().text, "1 2 3 4 5 6 7 8 | next 9");
}

TEST(JournalScanTest, AFileWithALargerUnitThanTheJournalsBlockIsRead) {
  JournalImage image(9);
  image.AppendBlocks(1);
  image.AppendBlocks(2);
  image.AppendBlocks(3);
  MemoryFile file(image.bytes, 16384);
  EXPECT_EQ(ReadSuperblock(file).value(), image.superblock);
  EXPECT_EQ(image.ScanFile(file, &image.checkpoint).text, "1 2 3 | next 4");
}

TEST(JournalScanTest, WalkingOverManySmallCommitsCostsFewReads) {
  JournalImage image(1024);
  for (int i = 0; i < 1000; ++i) image.AppendBlocks(1);
  MemoryFile intact(image.bytes);
  image.ScanFile(intact, &image.checkpoint);
  EXPECT_LT(intact.reads(), 20u);
  for (uint64_t sequence = 1; sequence < 1000; sequence += 2) image.DamageHeader(sequence);
  MemoryFile damaged(image.bytes);
  image.ScanFile(damaged, &image.checkpoint);
  EXPECT_LT(damaged.reads(), 40u);
}

// --- a write that was cut off --------------------------------------------------------------------

TEST(JournalScanTest, ATornHeaderEndsTheLog) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.DamageHeader(2);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "1 | next 2 torn");
  EXPECT_EQ(scan.end.next_position, image.At(1).end());
  EXPECT_EQ(scan.end.torn_position, scan.end.next_position);
  EXPECT_EQ(scan.end.last_directory, image.At(1).directory);
}

TEST(JournalScanTest, ATornHeaderIsNoticedAtTheRingsBeginningToo) {
  JournalImage image(6);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
  image.StartAt(3);
  image.AppendBlocks(1);
  image.DamageHeader(4);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "3 | next 4 torn");
  EXPECT_EQ(scan.end.torn_position, image.superblock.ring_begin);
}

TEST(JournalScanTest, ABlankPlaceIsNoTornTail) {
  JournalImage image(8);
  image.AppendBlocks(1);
  const uint64_t position = image.AppendBlocks(1).position;
  image.Zero(position, kBlock);
  EXPECT_EQ(image.ScanNow().text, "1 | next 2");
}

TEST(JournalScanTest, ALastCommitWithoutAReadableDirectoryDoesNotCount) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.DamageDirectory(2);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "1 | next 2 torn");
  EXPECT_EQ(scan.end.next_position, image.At(1).end());
  EXPECT_EQ(scan.end.previous_checksum, image.At(1).header.checksum);
}

// Its offsets are told, so that they are never used again: some of it may have been shown.
TEST(JournalScanTest, ALastCommitWithDamagedDataCounts) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.DamageData(2);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "1 2:data-damaged(last) | next 3");
  EXPECT_EQ(scan.end.previous_checksum, image.At(2).header.checksum);
  EXPECT_EQ(scan.end.last_directory, image.At(2).directory);
}

TEST(JournalScanTest, ACutOffCommitStillTellsTheDirectoryOfTheOneBefore) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.DamageDirectory(1);
  image.DamageDirectory(2);
  EXPECT_EQ(image.ScanNow().text, "1 | next 2 torn");
}

TEST(JournalScanTest, TheNextCommitTakesTheSequenceOfOneThatWasCutOff) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.DamageDirectory(2);
  image.Reopen(image.ScanNow().end);
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanNow().text, "1 2 | next 3");
}

// --- a commit that outlived one that was cut off -------------------------------------------------

TEST(JournalScanTest, ACommitThatOutlivedOneThatWasCutOffDoesNotComeBack) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.durable_sequence = 1;  // two in flight
  image.AppendBlocks(1);
  const uint64_t outlived = image.AppendBlocks(1).position;
  image.DamageHeader(2);
  const auto scan = image.ScanNow();
  ASSERT_EQ(scan.text, "1 | next 2 torn");
  // The next incarnation writes commit 2 anew. Commit 3 still stands behind it, with the right
  // sequence and in the right place: only the checksum that it expects tells.
  image.durable_sequence.reset();
  image.Reopen(scan.end);
  ASSERT_EQ(image.AppendBlocks(1).end(), outlived);
  EXPECT_EQ(image.ScanNow().text, "1 2 | next 3");
}

TEST(JournalScanTest, TheChecksumTellsEvenWithinAnIncarnation) {
  JournalImage image(8);
  for (int i = 0; i < 3; ++i) image.AppendBlocks(1);
  image.ContinueBehind(1);
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanNow().text, "1 2 | next 3");
}

TEST(JournalScanTest, WhatWasCutOffDoesNotComeBackInALaterIncarnation) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.DamageDirectory(2);
  image.Reopen(image.ScanNow().end);
  // The opening that dropped commit 2 has written nothing; its directory becomes readable again
  // (a bad read, say). All that tells is the incarnation.
  image.Flip(image.At(1).end() + kCommitHeaderBytes);
  EXPECT_EQ(image.ScanNow().text, "1 | next 2");
}

TEST(JournalScanTest, AnIncarnationNeverFallsWithinTheLog) {
  JournalImage image(8);
  image.incarnation = 3;
  image.AppendBlocks(1);
  image.incarnation = 2;
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanNow().text, "1 | next 2");
}

// Two can follow: one before the ring's end, and one that did not fit there, at its beginning.
TEST(JournalScanTest, OfTwoThatFollowTheLaterIncarnationCounts) {
  for (const bool cut_off_is_longer : {false, true}) {
    JournalImage image(8);
    for (int i = 0; i < 3; ++i) image.AppendBlocks(2);
    image.StartAt(3);
    image.AppendBlocks(cut_off_is_longer ? 3 : 1);
    image.DamageDirectory(4);
    image.Reopen(image.ScanNow().end);
    image.AppendBlocks(cut_off_is_longer ? 1 : 3);
    if (!cut_off_is_longer) image.AppendBlocks(1);
    const std::string expected = cut_off_is_longer ? "3 4 | next 5" : "3 4 5 | next 6";
    EXPECT_EQ(image.ScanNow().text, expected);
    // A later opening's checkpoint no longer tells that incarnation 2 began with commit 4.
    image.NewIncarnation();
    EXPECT_EQ(image.ScanNow().text, expected);
  }
}

// --- without a checkpoint ------------------------------------------------------------------------

TEST(JournalWithoutCheckpointTest, AnEmptyJournalStartsWithTheFirstCommit) {
  const JournalImage image(8);
  const auto scan = image.ScanWithoutCheckpoint();
  EXPECT_EQ(scan.text, "| next 1");
  EXPECT_EQ(scan.end.next_position, image.superblock.ring_begin);
}

TEST(JournalWithoutCheckpointTest, StartsWithTheLowestSequenceOfTheUnbrokenChain) {
  JournalImage image(8);
  for (int i = 0; i < 6; ++i) image.AppendBlocks(1);
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "1 2 3 4 5 6 | next 7");
  image.DamageHeader(2);
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "3 4 5 6 | next 7");
}

TEST(JournalWithoutCheckpointTest, FindsTheLogThroughTheRingsEnd) {
  JournalImage image(8);
  for (int i = 0; i < 11; ++i) image.AppendBlocks(1);
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "4 5 6 7 8 9 10 11 | next 12");
}

TEST(JournalWithoutCheckpointTest, ALaterIncarnationBeatsAHigherSequence) {
  JournalImage image(8);
  for (int i = 0; i < 6; ++i) image.AppendBlocks(1);
  image.NewIncarnation();
  image.ContinueBehind(2);
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "1 2 3 | next 4");
}

TEST(JournalWithoutCheckpointTest, CommitsThatOutlivedOneThatWasCutOffAreNotTheLog) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.durable_sequence = 1;
  for (int i = 0; i < 3; ++i) image.AppendBlocks(1);  // three in flight, 2 to 4
  image.DamageHeader(2);
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "1 | next 2 torn");
}

TEST(JournalWithoutCheckpointTest, NoIncarnationThatLeftACommitIsUsedAgain) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.incarnation = 7;
  image.AppendBlocks(1);
  image.DamageDirectory(2);
  const auto scan = image.ScanWithoutCheckpoint();
  EXPECT_EQ(scan.text, "1 | next 2 torn");
  EXPECT_EQ(scan.end.last_incarnation, 7u);
}

// Only what stood in the journal before the checkpoint's opening: one more, and two records might
// get one offset.
TEST(IsWithinEndsOfTest, OfWhatAnOpeningHasBeenThrough) {
  Checkpoint checkpoint;
  checkpoint.incarnation_first_sequence = 5;
  FoundCommit unknown;
  unknown.state = FoundCommit::State::unknown;
  unknown.sequence = 4;
  unknown.unknown_count = 1;
  EXPECT_TRUE(IsWithinEndsOf(&checkpoint, unknown));
  EXPECT_FALSE(IsWithinEndsOf(nullptr, unknown));
  unknown.unknown_count = 2;
  EXPECT_FALSE(IsWithinEndsOf(&checkpoint, unknown));
  unknown.sequence = 5;
  unknown.unknown_count = 1;
  EXPECT_FALSE(IsWithinEndsOf(&checkpoint, unknown));
}

}  // namespace
}  // namespace tidemark::storage
