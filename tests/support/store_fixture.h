// A store in a folder of its own, for tests: opened, crashed and opened again.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/io/temporary_directory.h"
#include "tidemark/engine.h"

namespace tidemark::testing {

struct ReadRecord {
  int64_t offset = 0;
  int64_t timestamp_ms = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  bool operator==(const ReadRecord&) const = default;
};

class StoreFixture : public ::testing::Test {
 protected:
  StoreFixture() {
    options_.data_dir = directory_.File("store");
    options_.journal_bytes = kMinJournalBytes;
    options_.memory_bytes = kMinMemoryBytes;
    // Its timer would end waits that must not need one; the scrub's own tests turn it on.
    options_.scrub_bytes_per_second = 0;
  }

  std::string PathOf(const std::string& name) const { return options_.data_dir + "/" + name; }

  void Open() {
    auto engine = Engine::Open(options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    for (const Notice& notice : engine_->TakeNotices()) notices_.push_back(notice);
  }
  // As a crash of the process would: nothing is packed, nothing is marked clean.
  void Crash() { engine_.reset(); }
  void CloseCleanly() {
    const Status closed = engine_->Close();
    ASSERT_TRUE(closed.ok()) << closed.error().ToString();
    engine_.reset();
  }
  void CrashAndOpen() {
    Crash();
    Open();
  }

  Partition& MakeTopic(const std::string& name, const TopicConfig& config = {},
                       int32_t partitions = 1) {
    auto topic = engine_->CreateTopic(name, partitions, config);
    EXPECT_TRUE(topic.ok()) << topic.error().ToString();
    return *(*topic)->partition(0);
  }
  Partition& PartitionOf(const std::string& topic, int32_t index = 0) {
    Topic* found = engine_->FindTopic(topic);
    EXPECT_NE(found, nullptr) << topic;
    return *found->partition(index);
  }

  // Appends, polling for as long as the engine is busy.
  int64_t Append(Partition& partition, const Record& record,
                 Durability durability = Durability::durable) {
    while (true) {
      auto offset = partition.Append(record, durability);
      if (offset.ok()) return *offset;
      EXPECT_EQ(offset.error().code(), ErrorCode::busy) << offset.error().ToString();
      if (offset.error().code() != ErrorCode::busy) return -1;
      engine_->Poll(std::chrono::milliseconds(100));
    }
  }
  int64_t Append(Partition& partition, const std::string& value,
                 Durability durability = Durability::durable) {
    Record record;
    record.value = value;
    record.timestamp_ms = 1'700'000'000'000;
    return Append(partition, record, durability);
  }
  void PollUntilDurable(Partition& partition) {
    while (partition.durable_end_offset() < partition.end_offset()) {
      engine_->Poll(std::chrono::milliseconds(100));
      const Status health = engine_->health();
      ASSERT_TRUE(health.ok()) << health.error().ToString();
    }
  }
  int64_t AppendDurably(Partition& partition, const std::string& value) {
    const int64_t offset = Append(partition, value);
    PollUntilDurable(partition);
    return offset;
  }

  // All there is from the reader's position to the durable end; damage goes to `lost`.
  std::vector<ReadRecord> ReadToEnd(Reader& reader, std::vector<LostRange>* lost = nullptr) {
    std::vector<ReadRecord> records;
    while (true) {
      auto state = reader.Next();
      if (!state.ok()) {
        EXPECT_NE(lost, nullptr) << state.error().ToString();
        if (lost == nullptr || state.error().code() != ErrorCode::corrupt) return records;
        continue;
      }
      if (*state == ReadState::at_end) break;
      if (*state == ReadState::pending) {
        engine_->Poll(std::chrono::milliseconds(100));
        continue;
      }
      for (const RecordView& view : reader.batch().records) records.push_back(Copy(view));
    }
    for (LostRange& range : reader.TakeLost()) {
      EXPECT_NE(lost, nullptr) << "lost " << range.first_offset << " to " << range.end_offset
                               << ": " << range.cause;
      if (lost != nullptr) lost->push_back(range);
    }
    return records;
  }
  std::vector<ReadRecord> ReadFrom(Partition& partition, int64_t offset,
                                   std::vector<LostRange>* lost = nullptr) {
    auto reader = engine_->OpenReader(partition, offset);
    EXPECT_TRUE(reader.ok()) << reader.error().ToString();
    return ReadToEnd(**reader, lost);
  }

  // From the first record at or after a time.
  std::vector<ReadRecord> ReadFromTime(Partition& partition, int64_t timestamp_ms,
                                       std::vector<LostRange>* lost = nullptr) {
    auto reader = engine_->OpenReader(partition, partition.log_start_offset());
    EXPECT_TRUE(reader.ok()) << reader.error().ToString();
    const Status sought = (*reader)->SeekToTimestamp(timestamp_ms);
    EXPECT_TRUE(sought.ok()) << sought.error().ToString();
    return ReadToEnd(**reader, lost);
  }

  static ReadRecord Copy(const RecordView& view) {
    ReadRecord record{view.offset, view.timestamp_ms, {}, {}, {}};
    if (view.key) record.key = std::string(*view.key);
    if (view.value) record.value = std::string(*view.value);
    for (const Header& header : view.headers) {
      record.headers.emplace_back(
          std::string(header.key),
          header.value ? std::optional(std::string(*header.value)) : std::nullopt);
    }
    return record;
  }

  // Values that do not compress and name their place: "17:....".
  static std::string ValueOf(int64_t number, size_t bytes = 100) {
    std::string value = std::to_string(number) + ":";
    uint64_t state = static_cast<uint64_t>(number) * 0x9e3779b97f4a7c15ULL + 1;
    while (value.size() < bytes) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      value.push_back(static_cast<char>(state));
    }
    return value;
  }
  // Records are ValueOf(offset), one after the other from `first`.
  static void ExpectInOrder(const std::vector<ReadRecord>& records, int64_t first, int64_t end) {
    ASSERT_EQ(static_cast<int64_t>(records.size()), end - first);
    for (size_t i = 0; i < records.size(); ++i) {
      const int64_t offset = first + static_cast<int64_t>(i);
      ASSERT_EQ(records[i].offset, offset);
      ASSERT_EQ(records[i].value, ValueOf(offset)) << "at offset " << offset;
    }
  }

  bool NoticesMention(const std::string& text) const {
    for (const Notice& notice : notices_) {
      if (notice.text.find(text) != std::string::npos) return true;
    }
    return false;
  }

  io::TemporaryDirectory directory_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
  std::vector<Notice> notices_;
};

}  // namespace tidemark::testing
