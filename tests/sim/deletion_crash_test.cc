// A topic's deletion that is cut off at any operation: once its tombstone is durable, the next
// opening ends it, and nothing of the topic is left.
#include <chrono>
#include <vector>

#include "tests/sim/world_fixture.h"

namespace tidemark::sim {
namespace {

using std::chrono::milliseconds;

class DeletionCrashTest : public WorldTest {
 protected:
  static constexpr int32_t kPartitions = 20;

  void MakeStore(uint64_t seed) {
    MakeWorld({}, seed);
    Open();
    ASSERT_TRUE(engine_->CreateTopic("t", kPartitions, {}).ok());
    ASSERT_TRUE(engine_->CreateTopic("stays", 1, {}).ok());
    for (int32_t index = 0; index < kPartitions; ++index) {
      Record record;
      record.value = "v";
      ASSERT_TRUE(
          engine_->FindTopic("t")->partition(index)->Append(record, Durability::durable).ok());
    }
    ASSERT_TRUE(engine_->Close().ok());
    Reopen();
  }
  int CountFolders() const {
    int count = 0;
    for (const auto& [name, inode] : world_->disk.Find("store")->entries)
      count += name.starts_with("t-") ? 1 : 0;
    return count;
  }
};

TEST_F(DeletionCrashTest, TheNextOpeningEndsIt) {
  int in_between = 0;  // some folders gone, some not
  for (const Death death : {Death::kill, Death::power_cut}) {
    for (uint64_t operations = 1; operations < 250; operations += 3) {
      SCOPED_TRACE(operations);
      MakeStore(operations);
      world_->disk.DieIn(operations, death);
      ASSERT_TRUE(engine_->DeleteTopic("t").ok());
      for (int i = 0; i < 50 && engine_->health().ok(); ++i) engine_->Poll(milliseconds(10));
      world_->disk.DieNow(death);
      const int left = CountFolders();
      in_between += left > 0 && left < kPartitions ? 1 : 0;
      Reopen();
      // Before its tombstone was durable nothing has happened to it.
      const bool there = engine_->FindTopic("t") != nullptr;
      EXPECT_EQ(CountFolders(), there ? kPartitions : 0);
      ASSERT_NE(engine_->FindTopic("stays"), nullptr);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(in_between, 0);
}

// A sector from elsewhere in another topic's partition.metadata names the deleted one.
TEST_F(DeletionCrashTest, OfATopicThatIsThereNothingGoes) {
  MakeStore(1);
  Record record;
  record.value = "v";
  ASSERT_TRUE(engine_->FindTopic("stays")->partition(0)->Append(record, Durability::durable).ok());
  ASSERT_TRUE(engine_->Close().ok());
  Reopen();
  const std::vector<std::byte> named = world_->disk.Find("store/t-0/partition.metadata")->now;
  // In the middle of the deletion, behind the manifest.
  world_->disk.DieIn(40, Death::kill);
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  for (int i = 0; i < 50 && engine_->health().ok(); ++i) engine_->Poll(milliseconds(10));
  ASSERT_GT(CountFolders(), 0);
  Restart();
  Inode& damaged = *world_->disk.Find("store/stays-0/partition.metadata");
  world_->disk.WriteNow(damaged, 0, named);
  Open();
  EXPECT_EQ(CountFolders(), 0);
  auto reader = engine_->OpenReader(*engine_->FindTopic("stays")->partition(0), 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  auto state = (*reader)->Next();
  for (; state.ok() && *state == ReadState::pending; state = (*reader)->Next())
    engine_->Poll(milliseconds(10));
  ASSERT_TRUE(state.ok()) << state.error().ToString();
  EXPECT_EQ(*state, ReadState::batch);
}

}  // namespace
}  // namespace tidemark::sim
