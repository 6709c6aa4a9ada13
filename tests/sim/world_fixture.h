// A store in a simulated world, for cases that the simulator has found.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "storage/journal_format.h"
#include "storage/open.h"
#include "tests/sim/sim_world.h"

namespace tidemark::sim {

class WorldTest : public ::testing::Test {
 protected:
  // The scrub's timer would end waits that nothing else ends.
  WorldTest() {
    options_.data_dir = "store";
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
    options_.scrub_bytes_per_second = 0;
  }
  ~WorldTest() override { engine_.reset(); }

  void MakeWorld(const DiskProfile& profile, uint64_t seed) {
    engine_.reset();
    world_.reset();  // there is one at a time
    world_ = std::make_unique<SimWorld>(profile, seed);
  }
  void Open() {
    auto engine = storage::OpenEngine(world_->environment(), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  void Restart() {
    engine_.reset();
    world_->disk.Restart();
  }
  void Reopen() {
    Restart();
    Open();
  }
  void Die(Death death) {
    world_->disk.DieNow(death);
    Restart();
  }
  void DieAndOpen(Death death) {
    Die(death);
    Open();
  }
  void PollFor(int turns) {
    for (int i = 0; i < turns; ++i) engine_->Poll(std::chrono::milliseconds(10));
  }

  std::unique_ptr<SimWorld> world_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

// With one topic of one partition, "t".
class FoundTest : public WorldTest {
 protected:
  void OpenInWorld(const DiskProfile& profile, uint64_t seed) {
    MakeWorld(profile, seed);
    Open();
  }
  void MakeTopic() { ASSERT_TRUE(engine_->CreateTopic("t", 1, {}).ok()); }
  void Append(const std::string& value) {
    Record record;
    record.value = value;
    const auto offset = engine_->FindTopic("t")->partition(0)->Append(record, Durability::durable);
    ASSERT_TRUE(offset.ok()) << offset.error().ToString();
  }
  // Neither slot can be read any more.
  void SpoilCheckpoints() {
    Inode& journal = *world_->disk.Find("store/journal");
    const auto superblock = storage::DecodeSuperblock(journal.now);
    ASSERT_TRUE(superblock.ok());
    for (const int slot : {0, 1}) {
      const std::byte flipped = ~journal.now[superblock->slot_position(slot)];
      world_->disk.WriteNow(journal, superblock->slot_position(slot), {&flipped, 1});
    }
  }
  int64_t durable_end() const {
    return engine_->FindTopic("t")->partition(0)->durable_end_offset();
  }
};

}  // namespace tidemark::sim
