// Damage: it always starts, what is intact stays readable, what is lost is told exactly, and no
// offset ever names two records.
#include "base/hash.h"
#include "storage/journal_format.h"
#include "storage/open.h"
#include "storage/verify.h"
#include "tests/support/damage_fixture.h"
#include "tests/support/fault_world.h"

namespace tidemark::testing {
namespace {

using DamageTest = DamageFixture;

TEST_F(DamageTest, DataOfACommitInTheMiddle) {
  MakeCrashedStore(10);
  const auto commits = CommitsWithFrames();
  ASSERT_EQ(commits.size(), 10u);
  Overwrite(PathOf("journal"), commits[4].first + commits[4].second.data_offset() + 40, "XXXX");
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1u);
  const Damage& damage = engine_->recovery().damage[0];
  EXPECT_EQ(damage.topic, "t");
  EXPECT_EQ(damage.first_offset, 4);
  EXPECT_EQ(damage.end_offset, 5);
  EXPECT_TRUE(QuarantineHolds("journal-commit"));
  Partition& partition = PartitionOf("t");
  EXPECT_EQ(partition.end_offset(), 10);
  ExpectInOrder(ReadFrom(partition, 0 + 5), 5, 10);
  std::vector<LostRange> lost;
  EXPECT_EQ(ReadFrom(partition, 0, &lost).size(), 9u);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].first_offset, 4);
  EXPECT_EQ(lost[0].end_offset, 5);
  // The same after the damage has been packed away, and after a clean stop.
  EXPECT_EQ(AppendDurably(partition, ValueOf(10)), 10);
  CloseCleanly();
  Open();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_EQ(ReadFrom(PartitionOf("t"), 0, &lost).size(), 10u);
}

TEST_F(DamageTest, HeaderOfACommitInTheMiddleIsKnownByItsCopy) {
  MakeCrashedStore(10);
  const auto commits = CommitsWithFrames();
  Overwrite(PathOf("journal"), commits[4].first, std::string(64, 'X'));
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1u);
  EXPECT_EQ(engine_->recovery().damage[0].first_offset, 4);
  EXPECT_EQ(engine_->recovery().damage[0].end_offset, 5);
  EXPECT_EQ(PartitionOf("t").end_offset(), 10);
}

TEST_F(DamageTest, BothCopiesOfADirectoryWithoutALaterFrame) {
  FillTwoTopics();
  Crash();
  DamageBothCopiesOfADirectory();
  Open();
  // Nobody knows what they held: t goes on where no offset can have been given out.
  EXPECT_GE(PartitionOf("t").end_offset(), 1 + (int64_t{1} << 31));
  EXPECT_EQ(PartitionOf("other").end_offset(), 3);
  const int64_t offset = AppendDurably(PartitionOf("t"), "after");
  CloseCleanly();
  Open();
  std::vector<LostRange> lost;
  const auto records = ReadFrom(PartitionOf("t"), 0, &lost);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].offset, offset);
}

// Found by the simulator (110000000769): a full disk kept a damaged journal, and each opening left
// another 2^31 offsets free. What an opening has seen of the journal is in the ends of its
// checkpoint, whatever becomes of the commits.
TEST_F(DamageTest, WhereACheckpointHasTheEndsNoUnreadableCommitMakesThemUnknown) {
  FillTwoTopics();
  Crash();
  Open();
  Crash();
  DamageBothCopiesOfADirectory();
  const auto report = storage::VerifyStore(io::SystemFiles(), {.data_dir = options_.data_dir});
  ASSERT_TRUE(report.ok());
  for (const storage::Finding& finding : report->findings)
    EXPECT_EQ(finding.what.find("may have held"), std::string::npos) << finding.what;
  Open();
  EXPECT_EQ(PartitionOf("t").end_offset(), 2);
  EXPECT_EQ(PartitionOf("other").end_offset(), 3);
  ASSERT_EQ(engine_->recovery().damage.size(), 2u);
  for (const Damage& damage : engine_->recovery().damage) {
    EXPECT_EQ(damage.first_offset, damage.topic == "t" ? 1 : 0);
    EXPECT_EQ(damage.end_offset, damage.topic == "t" ? 2 : 1);
  }
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(2)), 2);
}

