// What is asked of the disk where partitions are many: no more than there must be.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "storage/open.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/fault_world.h"
#include "tidemark/engine.h"

namespace tidemark::storage {
namespace {

using io::TemporaryDirectory;
using testing::Call;
using testing::FaultWorld;

class ManyPartitionsTest : public ::testing::Test {
 protected:
  ManyPartitionsTest() {
    options_.data_dir = directory_.File("store");
    options_.journal_bytes = kMinJournalBytes;
    options_.scrub_bytes_per_second = 0;
    world_.plan = [this](Call call, const std::string& path) {
      ++calls_[call];
      if (call == Call::list) ++listed_[path];
      return 0;
    };
  }

  std::unique_ptr<Engine> Open() {
    auto engine = OpenEngine(world_.environment(), options_);
    EXPECT_TRUE(engine.ok()) << engine.error().ToString();
    return std::move(*engine);
  }

  TemporaryDirectory directory_;
  FaultWorld world_;
  EngineOptions options_;
  std::map<Call, int> calls_;
  std::map<std::string, int> listed_;
};

TEST_F(ManyPartitionsTest, OpeningListsEachFolderOnce) {
  constexpr int32_t kPartitions = 20;
  {
    const auto engine = Open();
    ASSERT_TRUE(engine->CreateTopic("t", kPartitions, {}));
    ASSERT_TRUE(engine->Close());
  }
  for (const bool clean : {true, false}) {
    listed_.clear();
    const auto engine = Open();
    EXPECT_EQ(engine->recovery().clean, clean);
    for (int32_t index = 0; index < kPartitions; ++index) {
      EXPECT_EQ(listed_[options_.data_dir + "/t-" + std::to_string(index)], 1) << index;
    }
  }
}

// Each has something that is not packed yet, and a file is open from its first write to its flush.
TEST_F(ManyPartitionsTest, ClosingKeepsFewFilesOpen) {
  constexpr int32_t kPartitions = 600;
  constexpr std::ptrdiff_t kMostFiles = 400;
  const auto engine = Open();
  ASSERT_TRUE(engine->CreateTopic("t", kPartitions, {}));
  Topic& topic = *engine->FindTopic("t");
  Record record;
  record.value = "21.5";
  for (int32_t index = 0; index < kPartitions; ++index)
    ASSERT_TRUE(topic.partition(index)->Append(record, Durability::durable));
  std::atomic<std::ptrdiff_t> most = 0;
  world_.plan = [&most](Call, const std::string&) {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    most = std::max(most.load(), std::distance(begin(files), end(files)));
    return 0;
  };
  ASSERT_TRUE(engine->Close());
  EXPECT_GT(most, 0);
  EXPECT_LT(most, kMostFiles);
}

TEST_F(ManyPartitionsTest, ATopicsFoldersAreFlushedTogether) {
  const auto engine = Open();
  for (const int32_t partitions : {8, 40}) {
    calls_.clear();
    ASSERT_TRUE(engine->CreateTopic("t" + std::to_string(partitions), partitions, {}));
    EXPECT_EQ(calls_[Call::flush_all], 1) << partitions;
    // The manifest's two copies, whatever the number of partitions.
    EXPECT_LE(calls_[Call::flush] + calls_[Call::flush_directory], 4) << partitions;
  }
  calls_.clear();
  ASSERT_TRUE(engine->AddPartitions("t8", 20));
  EXPECT_EQ(calls_[Call::flush_all], 1);
}

// FUSE does nothing for syncfs, for one.
TEST_F(ManyPartitionsTest, FoldersAreFlushedOneByOneWhereAFlushOfAllDoesNotCount) {
  world_.flush_all_counts = false;
  constexpr int32_t kPartitions = 20;
  const auto engine = Open();
  calls_.clear();
  ASSERT_TRUE(engine->CreateTopic("t", kPartitions, {}));
  EXPECT_EQ(calls_[Call::flush_all], 0);
  EXPECT_GE(calls_[Call::flush], 2 * kPartitions);
  EXPECT_GE(calls_[Call::flush_directory], kPartitions + 1);
}

// What a failed flush has left may be seen and not be on the device: it is not taken for good.
TEST_F(ManyPartitionsTest, AFailedFlushOfFoldersMakesNoPartitions) {
  const auto engine = Open();
  ASSERT_TRUE(engine->CreateTopic("t", 1, {}));
  std::map<std::string, int> written;
  bool fails = true;
  world_.plan = [&](Call call, const std::string& path) {
    if (call == Call::write && path.ends_with("partition.metadata")) ++written[path];
    return call == Call::flush_all && fails ? EIO : 0;
  };
  const Status failed = engine->AddPartitions("t", 20);
  EXPECT_EQ(failed.error().code(), ErrorCode::io_error);
  EXPECT_EQ(engine->FindTopic("t")->partition_count(), 1);
  EXPECT_TRUE(engine->health()) << "nothing of the store has changed";
  fails = false;
  ASSERT_TRUE(engine->AddPartitions("t", 20));
  EXPECT_EQ(engine->FindTopic("t")->partition_count(), 20);
  EXPECT_EQ(written[options_.data_dir + "/t-19/partition.metadata"], 2);
}

}  // namespace
}  // namespace tidemark::storage
