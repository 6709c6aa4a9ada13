// Repair: what can be mended is, nothing is deleted, and what is left is told.
#include "storage/repair.h"

#include <algorithm>

#include "storage/seal.h"
#include "tests/support/damage_fixture.h"
#include "tests/support/fault_world.h"

namespace tidemark::testing {
namespace {

using storage::Finding;

class RepairTest : public DamageFixture {
 protected:
  static constexpr int64_t kRecords = 32'000;

  void MakeStore() {
    MakeSegments(kRecords, int64_t{1} << 20);
    bases_ = SegmentBases();
    ASSERT_GE(bases_.size(), 3u);
  }
  storage::RepairReport Repair(bool dry_run = false) {
    FaultWorld world;
    auto report = storage::RepairStore(world.environment(), options_, dry_run);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *std::move(report) : storage::RepairReport();
  }
  static bool InOrder(const storage::VerifyReport& report) {
    return !report.Has(Finding::Kind::fault) && !report.Has(Finding::Kind::loss) &&
           !report.Has(Finding::Kind::unreadable);
  }
  static bool Mentions(const storage::RepairReport& report, const std::string& text) {
    return std::any_of(report.actions.begin(), report.actions.end(),
                       [&](const std::string& action) { return action.starts_with(text); });
  }
  static std::string LossesOf(const storage::VerifyReport& report) {
    std::string losses;
    for (const Finding& finding : report.findings) {
      if (finding.kind != Finding::Kind::loss) continue;
      losses +=
          std::to_string(finding.first_offset) + " to " + std::to_string(finding.end_offset) + "\n";
    }
    return losses;
  }
  std::vector<int64_t> bases_;
};

TEST_F(RepairTest, AStoreInOrderIsLeftAlone) {
  MakeStore();
  const std::string journal = ReadFile(PathOf("journal"));
  EXPECT_EQ(ReadFile(PathOf("journal")), journal);
}

TEST_F(RepairTest, IndexesAreMadeAnew) {
  MakeStore();
  for (const int64_t base : {bases_[0], bases_.back()}) {
    for (const auto kind : {storage::SegmentFile::offset_index, storage::SegmentFile::time_index}) {
      const std::string path = SegmentFilePath(base, kind);
      const std::string whole = ReadFile(path);
      std::string wrong = whole;
      wrong[3] = static_cast<char>(wrong[3] ^ 0x11);
      for (const std::string& content : {wrong, std::string()}) {
        WriteFile(path, content);
        const auto planned = Repair(/*dry_run=*/true);
        EXPECT_FALSE(planned.actions.empty());
        EXPECT_EQ(ReadFile(path), content);
        EXPECT_TRUE(InOrder(Repair().after));
        EXPECT_EQ(ReadFile(path), whole);
      }
    }
  }
}

TEST_F(RepairTest, ADamagedBatchGoesToQuarantineAndTheOthersStay) {
  MakeStore();
  for (const int64_t base : {bases_[0], bases_.back()}) {
    SCOPED_TRACE(base);
    const auto batches = Batches(base);
    ASSERT_GT(batches.size(), 1u);
    const auto [position, header] = batches[1];
    const std::string path = SegmentFilePath(base, storage::SegmentFile::log);
    const std::string before = ReadFile(path);
    Overwrite(path, position + 100, "XXXX");
    const auto report = Repair();
    EXPECT_TRUE(report.before.Has(Finding::Kind::loss));
    const bool last = position + header.total_bytes() == before.size();
    EXPECT_EQ(InOrder(report.after), !last);
    EXPECT_TRUE(QuarantineHolds(path.substr(path.find_last_of('/') + 1)));
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty());
    std::vector<LostRange> lost;
    for (const ReadRecord& record : ReadFrom(PartitionOf("t"), 0, &lost))
      ASSERT_EQ(record.value, ValueOf(record.offset));
    ASSERT_FALSE(lost.empty());
    EXPECT_EQ(lost.back().first_offset, header.base_offset);
    EXPECT_EQ(lost.back().end_offset, header.next_offset());
    CloseCleanly();
  }
}

// The same again, but for the times of appends where nobody knows them any more.
TEST_F(RepairTest, ASealIsMadeAnew) {
  MakeStore();
  const std::string path = SegmentFilePath(bases_[0], storage::SegmentFile::seal);
  const std::string whole = ReadFile(path);
  const auto seal_of = [](const std::string& bytes) {
    return *storage::DecodeSeal(base::AsBytes(bytes));
  };
  const storage::Seal sealed = seal_of(whole);
  std::string flipped = whole;
  flipped[50] = static_cast<char>(flipped[50] ^ 1);
  for (const std::string& content : {flipped, std::string(), whole + whole}) {
    WriteFile(path, content);
    EXPECT_FALSE(Repair(/*dry_run=*/true).actions.empty());
    EXPECT_EQ(ReadFile(path), content);
    EXPECT_TRUE(InOrder(Repair().after));
    storage::Seal made = seal_of(ReadFile(path));
    EXPECT_GE(made.appended.first_ms, sealed.appended.last_ms);
    EXPECT_EQ(made.appended.first_ms, made.appended.last_ms);
    made.appended = sealed.appended;
    EXPECT_EQ(made, sealed);
  }
  EXPECT_TRUE(QuarantineHolds(".seal"));
}

// Nor is an index made anew of which the lost seal alone could tell with which interval it was
// made.
TEST_F(RepairTest, AnIndexOfAnotherIntervalStaysWhereItsSealIsLost) {
  Open();
  TopicConfig config;
  config.index_interval_bytes = 1 << 30;
  MakeTopic("t", config);
  AppendRange(0, kRecords);
  config.index_interval_bytes = TopicConfig().index_interval_bytes;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  CloseCleanly();
  const std::string index = SegmentFilePath(0, storage::SegmentFile::offset_index);
  ASSERT_TRUE(ReadFile(index).empty());
  ASSERT_GT(Batches().size(), 3u);
  Overwrite(SegmentFilePath(0, storage::SegmentFile::seal), 100, "XXXX");
  EXPECT_TRUE(InOrder(Repair().after));
  EXPECT_TRUE(ReadFile(index).empty());
  EXPECT_FALSE(QuarantineHolds(".index"));
}

TEST_F(RepairTest, ASealThatIsContradictedKeepsItsTimes) {
  MakeStore();
  const std::string path = SegmentFilePath(bases_[0], storage::SegmentFile::seal);
  const auto before = *storage::DecodeSeal(base::AsBytes(ReadFile(path)));
  Overwrite(LogPath(bases_[0]), Batches(bases_[0])[1].first + 12, "X");  // no CRC covers that
  const auto report = Repair();
  EXPECT_TRUE(report.before.Has(Finding::Kind::fault));
  EXPECT_TRUE(InOrder(report.after));
  const auto after = *storage::DecodeSeal(base::AsBytes(ReadFile(path)));
  EXPECT_EQ(after.appended, before.appended);
  EXPECT_NE(after.block_checksums, before.block_checksums);
}

// A store from before seals, or one whose disk was full: when something is mended, they are made.
TEST_F(RepairTest, ALogThatIsWrittenAnewIsSealedAnewAndSoAreOthers) {
  MakeStore();
  const std::string other = SegmentFilePath(bases_[1], storage::SegmentFile::seal);
  std::filesystem::remove(other);
  Overwrite(LogPath(bases_[0]), Batches(bases_[0])[1].first + 100, "XXXX");
  EXPECT_TRUE(InOrder(Repair().after));
  EXPECT_TRUE(std::filesystem::exists(other));
  const std::string path = SegmentFilePath(bases_[0], storage::SegmentFile::seal);
  const auto seal = *storage::DecodeSeal(base::AsBytes(ReadFile(path)));
  EXPECT_EQ(seal.log_bytes, ReadFile(LogPath(bases_[0])).size());
  EXPECT_EQ(seal.batch_count, Batches(bases_[0]).size());
}

TEST_F(RepairTest, CopiesOfJournalAndManifestAreWrittenAnew) {
  MakeStore();
  for (const uint64_t position : {uint64_t{20}, uint64_t{SuperblockOf().block_bytes} + 20,
                                  SuperblockOf().slot_position(1) + 20}) {
    Overwrite(PathOf("journal"), position, "XXXX");
    EXPECT_TRUE(InOrder(Repair().after));
  }
  WriteFile(PathOf("manifest"), "garbage");
  EXPECT_TRUE(InOrder(Repair().after));
  std::filesystem::remove(PathOf("manifest.backup"));
  EXPECT_TRUE(InOrder(Repair().after));
}

TEST_F(RepairTest, AMissingSegmentStaysALoss) {
  MakeStore();
  std::filesystem::remove(SegmentFilePath(bases_[1], storage::SegmentFile::log));
  const auto report = Repair();
  EXPECT_TRUE(report.after.Has(Finding::Kind::loss));
  Open();
  std::vector<LostRange> lost;
  EXPECT_EQ(ReadFrom(PartitionOf("t"), 0, &lost).size(),
            static_cast<size_t>(kRecords - (bases_[2] - bases_[1])));
}

// A segment with its indexes is set aside; what it held stays a loss, and is told as one.
TEST_F(RepairTest, ASegmentOfWhichNothingIsIntactIsSetAside) {
  MakeStore();
  for (const size_t at : {size_t{1}, bases_.size() - 1}) {
    SCOPED_TRACE(at);
    const int64_t end = at + 1 < bases_.size() ? bases_[at + 1] : kRecords;
    const std::string path = LogPath(bases_[at]);
    const std::string garbage(ReadFile(path).size(), 'X');
    WriteFile(path, garbage);
    const auto planned = Repair(/*dry_run=*/true);
    EXPECT_TRUE(Mentions(planned, path + ": keep the damaged file in quarantine/"));
    EXPECT_EQ(ReadFile(path), garbage);
    const auto report = Repair();
    EXPECT_TRUE(Mentions(report, path + ": moved to quarantine/"));
    for (const auto kind : {storage::SegmentFile::log, storage::SegmentFile::offset_index,
                            storage::SegmentFile::time_index}) {
      const std::string file = SegmentFilePath(bases_[at], kind);
      EXPECT_FALSE(std::filesystem::exists(file));
      EXPECT_TRUE(QuarantineHolds(file.substr(file.find_last_of('/') + 1)));
    }
    ASSERT_EQ(LossesOf(report.after), LossesOf(report.before));
    Open();
    EXPECT_TRUE(engine_->recovery().damage.empty()) << "told already, by the repair";
    std::vector<LostRange> lost;
    for (const ReadRecord& record : ReadFrom(PartitionOf("t"), bases_[at], &lost))
      ASSERT_EQ(record.value, ValueOf(record.offset));
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(lost[0].first_offset, bases_[at]);
    EXPECT_EQ(lost[0].end_offset, end);
    EXPECT_EQ(PartitionOf("t").end_offset(), kRecords);
    CloseCleanly();
  }
  Open();
  EXPECT_EQ(AppendDurably(PartitionOf("t"), ValueOf(kRecords)), kRecords);
}

// By its name it says that the segment before it ends there, of which every batch was called wrong.
TEST_F(RepairTest, AFileWithASegmentsNameDoesNotTakeAnIntactSegmentAlong) {
  MakeStore();
  for (const std::string content : {"hi", ""}) {
    SCOPED_TRACE(content);
    const std::string stray = LogPath(bases_[1] + 5);
    WriteFile(stray, content);
    const auto report = Repair();
    EXPECT_TRUE(Mentions(report, stray + ": moved to quarantine/"));
    EXPECT_TRUE(InOrder(report.after));
    EXPECT_FALSE(std::filesystem::exists(stray));
    EXPECT_EQ(SegmentBases(), bases_);
    Open();
    ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, kRecords);
    CloseCleanly();
  }
}