TEST_F(DamageTest, DataOfTheLastCommitAreToldAndTheirOffsetsNotUsedAgain) {
  MakeCrashedStore(5);
  const auto commits = CommitsWithFrames();
  Overwrite(PathOf("journal"), commits[4].first + commits[4].second.data_offset() + 40, "XXXX");
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1u);
  EXPECT_EQ(engine_->recovery().damage[0].first_offset, 4);
  EXPECT_NE(engine_->recovery().damage[0].cause.find("torn or damaged"), std::string::npos);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(5)), 5);
}

// Whatever power cuts there were: those of years would fill a small disk.
TEST_F(DamageTest, OfTornCommitsTheNewestAreKept) {
  constexpr int kPowerCuts = 8;
  constexpr size_t kKept = 4;
  MakeCrashedStore(1);
  std::vector<std::string> torn;  // by their sequences
  for (int i = 0; i < kPowerCuts; ++i) {
    Open();
    AppendDurably(PartitionOf("t"), ValueOf(i));
    Crash();
    const auto commits = CommitsWithFrames();
    const auto newest = std::max_element(commits.begin(), commits.end(), [](auto& a, auto& b) {
      return a.second.sequence < b.second.sequence;
    });
    torn.push_back("journal-torn-commit-" + std::to_string(newest->second.sequence));
    Overwrite(PathOf("journal"), newest->first + 48, std::string(4096 - 48, '\0'));
  }
  WriteFile(PathOf("quarantine/1-journal-torn-commit-note"), "somebody else's");
  Open();
  std::vector<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(PathOf("quarantine"))) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".txt")) continue;
    EXPECT_TRUE(name.ends_with("note") || std::filesystem::exists(entry.path().string() + ".txt"));
    kept.push_back(name.substr(name.find('-') + 1));
  }
  std::sort(kept.begin(), kept.end());
  std::vector<std::string> expected(torn.end() - kKept, torn.end());
  expected.emplace_back("journal-torn-commit-note");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(kept, expected);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(PathOf("quarantine")), {}),
            2 * kKept + 1);
}

TEST_F(DamageTest, ATornLastCommitIsCutAndKeptInQuarantine) {
  MakeCrashedStore(5);
  const auto commits = CommitsWithFrames();
  // Nothing but the magic and the id of it has reached the disk.
  Overwrite(PathOf("journal"), commits[4].first + 48, std::string(4096 - 48, '\0'));
  Open();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_TRUE(NoticesMention("cut off"));
  EXPECT_TRUE(QuarantineHolds("torn"));
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 4);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(4)), 4);
  CrashAndOpen();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 5);
}

TEST_F(DamageTest, EitherSuperblockIsEnough) {
  for (uint64_t copy : {0u, 1u}) {
    SCOPED_TRACE(copy);
    std::filesystem::remove_all(options_.data_dir);
    MakeCrashedStore(5);
    Overwrite(PathOf("journal"), copy * 4096, std::string(100, 'X'));
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty());
    ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 5);
    Crash();
  }
}

TEST_F(DamageTest, EitherCheckpointIsEnough) {
  for (int slot : {0, 1}) {
    SCOPED_TRACE(slot);
    std::filesystem::remove_all(options_.data_dir);
    Open();
    Partition& partition = MakeTopic("t");
    for (int64_t i = 0; i < 100'000; ++i) {
      Append(partition, ValueOf(i), Durability::buffered);
      if (i % 100 == 0) engine_->Poll(std::chrono::milliseconds(0));
    }
    PollUntilDurable(partition);
    Crash();
    Overwrite(PathOf("journal"), SuperblockOf().slot_position(slot), std::string(100, 'X'));
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty());
    EXPECT_TRUE(NoticesMention("checkpoint slot"));
    ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 100'000);
    Crash();
  }
}

