// A store whose segments come and go, and what it takes on the disk.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "storage/segment.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {

class RetentionFixture : public StoreFixture {
 protected:
  static TopicConfig SmallSegments(int64_t segment_bytes = 64 << 10) {
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = segment_bytes;
    return config;
  }
  // Records of some segments, all of them packed: the store is closed and opened again.
  void MakeSegments(const TopicConfig& config, int64_t records) {
    Open();
    Partition& partition = MakeTopic("t", config);
    for (int64_t i = 0; i < records; ++i) Append(partition, ValueOf(i), Durability::buffered);
    CloseCleanly();
    Open();
  }
  std::vector<int64_t> Segments(const std::string& partition = "t-0") const {
    auto bases = storage::ListSegments(io::SystemFiles(), PathOf(partition));
    EXPECT_TRUE(bases.ok());
    return *bases;
  }
  uint64_t LogBytes(const std::string& partition = "t-0") const {
    uint64_t bytes = 0;
    for (const int64_t base : Segments(partition)) {
      std::error_code gone;  // removed meanwhile: takes nothing
      const auto size = std::filesystem::file_size(
          storage::SegmentPath(PathOf(partition), base, storage::SegmentFile::log), gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
  // What the store takes on the disk, in whole blocks.
  uint64_t StoreBytes() const { return BytesBelow(options_.data_dir); }
  static uint64_t BytesBelow(const std::string& folder) {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      constexpr uint64_t kBlock = 4096;
      if (entry.is_directory()) bytes += kBlock;
      std::error_code gone;  // removed meanwhile: takes nothing
      const uint64_t size = entry.is_regular_file(gone) ? entry.file_size(gone) : 0;
      if (!gone) bytes += (size + kBlock - 1) / kBlock * kBlock;
    }
    return bytes;
  }
  void PollUntil(const std::function<bool()>& done) {
    for (int turns = 0; !done(); ++turns) {
      ASSERT_LT(turns, 10'000) << "it never happens";
      engine_->Poll(std::chrono::milliseconds(10));
    }
  }
  void PollUntilRemoved(uint64_t segments) {
    PollUntil([&] { return engine_->stats().segments_removed >= segments; });
  }
};

}  // namespace tidemark::testing