TEST_F(RepairTest, AFinishedSegmentThatWasEmptiedIsSetAside) {
  MakeStore();
  WriteFile(LogPath(bases_[1]), "");
  const auto report = Repair();
  EXPECT_TRUE(Mentions(report, LogPath(bases_[1]) + ": moved to quarantine/"));
  EXPECT_FALSE(report.after.Has(Finding::Kind::fault));
  EXPECT_EQ(LossesOf(report.after),
            std::to_string(bases_[1]) + " to " + std::to_string(bases_[2]) + "\n");
}

TEST_F(RepairTest, DamagedCommitsGoToQuarantine) {
  MakeCrashedStore(10);
  const auto commits = CommitsWithFrames();
  Overwrite(PathOf("journal"), commits[4].first + commits[4].second.data_offset() + 40, "XXXX");
  const std::string journal = ReadFile(PathOf("journal"));
  const auto planned = Repair(/*dry_run=*/true);
  EXPECT_TRUE(Mentions(planned, PathOf("journal") + ": keep the damaged commits in quarantine/"));
  EXPECT_EQ(ReadFile(PathOf("journal")), journal);
  EXPECT_FALSE(QuarantineHolds("journal"));
  const auto report = Repair();
  EXPECT_EQ(LossesOf(report.before), "4 to 5\n");
  EXPECT_TRUE(InOrder(report.after));
  EXPECT_TRUE(QuarantineHolds("journal-commit"));
  Open();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_EQ(ReadFrom(PartitionOf("t"), 5).size(), 5u);
}

TEST_F(RepairTest, AStoreThatIsOpenIsRefused) {
  MakeStore();
  Open();
  FaultWorld world;
  const auto report = storage::RepairStore(world.environment(), options_, /*dry_run=*/false);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code(), ErrorCode::locked);
}

}  // namespace
}  // namespace tidemark::testing
