// An engine for many threads in a folder of its own.
#pragma once

#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/io/temporary_directory.h"
#include "tidemark/concurrent_engine.h"

namespace tidemark {

inline constexpr std::chrono::milliseconds kForEver = std::chrono::hours(1);

inline Record Value(std::string_view value) {
  Record record;
  record.value = value;
  return record;
}

class ConcurrentEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.data_dir = directory_.File("store");
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
    Open();
    ExpectOk(engine_->EnsureTopic("t", 2));
  }

  void Open() {
    auto engine = ConcurrentEngine::Open(options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = *std::move(engine);
  }
  static void ExpectOk(const Status& status) {
    EXPECT_TRUE(status.ok()) << status.error().ToString();
  }
  int64_t Append(std::string_view value, int32_t partition = 0) {
    const auto offset = engine_->Append("t", partition, Value(value));
    EXPECT_TRUE(offset.ok()) << offset.error().ToString();
    return offset.ok() ? *offset : -1;
  }
  std::vector<OwnedRecord> Read(int64_t offset, size_t max_records, int32_t partition = 0) {
    auto records = engine_->Read("t", partition, offset, max_records);
    EXPECT_TRUE(records.ok()) << records.error().ToString();
    return records.ok() ? *std::move(records) : std::vector<OwnedRecord>();
  }
  static std::vector<std::string> Values(const std::vector<OwnedRecord>& records) {
    std::vector<std::string> values;
    for (const OwnedRecord& record : records) values.push_back(record.value.value_or("null"));
    return values;
  }

  // An append whose commit waits for more to come; returns once the engine has taken it.
  std::future<Result<int64_t>> AppendThatWaitsForAnHour() {
    TopicConfig config;
    ExpectOk(config.Set("commit.linger.ms", "3600000"));
    ExpectOk(engine_->EnsureTopic("slow", 1, config));
    auto appended = std::async(std::launch::async, [engine = engine_.get()] {
      return engine->Append("slow", 0, Value("x"));
    });
    int64_t end_offset = 0;
    while (end_offset == 0) {
      std::this_thread::yield();
      ExpectOk(engine_->Run([&end_offset](Engine& engine) {
        end_offset = engine.FindTopic("slow")->partition(0)->end_offset();
      }));
    }
    return appended;
  }

  // Keeps the engine's thread busy until Release(): what is sent meanwhile stays in the queue.
  void Hold() {
    holder_ = std::thread([this] {
      ExpectOk(engine_->Run([this](Engine&) {
        held_.count_down();
        release_.wait();
      }));
    });
    held_.wait();
  }
  void Release() {
    release_.count_down();
    holder_.join();
  }

  io::TemporaryDirectory directory_;
  EngineOptions options_;
  std::unique_ptr<ConcurrentEngine> engine_;
  std::latch held_{1};
  std::latch release_{1};
  std::thread holder_;
};

}  // namespace tidemark
