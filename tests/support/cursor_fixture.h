// Cursors of a store, for tests: calls that wait until the engine is ready and the commit durable.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/store_fixture.h"

namespace tidemark::testing {

class CursorFixture : public StoreFixture {
 protected:
  static constexpr const char* kInternal = "__consumer_offsets";

  static CursorPosition At(const std::string& topic, int64_t offset, int32_t partition = 0) {
    CursorPosition position;
    position.topic = topic;
    position.partition = partition;
    position.offset = offset;
    return position;
  }
  void MakeFilledTopic(const std::string& name, int64_t records, int32_t partitions = 1) {
    MakeTopic(name, {}, partitions);
    for (int32_t index = 0; index < partitions; ++index) {
      for (int64_t i = 0; i < records; ++i) Append(PartitionOf(name, index), ValueOf(i));
      PollUntilDurable(PartitionOf(name, index));
    }
  }
  // `call` again after a poll for as long as it answers busy.
  template <typename Call>
  auto WhenReady(Call call) -> decltype(call()) {
    for (;;) {
      auto result = call();
      if (result.ok() || result.error().code() != ErrorCode::busy) return result;
      engine_->Poll(std::chrono::milliseconds(100));
    }
  }
  Result<CursorTicket> BeginCommit(std::string_view group,
                                   const std::vector<CursorPosition>& positions) {
    return WhenReady([&] { return engine_->CommitCursors(group, positions); });
  }
  // Durably.
  void Commit(std::string_view group, const std::vector<CursorPosition>& positions) {
    Await(BeginCommit(group, positions));
  }
  void Delete(std::string_view group, std::optional<std::string_view> topic = std::nullopt) {
    Await(WhenReady([&] { return engine_->DeleteCursors(group, topic); }));
  }
  void Await(const Result<CursorTicket>& ticket) {
    ASSERT_TRUE(ticket.ok()) << ticket.error().ToString();
    while (!ticket->durable()) {
      ASSERT_TRUE(engine_->health().ok());
      engine_->Poll(std::chrono::milliseconds(100));
    }
  }
  std::vector<Cursor> CursorsOf(std::string_view group) {
    const auto cursors = WhenReady([&] { return engine_->Cursors(group); });
    EXPECT_TRUE(cursors.ok()) << cursors.error().ToString();
    return cursors.ok() ? *cursors : std::vector<Cursor>();
  }
  // -1: there is none.
  int64_t OffsetOf(std::string_view group, const std::string& topic, int32_t partition = 0) {
    for (const Cursor& cursor : CursorsOf(group)) {
      if (cursor.topic == topic && cursor.partition == partition) return cursor.offset;
    }
    return -1;
  }
  std::vector<std::string> Groups() {
    const auto groups = WhenReady([&] { return engine_->CursorGroups(); });
    EXPECT_TRUE(groups.ok()) << groups.error().ToString();
    return groups.ok() ? *groups : std::vector<std::string>();
  }
  void TakeNotices() {
    for (const Notice& notice : engine_->TakeNotices()) notices_.push_back(notice);
  }
  void DeleteTopicWholly(const std::string& name) {
    ASSERT_TRUE(engine_->DeleteTopic(name).ok());
    while (engine_->deletions_pending()) engine_->Poll(std::chrono::milliseconds(100));
  }
};

}  // namespace tidemark::testing
