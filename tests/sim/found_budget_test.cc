// What the simulator has found where a byte budget is used up, each as a case of its own.
#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "storage/segment.h"
#include "tests/sim/world_fixture.h"

namespace tidemark::sim {
namespace {

using std::chrono::milliseconds;

class FoundBudgetTest : public WorldTest {
 protected:
  static constexpr uint64_t kStoreBytes = uint64_t{32} << 20;
  static constexpr size_t kRecordBytes = 20'000;

  FoundBudgetTest() { MakeWorld({}, 1); }

  // A store with a budget, of which a foreign file leaves so much.
  void OpenWithRoom(uint64_t room_bytes) {
    options_.store_bytes = kStoreBytes;
    world_->disk.PutForeignFile(options_.data_dir, "foreign",
                                kStoreBytes - options_.journal_bytes - room_bytes);
    Open();
  }
  static TopicConfig WithBudget(int64_t topic_bytes) {
    TopicConfig config;
    config.compression = Compression::none;
    config.topic_bytes = topic_bytes;
    return config;
  }
  void MakeTopic(const std::string& name, const TopicConfig& config) {
    ASSERT_TRUE(engine_->CreateTopic(name, 1, config).ok());
  }
  Result<int64_t> Append(const std::string& topic) {
    const std::string value(kRecordBytes, 'v');
    Record record;
    record.key = topic;
    record.value = value;
    return engine_->FindTopic(topic)->partition(0)->Append(record, Durability::durable);
  }
  // False: it has refused.
  bool AppendPatiently(const std::string& topic) {
    auto offset = Append(topic);
    for (int turn = 0; !offset.ok() && offset.error().code() == ErrorCode::busy; ++turn) {
      if (turn > 2'000) return false;
      engine_->Poll(milliseconds(10));
      offset = Append(topic);
    }
    return offset.ok();
  }
  void Fill(const std::string& topic) {
    int64_t records = 0;
    while (AppendPatiently(topic)) ++records;
    ASSERT_GT(records, 0);
    ASSERT_EQ(Append(topic).error().code(), ErrorCode::disk_full);
  }
  uint64_t BytesOf(const std::string& topic) const {
    return world_->disk.BytesInFolder(options_.data_dir + "/" + topic + "-0");
  }
};

// Each run that waited began a segment, whose blocks had no room reserved.
TEST_F(FoundBudgetTest, EachRunThatWaitsMayBeginASegment) {
  constexpr int64_t kBudget = int64_t{2} << 20;
  Open();
  MakeTopic("t", WithBudget(kBudget));
  int64_t records = 0;
  while (Append("t").ok()) ++records;
  EXPECT_GT(records * static_cast<int64_t>(kRecordBytes), kBudget / 2);
  ASSERT_TRUE(engine_->Close().ok());
  EXPECT_LE(BytesOf("t"), static_cast<uint64_t>(kBudget));
}

// What was given up was replayed and packed once more, though its room was somebody else's by then.
TEST_F(FoundBudgetTest, WhatWasGivenUpIsNotPackedAfterACrash) {
  constexpr int64_t kBudget = int64_t{1} << 20;
  uint64_t most_bytes = 0;
  Open();
  TopicConfig config = WithBudget(kBudget);
  config.when_full = WhenFull::drop_oldest;
  MakeTopic("t", config);
  for (int64_t i = 0; i < 70; ++i) {
    ASSERT_TRUE(AppendPatiently("t")) << i;
    PollFor(5);
  }
  const int64_t start = engine_->FindTopic("t")->partition(0)->log_start_offset();
  ASSERT_GT(start, 0);
  world_->disk.on_growth = [&] { most_bytes = std::max(most_bytes, BytesOf("t")); };
  DieAndOpen(Death::kill);
  EXPECT_GE(engine_->FindTopic("t")->partition(0)->log_start_offset(), start);
  EXPECT_EQ(engine_->FindTopic("t")->partition(0)->end_offset(), 70);
  ASSERT_TRUE(engine_->Close().ok());
  EXPECT_GT(most_bytes, 0U);
  EXPECT_LE(most_bytes, static_cast<uint64_t>(kBudget));
}

// The same where so much is to be replayed that some is packed to make memory free, before the log
// start that gave it up has been met in the journal.
TEST_F(FoundBudgetTest, WhatWasGivenUpIsNotPackedToMakeMemoryFree) {
  constexpr int64_t kBudget = int64_t{2} << 20;
  constexpr int64_t kRecords = 500;
  uint64_t most_bytes = 0;
  options_.journal_bytes = uint64_t{64} << 20;
  Open();
  TopicConfig config = WithBudget(kBudget);
  config.when_full = WhenFull::drop_oldest;
  MakeTopic("t", config);
  for (int64_t i = 0; i < kRecords; ++i) {
    ASSERT_TRUE(AppendPatiently("t")) << i;
    PollFor(5);
  }
  PollFor(20);
  const int64_t start = engine_->FindTopic("t")->partition(0)->log_start_offset();
  ASSERT_GT(start, kRecords / 2);
  world_->disk.on_growth = [&] { most_bytes = std::max(most_bytes, BytesOf("t")); };
  DieAndOpen(Death::power_cut);
  EXPECT_GT(engine_->recovery().records_replayed * kRecordBytes, options_.memory_bytes);
  EXPECT_EQ(engine_->FindTopic("t")->partition(0)->log_start_offset(), start);
  EXPECT_EQ(engine_->FindTopic("t")->partition(0)->end_offset(), kRecords);
  ASSERT_TRUE(engine_->Close().ok());
  EXPECT_GT(most_bytes, 0U);
  EXPECT_LE(most_bytes, static_cast<uint64_t>(kBudget));
}

// An opening with much to replay was under so much pressure that it did not compress, and packed
// five times what had been admitted.
TEST_F(FoundBudgetTest, WhatWasCompressedIsSoAgainAfterACrash) {
  constexpr int64_t kBudget = int64_t{2} << 20;
  uint64_t most_bytes = 0;
  options_.journal_bytes = uint64_t{64} << 20;
  Open();
  TopicConfig config = WithBudget(kBudget);
  config.compression = Compression::zstd;
  config.zstd_level = 1;
  MakeTopic("t", config);
  for (int64_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(AppendPatiently("t")) << i;
    PollFor(5);
  }
  PollFor(20);
  world_->disk.on_growth = [&] { most_bytes = std::max(most_bytes, BytesOf("t")); };
  DieAndOpen(Death::kill);
  EXPECT_GT(engine_->recovery().records_replayed, 300U);
  ASSERT_TRUE(engine_->Close().ok());
  EXPECT_GT(most_bytes, 0U);
  EXPECT_LE(most_bytes, static_cast<uint64_t>(kBudget));
}

// It was used up by segments that no flush had shown to retention, and none was due: for good.
TEST_F(FoundBudgetTest, ATopicThatDropsNeverRefuses) {
  options_.journal_bytes = uint64_t{64} << 20;
  options_.memory_bytes = uint64_t{32} << 20;
  Open();
  TopicConfig config = WithBudget(int64_t{1} << 20);
  config.when_full = WhenFull::drop_oldest;
  MakeTopic("t", config);
  for (int64_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(AppendPatiently("t")) << i << ": " << Append("t").error().ToString();
    PollFor(2);
  }
  EXPECT_GT(engine_->stats().segments_removed, 10U);
}

// Its room came back with the next opening only.
TEST_F(FoundBudgetTest, ADeletedTopicGivesItsRoomBack) {
  OpenWithRoom(uint64_t{4} << 20);
  MakeTopic("t", WithBudget(-1));
  MakeTopic("other", WithBudget(-1));
  Fill("t");
  ASSERT_TRUE(engine_->Close().ok());
  DieAndOpen(Death::kill);
  Fill("other");  // what "t" was charged too much
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  PollFor(200);
  ASSERT_FALSE(engine_->deletions_pending());
  for (int64_t i = 0; i < 50; ++i) ASSERT_TRUE(AppendPatiently("other")) << i;
}

// Each has a folder and two files, and nobody asked whether there is room.
TEST_F(FoundBudgetTest, PartitionsAreNotMadeBeyondTheBudget) {
  OpenWithRoom(uint64_t{4} << 20);
  MakeTopic("t", WithBudget(-1));
  Fill("t");
  const auto made = engine_->CreateTopic("many", 100, {});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code(), ErrorCode::disk_full) << made.error().ToString();
  EXPECT_EQ(engine_->AddPartitions("t", 100).error().code(), ErrorCode::disk_full);
  EXPECT_LE(world_->disk.block_bytes(), kStoreBytes);
  ASSERT_TRUE(engine_->Close().ok());
  EXPECT_LE(world_->disk.block_bytes(), kStoreBytes);
  DieAndOpen(Death::kill);
  EXPECT_EQ(engine_->FindTopic("many"), nullptr);
  EXPECT_EQ(engine_->FindTopic("t")->partition_count(), 1);
}

// A note beside each file in quarantine/ takes a block, and nobody had counted those.
TEST_F(FoundBudgetTest, WhatIsSetAsideWhenATopicIsMadeCountsAtOnce) {
  const std::string folder = options_.data_dir + "/t-0";
  OpenWithRoom(uint64_t{8} << 20);
  ASSERT_TRUE(world_->files.MakeDirectory(folder).ok());
  for (int64_t i = 0; i < 700; ++i) {
    const std::string path = storage::SegmentPath(folder, i, storage::SegmentFile::log);
    const auto file = world_->files.Open(path, {.write = true, .create = true});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->WriteAt(0, std::array{std::byte{1}}, io::Durable::no).ok());
  }
  Reopen();
  MakeTopic("t", WithBudget(-1));
  int64_t records = 0;
  while (AppendPatiently("t")) ++records;
  EXPECT_GT(records, 50);
  ASSERT_TRUE(engine_->Close().ok());
  EXPECT_LE(world_->disk.block_bytes(), kStoreBytes);
}

// Deleted files take room as long as somebody has them open: a pass of compaction that is held up
// by its rate, and lets go when the worker comes to it.
TEST_F(FoundBudgetTest, WhatAPassHasOpenTakesItsRoom) {
  constexpr int64_t kBudget = int64_t{1} << 20;
  constexpr int kRecords = 100;
  int admitted = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    MakeWorld({}, seed);
    options_.compaction_bytes_per_second = 1'000;
    Open();
    TopicConfig config = WithBudget(-1);
    config.cleanup_policy = CleanupPolicy::compact;
    config.min_cleanable_dirty_ratio = 0;
    config.segment_bytes = kRecords / 2 * int64_t{kRecordBytes};
    MakeTopic("t", config);
    for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(AppendPatiently("t"));
    ASSERT_TRUE(engine_->Close().ok());
    Reopen();
    Partition& partition = *engine_->FindTopic("t")->partition(0);
    const auto source = world_->disk.Find(options_.data_dir + "/t-0/00000000000000000000.log");
    for (int turn = 0; source->opened == 0; ++turn) {
      ASSERT_LT(turn, 10'000) << "no pass begins";
      PollFor(1);
    }
    config.topic_bytes = kBudget;
    ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
    ASSERT_TRUE(partition.DeleteRecords(kRecords).ok());
    for (int turn = 0; turn < 1'000; ++turn) {
      PollFor(1);
      if (!Append("t").ok()) continue;
      ++admitted;
      ASSERT_LT(BytesOf("t"), static_cast<uint64_t>(kBudget)) << seed;
      break;
    }
  }
  EXPECT_GT(admitted, 20);
}

// What the engine's own work has open comes back soon: no further segment is given up for it.
TEST_F(FoundBudgetTest, MakingRoomWaitsForAPassThatLetsGo) {
  constexpr int64_t kBudget = int64_t{32} << 20;
  int held = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    MakeWorld({}, seed);
    options_.compaction_bytes_per_second = 1'000;
    Open();
    TopicConfig config = WithBudget(kBudget);
    config.when_full = WhenFull::drop_oldest;
    config.cleanup_policy = CleanupPolicy::compact;
    config.min_cleanable_dirty_ratio = 0;
    MakeTopic("t", config);
    Partition& partition = *engine_->FindTopic("t")->partition(0);
    const std::string folder = options_.data_dir + "/t-0";
    bool open = false;
    std::vector<int64_t> bases;
    while (partition.log_start_offset() == 0) {
      const auto first =
          world_->disk.Find(storage::SegmentPath(folder, 0, storage::SegmentFile::log));
      open = first != nullptr && first->opened > 0;
      bases = *storage::ListSegments(world_->files, folder);
      ASSERT_TRUE(AppendPatiently("t"));
      if (world_->random.OneIn(8)) PollFor(20);
    }
    held += open ? 1 : 0;
    PollFor(200);
    ASSERT_GT(bases.size(), 2U);
    EXPECT_EQ(partition.log_start_offset(), bases[1]) << seed;
  }
  EXPECT_GT(held, 10);
}

}  // namespace
}  // namespace tidemark::sim
