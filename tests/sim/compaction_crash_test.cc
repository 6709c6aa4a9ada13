// A compaction that is cut off: at each operation of the disk in turn, by a power cut or a kill. No
// record is lost that has no later one of its key, none comes twice, and the next opening goes on.
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "storage/open.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/sim/sim_world.h"

namespace tidemark::sim {
namespace {

class CompactionCrashTest : public ::testing::Test {
 protected:
  static constexpr int64_t kBatches = 12;
  static constexpr int64_t kRecordsPerBatch = 10;
  static constexpr int64_t kRecords = kBatches * kRecordsPerBatch;
  static constexpr int64_t kKeys = 7;

  CompactionCrashTest() {
    options_.data_dir = "compacted";
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
    options_.scrub_bytes_per_second = 0;
    options_.compaction_bytes_per_second = uint64_t{1} << 40;
  }

  static std::string KeyOf(int64_t offset) { return "key-" + std::to_string(offset % kKeys); }
  static bool IsTombstone(int64_t offset) { return offset % kKeys == 3 && offset > kRecords / 2; }
  static std::string ContentOf(int64_t offset) {
    return std::to_string(offset) + ":" + std::string(500, 'v');
  }

  std::unique_ptr<Engine> Open() {
    auto engine = storage::OpenEngine(world_->environment(), options_);
    EXPECT_TRUE(engine.ok()) << engine.error().ToString();
    return engine.ok() ? *std::move(engine) : nullptr;
  }
  static TopicConfig Config() {
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 2 * kRecordsPerBatch * 600;
    config.cleanup_policy = CleanupPolicy::compact;
    config.min_cleanable_dirty_ratio = 0;
    config.delete_retention_ms = 1'000;
    return config;
  }
  // Segments of two batches, since each clean stop ends one.
  void MakeStore(uint64_t seed) {
    world_.reset();  // there is one at a time
    world_ = std::make_unique<SimWorld>(DiskProfile(), seed);
    options_.compaction_bytes_per_second = 0;
    ASSERT_TRUE(Open()->CreateTopic("t", 1, Config()).ok());
    for (int64_t offset = 0; offset < kRecords;) {
      const auto engine = Open();
      for (int i = 0; i < kRecordsPerBatch; ++i, ++offset) {
        const std::string key = KeyOf(offset);
        const std::string value = ContentOf(offset);
        Record record;
        record.key = key;
        if (!IsTombstone(offset)) record.value = value;
        record.timestamp_ms = 1'000'000 + offset;
        ASSERT_TRUE(engine->FindTopic("t")->partition(0)->Append(record, Durability::durable).ok());
      }
      ASSERT_TRUE(engine->Close().ok());
    }
    options_.compaction_bytes_per_second = uint64_t{1} << 40;
  }
  // Until so many passes are through, or the world ends.
  void Compact(Engine& engine, uint64_t passes) {
    for (int turns = 0; engine.stats().compaction_passes < passes && !world_->disk.dead();
         ++turns) {
      ASSERT_LT(turns, 10'000) << "it never happens";
      engine.Poll(std::chrono::milliseconds(100));
    }
  }
  std::map<int64_t, bool> ReadAll(Engine& engine) {  // by offset: whether it has a value
    std::map<int64_t, bool> found;
    int64_t before = -1;
    auto reader = engine.OpenReader(*engine.FindTopic("t")->partition(0), 0);
    EXPECT_TRUE(reader.ok());
    for (;;) {
      const auto state = (*reader)->Next();
      EXPECT_TRUE(state.ok()) << state.error().ToString();
      if (!state.ok() || *state == ReadState::at_end) break;
      if (*state == ReadState::pending) {
        engine.Poll(std::chrono::milliseconds(10));
        continue;
      }
      for (const RecordView& record : (*reader)->batch().records) {
        EXPECT_GT(record.offset, before);
        before = record.offset;
        EXPECT_EQ(record.key, KeyOf(record.offset));
        EXPECT_EQ(record.timestamp_ms, 1'000'000 + record.offset);
        EXPECT_TRUE(!record.value || *record.value == ContentOf(record.offset));
        EXPECT_EQ(record.value.has_value(), !IsTombstone(record.offset));
        found[record.offset] = record.value.has_value();
      }
    }
    EXPECT_TRUE((*reader)->TakeLost().empty());
    return found;
  }
  // Missing is only what has a later record of its key; or a tombstone, and then with all that is
  // older.
  void ExpectWhatMustBeThere(const std::map<int64_t, bool>& found) {
    for (int64_t key = 0; key < kKeys; ++key) {
      std::optional<int64_t> newest_found;
      for (const auto& [offset, value] : found) {
        if (offset % kKeys == key) newest_found = offset;
      }
      int64_t newest = kRecords - 1;
      while (newest % kKeys != key) --newest;
      const bool all_gone = !newest_found && IsTombstone(newest);
      EXPECT_TRUE(all_gone || newest_found == newest) << "key " << key;
    }
  }
  void ExpectNothingIsWrong() {
    storage::VerifyOptions options;
    options.data_dir = options_.data_dir;
    const auto report = storage::VerifyStore(world_->files, options);
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    for (const storage::Finding& finding : report->findings)
      EXPECT_EQ(finding.kind, storage::Finding::Kind::note) << finding.ToText();
  }
  // True: it came to its end.
  bool CutOffAt(uint64_t operation, Death death, bool ordered_metadata) {
    MakeStore(operation);
    world_->disk.profile().ordered_metadata = ordered_metadata;
    if (HasFatalFailure()) return true;
    {
      const auto engine = Open();
      world_->disk.DieIn(operation, death);
      Compact(*engine, 2);  // one for the records, one for the tombstones
      if (HasFailure()) return true;
    }
    const bool ended = !world_->disk.dead();
    if (ended) world_->disk.DieNow(death);
    world_->disk.Restart();
    world_->clock.Restart();
    ExpectNothingIsWrong();  // as the crash has left it
    const auto engine = Open();
    if (engine == nullptr) return true;
    EXPECT_TRUE(engine->recovery().damage.empty());
    ExpectWhatMustBeThere(ReadAll(*engine));
    for (int turns = 0; turns < 200; ++turns) engine->Poll(std::chrono::milliseconds(100));
    const auto found = ReadAll(*engine);
    ExpectWhatMustBeThere(found);
    EXPECT_LT(found.size(), static_cast<size_t>(kKeys + 3 * kRecordsPerBatch));
    EXPECT_TRUE(engine->Close().ok());
    ExpectNothingIsWrong();
    return ended;
  }

  EngineOptions options_;
  std::unique_ptr<SimWorld> world_;
};

TEST_F(CompactionCrashTest, WhereverItIsCutOffNothingIsLostOrDoubled) {
  constexpr uint64_t kMostOperations = 1'000;
  for (const Death death : {Death::power_cut, Death::kill}) {
    for (const bool ordered_metadata : {false, true}) {
      bool ended = false;
      uint64_t operation = 1;
      for (; !ended && operation < kMostOperations; ++operation) {
        SCOPED_TRACE("cut off at operation " + std::to_string(operation) +
                     (death == Death::kill ? ", killed" : ", power cut"));
        ended = CutOffAt(operation, death, ordered_metadata);
        if (HasFailure()) return;
      }
      EXPECT_TRUE(ended);
      EXPECT_GT(operation, 40u);  // there is something to be cut off
    }
  }
}

}  // namespace
}  // namespace tidemark::sim
