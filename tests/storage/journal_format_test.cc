// The journal's bytes: golden bytes for each structure, written out from docs/formats.md, and what
// the decoders refuse.
#include "storage/journal_format.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "tests/support/limits.h"

namespace tidemark::storage {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMaxUint64 = std::numeric_limits<uint64_t>::max();

using Bytes = std::vector<std::byte>;

// From hexadecimal with spaces.
Bytes FromHex(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  Bytes bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

base::Uuid Id(int first_byte) {
  base::Uuid id;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    id.bytes[i] = static_cast<std::byte>(static_cast<size_t>(first_byte) + i);
  }
  return id;
}

void Flip(Bytes* bytes, size_t at) { (*bytes)[at] ^= std::byte{0x01}; }

// --- superblock ----------------------------------------------------------------------------------

Superblock GoldenSuperblock() {
  Superblock superblock = PlanJournal(uint64_t{4} << 20, 4096);
  superblock.store_id = Id(0x10);
  superblock.journal_id = Id(0xa0);
  superblock.created_ms = 1732272000123;
  return superblock;
}

Bytes Encode(const Superblock& superblock) {
  Bytes bytes(kSuperblockBytes);
  EncodeSuperblock(superblock, bytes.data());
  return bytes;
}

TEST(SuperblockTest, GoldenBytes) {
  const Bytes golden = FromHex(
      "544d4a4f55524e31"                  // TMJOURN1
      "01000000 00100000"                 // version 1, blocks of 4,096 bytes
      "101112131415161718191a1b1c1d1e1f"  // store id
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"  // journal id
      "0000400000000000"                  // 4 MiB
      "0000020000000000"                  // a slot is 1/32 of it
      "0020040000000000"                  // the ring begins behind two blocks and two slots
      "7b0c755393010000"                  // 1732272000123
      "e035fcfe597c77bc");                // XXH3
  EXPECT_EQ(Encode(GoldenSuperblock()), golden);
  EXPECT_EQ(DecodeSuperblock(golden).value(), GoldenSuperblock());
}

TEST(SuperblockTest, PlansTheFile) {
  const Superblock plan = PlanJournal((uint64_t{64} << 20) + 5000, 4096);
  EXPECT_EQ(plan.journal_bytes, (uint64_t{64} << 20) + 4096) << "whole blocks";
  EXPECT_EQ(plan.slot_bytes, uint64_t{2} << 20);
  EXPECT_EQ(plan.slot_position(0), uint64_t{2} * 4096);
  EXPECT_EQ(plan.slot_position(1), uint64_t{2} * 4096 + plan.slot_bytes);
  EXPECT_EQ(plan.ring_begin, uint64_t{2} * 4096 + 2 * plan.slot_bytes);
  EXPECT_EQ(plan.ring_begin + plan.ring_bytes(), plan.journal_bytes);
}

TEST(SuperblockTest, EveryFlippedByteIsNoticed) {
  for (size_t at = 0; at < kSuperblockBytes; ++at) {
    Bytes bytes = Encode(GoldenSuperblock());
    Flip(&bytes, at);
    const auto decoded = DecodeSuperblock(bytes);
    ASSERT_FALSE(decoded.ok()) << at;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corrupt) << at;
  }
}

TEST(SuperblockTest, ANewerVersionIsUnsupportedButOnlyIfItsChecksumIsRight) {
  Superblock newer = GoldenSuperblock();
  newer.version = kJournalVersion + 1;
  Bytes bytes = Encode(newer);
  const auto decoded = DecodeSuperblock(bytes);
  EXPECT_EQ(decoded.error().code(), ErrorCode::unsupported);
  EXPECT_THAT(decoded.error().message(), HasSubstr("version 2"));
  Flip(&bytes, 30);
  EXPECT_EQ(DecodeSuperblock(bytes).error().code(), ErrorCode::corrupt);
}

