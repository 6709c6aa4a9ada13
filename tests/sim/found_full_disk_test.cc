// What the simulator has found where a disk is full, each as a case of its own.
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "tests/sim/world_fixture.h"

namespace tidemark::sim {
namespace {

// It waited for room, and never returned.
TEST_F(FoundTest, ClosingOnAFullDiskEnds) {
  OpenInWorld({}, 1);
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
  OpenInWorld({}, 1);
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

// What a torn commit leaves was to be left behind by packing all that stood before it, for which
// there was no room: the opening never ended.
TEST_F(FoundTest, ATornCommitDoesNotKeepAFullDiskFromOpening) {
  size_t torn = 0;  // commits of which the directory has survived
  for (uint64_t seed = 0; seed < 40; ++seed) {
    OpenInWorld({}, seed);
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
  OpenInWorld({}, 1);
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
    OpenInWorld({}, 1);
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
  OpenInWorld({}, 1);
  MakeTopic();
  Append("a record");
  PollFor(300);
  ASSERT_TRUE(world_->files.Remove("store/manifest.backup").ok());
  world_->disk.profile().capacity_bytes = world_->disk.used_bytes();
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  PollFor(300);
  ASSERT_TRUE(engine_->deletions_pending());
  Die(Death::kill);
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
    Die(Death::power_cut);
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
    OpenInWorld({}, 1);
    world_->disk.profile().capacity_bytes = world_->disk.used_bytes() + room;
    if (!engine_->CreateTopic("t", 1, {}).ok()) continue;
    if (world_->disk.Find("store/manifest.backup") == nullptr) ++missing;
    world_->disk.profile().capacity_bytes = uint64_t{1} << 40;
    ASSERT_TRUE(engine_->Close().ok());
    EXPECT_NE(world_->disk.Find("store/manifest.backup"), nullptr) << "room for " << room;
  }
  EXPECT_GT(missing, 0);
}

}  // namespace
}  // namespace tidemark::sim
