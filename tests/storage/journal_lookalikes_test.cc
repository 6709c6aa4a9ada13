// Headers that look like the log's and are not: of commits that were cut off, in records' payload,
// forged.
//
// A scan is told in a line: "1 2:data-damaged 3-5:unknown 6:directory-only | next 7 torn".
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "tests/support/journal_image.h"

namespace tidemark::storage {
namespace {

using test_support::JournalImage;
using test_support::kBlock;

// --- journals in the payload ---------------------------------------------------------------------

// What somebody gets who publishes the journal file itself: genuine headers at block boundaries.
TEST(JournalPayloadTest, ACopyOfTheJournalInARecordIsNotPartOfTheLog) {
  JournalImage image(32);
  for (int i = 0; i < 4; ++i) image.AppendBlocks(1);
  const std::vector<std::byte> copy = image.bytes;
  const base::ByteSpan commits =
      base::ByteSpan(copy).subspan(image.superblock.ring_begin, 4 * kBlock);
  image.AppendBlocks(6);
  image.Plant(1, commits);
  image.AppendBlocks(1);
  EXPECT_EQ(image.ScanNow().text, "1 2 3 4 5 6 | next 7");
  EXPECT_EQ(image.ScanWithoutCheckpoint().text, "1 2 3 4 5 6 | next 7");

  JournalImage lost = image;
  lost.DamageHeader(5);
  EXPECT_EQ(lost.ScanNow().text, "1 2 3 4 5:directory-only 6 | next 7")
      << "nor when the commit around it is lost";
  lost.DamageHeader(6);
  EXPECT_EQ(lost.ScanNow().text, "1 2 3 4 | next 5 torn");
}

// Commits 3 and 4 are lost, and a record in commit 6 holds copies of 3 to 5 that would do instead.
TEST(JournalPayloadTest, ACopyInALaterCommitDoesNotStandInForWhatIsLost) {
  JournalImage image(32);
  for (int i = 0; i < 5; ++i) image.AppendBlocks(1);
  const std::vector<std::byte> copy = image.bytes;
  const base::ByteSpan commits = base::ByteSpan(copy).subspan(image.At(3).position, 3 * kBlock);
  image.AppendBlocks(5);
  image.Plant(1, commits);
  image.AppendBlocks(1);
  image.DamageHeader(3);
  EXPECT_EQ(image.ScanNow().text, "1 2 3:directory-only 4 5 6 7 | next 8");
  image.DamageHeader(4);
  EXPECT_EQ(image.ScanNow().text, "1 2 3:unknown 4:directory-only 5 6 7 | next 8");
  image.DamageHeader(5);
  EXPECT_EQ(image.ScanNow().text, "1 2 3-4:unknown 5:directory-only 6 7 | next 8");
}

// The copies of 1 and 2 in commit 3, which is lost with them, leave no room for it.
TEST(JournalPayloadTest, ACopyInALostCommitStandsInForNothingIfThatDoesNotAddUp) {
  JournalImage image(32);
  for (int i = 0; i < 2; ++i) image.AppendBlocks(1);
  const std::vector<std::byte> copy = image.bytes;
  image.AppendBlocks(3);
  image.Plant(1, base::ByteSpan(copy).subspan(image.At(1).position, kBlock + kBlock / 2));
  image.AppendBlocks(1);
  for (const uint64_t sequence : {1u, 2u, 3u}) image.DamageHeader(sequence);
  EXPECT_EQ(image.ScanNow().text, "1-2:unknown 3:directory-only 4 | next 5");
}

TEST(JournalPayloadTest, OfACommitAndItsCopyBehindItTheCommitCounts) {
  JournalImage image(32);
  for (int i = 0; i < 4; ++i) image.AppendBlocks(1);
  const std::vector<std::byte> copy = image.bytes;
  image.AppendBlocks(3);
  image.Plant(1, base::ByteSpan(copy).subspan(image.At(4).position, kBlock));
  image.DamageHeader(3);
  image.DamageHeader(5);
  const auto scan = image.ScanNow();
  EXPECT_EQ(scan.text, "1 2 3:directory-only 4 | next 5 torn");
  EXPECT_EQ(scan.found.at(4).position, image.At(4).position);
}

class ForgedHeaderTest : public ::testing::Test {
 protected:
  ForgedHeaderTest() {
    image_.AppendBlocks(1);
    image_.AppendBlocks(1);
  }
  // A header with right checksums, at a block of a third commit.
  void Plant(uint64_t sequence, uint64_t durable_sequence, uint64_t block = 1,
             uint64_t data_bytes = 0) {
    CommitHeader forged = image_.At(2).header;
    forged.sequence = sequence;
    forged.durable_sequence = durable_sequence;
    forged.data_bytes = data_bytes;
    std::vector<std::byte> bytes(kCommitHeaderBytes);
    EncodeCommitHeader(&forged, bytes.data());
    image_.AppendBlocks(3);
    image_.Plant(block, bytes);
    image_.AppendBlocks(1);
    image_.AppendBlocks(1);
  }

