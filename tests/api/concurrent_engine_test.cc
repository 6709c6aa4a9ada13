// The engine for many threads: what each call promises, from which thread its answer comes, and
// that whoever waits gets an answer, also when the engine fails or goes away.
#include "tidemark/concurrent_engine.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <latch>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/temporary_directory.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::chrono::milliseconds kForEver = std::chrono::hours(1);

Record Value(std::string_view value) {
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

// --- Opening and closing
// --------------------------------------------------------------------------

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

// --- Appending
// ------------------------------------------------------------------------------------

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

// --- Reading
// --------------------------------------------------------------------------------------

TEST_F(ConcurrentEngineTest, ReadsGoOnWhereTheLastOneStopped) {
  for (int i = 0; i < 25; ++i) Append(std::to_string(i));
  int64_t offset = 0;
  std::vector<std::string> all;
  while (true) {
    const auto records = Read(offset, 4);
    if (records.empty()) break;
    EXPECT_LE(records.size(), 4u);
    for (const OwnedRecord& record : records) EXPECT_EQ(record.offset, offset++);
    for (const std::string& value : Values(records)) all.push_back(value);
  }
  ASSERT_THAT(all, SizeIs(25));
  for (int i = 0; i < 25; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], std::to_string(i));
}

TEST_F(ConcurrentEngineTest, ReadsOfSegmentsAndOfTheTail) {
  const std::string large(50'000, 'x');
  for (int i = 0; i < 150; ++i) Append(large + std::to_string(i));
  ExpectOk(engine_->Close());
  Open();
  Append("tail");
  EXPECT_THAT(Read(0, 1000), SizeIs(151));
  EXPECT_THAT(Values(Read(150, 1000)), ElementsAre("tail"));
  EXPECT_EQ(Values(Read(77, 1)).at(0), large + "77");
}

TEST_F(ConcurrentEngineTest, AtTheEndThereIsNothingToRead) {
  EXPECT_THAT(Read(0, 10), IsEmpty());
  Append("x");
  EXPECT_THAT(Read(1, 10), IsEmpty());
  EXPECT_THAT(Read(0, 0), IsEmpty());
}

TEST_F(ConcurrentEngineTest, ReadTellsWhatIsWrong) {
  EXPECT_EQ(engine_->Read("none", 0, 0, 1).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Read("t", 9, 0, 1).error().code(), ErrorCode::unknown_topic);
  EXPECT_EQ(engine_->Read("t", 0, 5, 1).error().code(), ErrorCode::offset_out_of_range);
  EXPECT_EQ(engine_->Read("t", 0, -1, 1).error().code(), ErrorCode::offset_out_of_range);
}

TEST_F(ConcurrentEngineTest, AReadThatWaitsGetsTheRecordWhenItIsDurable) {
  std::vector<std::future<Result<std::vector<OwnedRecord>>>> readers;
  for (int i = 0; i < 8; ++i) {
    readers.push_back(
        std::async(std::launch::async, [this] { return engine_->Read("t", 0, 0, 10, kForEver); }));
  }
  Append("x");
  for (auto& reader : readers) EXPECT_THAT(Values(*reader.get()), ElementsAre("x"));
}

TEST_F(ConcurrentEngineTest, AReadThatHasWaitedLongEnoughReturnsNothing) {
  const auto records = engine_->Read("t", 0, 0, 10, std::chrono::milliseconds(5));
  ASSERT_TRUE(records.ok());
  EXPECT_THAT(*records, IsEmpty());
}

TEST_F(ConcurrentEngineTest, AReadThatWaitsOnADeletedTopicIsAnswered) {
  ExpectOk(engine_->EnsureTopic("gone", 1));
  auto reader =
      std::async(std::launch::async, [this] { return engine_->Read("gone", 0, 0, 1, kForEver); });
  ExpectOk(engine_->Run([](Engine& engine) { ExpectOk(engine.DeleteTopic("gone")); }));
  EXPECT_EQ(reader.get().error().code(), ErrorCode::unknown_topic);
}

TEST_F(ConcurrentEngineTest, ProvisionalRecordsAreNotShown) {
  TopicConfig config;
  ExpectOk(config.Set("flush.ms", "86400000"));
  ExpectOk(engine_->EnsureTopic("b", 1, config));
  ASSERT_TRUE(engine_->Append("b", 0, Value("x"), Durability::buffered).ok());
  EXPECT_THAT(*engine_->Read("b", 0, 0, 1), IsEmpty());
  ASSERT_TRUE(engine_->Append("b", 0, Value("y"), Durability::durable).ok());
  EXPECT_THAT(Values(*engine_->Read("b", 0, 0, 10)), ElementsAre("x", "y"));
}

TEST_F(ConcurrentEngineTest, OffsetsByTime) {
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 0), 0);  // empty: the end
  for (const int64_t timestamp : {1000, 2000, 1500, 3000}) {
    Record record = Value("x");
    record.timestamp_ms = timestamp;
    ASSERT_TRUE(engine_->Append("t", 0, record).ok());
  }
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 0), 0);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 1000), 0);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 1001), 1);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 2001), 3);
  EXPECT_EQ(*engine_->OffsetForTimestamp("t", 0, 3001), 4);
  EXPECT_EQ(engine_->OffsetForTimestamp("none", 0, 0).error().code(), ErrorCode::unknown_topic);
}

// --- Failures
// -------------------------------------------------------------------------------------

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
