// What is asked of the disk where partitions are many: no more than there must be.
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

}  // namespace
}  // namespace tidemark::storage