TEST(SuperblockTest, AGeometryThatContradictsItselfIsCorrupt) {
  using Change = void (*)(Superblock*);
  const Change changes[] = {
      [](Superblock* s) { s->version = 0; },
      [](Superblock* s) { s->block_bytes = 0; },
      [](Superblock* s) { s->block_bytes = 2048; },
      [](Superblock* s) { s->block_bytes = 12288; },
      [](Superblock* s) { s->block_bytes = 2 * kMaxBlockBytes; },
      [](Superblock* s) { s->journal_bytes += 1; },
      [](Superblock* s) { s->journal_bytes = s->ring_begin; },
      [](Superblock* s) { s->journal_bytes = uint64_t{1} << 63; },
      [](Superblock* s) { s->slot_bytes = 0; },
      [](Superblock* s) { s->slot_bytes += 512; },
      [](Superblock* s) { s->slot_bytes = uint64_t{1} << 63; },
      [](Superblock* s) { s->ring_begin -= 4096; },
      [](Superblock* s) { s->ring_begin = 0; },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    Superblock superblock = GoldenSuperblock();
    changes[i](&superblock);
    const auto decoded = DecodeSuperblock(Encode(superblock));
    ASSERT_FALSE(decoded.ok()) << i;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corrupt) << i;
  }
}

TEST(SuperblockTest, TooFewBytesAreCorrupt) {
  const Bytes bytes = Encode(GoldenSuperblock());
  for (size_t length = 0; length < kSuperblockBytes; ++length) {
    EXPECT_FALSE(DecodeSuperblock({bytes.data(), length}).ok());
  }
}

// --- checkpoint ----------------------------------------------------------------------------------

Checkpoint GoldenCheckpoint() {
  Checkpoint checkpoint;
  checkpoint.number = 9;
  checkpoint.journal_id = Id(0xa0);
  checkpoint.incarnation = 5;
  checkpoint.incarnation_first_sequence = 40;
  checkpoint.start_sequence = 41;
  checkpoint.start_position = 274432;
  checkpoint.previous_checksum = 0x1122334455667788;
  checkpoint.clean = true;
  checkpoint.engine_clock_ms = 1732272000123;
  checkpoint.wall_clock_ms = 1732272000999;
  CheckpointEntry entry;
  entry.topic_id = Id(0x50);
  entry.partition = 3;
  entry.leader_epoch = 7;
  entry.log_start_offset = 100;
  entry.durable_end_offset = 400;
  entry.packed_end_offset = 300;
  entry.active_base_offset = 200;
  entry.active_flushed_bytes = 5000;
  entry.first_needed_sequence = 41;
  checkpoint.entries.push_back(entry);
  CheckpointEntry fresh;  // a partition that has nothing yet
  fresh.topic_id = Id(0x60);
  fresh.first_needed_sequence = 42;
  checkpoint.entries.push_back(fresh);
  return checkpoint;
}

Bytes Encode(const Checkpoint& checkpoint) {
  Bytes bytes(CheckpointBytes(checkpoint.entries.size()));
  EncodeCheckpoint(checkpoint, bytes.data());
  return bytes;
}

TEST(CheckpointTest, GoldenBytes) {
  const Bytes golden = FromHex(
      "544d434845434b31 0900000000000000"  // TMCHECK1, number 9
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"   // journal id
      "0500000000000000 2800000000000000"  // incarnation 5, from sequence 40 on
      "2900000000000000 0030040000000000"  // starts at sequence 41, position 274,432
      "8877665544332211"                   // checksum of commit 40
      "0100000000000000"                   // a clean stop
      "7b0c755393010000 e70f755393010000"  // engine clock, wall clock
      "02000000 00000000"                  // two entries
      "ff63f2159d1ffc42"                   // XXH3 of the entries, seeded with that of the fields
      // topic id; partition 3, epoch 7; start 100, end 400, packed 300, active 200, 5,000 bytes, 41
      "505152535455565758595a5b5c5d5e5f 03000000 07000000"
      "6400000000000000 9001000000000000 2c01000000000000 c800000000000000"
      "8813000000000000 2900000000000000"
      // topic id; partition 0; nothing but the first needed sequence, 42
      "606162636465666768696a6b6c6d6e6f 00000000 00000000"
      "0000000000000000 0000000000000000 0000000000000000 ffffffffffffffff"
      "0000000000000000 2a00000000000000");
  EXPECT_EQ(Encode(GoldenCheckpoint()), golden);
  EXPECT_EQ(DecodeCheckpoint(golden).value(), GoldenCheckpoint());
}

TEST(CheckpointTest, IsReadFromAWholeSlot) {
  Bytes slot = Encode(GoldenCheckpoint());
  EXPECT_EQ(PeekCheckpointBytes(slot), slot.size());
  slot.resize(131072, std::byte{0x5a});  // an older, longer one stood there
  EXPECT_EQ(DecodeCheckpoint(slot).value(), GoldenCheckpoint());
}

