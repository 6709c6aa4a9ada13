// What the simulator has found, each as a case of its own.
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "storage/journal_format.h"
#include "storage/open.h"
#include "storage/verify.h"
#include "tests/sim/sim_world.h"

namespace tidemark::sim {
namespace {

using std::chrono::milliseconds;

class FoundTest : public ::testing::Test {
 protected:
  // The scrub's timer would end waits that nothing else ends.
  FoundTest() { options_.scrub_bytes_per_second = 0; }
  ~FoundTest() override { engine_.reset(); }

  void MakeWorld(const DiskProfile& profile, uint64_t seed) {
    engine_.reset();
    world_.reset();  // there is one at a time
    world_ = std::make_unique<SimWorld>(profile, seed);
    options_.data_dir = "store";
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
    Open();
  }
  void Open() {
    auto engine = storage::OpenEngine(world_->environment(), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  void DieAndOpen(Death death) {
    world_->disk.DieNow(death);
    engine_.reset();
    world_->disk.Restart();
    Open();
  }
  void Append(const std::string& value) {
    Record record;
    record.value = value;
    const auto offset = engine_->FindTopic("t")->partition(0)->Append(record, Durability::durable);
    ASSERT_TRUE(offset.ok()) << offset.error().ToString();
  }
  void MakeTopic() { ASSERT_TRUE(engine_->CreateTopic("t", 1, {}).ok()); }
  void PollFor(int turns) {
    for (int i = 0; i < turns; ++i) engine_->Poll(milliseconds(10));
  }
  int64_t durable_end() const {
    return engine_->FindTopic("t")->partition(0)->durable_end_offset();
  }

  std::unique_ptr<SimWorld> world_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

// Its pages were given up by the kernel, and still read from the cache: after a restart of the
// process it was told as durable, and the next power cut took it.
TEST_F(FoundTest, ACommitWhoseFlushFailedIsWrittenAgainBeforeItIsServed) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    MakeWorld({.direct_refused = true}, seed);
    MakeTopic();
    Append("before");
    PollFor(10);
    world_->disk.Arm({Fault::Kind::flush, 0});
    Append("its flush fails");
    PollFor(10);
    ASSERT_FALSE(engine_->health().ok());
    DieAndOpen(Death::kill);
    const int64_t told = durable_end();
    DieAndOpen(Death::power_cut);
    ASSERT_GE(durable_end(), told) << "seed " << seed;
    ASSERT_TRUE(engine_->recovery().damage.empty()) << "seed " << seed;
  }
}

// One slot had gone back to an older checkpoint: cut off while it wrote over the newest one, an
// opening left the next by that, whose commits were long overwritten. Found while a seed was
// explained (10001276) in which the other slot was cut off first and this one damaged afterwards.
TEST_F(FoundTest, AnOpeningDoesNotWriteFirstOverTheNewestCheckpoint) {
  MakeWorld({}, 1);
  // So many that a checkpoint takes several sectors, and its first and last ones change.
  constexpr int32_t kPartitions = 32;
  ASSERT_TRUE(engine_->CreateTopic("t", kPartitions, {}).ok());
  const auto last = [&] { return engine_->FindTopic("t")->partition(kPartitions - 1); };
  const auto slot = [&](std::vector<std::byte>& journal, uint64_t number) {
    const auto superblock = storage::DecodeSuperblock(journal);
    EXPECT_TRUE(superblock.ok());
    return std::span(journal).subspan(superblock->slot_position(static_cast<int>(number % 2)),
                                      superblock->slot_bytes);
  };
  std::vector<std::byte> before = world_->disk.Find("store/journal")->now;
  const std::string value(60'000, 'v');
  int64_t appended = 0;
  const auto append = [&] {
    Record record;
    record.value = value;
    ASSERT_TRUE(last()->Append(record, Durability::durable).ok());
    ++appended;
    while (last()->durable_end_offset() < appended) PollFor(1);
  };
  while (static_cast<uint64_t>(appended) * value.size() < 2 * options_.journal_bytes) append();
  for (uint64_t operation = 1; operation < 60; ++operation) {
    append();
    world_->disk.DieNow(Death::kill);
    engine_.reset();
    world_->disk.Restart();
    const auto journal = world_->disk.Find("store/journal");
    for (auto* bytes : {&journal->now, &journal->medium})
      std::ranges::copy(slot(before, operation), slot(*bytes, operation).begin());
    world_->disk.DieIn(operation, Death::power_cut);
    static_cast<void>(storage::OpenEngine(world_->environment(), options_));
    DieAndOpen(Death::power_cut);
    ASSERT_TRUE(engine_->recovery().damage.empty()) << "cut off at operation " << operation;
    ASSERT_EQ(last()->durable_end_offset(), appended) << "cut off at operation " << operation;
  }
}

// It waited for room, and never returned.
TEST_F(FoundTest, ClosingOnAFullDiskEnds) {
  MakeWorld({}, 1);
  MakeTopic();
  Append("there is no room to pack it");
  PollFor(10);
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  const Status closed = engine_->Close();
  ASSERT_FALSE(closed.ok());
  EXPECT_EQ(closed.error().code(), ErrorCode::disk_full);
  world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
  DieAndOpen(Death::kill);
  EXPECT_EQ(durable_end(), 1);
  EXPECT_TRUE(engine_->Close().ok());
}

// The replay waited for room, for its memory's sake, and never ended.
TEST_F(FoundTest, AFullDiskDoesNotKeepAFullJournalFromOpening) {
  MakeWorld({}, 1);
  MakeTopic();
  options_.memory_bytes = 2 * kMinMemoryBytes;
  DieAndOpen(Death::kill);
  int64_t appended = 0;
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes() + (uint64_t{8} << 20);
  const std::string value(100'000, 'v');
  Record record;
  record.value = value;
  Partition& partition = *engine_->FindTopic("t")->partition(0);
  while (appended < 30 && partition.Append(record, Durability::durable).ok()) ++appended;
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  while (durable_end() < appended) PollFor(1);
  options_.memory_bytes = kMinMemoryBytes;
  DieAndOpen(Death::power_cut);
  EXPECT_EQ(durable_end(), appended);
  world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
  EXPECT_TRUE(engine_->Close().ok());
}

// Killed while it made the store, it left a folder whose own entry was never flushed.
TEST_F(FoundTest, AStoreWhoseMakingWasCutOffIsAsDurableAsAnyOther) {
  for (uint64_t operation = 1; operation < 40; ++operation) {
    engine_.reset();
    world_.reset();
    world_ = std::make_unique<SimWorld>(DiskProfile(), operation);
    options_.data_dir = "store";
    options_.journal_bytes = kMinJournalBytes;
    world_->disk.DieIn(operation, Death::kill);
    static_cast<void>(storage::OpenEngine(world_->environment(), options_));
    DieAndOpen(Death::kill);
    MakeTopic();
    DieAndOpen(Death::power_cut);
    ASSERT_NE(engine_->FindTopic("t"), nullptr) << "killed at operation " << operation;
  }
}

// The manifest could not be written, and the wait for the deletion did not notice.
TEST_F(FoundTest, ClosingEndsWhenTheDiskFailsWhileATopicIsDeleted) {
  for (uint64_t operation = 1; operation < 60; ++operation) {
    MakeWorld({}, operation);
    MakeTopic();
    Append("a record");
    PollFor(300);  // the last commit has its witness: nothing else will end a wait
    ASSERT_TRUE(engine_->DeleteTopic("t").ok());
    world_->disk.DieIn(operation, Death::power_cut);
    static_cast<void>(engine_->Close());
    ASSERT_FALSE(world_->loop.stuck()) << "at operation " << operation;
  }
}

// What a torn commit leaves was to be left behind by packing all that stood before it, for which
// there was no room: the opening never ended.
TEST_F(FoundTest, ATornCommitDoesNotKeepAFullDiskFromOpening) {
  size_t torn = 0;  // commits of which the directory has survived
  for (uint64_t seed = 0; seed < 40; ++seed) {
    MakeWorld({}, seed);
    MakeTopic();
    for (int i = 0; i < 5; ++i) {
      Append("before");
      PollFor(5);
    }
    const int64_t told = durable_end();
    world_->disk.DieIn(1 + seed % 4, Death::power_cut);
    Append(std::string(20'000, 'v'));
    PollFor(10);
    engine_.reset();
    world_->disk.DieNow(Death::power_cut);
    world_->disk.Restart();
    world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
    Open();
    ASSERT_GE(durable_end(), told) << "seed " << seed;
    torn += engine_->recovery().damage.size();
    world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
    ASSERT_TRUE(engine_->Close().ok()) << "seed " << seed;
  }
  EXPECT_GT(torn, 0u);
}

// The new manifest had no room: the engine stopped, where a deletion is what makes room.
TEST_F(FoundTest, TopicsAreChangedAndDeletedOnAFullDisk) {
  MakeWorld({}, 1);
  MakeTopic();
  Append("a record");
  PollFor(300);
  const uint64_t used = world_->disk.used_bytes();
  world_->disk.profile().capacity_bytes = used;
  TopicConfig config;
  config.flush_ms = 1'234'567;  // one that makes its text longer
  const Status altered = engine_->AlterTopic("t", config);
  ASSERT_FALSE(altered.ok());
  EXPECT_EQ(altered.error().code(), ErrorCode::disk_full);
  EXPECT_EQ(engine_->FindTopic("t")->config(), TopicConfig());
  EXPECT_FALSE(engine_->CreateTopic("u", 1, {}).ok());
  EXPECT_EQ(engine_->FindTopic("u"), nullptr);
  ASSERT_TRUE(engine_->health().ok()) << engine_->health().error().ToString();
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  DieAndOpen(Death::power_cut);  // whatever copy the manifest has left
  EXPECT_EQ(engine_->FindTopic("t")->config(), TopicConfig());
  EXPECT_EQ(engine_->FindTopic("u"), nullptr);
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  PollFor(300);
  ASSERT_TRUE(engine_->health().ok()) << engine_->health().error().ToString();
  EXPECT_FALSE(engine_->deletions_pending());
  EXPECT_LT(world_->disk.used_bytes(), used);
}

// Not even a manifest could be made: the engine stopped, and so did the one that was opened next.
TEST_F(FoundTest, DeletingATopicNeedsNoRoom) {
  for (const bool has_segments : {true, false}) {
    SCOPED_TRACE(has_segments);
    MakeWorld({}, 1);
    MakeTopic();
    Append("a record");
    if (has_segments) {
      ASSERT_TRUE(engine_->Close().ok());
      engine_.reset();
      Open();
    }
    PollFor(300);
    ASSERT_TRUE(world_->files.Remove("store/manifest.backup").ok());
    world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
    ASSERT_TRUE(engine_->DeleteTopic("t").ok());
    PollFor(300);
    ASSERT_TRUE(engine_->health().ok()) << engine_->health().error().ToString();
    EXPECT_EQ(engine_->deletions_pending(), !has_segments);
    if (!has_segments) {
      EXPECT_EQ(engine_->Close().error().code(), ErrorCode::disk_full);
    }
    world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
    for (int life = 0; life < 2; ++life) {
      DieAndOpen(Death::power_cut);
      EXPECT_EQ(engine_->FindTopic("t"), nullptr);
      PollFor(300);
      ASSERT_TRUE(engine_->health().ok()) << engine_->health().error().ToString();
    }
    world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
    PollFor(300);
    EXPECT_FALSE(engine_->deletions_pending());
    DieAndOpen(Death::power_cut);
    EXPECT_EQ(engine_->FindTopic("t"), nullptr);
    EXPECT_TRUE(engine_->recovery().damage.empty());
    EXPECT_TRUE(engine_->Close().ok());
  }
}

// What was damaged would have been left behind, and the tombstone with it: the opening refused.
TEST_F(FoundTest, ADeletionWaitsForRoomBesideADamagedJournal) {
  MakeWorld({}, 1);
  MakeTopic();
  Append("a record");
  PollFor(300);
  ASSERT_TRUE(world_->files.Remove("store/manifest.backup").ok());
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  PollFor(300);
  ASSERT_TRUE(engine_->deletions_pending());
  world_->disk.DieNow(Death::kill);
  engine_.reset();
  world_->disk.Restart();
  const auto journal = world_->disk.Find("store/journal");
  for (auto* bytes : {&journal->now, &journal->medium}) {
    const std::string_view text = base::AsText(*bytes);
    const size_t record = text.find("a record");
    ASSERT_NE(record, std::string_view::npos);
    (*bytes)[record] = std::byte{'A'};
  }
  for (int life = 0; life < 3; ++life) {
    Open();
    ASSERT_NE(engine_, nullptr);
    EXPECT_EQ(engine_->FindTopic("t"), nullptr);
    PollFor(300);
    ASSERT_TRUE(engine_->health().ok()) << engine_->health().error().ToString();
    EXPECT_TRUE(engine_->deletions_pending());
    world_->disk.DieNow(Death::power_cut);
    engine_.reset();
    world_->disk.Restart();
    world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  }
  world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
  Open();
  PollFor(300);
  EXPECT_FALSE(engine_->deletions_pending());
  EXPECT_TRUE(engine_->Close().ok());
  engine_.reset();
  Open();
  EXPECT_EQ(engine_->FindTopic("t"), nullptr);
  EXPECT_TRUE(engine_->recovery().damage.empty());
}

// The disk had room for one copy of a larger manifest, and nobody made the other one later.
TEST_F(FoundTest, ACleanStopLeavesTwoManifestsAlsoAfterAFullDisk) {
  int missing = 0;
  for (uint64_t room = 0; room < 3000; room += 40) {
    MakeWorld({}, 1);
    world_->disk.profile().capacity_bytes = world_->disk.used_bytes() + room;
    if (!engine_->CreateTopic("t", 1, {}).ok()) continue;
    if (world_->disk.Find("store/manifest.backup") == nullptr) ++missing;
    world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
    ASSERT_TRUE(engine_->Close().ok());
    EXPECT_NE(world_->disk.Find("store/manifest.backup"), nullptr) << "room for " << room;
  }
  EXPECT_GT(missing, 0);
}

// Killed between cutting the active segment and flushing that, an opening left a length that nobody
// flushed when the segment was rolled: the next power cut brought the cut-off tail back.
TEST_F(FoundTest, ASegmentIsRolledWithTheLengthThatItWasCutTo) {
  const std::string path = "store/t-0/00000000000000000000.log";
  size_t cut_and_not_flushed = 0;
  for (uint64_t seed = 75; seed < 105; ++seed) {
    TopicConfig config;
    config.compression = Compression::none;
    MakeWorld({}, seed);
    ASSERT_TRUE(engine_->CreateTopic("t", 1, config).ok());
    Append("packed and flushed");
    ASSERT_TRUE(engine_->Close().ok());
    DieAndOpen(Death::power_cut);
    const size_t flushed = world_->disk.Find(path)->now.size();
    for (int i = 0; i < 30; ++i) Append(std::string(20'000, 'v'));
    for (int i = 0; i < 500 && world_->disk.Find(path)->now.size() == flushed; ++i) PollFor(1);
    world_->disk.DieNow(Death::power_cut);
    engine_.reset();
    world_->disk.Restart();
    world_->disk.DieIn(1 + seed % 12, Death::kill);
    static_cast<void>(storage::OpenEngine(world_->environment(), options_));
    if (world_->disk.Find(path)->least_size != UINT64_MAX) ++cut_and_not_flushed;
    DieAndOpen(Death::kill);
    config.segment_bytes = 1024;
    ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
    ASSERT_TRUE(engine_->Close().ok());
    world_->disk.DieNow(Death::power_cut);
    engine_.reset();
    world_->disk.Restart();
    storage::VerifyOptions verify;
    verify.data_dir = options_.data_dir;
    verify.locked = true;
    const auto report = storage::VerifyStore(world_->files, verify);
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    for (const storage::Finding& finding : report->findings)
      ADD_FAILURE() << "seed " << seed << ": " << finding.path << ": " << finding.what;
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(cut_and_not_flushed, 0U);
}

// Killed between the renaming of the manifest's backup and the flush of that, it left two equal
// copies, of which the next power cut made one the older again: damage to the other one then took
// back what the opening in between had shown.
TEST_F(FoundTest, BothCopiesOfTheManifestAreDurableBeforeTheyAreServed) {
  size_t times_shown = 0;
  for (uint64_t operation = 1; operation < 60; ++operation) {
    MakeWorld({}, operation);
    MakeTopic();
    world_->disk.DieIn(operation, Death::kill);
    static_cast<void>(engine_->CreateTopic("u", 1, {}));
    DieAndOpen(Death::kill);
    const bool shown = engine_->FindTopic("u") != nullptr;
    world_->disk.DieNow(Death::power_cut);
    engine_.reset();
    world_->disk.Restart();
    Inode& manifest = *world_->disk.Find("store/manifest");
    const std::byte flipped = ~manifest.now[0];
    world_->disk.WriteNow(manifest, 0, {&flipped, 1});
    Open();
    EXPECT_EQ(engine_->FindTopic("u") != nullptr, shown) << "killed at operation " << operation;
    if (shown) ++times_shown;
  }
  EXPECT_GT(times_shown, 0U);
}

// The start of the log was then guessed from the first segment that was left: what had been lost
// before it was neither told nor in range any more.
TEST_F(FoundTest, WithoutACheckpointTheFirstRecordsAreToldAsLost) {
  TopicConfig config;
  config.segment_bytes = 1024;
  config.compression = Compression::none;
  MakeWorld({}, 1);
  ASSERT_TRUE(engine_->CreateTopic("t", 1, config).ok());
  for (int i = 0; i < 4; ++i) {
    Append(std::string(1000, 'v'));
    ASSERT_TRUE(engine_->Close().ok());
    DieAndOpen(Death::kill);
  }
  world_->disk.DieNow(Death::power_cut);
  engine_.reset();
  world_->disk.Restart();
  ASSERT_EQ(world_->disk.Remove("store/t-0/00000000000000000000.log"), 0);
  Inode& journal = *world_->disk.Find("store/journal");
  const auto superblock = storage::DecodeSuperblock(journal.now);
  ASSERT_TRUE(superblock.ok());
  for (const int slot : {0, 1}) {
    const std::byte flipped = ~journal.now[superblock->slot_position(slot)];
    world_->disk.WriteNow(journal, superblock->slot_position(slot), {&flipped, 1});
  }

  storage::VerifyOptions verify;
  verify.data_dir = options_.data_dir;
  verify.locked = true;
  const auto report = storage::VerifyStore(world_->files, verify);
  ASSERT_TRUE(report.ok()) << report.error().ToString();
  const auto loss = std::find_if(
      report->findings.begin(), report->findings.end(),
      [](const storage::Finding& finding) { return finding.kind == storage::Finding::Kind::loss; });
  ASSERT_NE(loss, report->findings.end());
  EXPECT_EQ(loss->first_offset, 0);
  EXPECT_EQ(loss->end_offset, 1);

  Open();
  EXPECT_EQ(engine_->FindTopic("t")->partition(0)->log_start_offset(), 0);
  EXPECT_EQ(durable_end(), 4);
  auto reader = engine_->OpenReader(*engine_->FindTopic("t")->partition(0), 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  for (auto state = (*reader)->Next(); !state.ok() || *state != ReadState::at_end;
       state = (*reader)->Next())
    PollFor(1);
  const std::vector<LostRange> lost = (*reader)->TakeLost();
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost.front().first_offset, 0);
  EXPECT_EQ(lost.front().end_offset, 1);
}

}  // namespace
}  // namespace tidemark::sim
