// Cursors, from many threads.
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/concurrent_engine_fixture.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<CursorPosition> At(int64_t offset, int32_t partition = 0) {
  CursorPosition position;
  position.topic = "t";
  position.partition = partition;
  position.offset = offset;
  return {position};
}

TEST_F(ConcurrentEngineTest, ACommittedCursorIsDurable) {
  Append("x");
  ExpectOk(engine_->CommitCursors("g", At(1)));
  engine_.reset();  // as a crash
  Open();
  const auto cursors = engine_->Cursors("g");
  ASSERT_TRUE(cursors.ok()) << cursors.error().ToString();
  ASSERT_EQ(cursors->size(), 1U);
  EXPECT_EQ(cursors->front().offset, 1);
  ExpectOk(engine_->DeleteCursors("g"));
  EXPECT_THAT(*engine_->CursorGroups(), IsEmpty());
}

TEST_F(ConcurrentEngineTest, CursorCallsTellWhatIsWrong) {
  EXPECT_EQ(engine_->CommitCursors("g", At(1)).error().code(), ErrorCode::offset_out_of_range);
  EXPECT_EQ(engine_->CommitCursors("g", At(0, 7)).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Cursors("").error().code(), ErrorCode::invalid_argument);
  ExpectOk(engine_->Close());
  EXPECT_EQ(engine_->CommitCursors("g", At(0)).error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->CursorGroups().error().code(), ErrorCode::stopped);
}

TEST_F(ConcurrentEngineTest, ManyGroupsCommitAtOnce) {
  constexpr int kThreads = 8;
  constexpr int64_t kCommits = 50;
  for (int64_t i = 0; i < kCommits; ++i) Append("x");
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this, thread] {
      const std::string group = "group " + std::to_string(thread);
      for (int64_t offset = 1; offset <= kCommits; ++offset) {
        ExpectOk(engine_->CommitCursors(group, At(offset)));
        const auto cursors = engine_->Cursors(group);
        ASSERT_TRUE(cursors.ok()) << cursors.error().ToString();
        ASSERT_EQ(cursors->size(), 1U);
        EXPECT_EQ(cursors->front().offset, offset);  // what was acknowledged is shown
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectOk(engine_->Close());
  Open();
  EXPECT_EQ(engine_->CursorGroups()->size(), static_cast<size_t>(kThreads));
  EXPECT_EQ(engine_->Cursors("group 3")->front().offset, kCommits);
}

// The call is in the queue when the engine is asked to stop: it was accepted, and is made durable.
TEST_F(ConcurrentEngineTest, ACommitBeforeAStopIsMadeDurableByIt) {
  Append("x");
  ExpectOk(engine_->CommitCursors("g", At(0)));
  ExpectOk(engine_->Run([](Engine& engine) {
    TopicConfig config = engine.FindTopic("__consumer_offsets")->config();
    config.commit_linger_ms = 3'600'000;
    ExpectOk(engine.AlterTopic("__consumer_offsets", config));
  }));
  auto committed =
      std::async(std::launch::async, [this] { return engine_->CommitCursors("g", At(1)); });
  int64_t end_offset = 0;
  while (end_offset < 2) {
    std::this_thread::yield();
    ExpectOk(engine_->Run([&end_offset](Engine& engine) {
      end_offset = engine.FindTopic("__consumer_offsets")->partition(0)->end_offset();
    }));
  }
  ExpectOk(engine_->Close());
  ExpectOk(committed.get());
  Open();
  EXPECT_EQ(engine_->Cursors("g")->front().offset, 1);
}

}  // namespace
}  // namespace tidemark