TEST(CheckpointTest, EveryFlippedByteIsNoticed) {
  const Bytes good = Encode(GoldenCheckpoint());
  for (size_t at = 0; at < good.size(); ++at) {
    Bytes bytes = good;
    Flip(&bytes, at);
    ASSERT_FALSE(DecodeCheckpoint(bytes).ok()) << at;
  }
}

TEST(CheckpointTest, TheEntriesOfAnotherCheckpointDoNotPass) {
  Checkpoint other = GoldenCheckpoint();
  other.number = 10;
  Bytes mixed = Encode(other);
  const Bytes good = Encode(GoldenCheckpoint());
  // The fields of number 9 with the checksum and entries of number 10: a torn slot.
  std::copy(good.begin(), good.begin() + 104, mixed.begin());
  EXPECT_FALSE(DecodeCheckpoint(mixed).ok());
}

TEST(CheckpointTest, MoreEntriesThanFitAreNotEvenLookedFor) {
  Bytes bytes = Encode(GoldenCheckpoint());
  base::StoreLittle(bytes.data() + 96, uint32_t{0xffffffff});
  EXPECT_FALSE(DecodeCheckpoint(bytes).ok());
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeCheckpoint({bytes.data(), length}).ok());
  }
}

TEST(CheckpointTest, ImpossibleEntriesAreCorrupt) {
  Checkpoint checkpoint = GoldenCheckpoint();
  checkpoint.entries[1].partition = -1;
  EXPECT_FALSE(DecodeCheckpoint(Encode(checkpoint)).ok());
  checkpoint = GoldenCheckpoint();
  checkpoint.entries[0].durable_end_offset = -1;
  EXPECT_FALSE(DecodeCheckpoint(Encode(checkpoint)).ok());
  checkpoint = GoldenCheckpoint();
  checkpoint.start_sequence = 0;
  EXPECT_FALSE(DecodeCheckpoint(Encode(checkpoint)).ok());
}

// --- directory -----------------------------------------------------------------------------------

constexpr std::string_view kGoldenDirectory =
    "01 505152535455565758595a5b5c5d5e5f 03 e807 02 28"  // records, partition 3, 1000-1001, 40
                                                         // bytes
    "c1 04 00 01 1e"  // carried, same topic, partition 4, offset 0
    "04 606162636465666768696a6b6c6d6e6f 00 00 00 00";  // topic deleted

std::vector<DirectoryEntry> GoldenEntries() {
  return {{FrameKind::records, false, Id(0x50), 3, 1000, 1002, 40},
          {FrameKind::records, true, Id(0x50), 4, 0, 1, 30},
          {FrameKind::topic_deleted, false, Id(0x60), 0, 0, 0, 0}};
}

Bytes Encode(const std::vector<DirectoryEntry>& entries) {
  DirectoryEncoder encoder;
  for (const DirectoryEntry& entry : entries) encoder.Add(entry);
  return encoder.bytes();
}

TEST(DirectoryTest, GoldenBytes) {
  const Bytes golden = FromHex(kGoldenDirectory);
  EXPECT_EQ(Encode(GoldenEntries()), golden);
  EXPECT_EQ(DecodeDirectory(golden, 70).value(), GoldenEntries());
}

TEST(DirectoryTest, AnEmptyCommitHasAnEmptyDirectory) {
  EXPECT_TRUE(Encode(std::vector<DirectoryEntry>{}).empty());
  EXPECT_TRUE(DecodeDirectory({}, 0).value().empty());
}

TEST(DirectoryTest, ClearForgetsTheTopicToo) {
  DirectoryEncoder encoder;
  encoder.Add(GoldenEntries()[0]);
  const Bytes once = encoder.bytes();
  encoder.Clear();
  EXPECT_TRUE(encoder.bytes().empty());
  encoder.Add(GoldenEntries()[0]);
  EXPECT_EQ(encoder.bytes(), once);
}

TEST(DirectoryTest, TheLargestEntryTakesWhatIsPromised) {
  const DirectoryEntry entry{FrameKind::records, true,      Id(0x50), INT32_MAX, 0,
                             kMaxInt64,          kMaxUint64};
  EXPECT_LE(Encode({entry}).size(), DirectoryEncoder::kMaxEntryBytes);
  EXPECT_EQ(DecodeDirectory(Encode({entry}), kMaxUint64).value(), std::vector{entry});
}

