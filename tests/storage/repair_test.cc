// Repair: what can be mended is, nothing is deleted, and what is left is told.
#include "storage/repair.h"

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
  std::vector<int64_t> bases_;
};

TEST_F(RepairTest, AStoreInOrderIsLeftAlone) {
  MakeStore();
  const std::string journal = ReadFile(PathOf("journal"));
  EXPECT_TRUE(Repair().actions.empty());
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
