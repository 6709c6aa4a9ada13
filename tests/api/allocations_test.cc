// What an append and a read cost in allocations: a guard that does not depend on the machine's
// mood, as times do. What it counts is this thread's; the worker has its own.
#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/io/temporary_directory.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/sanitized.h"
#include "tidemark/engine.h"

namespace tidemark {
namespace {

class AllocationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "the sanitizers' allocators cannot be replaced";
    EngineOptions options;
    options.data_dir = directory_.File("store");
    auto engine = Engine::Open(options);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    TopicConfig config;
    config.compression = Compression::none;
    auto topic = engine_->CreateTopic("t", 1, config);
    ASSERT_TRUE(topic.ok());
    partition_ = (*topic)->partition(0);
  }

  // Appends so many, 64 in flight.
  void Append(int64_t count, Durability durability) {
    constexpr int64_t kInFlight = 64;
    const std::string value(100, 'v');
    Record record;
    record.value = value;
    const int64_t end = partition_->end_offset() + count;
    while (partition_->durable_end_offset() < end) {
      while (partition_->end_offset() < end &&
             partition_->end_offset() - partition_->durable_end_offset() < kInFlight) {
        const auto offset = partition_->Append(record, durability);
        if (offset.ok()) continue;
        ASSERT_EQ(offset.error().code(), ErrorCode::busy);
        break;
      }
      engine_->Poll(std::chrono::milliseconds(100));
      ASSERT_TRUE(engine_->health().ok());
    }
  }

  io::TemporaryDirectory directory_;
  std::unique_ptr<Engine> engine_;
  Partition* partition_ = nullptr;
};

constexpr int64_t kAppends = 20'000;

// About nine for each commit of 64 (0.14 each), with what segments and index entries need now and
// then.
TEST_F(AllocationsTest, AnAppendHasHardlyAny) {
  Append(kAppends, Durability::durable);  // what is made once
  const uint64_t before = AllocationsOfThisThread();
  Append(kAppends, Durability::durable);
  const double each =
      static_cast<double>(AllocationsOfThisThread() - before) / static_cast<double>(kAppends);
  EXPECT_LT(each, 0.25);
  RecordProperty("allocations_per_append", std::to_string(each));
}

TEST_F(AllocationsTest, AReadHasHardlyAny) {
  Append(kAppends, Durability::durable);
  auto reader = engine_->OpenReader(*partition_, 0);
  ASSERT_TRUE(reader.ok());
  const uint64_t before = AllocationsOfThisThread();
  int64_t records = 0;
  while (records < kAppends) {
    const auto state = (*reader)->Next();
    ASSERT_TRUE(state.ok()) << state.error().ToString();
    if (*state == ReadState::pending) engine_->Poll(std::chrono::milliseconds(10));
    if (*state != ReadState::batch) continue;
    for (const RecordView& record : (*reader)->batch().records) {
      ASSERT_EQ(record.offset, records);
      ++records;
    }
  }
  const double each =
      static_cast<double>(AllocationsOfThisThread() - before) / static_cast<double>(kAppends);
  EXPECT_LT(each, 0.005);
  RecordProperty("allocations_per_read", std::to_string(each));
}

}  // namespace
}  // namespace tidemark