TEST(DirectoryTest, FramesLongerThanTheDataAreCorrupt) {
  EXPECT_TRUE(DecodeDirectory(FromHex(kGoldenDirectory), 71).ok());
  EXPECT_FALSE(DecodeDirectory(FromHex(kGoldenDirectory), 69).ok());
  // Lengths whose sum wraps around.
  std::vector<DirectoryEntry> entries = GoldenEntries();
  entries[0].data_bytes = kMaxUint64 - 10;
  entries[1].data_bytes = 12;
  EXPECT_FALSE(DecodeDirectory(Encode(entries), kMaxUint64).ok());
}

TEST(DirectoryTest, ImpossibleEntriesAreCorrupt) {
  const std::string topic = "505152535455565758595a5b5c5d5e5f ";
  const std::string entries[] = {
      "00 " + topic + "00 00 00 00",                      // no kind
      "05 " + topic + "00 00 00 00",                      // a kind that is not known
      "21 " + topic + "00 00 00 00",                      // a bit that has no meaning
      "41 00 00 00 00",                                   // the same topic as nothing
      "01 5051",                                          // ends within the id
      "01 " + topic + "00 00 00",                         // ends before the length
      "01 " + topic + "8080808008 00 00 00",              // partition 2^31
      "01 " + topic + "00 80808080808080808001 00 00",    // first offset 2^63
      "01 " + topic + "00 01 ffffffffffffffff7f 00",      // end offset 2^63
      "01 " + topic + "00 ffffffffffffffffffff01 00 00",  // a number longer than 64 bits
      "04 " + topic + "01 00 00 00",                      // a deleted topic with a partition
      "04 " + topic + "00 00 00 01",                      // a deleted topic with data
  };
  for (const std::string& entry : entries) {
    const auto decoded = DecodeDirectory(FromHex(entry), 1000);
    ASSERT_FALSE(decoded.ok()) << entry;
    EXPECT_EQ(decoded.error().code(), ErrorCode::corrupt);
  }
}

RC_GTEST_PROP(DirectoryTest, WhatIsEncodedIsDecoded, ()) {
  const auto entries = *rc::gen::container<std::vector<DirectoryEntry>>(rc::gen::apply(
      [](int topic, bool carried, uint32_t partition, uint64_t first, uint64_t count,
         uint32_t bytes) {
        DirectoryEntry entry;
        entry.carried = carried;
        entry.topic_id = Id(topic);
        entry.partition = static_cast<int32_t>(partition >> 1);
        entry.first_offset = static_cast<int64_t>(first >> 2);
        entry.end_offset = entry.first_offset + static_cast<int64_t>(count >> 2);
        entry.data_bytes = bytes;
        return entry;
      },
      rc::gen::inRange(0, 3), rc::gen::arbitrary<bool>(), rc::gen::arbitrary<uint32_t>(),
      rc::gen::arbitrary<uint64_t>(), rc::gen::arbitrary<uint64_t>(),
      rc::gen::arbitrary<uint32_t>()));
  RC_ASSERT(DecodeDirectory(Encode(entries), kMaxUint64).value() == entries);
}

// --- commit header -------------------------------------------------------------------------------

CommitHeader GoldenHeader() {
  const Bytes directory = FromHex(kGoldenDirectory);
  CommitHeader header;
  header.journal_id = Id(0xa0);
  header.incarnation = 5;
  header.sequence = 42;
  header.previous_checksum = 0x1122334455667788;
  header.durable_sequence = 41;
  header.engine_clock_ms = 1732272000123;
  header.checkpoint_number = 9;
  header.directory_bytes = static_cast<uint32_t>(directory.size());
  header.data_bytes = 70;
  header.directory_checksum = base::Xxh3(directory, 42);
  header.previous_directory_checksum = base::Xxh3({}, 41);
  header.data_checksum = base::Xxh3(Bytes(70), 42);
  return header;
}

Bytes Encode(CommitHeader header) {
  Bytes bytes(kCommitHeaderBytes);
  EncodeCommitHeader(&header, bytes.data());
  return bytes;
}

