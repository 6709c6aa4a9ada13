// A compacted topic in a world with a clock and calls that fail on demand, and what must be true of
// it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/open.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {

inline constexpr int64_t kRecordTimeMs = 1'700'000'000'000;

class CompactionFixture : public StoreFixture {
 protected:
  CompactionFixture() {
    options_.compaction_bytes_per_second = uint64_t{1} << 40;
    options_.memory_bytes = uint64_t{16} << 20;
  }
  ~CompactionFixture() override { engine_.reset(); }  // before its world
  static TopicConfig Compacted() {
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 64 << 10;
    config.cleanup_policy = CleanupPolicy::compact;
    config.min_cleanable_dirty_ratio = 0;
    return config;
  }
  void OpenInWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    Gather();
  }
  void Gather() {
    for (const Notice& notice : engine_->TakeNotices()) notices_.push_back(notice);
  }
  // What a reader must see: the last record of each key, and what may be there besides.
  int64_t Put(Partition& partition, const std::string& key, std::optional<std::string> value) {
    Record record;
    record.key = key;
    if (value) record.value = *value;
    record.timestamp_ms = kRecordTimeMs + appended_;
    const int64_t offset = Append(partition, record, Durability::buffered);
    EXPECT_EQ(offset, appended_);
    ++appended_;
    last_[key] = {offset, record.timestamp_ms, key, value, {}};
    return offset;
  }
  void PutMany(Partition& partition, int64_t records, int64_t keys, size_t bytes = 100) {
    for (int64_t i = 0; i < records; ++i)
      Put(partition, "key-" + std::to_string(appended_ % keys), ValueOf(appended_, bytes));
  }
  // Every record is packed and in a finished segment, and a checkpoint knows that: all but those of
  // the last segment, which takes on.
  void Settle() {
    CloseCleanly();
    OpenInWorld();
  }
  void Poll() {
    engine_->Poll(std::chrono::milliseconds(0));
    clock_.now_us += 10'000;
    Gather();
  }
  void PollSeconds(int64_t seconds) {
    const int64_t until_us = clock_.now_us + seconds * 1'000'000;
    while (clock_.now_us < until_us) Poll();
  }
  void PollUntilPasses(uint64_t passes) {
    for (int turns = 0; engine_->stats().compaction_passes < passes; ++turns) {
      ASSERT_LT(turns, 50'000) << "it never happens";
      Poll();
    }
  }
  std::vector<int64_t> Segments() const {
    auto bases = storage::ListSegments(io::SystemFiles(), PathOf("t-0"));
    EXPECT_TRUE(bases.ok());
    return *bases;
  }
  uint64_t LogBytes() const {
    uint64_t bytes = 0;
    for (const int64_t base : Segments())
      bytes += std::filesystem::file_size(
          storage::SegmentPath(PathOf("t-0"), base, storage::SegmentFile::log));
    return bytes;
  }
  std::vector<ReadRecord> ReadWhole() {
    Partition& partition = PartitionOf("t");
    return ReadFrom(partition, partition.log_start_offset());
  }
  // In order, each at its offset, as it was appended; of each key the last one at least.
  void ExpectCompacted(const std::vector<ReadRecord>& records) {
    std::map<std::string, ReadRecord> seen;
    int64_t before = -1;
    for (const ReadRecord& record : records) {
      ASSERT_GT(record.offset, before);
      before = record.offset;
      ASSERT_EQ(record.timestamp_ms, kRecordTimeMs + record.offset);
      seen[record.key.value_or("")] = record;
    }
    for (const auto& [key, record] : last_) {
      ASSERT_TRUE(seen.contains(key)) << key;
      ASSERT_EQ(seen[key], record);
    }
  }
  void ExpectNothingIsWrong() {
    storage::VerifyOptions options;
    options.data_dir = options_.data_dir;
    options.deep = true;
    const auto report = storage::VerifyStore(io::SystemFiles(), options);
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    for (const storage::Finding& finding : report->findings) ADD_FAILURE() << finding.ToText();
  }

  FaultWorld world_;
  ManualClock clock_;
  int64_t appended_ = 0;
  std::map<std::string, ReadRecord> last_;
};

}  // namespace tidemark::testing