  JournalImage image_{32};
};

TEST_F(ForgedHeaderTest, CountsNothingInTheBodyOfACommit) {
  Plant(6, 5);  // follows by its numbers
  EXPECT_EQ(image_.ScanNow().text, "1 2 3 4 5 | next 6");
}

TEST_F(ForgedHeaderTest, IsNoProofThatMoreCommitsAreMissing) {
  Plant(8, 7);
  EXPECT_EQ(image_.ScanNow().text, "1 2 3 4 5 | next 6");
}

TEST_F(ForgedHeaderTest, InALostBodyTheLowestSequenceWins) {
  Plant(6, 5);
  image_.DamageHeader(3);
  EXPECT_EQ(image_.ScanNow().text, "1 2 3:directory-only 4 5 | next 6");
}

TEST_F(ForgedHeaderTest, InALostBodyTheOneThatHangsTogetherWithItsNeighbourWins) {
  Plant(4, 3);
  image_.DamageHeader(3);
  EXPECT_EQ(image_.ScanNow().text, "1 2 3:directory-only 4 5 | next 6");
}

TEST_F(ForgedHeaderTest, ALengthThatCoversTheRestOfTheLogHidesNothing) {
  Plant(5, 4, 2, 8 * kBlock);
  image_.DamageHeader(3);
  EXPECT_EQ(image_.ScanNow().text, "1 2 3:directory-only 4 5 | next 6");
}

TEST_F(ForgedHeaderTest, MoreLostCommitsThanThereWereBlocksForAreNotBelieved) {
  Plant(1000, 999);
  image_.DamageHeader(3);
  image_.DamageHeader(4);
  image_.DamageHeader(5);
  EXPECT_EQ(image_.ScanNow().text, "1 2 | next 3 torn");
}

TEST_F(ForgedHeaderTest, ImpossibleNumbersDoNotCount) {
  Plant(~uint64_t{0}, ~uint64_t{0} - 1);
  image_.DamageHeader(3);
  EXPECT_EQ(image_.ScanNow().text, "1 2 3:directory-only 4 5 | next 6");
  EXPECT_EQ(image_.ScanWithoutCheckpoint().text, "4 5 | next 6");
}

TEST_F(ForgedHeaderTest, NoCommitClaimsItselfAsDurable) {
  Plant(6, 6);
  EXPECT_EQ(image_.ScanWithoutCheckpoint().text, "1 2 3 4 5 | next 6");
}

// --- a cut-off commit comes back
// -------------------------------------------------------------------

// The sector of its header is as it was before the last write to it.
class OutlivedCommitTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  // Commit 2 was cut off with `GetParam()` blocks, and written anew; `behind` more followed.
  void Make(int behind) {
    image_.AppendBlocks(1);
    const auto& cut_off = image_.AppendBlocks(GetParam());
    const uint64_t position = cut_off.position;
    image_.DamageDirectory(2);
    const auto sector = image_.Bytes(position, kSectorBytes);
    const std::vector<std::byte> old(sector.begin(), sector.end());
    image_.Reopen(image_.ScanNow().end);
    for (int i = 0; i < 1 + behind; ++i) image_.AppendBlocks(2);
    // A later opening's checkpoint no longer tells with which commit that incarnation began.
    image_.NewIncarnation();
    std::copy(old.begin(), old.end(), image_.bytes.begin() + static_cast<std::ptrdiff_t>(position));
  }
  static constexpr uint64_t kSectorBytes = 512;
  JournalImage image_{32};
};

TEST_P(OutlivedCommitTest, CostsNothingBehindIt) {
  Make(3);
  EXPECT_EQ(image_.ScanNow().text, "1 2:directory-only 3 4 5 | next 6");
}

TEST_P(OutlivedCommitTest, CostsNotTheLastOneBehindIt) {
  Make(1);
  EXPECT_EQ(image_.ScanNow().text, "1 2:directory-only 3 | next 4");
}

TEST_P(OutlivedCommitTest, IsNotBelievedWhereNothingTellsThatAnotherTookItsPlace) {
  Make(0);
  EXPECT_EQ(image_.ScanNow().text, "1 | next 2 torn");
}

// Not by a header that claims to, wherever it comes from.
TEST(JournalScanTest, AWholeCommitIsNotLeftOut) {
  JournalImage image(8);
  image.AppendBlocks(1);
  image.incarnation = 2;
  image.AppendBlocks(1);
  image.AppendBlocks(1);
  image.ContinueBehind(1);
  image.incarnation = 1;
  image.AppendBlocks(1);  // commit 3 stands behind it still, of a later incarnation
  EXPECT_EQ(image.ScanNow().text, "1 2 | next 3");
}

INSTANTIATE_TEST_SUITE_P(Blocks, OutlivedCommitTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace tidemark::storage