TEST_F(DamageTest, WithoutAnyCheckpointSegmentsAndJournalAreRead) {
  for (bool clean : {false, true}) {
    SCOPED_TRACE(clean);
    std::filesystem::remove_all(options_.data_dir);
    Open();
    Partition& partition = MakeTopic("t");
    constexpr int64_t kRecords = 100'000;
    for (int64_t i = 0; i < kRecords; ++i) {
      Append(partition, ValueOf(i), Durability::buffered);
      if (i % 100 == 0) engine_->Poll(std::chrono::milliseconds(0));
    }
    PollUntilDurable(partition);
    if (clean) {
      CloseCleanly();
    } else {
      Crash();
    }
    const storage::Superblock superblock = SuperblockOf();
    Overwrite(PathOf("journal"), superblock.slot_position(0), std::string(100, 'X'));
    Overwrite(PathOf("journal"), superblock.slot_position(1), std::string(100, 'X'));
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty());
    ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, kRecords);
    EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
    Crash();
  }
}

// What stood behind the damage goes to quarantine/, and the journal does not hold it any more.
TEST_F(DamageTest, WithoutAnyCheckpointWhatADamagedActiveSegmentHeldIsToldAndItsOffsetsStayTaken) {
  constexpr int64_t kRecords = 20'000;
  MakeSegments(kRecords);
  const auto batches = Batches();
  ASSERT_GT(batches.size(), 2U);
  Open();
  Partition& other = MakeTopic("other");
  for (int64_t i = 0; i < 100; ++i) AppendDurably(other, ValueOf(i, 60'000));  // over the ring
  CloseCleanly();
  const storage::Superblock superblock = SuperblockOf();
  Overwrite(PathOf("journal"), superblock.slot_position(0), std::string(100, 'X'));
  Overwrite(PathOf("journal"), superblock.slot_position(1), std::string(100, 'X'));
  Overwrite(LogPath(), batches[1].first + 100, "XXXX");
  Open();
  ASSERT_EQ(engine_->recovery().damage.size(), 1U);
  const Damage& damage = engine_->recovery().damage[0];
  EXPECT_EQ(damage.topic, "t");
  EXPECT_EQ(damage.first_offset, batches[1].second.base_offset);
  EXPECT_EQ(damage.end_offset, kRecords);
  EXPECT_NE(damage.cause.find(LogPath()), std::string::npos) << damage.cause;
  EXPECT_EQ(ReadFrom(PartitionOf("other"), 0).size(), 100U);
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
}

// What a deletion that was cut off leaves behind: the topic is out of the manifest, its segments
// are still there.
TEST_F(DamageTest, ANewTopicShowsNothingOfAnOldOneOfItsName) {
  TopicConfig config;
  config.segment_bytes = 1024;
  Open();
  MakeTopic("t", config);
  for (int64_t i = 0; i < 10; ++i) AppendDurably(PartitionOf("t"), ValueOf(i, 60'000));
  CloseCleanly();
  std::filesystem::copy(PathOf("t-0"), directory_.File("remains"));
  Open();
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  while (std::filesystem::exists(PathOf("t-0"))) engine_->Poll(std::chrono::milliseconds(100));
  std::filesystem::copy(directory_.File("remains"), PathOf("t-0"));

  MakeTopic("t", config);
  for (int64_t i = 0; i < 50; ++i) AppendDurably(PartitionOf("t"), ValueOf(i));
  CloseCleanly();
  Open();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 50);
  EXPECT_FALSE(std::filesystem::is_empty(PathOf("quarantine")));
}

TEST_F(DamageTest, AJournalThatIsGoneIsReportedAndTheSegmentsStay) {
  for (const std::string fault : {"missing", "empty", "garbage", "foreign"}) {
    SCOPED_TRACE(fault);
    std::filesystem::remove_all(options_.data_dir);
    notices_.clear();
    Open();
    Partition& partition = MakeTopic("t");
    for (int64_t i = 0; i < 1'000; ++i) Append(partition, ValueOf(i));
    CloseCleanly();
    if (fault == "missing") std::filesystem::remove(PathOf("journal"));
    if (fault == "empty") WriteFile(PathOf("journal"), "");
    if (fault == "garbage") WriteFile(PathOf("journal"), std::string(5'000'000, '?'));
    if (fault == "foreign") {
      EngineOptions other = options_;
      other.data_dir = directory_.File("other");
      std::filesystem::remove_all(other.data_dir);
      ASSERT_TRUE(Engine::Open(other).ok());
      std::filesystem::copy_file(other.data_dir + "/journal", PathOf("journal"),
                                 std::filesystem::copy_options::overwrite_existing);
    }
    Open();
    EXPECT_TRUE(NoticesMention("journal"));
    EXPECT_EQ(QuarantineHolds("journal"), fault != "missing");
    EXPECT_FALSE(engine_->recovery().damage.empty());
    std::vector<LostRange> lost;
    ExpectInOrder(ReadFrom(PartitionOf("t"), 0, &lost), 0, 1'000);
    EXPECT_GE(AppendDurably(PartitionOf("t"), "after"), 1'000 + (int64_t{1} << 31));
    Crash();
  }
}

TEST_F(DamageTest, AJournalThatWasCutShortAfterACrashIsTold) {
  for (const bool clean : {false, true}) {
    SCOPED_TRACE(clean);
    std::filesystem::remove_all(options_.data_dir);
    Open();
    AppendDurably(MakeTopic("t"), ValueOf(0));
    if (clean) {
      CloseCleanly();
    } else {
      Crash();
    }
    std::filesystem::resize_file(PathOf("journal"), SuperblockOf().ring_begin);
    Open();
    // After a clean stop nothing in the ring is needed; after a crash nobody knows what it held.
    EXPECT_EQ(engine_->recovery().damage.empty(), clean);
    EXPECT_EQ(PartitionOf("t").end_offset() >= int64_t{1} << 31, !clean);
    Crash();
  }
}

// The opening that finds the journal lost or cut short may itself be cut off before its checkpoint:
// the next one must leave the same offsets free.
TEST_F(DamageTest, WhatALostJournalMayHaveGivenOutIsNotForgottenByACrashWhileOpening) {
  for (const bool missing : {false, true}) {
    SCOPED_TRACE(missing);
    std::filesystem::remove_all(options_.data_dir);
    Open();
    AppendDurably(MakeTopic("t"), ValueOf(0));
    Crash();
    if (missing) {
      std::filesystem::remove(PathOf("journal"));
    } else {
      std::filesystem::resize_file(PathOf("journal"), SuperblockOf().ring_begin);
    }
    FaultWorld world;
    world.fail_write = [&](const std::string& path, base::ByteSpan bytes) {
      return path == PathOf("journal") && base::AsText(bytes).starts_with("TMCHECK1");
    };
    ASSERT_FALSE(storage::OpenEngine(world.environment(), options_).ok());
    Open();
    EXPECT_GE(PartitionOf("t").end_offset(), int64_t{1} << 31);
    const int64_t end = PartitionOf("t").end_offset();
    CrashAndOpen();
    EXPECT_EQ(PartitionOf("t").end_offset(), end);
    EXPECT_TRUE(engine_->recovery().damage.empty());
    Crash();
  }
}

TEST_F(DamageTest, NeitherJournalNorManifestIsARefusalThatSaysWhatToDo) {
  MakeCrashedStore(3);
  for (const char* name : {"journal", "manifest", "manifest.backup"})
    WriteFile(PathOf(name), "garbage");
  auto engine = Engine::Open(options_);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code(), ErrorCode::corrupt);
  EXPECT_NE(engine.error().message().find("copy"), std::string::npos) << engine.error().message();
}

TEST_F(DamageTest, TheManifestIsRepairedFromItsCopyAndFromTheFolders) {
  MakeCrashedStore(3);
  WriteFile(PathOf("manifest"), "garbage");
  Open();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 3);
  Crash();
  WriteFile(PathOf("manifest"), "");
  std::filesystem::remove(PathOf("manifest.backup"));
  Open();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 3);
}

TEST_F(DamageTest, AManifestOfANewerVersionIsRefused) {
  MakeCrashedStore(3);
  Crash();
  for (const char* name : {"manifest", "manifest.backup"}) {
    std::string text = ReadFile(PathOf(name));
    text.replace(text.find("manifest 1"), 10, "manifest 9");
    const size_t checksum_line = text.rfind("xxh3 ");
    char checksum[17];
    std::snprintf(
        checksum, sizeof checksum, "%016llx",
        static_cast<unsigned long long>(base::Xxh3(base::AsBytes(text.substr(0, checksum_line)))));
    text.replace(checksum_line + 5, 16, checksum);
    WriteFile(PathOf(name), text);
  }
  auto engine = Engine::Open(options_);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code(), ErrorCode::unsupported) << engine.error().ToString();
}

}  // namespace
}  // namespace tidemark::testing
