// Files that are removed while readers have them open: their room counts until they are let go.
#include <filesystem>
#include <map>

#include "tests/support/retention_fixture.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using HeldFilesTest = RetentionFixture;

// What this process has open of a folder's files, by the name that the kernel has for them.
std::map<std::string, uint64_t> OpenFiles(const std::string& folder) {
  std::map<std::string, uint64_t> files;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string path = fs::read_symlink(entry.path(), gone).string();
    if (!gone && path.starts_with(folder)) files[path] = fs::file_size(entry.path(), gone);
  }
  return files;
}
uint64_t RemovedButOpenBytes(const std::string& folder) {
  uint64_t bytes = 0;
  for (const auto& [path, size] : OpenFiles(folder)) {
    if (path.ends_with(" (deleted)")) bytes += size;
  }
  return bytes;
}

// What they have opened of the active segment, which has grown since.
TEST_F(HeldFilesTest, WhatReadersHaveOpenOfAGrowingSegmentCountsInTheBudget) {
  options_.store_bytes = uint64_t{64} << 20;
  options_.memory_bytes = uint64_t{8} << 20;
  TopicConfig config = SmallSegments(2 << 20);
  config.when_full = WhenFull::drop_oldest;
  Open();
  Partition& partition = MakeTopic("t", config);
  const std::string folder = fs::canonical(PathOf("t-0")).string();
  std::map<int64_t, std::unique_ptr<Reader>> readers;  // by the base of a segment
  uint64_t most_held_bytes = 0;
  for (int64_t next = 0; readers.size() < 8 || most_held_bytes <= options_.store_bytes / 8;
       ++next) {
    ASSERT_LT(next, 50'000) << readers.size() << " readers hold " << most_held_bytes << " bytes";
    Append(partition, ValueOf(next, 10'000), Durability::buffered);
    if (next % 20 != 0) continue;
    engine_->Poll(std::chrono::milliseconds(1));
    const std::vector<int64_t> bases = Segments();
    if (readers.size() < 8 && !bases.empty() && !readers.contains(bases.back())) {
      const size_t before = OpenFiles(folder).size();
      auto reader = engine_->OpenReader(partition, bases.back());
      ASSERT_TRUE(reader.ok()) << reader.error().ToString();
      PollUntil([&] { return *(*reader)->Next() != ReadState::pending; });
      // Otherwise it has found its record in memory.
      if (OpenFiles(folder).size() > before) readers[bases.back()] = std::move(*reader);
    }
    const uint64_t held_bytes = RemovedButOpenBytes(folder);
    most_held_bytes = std::max(most_held_bytes, held_bytes);
    ASSERT_LE(StoreBytes() + held_bytes, options_.store_bytes) << "record " << next;
  }
}

// What was opened for a reader that has not come back to it.
TEST_F(HeldFilesTest, WhatWasOpenedForAReaderThatHasNotTakenItCountsInTheBudget) {
  options_.store_bytes = uint64_t{32} << 20;
  TopicConfig config = SmallSegments(1 << 20);
  config.when_full = WhenFull::drop_oldest;
  Open();
  Partition& partition = MakeTopic("t", config);
  int64_t next = 0;
  const auto append = [&] { Append(partition, ValueOf(next++, 10'000), Durability::buffered); };
  while (Segments().size() < 10) append();
  const std::string folder = fs::canonical(PathOf("t-0")).string();
  std::vector<std::unique_ptr<Reader>> readers;
  const std::vector<int64_t> bases = Segments();
  for (size_t i = 0; i < 8; ++i) {
    auto reader = engine_->OpenReader(partition, bases[i]);
    ASSERT_TRUE(reader.ok()) << reader.error().ToString();
    ASSERT_EQ(*(*reader)->Next(), ReadState::pending);
    readers.push_back(std::move(*reader));
  }
  uint64_t most_held_bytes = 0;
  while (partition.log_start_offset() <= bases[8]) {
    for (int i = 0; i < 20; ++i) append();
    const uint64_t held_bytes = RemovedButOpenBytes(folder);
    most_held_bytes = std::max(most_held_bytes, held_bytes);
    ASSERT_LE(StoreBytes() + held_bytes, options_.store_bytes) << "record " << next;
  }
  EXPECT_GT(most_held_bytes, options_.store_bytes / 8);  // twice what is kept free
}

// But for what readers have open of it, for as long as they do.
TEST_F(HeldFilesTest, TheRoomOfADeletedTopicIsThereForOthers) {
  options_.store_bytes = uint64_t{32} << 20;
  Open();
  Partition& deleted = MakeTopic("deleted", SmallSegments(1 << 20));
  Partition& other = MakeTopic("other", SmallSegments(1 << 20));
  const std::string value = ValueOf(0, 10'000);
  Record record;
  record.value = value;
  // Until nothing more has gone in for a second, or for a minute if less went in than there
  // is room for: what stands in the way is packed first, which a busy machine does slowly.
  const auto fill = [&](Partition& partition, int64_t room_records) {
    using std::chrono::steady_clock;
    int64_t records = 0;
    const auto patience = [&] { return std::chrono::seconds(records > room_records ? 1 : 60); };
    for (auto last = steady_clock::now(); steady_clock::now() - last < patience();) {
      while (partition.Append(record, Durability::buffered).ok()) {
        ++records;
        last = steady_clock::now();
      }
      engine_->Poll(std::chrono::milliseconds(5));
    }
    EXPECT_GT(records, room_records);
    return records;
  };
  const int64_t records = fill(deleted, 1'500);
  const std::string folder = fs::canonical(PathOf("deleted-0")).string();
  std::vector<std::unique_ptr<Reader>> readers;
  const std::vector<int64_t> bases = Segments("deleted-0");
  for (size_t i = 0; i < 8; ++i) {
    auto reader = engine_->OpenReader(deleted, bases[i]);
    ASSERT_TRUE(reader.ok()) << reader.error().ToString();
    PollUntil([&] { return *(*reader)->Next() == ReadState::batch; });
    readers.push_back(std::move(*reader));
  }
  ASSERT_TRUE(engine_->DeleteTopic("deleted").ok());
  PollUntil([&] { return !engine_->deletions_pending(); });
  fill(other, records / 2);
  EXPECT_LE(StoreBytes() + RemovedButOpenBytes(folder), options_.store_bytes);
  readers.clear();
  fill(other, records / 10);
  EXPECT_LE(StoreBytes(), options_.store_bytes);
}

}  // namespace
}  // namespace tidemark::testing
