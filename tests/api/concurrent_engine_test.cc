// The engine for many threads: opening, closing and failing. Whoever waits gets an answer, also
// when the engine fails or goes away.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/concurrent_engine_fixture.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST_F(ConcurrentEngineTest, RecordsSurviveACleanStop) {
  EXPECT_EQ(Append("one"), 0);
  EXPECT_EQ(Append("two"), 1);
  ExpectOk(engine_->Close());
  Open();
  EXPECT_THAT(Values(Read(0, 10)), ElementsAre("one", "two"));
  ExpectOk(engine_->Run([](Engine& engine) { EXPECT_TRUE(engine.recovery().clean); }));
}

TEST_F(ConcurrentEngineTest, AcknowledgedRecordsSurviveACrash) {
  Append("one");
  engine_.reset();
  Open();
  EXPECT_THAT(Values(Read(0, 10)), ElementsAre("one"));
  ExpectOk(engine_->Run([](Engine& engine) { EXPECT_FALSE(engine.recovery().clean); }));
}

TEST_F(ConcurrentEngineTest, OpenTellsWhyItFailed) {
  const auto second = ConcurrentEngine::Open(options_);  // the first has the folder
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), ErrorCode::locked);
}

TEST_F(ConcurrentEngineTest, TheFolderIsFreeOnceCloseHasReturned) {
  ExpectOk(engine_->Close());
  auto second = ConcurrentEngine::Open(options_);
  EXPECT_TRUE(second.ok());
}

TEST_F(ConcurrentEngineTest, AfterCloseEveryCallIsStopped) {
  ExpectOk(engine_->Close());
  EXPECT_EQ(engine_->Close().error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->Append("t", 0, Value("x")).error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->AppendAsync("t", 0, Value("x"), Durability::durable, nullptr).error().code(),
            ErrorCode::stopped);
  EXPECT_EQ(engine_->Read("t", 0, 0, 1).error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->OffsetForTimestamp("t", 0, 0).error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->EnsureTopic("u", 1).error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->Run([](Engine&) {}).error().code(), ErrorCode::stopped);
}

TEST_F(ConcurrentEngineTest, CloseMakesDurableWhatWasAcceptedBefore) {
  std::vector<int64_t> offsets;
  Hold();
  for (int i = 0; i < 100; ++i) {
    ExpectOk(engine_->AppendAsync("t", 0, Value("x"), Durability::durable,
                                  [&offsets](const Result<int64_t>& offset) {
                                    ASSERT_TRUE(offset.ok()) << offset.error().ToString();
                                    offsets.push_back(*offset);
                                  }));
  }
  std::thread closer([this] { ExpectOk(engine_->Close()); });
  Release();
  closer.join();
  EXPECT_THAT(offsets, SizeIs(100));
  Open();
  EXPECT_THAT(Read(0, 1000), SizeIs(100));
}

TEST_F(ConcurrentEngineTest, CloseDoesNotWaitForLingeringCommits) {
  auto appended = AppendThatWaitsForAnHour();
  ExpectOk(engine_->Close());
  EXPECT_EQ(*appended.get(), 0);
}

TEST_F(ConcurrentEngineTest, WhoWaitsWhenTheEngineIsDestroyedGetsStopped) {
  auto appended = AppendThatWaitsForAnHour();
  engine_.reset();
  EXPECT_EQ(appended.get().error().code(), ErrorCode::stopped);
}

TEST_F(ConcurrentEngineTest, WhoReadsWhenTheEngineIsClosedGetsStopped) {
  std::vector<std::future<Result<std::vector<OwnedRecord>>>> readers;
  for (int i = 0; i < 8; ++i) {
    readers.push_back(
        std::async(std::launch::async, [this] { return engine_->Read("t", 1, 0, 1, kForEver); }));
  }
  ExpectOk(engine_->Close());  // before, while or after they begin
  for (auto& reader : readers) EXPECT_EQ(reader.get().error().code(), ErrorCode::stopped);
}

TEST_F(ConcurrentEngineTest, DestroyingTheEngineAnswersWhatIsQueued) {
  std::atomic<int> answered{0};
  Hold();
  for (int i = 0; i < 50; ++i) {
    ExpectOk(engine_->AppendAsync("t", 0, Value("x"), Durability::durable,
                                  [&answered](const Result<int64_t>&) { ++answered; }));
  }
  Release();
  engine_.reset();
  EXPECT_EQ(answered, 50);
}

// From here on the kernel refuses every write of this process, until it goes out of scope.
class NoWrites {
 public:
  NoWrites() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoWrites() { setrlimit(RLIMIT_FSIZE, &before_); }
  NoWrites(const NoWrites&) = delete;
  NoWrites& operator=(const NoWrites&) = delete;

 private:
  rlimit before_{};
};

TEST_F(ConcurrentEngineTest, AFailedCommitStopsAllWhoWaitAndThoseAfterThem) {
  Append("before");
  {
    const NoWrites no_writes;
    std::vector<std::future<Result<int64_t>>> appends;
    for (int i = 0; i < 8; ++i) {
      appends.push_back(std::async(std::launch::async,
                                   [this] { return engine_->Append("t", 0, Value("lost")); }));
    }
    for (auto& append : appends) {
      const auto result = append.get();
      ASSERT_FALSE(result.ok());
      EXPECT_EQ(result.error().code(), ErrorCode::stopped) << result.error().ToString();
    }
  }
  EXPECT_EQ(engine_->Append("t", 1, Value("x")).error().code(), ErrorCode::stopped);
  EXPECT_THAT(Values(Read(0, 10)), ElementsAre("before"));  // what is durable is still served
  engine_.reset();
  Open();
  EXPECT_EQ(Values(Read(0, 10)).at(0), "before");
}

}  // namespace
}  // namespace tidemark
