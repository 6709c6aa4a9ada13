// Repair that is cut off: at each of its operations in turn, by a power cut or a kill, and run
// again. Nothing intact is lost, and what was damaged is still in quarantine/.
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "record/batch.h"
#include "storage/open.h"
#include "storage/repair.h"
#include "storage/segment.h"
#include "tests/sim/sim_world.h"

namespace tidemark::sim {
namespace {

using storage::Finding;
using storage::SegmentFile;

class RepairCrashTest : public ::testing::Test {
 protected:
  static constexpr int64_t kBatches = 9;
  static constexpr int64_t kRecordsPerBatch = 10;
  static constexpr int64_t kRecords = kBatches * kRecordsPerBatch;

  RepairCrashTest() {
    options_.data_dir = "store";
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
    options_.scrub_bytes_per_second = 0;
  }

  static std::string ValueOf(int64_t offset) {
    return std::to_string(offset) + ":" + std::string(1'000, 'v');
  }

  std::unique_ptr<Engine> Open() {
    auto engine = storage::OpenEngine(world_->environment(), options_);
    EXPECT_TRUE(engine.ok()) << engine.error().ToString();
    return engine.ok() ? *std::move(engine) : nullptr;
  }
  // Three segments of three batches, since each clean stop ends a batch.
  void MakeStore(uint64_t seed) {
    world_.reset();  // there is one at a time
    world_ = std::make_unique<SimWorld>(DiskProfile(), seed);
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 3 * kRecordsPerBatch * 1'100;
    ASSERT_TRUE(Open()->CreateTopic("t", 1, config).ok());
    for (int64_t offset = 0; offset < kRecords;) {
      const auto engine = Open();
      for (int i = 0; i < kRecordsPerBatch; ++i, ++offset) {
        const std::string value = ValueOf(offset);
        Record record;
        record.value = value;
        record.timestamp_ms = 1'000'000 + offset;
        ASSERT_TRUE(engine->FindTopic("t")->partition(0)->Append(record, Durability::durable).ok());
      }
      ASSERT_TRUE(engine->Close().ok());
    }
    bases_ = *storage::ListSegments(world_->files, "store/t-0");
    ASSERT_EQ(bases_.size(), 3u);
  }
  std::string PathOf(size_t segment, SegmentFile kind) const {
    return storage::SegmentPath("store/t-0", bases_[segment], kind);
  }
  // As if it had happened long ago: it is on the medium.
  void Overwrite(const std::string& path, uint64_t position, std::string_view bytes) {
    auto file = world_->files.Open(path, {.write = true});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->WriteAt(position, base::AsBytes(bytes), io::Durable::no).ok());
    ASSERT_TRUE((*file)->Flush().ok());
  }
  std::string Content(const std::string& path) {
    return *io::ReadWholeFile(world_->files, path, uint64_t{1} << 30);
  }
  // A batch in the middle of a sealed and of the active segment, an index of each kind, a seal, and
  // a copy of the superblock.
  void DamageStore() {
    damaged_.clear();
    for (const size_t segment : {size_t{0}, size_t{2}}) {
      const std::string log = PathOf(segment, SegmentFile::log);
      const std::string content = Content(log);
      const auto first = record::DecodeBatchHeader(base::AsBytes(content));
      ASSERT_TRUE(first.ok());
      const uint64_t second = first->total_bytes();
      const auto header = record::DecodeBatchHeader(base::AsBytes(content).subspan(second));
      ASSERT_TRUE(header.ok());
      ASSERT_LT(second + header->total_bytes(), content.size());
      Overwrite(log, second + 100, "XXXX");
      damaged_.emplace_back(header->base_offset, header->next_offset());
    }
    damaged_log_ = Content(PathOf(0, SegmentFile::log));
    Overwrite(PathOf(1, SegmentFile::offset_index), 3, "\x77");
    Overwrite(PathOf(2, SegmentFile::time_index), 3, "\x77");
    Overwrite(PathOf(1, SegmentFile::seal), 60, "\x77");
    Overwrite("store/journal", 20, "XXXX");
  }
  Result<storage::RepairReport> Repair() {
    return storage::RepairStore(world_->environment(), options_, /*dry_run=*/false);
  }
  bool QuarantineHoldsTheDamagedLog() {
    const auto entries = world_->files.List("store/quarantine");
    if (!entries.ok()) return false;
    for (const io::DirectoryEntry& entry : *entries) {
      if (Content("store/quarantine/" + entry.name) == damaged_log_) return true;
    }
    return false;
  }
  // Everything but what stood in the damaged batches.
  void ExpectTheRest() {
    const auto engine = Open();
    ASSERT_NE(engine, nullptr);
    std::set<int64_t> found;
    auto reader = engine->OpenReader(*engine->FindTopic("t")->partition(0), 0);
    ASSERT_TRUE(reader.ok());
    for (;;) {
      const auto state = (*reader)->Next();
      if (!state.ok()) {
        ASSERT_EQ(state.error().code(), ErrorCode::corrupt) << state.error().ToString();
        continue;
      }
      if (*state == ReadState::at_end) break;
      if (*state == ReadState::pending) {
        engine->Poll(std::chrono::milliseconds(10));
        continue;
      }
      for (const RecordView& record : (*reader)->batch().records) {
        ASSERT_EQ(record.value, ValueOf(record.offset));
        found.insert(record.offset);
      }
    }
    for (int64_t offset = 0; offset < kRecords; ++offset) {
      bool lost = false;
      for (const auto& [first, end] : damaged_) lost = lost || (first <= offset && offset < end);
      ASSERT_EQ(found.contains(offset), !lost) << "offset " << offset;
    }
  }

  EngineOptions options_;
  std::unique_ptr<SimWorld> world_;
  std::vector<int64_t> bases_;
  std::vector<std::pair<int64_t, int64_t>> damaged_;  // offsets
  std::string damaged_log_;
};

TEST_F(RepairCrashTest, WhateverItIsCutOffAtTheNextOneEnds) {
  constexpr uint64_t kMostOperations = 1'000;
  for (const Death death : {Death::power_cut, Death::kill}) {
    bool ended = false;
    uint64_t operation = 1;
    for (; !ended && operation < kMostOperations; ++operation) {
      SCOPED_TRACE("cut off at operation " + std::to_string(operation) +
                   (death == Death::kill ? ", killed" : ", power cut"));
      MakeStore(operation);
      DamageStore();
      if (HasFatalFailure()) return;
      world_->disk.DieIn(operation, death);
      const auto first = Repair();
      ended = !world_->disk.dead();
      ASSERT_EQ(first.ok(), ended);
      world_->disk.Restart();
      world_->clock.Restart();
      const auto second = Repair();
      ASSERT_TRUE(second.ok()) << second.error().ToString();
      for (const Finding& finding : second->after.findings)
        EXPECT_EQ(finding.kind, Finding::Kind::note) << finding.ToText();
      EXPECT_TRUE(QuarantineHoldsTheDamagedLog());
      ExpectTheRest();
      if (HasFailure()) return;
    }
    EXPECT_TRUE(ended);
    EXPECT_GT(operation, 50u);  // there is something to be cut off
  }
}

}  // namespace
}  // namespace tidemark::sim