TEST(CommitHeaderTest, GoldenBytes) {
  const Bytes golden = FromHex(
      "544d434f4d4d4954"                   // TMCOMMIT
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"   // journal id
      "0500000000000000 2a00000000000000"  // incarnation 5, sequence 42
      "8877665544332211 2900000000000000"  // checksum of commit 41, durable up to 41
      "7b0c755393010000 0900000000000000"  // engine clock, checkpoint 9
      "30000000 00000000"                  // 48 bytes of directory, none of the previous one's
      "4600000000000000"                   // 70 bytes of data
      "4d79561c271556d8 6a6465d83f3eea10 430a51bfa73f40e1"
      "cedbf53cfc194299");  // XXH3
  CommitHeader header = GoldenHeader();
  Bytes bytes(kCommitHeaderBytes);
  EncodeCommitHeader(&header, bytes.data());
  EXPECT_EQ(bytes, golden);
  EXPECT_EQ(header.checksum, 0x994219fc3cf5dbce);
  EXPECT_EQ(DecodeCommitHeader(golden, 4096), header);
}

TEST(CommitHeaderTest, TellsWhereItsPartsAre) {
  CommitHeader header = GoldenHeader();
  header.previous_directory_bytes = 11;
  EXPECT_EQ(header.directory_offset(), 120u);
  EXPECT_EQ(header.previous_directory_offset(), 168u);
  EXPECT_EQ(header.data_offset(), 179u);
  EXPECT_EQ(header.unpadded_bytes(), 249u);
  EXPECT_EQ(header.total_bytes(4096), 4096u);
}

TEST(CommitHeaderTest, EveryFlippedByteIsNoticed) {
  for (size_t at = 0; at < kCommitHeaderBytes; ++at) {
    Bytes bytes = Encode(GoldenHeader());
    Flip(&bytes, at);
    EXPECT_EQ(DecodeCommitHeader(bytes, 4096), std::nullopt) << at;
  }
}

TEST(CommitHeaderTest, ACommitThatDoesNotFitIsNone) {
  EXPECT_TRUE(DecodeCommitHeader(Encode(GoldenHeader()), 120 + 48 + 70).has_value());
  EXPECT_FALSE(DecodeCommitHeader(Encode(GoldenHeader()), 120 + 48 + 69).has_value());
  EXPECT_FALSE(DecodeCommitHeader(Encode(GoldenHeader()), 0).has_value());
  EXPECT_FALSE(DecodeCommitHeader(Bytes(kCommitHeaderBytes - 1), 4096).has_value());
  // Lengths whose sum wraps around.
  CommitHeader header = GoldenHeader();
  header.directory_bytes = header.previous_directory_bytes = 0xffffffff;
  header.data_bytes = kMaxUint64 - 100;
  EXPECT_FALSE(DecodeCommitHeader(Encode(header), 4096).has_value());
}

// --- records frame -------------------------------------------------------------------------------

TEST(RecordsFrameTest, GoldenBytes) {
  const Bytes golden = FromHex("e803000000000000 7b0c755393010000 07000000 0800 0000");
  Bytes bytes(kRecordsFrameHeaderBytes);
  EncodeRecordsFrameHeader({1000, 1732272000123, 7, 8}, bytes.data());
  EXPECT_EQ(bytes, golden);
  const RecordsFrameHeader header = DecodeRecordsFrameHeader(golden).value();
  EXPECT_EQ(header.base_offset, 1000);
  EXPECT_EQ(header.base_timestamp_ms, 1732272000123);
  EXPECT_EQ(header.leader_epoch, 7);
  EXPECT_EQ(header.attributes, 8);
}

TEST(RecordsFrameTest, ImpossibleOnesAreCorrupt) {
  Bytes bytes(kRecordsFrameHeaderBytes);
  EncodeRecordsFrameHeader({1000, 0, 0, 0}, bytes.data());
  EXPECT_FALSE(DecodeRecordsFrameHeader({bytes.data(), bytes.size() - 1}).ok());
  bytes[22] = std::byte{1};  // reserved
  EXPECT_FALSE(DecodeRecordsFrameHeader(bytes).ok());
  EncodeRecordsFrameHeader({-1, 0, 0, 0}, bytes.data());
  EXPECT_FALSE(DecodeRecordsFrameHeader(bytes).ok());
}

}  // namespace
}  // namespace tidemark::storage
