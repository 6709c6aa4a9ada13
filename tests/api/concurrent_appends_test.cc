// Appends to the engine for many threads: what each call promises, and from which thread its answer
// comes.
#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/concurrent_engine_fixture.h"

namespace tidemark {
namespace {

using ::testing::SizeIs;

TEST_F(ConcurrentEngineTest, EnsureTopicTakesWhatIsThere) {
  Append("one");
  ExpectOk(engine_->EnsureTopic("t", 2));
  EXPECT_THAT(Read(0, 10), SizeIs(1));
  EXPECT_EQ(engine_->EnsureTopic("no/name", 1).error().code(), ErrorCode::invalid_argument);
}

TEST_F(ConcurrentEngineTest, AppendTellsWhatIsWrong) {
  EXPECT_EQ(engine_->Append("none", 0, Value("x")).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Append("t", 2, Value("x")).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Append("t", -1, Value("x")).error().code(), ErrorCode::unknown_topic);
  TopicConfig small;
  ExpectOk(small.Set("max.message.bytes", "1024"));
  ExpectOk(engine_->EnsureTopic("small", 1, small));
  EXPECT_EQ(engine_->Append("small", 0, Value(std::string(2000, 'x'))).error().code(),
            ErrorCode::record_too_large);
}

TEST_F(ConcurrentEngineTest, EverythingOfARecordComesBack) {
  const std::vector<Header> headers{{"a", "1"}, {"b", std::nullopt}, {"a", ""}};
  Record record;
  record.key = std::string_view("\0k", 2);
  record.timestamp_ms = 1234567;
  record.headers = headers;
  ASSERT_TRUE(engine_->Append("t", 0, record).ok());
  std::promise<void> done;
  ExpectOk(engine_->AppendAsync("t", 0, record, Durability::durable,
                                [&done](const Result<int64_t>& offset) {
                                  EXPECT_EQ(*offset, 1);
                                  done.set_value();
                                }));
  done.get_future().wait();
  const auto read = Read(0, 10);
  ASSERT_THAT(read, SizeIs(2));
  for (const OwnedRecord& back : read) {
    EXPECT_EQ(back.key, std::string("\0k", 2));
    EXPECT_EQ(back.value, std::nullopt);
    EXPECT_EQ(back.timestamp_ms, 1234567);
    ASSERT_THAT(back.headers, SizeIs(3));
    EXPECT_EQ(back.headers[0], (std::pair<std::string, std::optional<std::string>>("a", "1")));
    EXPECT_EQ(back.headers[1].second, std::nullopt);
    EXPECT_EQ(back.headers[2].second, "");
  }
}

TEST_F(ConcurrentEngineTest, ManyThreadsKeepEachTheirOrder) {
  constexpr int kThreads = 16;
  constexpr int kRecords = 60;
  std::mutex mutex;
  std::map<int64_t, std::string> expected[2];
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      int64_t last = -1;
      for (int i = 0; i < kRecords; ++i) {
        const std::string value = std::to_string(thread) + ":" + std::to_string(i);
        const Durability durability = i % 5 == 4 ? Durability::buffered : Durability::durable;
        const auto offset = engine_->Append("t", thread % 2, Value(value), durability);
        ASSERT_TRUE(offset.ok()) << offset.error().ToString();
        EXPECT_GT(*offset, last);
        last = *offset;
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(expected[thread % 2].emplace(*offset, value).second);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectOk(engine_->Close());
  Open();
  for (int32_t partition = 0; partition < 2; ++partition) {
    std::map<int64_t, std::string> read;
    for (const OwnedRecord& record : Read(0, 100000, partition)) {
      read.emplace(record.offset, *record.value);
    }
    EXPECT_EQ(read, expected[partition]);
  }
}

TEST_F(ConcurrentEngineTest, AppendsThatWaitTogetherShareCommits) {
  Hold();
  std::atomic<int> left{200};
  std::promise<void> all;
  for (int i = 0; i < 200; ++i) {
    ExpectOk(engine_->AppendAsync("t", i % 2, Value("x"), Durability::durable,
                                  [&](const Result<int64_t>&) {
                                    if (--left == 0) all.set_value();
                                  }));
  }
  Release();
  all.get_future().wait();
  uint64_t commits = 0;
  ExpectOk(engine_->Run([&commits](Engine& engine) { commits = engine.stats().commits; }));
  EXPECT_LT(commits, 20u);
}

TEST_F(ConcurrentEngineTest, CallbacksComeInOrderFromTheEnginesThread) {
  std::thread::id engine_thread;
  ExpectOk(engine_->Run([&](Engine&) { engine_thread = std::this_thread::get_id(); }));
  EXPECT_NE(engine_thread, std::this_thread::get_id());
  std::vector<int64_t> offsets;
  std::promise<void> all;
  for (int i = 0; i < 100; ++i) {
    const auto done = [&](const Result<int64_t>& offset) {
      EXPECT_EQ(std::this_thread::get_id(), engine_thread);
      offsets.push_back(*offset);
      if (offsets.size() == 100) all.set_value();
    };
    ExpectOk(engine_->AppendAsync("t", 0, Value("x"), Durability::durable, done));
  }
  all.get_future().wait();
  for (size_t i = 0; i < offsets.size(); ++i) EXPECT_EQ(offsets[i], static_cast<int64_t>(i));
}

TEST_F(ConcurrentEngineTest, ACallbackMayAppendButNotWait) {
  std::promise<int64_t> second;
  const auto done = [&](const Result<int64_t>&) {
    EXPECT_EQ(engine_->Append("t", 0, Value("x")).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(engine_->Close().error().code(), ErrorCode::invalid_argument);
    ExpectOk(engine_->AppendAsync(
        "t", 0, Value("two"), Durability::durable,
        [&second](const Result<int64_t>& offset) { second.set_value(*offset); }));
  };
  ExpectOk(engine_->AppendAsync("t", 0, Value("one"), Durability::durable, done));
  EXPECT_EQ(second.get_future().get(), 1);
}

TEST_F(ConcurrentEngineTest, TooMuchInTheQueueIsBusyAtOnceAndTheRestIsStillAnswered) {
  Hold();
  const std::string large(100'000, 'x');
  size_t accepted = 0;
  std::atomic<size_t> answered{0};
  const auto done = [&answered](const Result<int64_t>& offset) {
    EXPECT_TRUE(offset.ok()) << offset.error().ToString();
    ++answered;
  };
  for (;;) {
    const Status status = engine_->AppendAsync("t", 0, Value(large), Durability::durable, done);
    if (!status.ok()) {
      EXPECT_EQ(status.error().code(), ErrorCode::busy);
      break;
    }
    ++accepted;
    ASSERT_LE(accepted * large.size(), options_.memory_bytes);
  }
  EXPECT_GT(accepted, 1u);
  Release();
  Append("and a waiting call gets through");
  EXPECT_EQ(answered, accepted);  // it stood behind them
  std::promise<void> again;
  ExpectOk(engine_->AppendAsync("t", 0, Value(large), Durability::durable,
                                [&again](const Result<int64_t>&) { again.set_value(); }));
  again.get_future().wait();
}

TEST_F(ConcurrentEngineTest, AppendWaitsWhileTheEngineIsBusy) {
  // Far more than journal and memory can hold at a time.
  constexpr int kThreads = 8;
  constexpr int kRecords = 40;
  const std::string large(200'000, 'x');
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRecords; ++i) {
        const auto offset = engine_->Append("t", 0, Value(large), Durability::buffered);
        ASSERT_TRUE(offset.ok()) << offset.error().ToString();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Append("last"), kThreads * kRecords);
  EXPECT_EQ(Values(Read(int64_t{kThreads} * kRecords, 1)).at(0), "last");
}

TEST_F(ConcurrentEngineTest, AppendsToADeletedTopicAreAnswered) {
  TopicConfig config;
  ExpectOk(config.Set("commit.linger.ms", "3600000"));
  ExpectOk(engine_->EnsureTopic("slow", 1, config));
  std::promise<Result<int64_t>> answer;
  ExpectOk(
      engine_->AppendAsync("slow", 0, Value("x"), Durability::durable,
                           [&answer](const Result<int64_t>& offset) { answer.set_value(offset); }));
  ExpectOk(engine_->Run([](Engine& engine) { ExpectOk(engine.DeleteTopic("slow")); }));
  const auto result = answer.get_future().get();
  // Unless deleting the topic was what committed it.
  if (!result.ok()) {
    EXPECT_EQ(result.error().code(), ErrorCode::unknown_topic);
  }
}

}  // namespace
}  // namespace tidemark
