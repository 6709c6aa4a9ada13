// Reading the journal's first blocks: which superblock and which checkpoint count.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

// --- superblock ----------------------------------------------------------------------------------

TEST(ReadSuperblockTest, OneIntactCopyIsEnough) {
  JournalImage image(8);
  MemoryFile intact(image.bytes);
  EXPECT_EQ(ReadSuperblock(intact).value(), image.superblock);
  image.Zero(0, kBlock);
  MemoryFile second_only(image.bytes);
  EXPECT_EQ(ReadSuperblock(second_only).value(), image.superblock);
}

TEST(ReadSuperblockTest, AnUnreadableBlockFallsToTheOtherCopy) {
  const JournalImage image(8);
  MemoryFile file(image.bytes);
  file.MakeUnreadable(0);
  EXPECT_EQ(ReadSuperblock(file).value(), image.superblock);
  file.MakeUnreadable(kBlock);
  EXPECT_EQ(ReadSuperblock(file).error().code(), ErrorCode::io_error);
}

TEST(ReadSuperblockTest, TheSecondCopyIsFoundWhateverTheBlock) {
  for (uint32_t block = kMinBlockBytes; block <= kMaxBlockBytes; block *= 2) {
    const Superblock superblock = PlanJournal(uint64_t{4} << 20, block);
    std::vector<std::byte> bytes(superblock.journal_bytes);
    EncodeSuperblock(superblock, &bytes[block]);
    MemoryFile file(bytes, block);
    EXPECT_EQ(ReadSuperblock(file).value(), superblock) << block;
  }
}

TEST(ReadSuperblockTest, ACopyWhereNoneBelongsDoesNotCount) {
  const JournalImage image(8);
  std::vector<std::byte> bytes(image.bytes.size());
  EncodeSuperblock(image.superblock, &bytes[2 * kBlock]);
  MemoryFile file(bytes);
  EXPECT_EQ(ReadSuperblock(file).error().code(), ErrorCode::corrupt);
}

TEST(ReadSuperblockTest, BothDamagedIsCorruptAndNamesTheFile) {
  JournalImage image(8);
  image.Flip(20);
  image.Flip(kBlock + 20);
  MemoryFile file(image.bytes);
  const auto read = ReadSuperblock(file);
  EXPECT_EQ(read.error().code(), ErrorCode::corrupt);
  EXPECT_THAT(read.error().message(), HasSubstr("memory"));
  for (const size_t size : {size_t{0}, size_t{50}, size_t{5000}}) {
    MemoryFile cut(std::vector<std::byte>(image.bytes.begin(),
                                          image.bytes.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_EQ(ReadSuperblock(cut).error().code(), ErrorCode::corrupt) << size;
  }
}

TEST(ReadSuperblockTest, UnsupportedBeatsCorrupt) {
  JournalImage image(8);
  Superblock newer = image.superblock;
  newer.version = kJournalVersion + 1;
  image.Flip(20);
  EncodeSuperblock(newer, &image.bytes[kBlock]);
  MemoryFile file(image.bytes);
  EXPECT_EQ(ReadSuperblock(file).error().code(), ErrorCode::unsupported);
}

TEST(ReadSuperblockTest, AnUpgradeThatWasCutOffIsNotReadAsTheOlderVersion) {
  JournalImage image(8);
  Superblock newer = image.superblock;
  newer.version = kJournalVersion + 1;
  EncodeSuperblock(newer, image.bytes.data());
  MemoryFile file(image.bytes);
  EXPECT_EQ(ReadSuperblock(file).error().code(), ErrorCode::unsupported);
}

// --- checkpoints ---------------------------------------------------------------------------------

class ReadCheckpointsTest : public ::testing::Test {
 protected:
  void Write(int slot, uint64_t number) {
    Checkpoint checkpoint = image_.checkpoint;
    checkpoint.number = number;
    checkpoint.entries.resize(3);
    EncodeCheckpoint(checkpoint, &image_.bytes[image_.superblock.slot_position(slot)]);
  }
  // "newest 4, damaged A"
  std::string Read() {
    MemoryFile file(image_.bytes);
    for (const uint64_t position : unreadable_) file.MakeUnreadable(position);
    const CheckpointSlots slots = ReadCheckpoints(file, image_.superblock).value();
    std::string text = slots.newest ? "newest " + std::to_string(slots.newest->number) : "none";
    EXPECT_EQ(slots.newest ? slots.newest->entries.size() : 3u, 3u);
    if (slots.damaged[0]) text += ", damaged A";
    if (slots.damaged[1]) text += ", damaged B";
    return text;
  }

  JournalImage image_{8};
  std::vector<uint64_t> unreadable_;
};

TEST_F(ReadCheckpointsTest, ANewJournalHasNone) { EXPECT_EQ(Read(), "none"); }

TEST_F(ReadCheckpointsTest, OneSlotIsEnough) {
  Write(0, 1);
  EXPECT_EQ(Read(), "newest 1") << "a crash before slot B was written";
}

TEST_F(ReadCheckpointsTest, TheNewestOfBothCounts) {
  Write(0, 8);
  Write(1, 7);
  EXPECT_EQ(Read(), "newest 8");
  Write(1, 9);
  EXPECT_EQ(Read(), "newest 9");
}

TEST_F(ReadCheckpointsTest, ADamagedSlotFallsToTheOther) {
  Write(0, 8);
  Write(1, 8);
  image_.Flip(image_.superblock.slot_position(0) + 60);
  EXPECT_EQ(Read(), "newest 8, damaged A");
  image_.Flip(image_.superblock.slot_position(1) + 200);
  EXPECT_EQ(Read(), "none, damaged A, damaged B");
}

TEST_F(ReadCheckpointsTest, AnUnreadableSlotFallsToTheOther) {
  Write(0, 8);
  Write(1, 8);
  unreadable_.push_back(image_.superblock.slot_position(1));
  EXPECT_EQ(Read(), "newest 8, damaged B");
}

TEST_F(ReadCheckpointsTest, ACheckpointOfAnotherJournalDoesNotCount) {
  image_.checkpoint.journal_id.bytes.fill(std::byte{0x11});
  Write(0, 8);
  EXPECT_EQ(Read(), "none, damaged A");
}

TEST_F(ReadCheckpointsTest, AStartOutsideTheRingDoesNotCount) {
  for (const uint64_t position :
       {uint64_t{0}, image_.superblock.ring_begin - kBlock,
        image_.superblock.journal_bytes + kBlock, image_.superblock.ring_begin + 1, ~uint64_t{0}}) {
    image_.checkpoint.start_position = position;
    Write(0, 8);
    EXPECT_EQ(Read(), "none, damaged A") << position;
  }
  image_.checkpoint.start_position = image_.superblock.journal_bytes;
  Write(0, 8);
  EXPECT_EQ(Read(), "newest 8") << "behind a last commit that ends with the file";
}

}  // namespace
}  // namespace tidemark::storage
