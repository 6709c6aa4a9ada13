#include "tools/request_queue.h"

#include <string>
#include <utility>
#include <vector>

#include "tests/support/store_fixture.h"
#include "tests/tools/record_bytes.h"
#include "tidemark/engine.h"

namespace tidemark::tools {
namespace {

using std::chrono::milliseconds;

class RequestQueueTest : public testing::StoreFixture {
 protected:
  void SetUp() override {
    Open();
    queue_.emplace(*engine_);
    EXPECT_TRUE(Ask({{"request", "hello"}, {"version", kProtocolVersion}})["ok"]);
  }
  void TearDown() override { queue_.reset(); }

  void Push(Json head, std::string body = {}) { queue_->Push({std::move(head), std::move(body)}); }
  void Turn() {
    queue_->Stir(engine_->Poll(milliseconds(10)));
    queue_->Advance();
  }
  Message Next() {
    for (;;) {
      queue_->Advance();
      if (auto response = queue_->PopResponse()) return std::move(*response);
      Turn();
    }
  }
  Json Ask(Json head, std::string body = {}) {
    Push(std::move(head), std::move(body));
    return Next().head;
  }
  void MakeTopic(const std::string& name, int partitions = 1) {
    EXPECT_TRUE(
        Ask({{"request", "create_topic"}, {"topic", name}, {"partitions", partitions}})["ok"]);
  }
  Json Produce(const std::string& topic, const std::vector<TestRecord>& records,
               int64_t timestamp_ms = 1000) {
    return Ask({{"request", "produce"}, {"topic", topic}}, MakeBatch(records, timestamp_ms));
  }
  static Json FetchFrom(const std::string& topic, int64_t offset) {
    return {{"request", "fetch"},
            {"topic", topic},
            {"partitions", Json::array({{{"partition", 0}, {"offset", offset}}})}};
  }
  static std::string ErrorOf(const Json& response) {
    return response.value("error", std::string("none"));
  }
  // offset=value of all records in a part's batches
  static std::vector<std::string> Records(const Json& part, std::string_view batches) {
    std::vector<std::string> records;
    record::Compressor compressor;
    std::vector<std::byte> buffer;
    while (!batches.empty()) {
      const auto batch =
          record::OpenBatch(base::AsBytes(batches), size_t{1} << 20, &compressor, &buffer);
      EXPECT_TRUE(batch.ok());
      batches.remove_prefix(batch->header.total_bytes());
      auto encoded = batch->encoded();
      encoded.first_offset = part["offset"];
      encoded.end_offset = part["next_offset"];
      for (const RecordView& record : RecordRange(encoded)) {
        records.push_back(std::to_string(record.offset) + "=" + std::string(*record.value));
      }
    }
    return records;
  }

  std::optional<RequestQueue> queue_;
};

TEST_F(RequestQueueTest, TopicsAreCreatedDescribedAlteredAndDeleted) {
  EXPECT_TRUE(Ask({{"request", "create_topic"},
                   {"topic", "a"},
                   {"partitions", 3},
                   {"config", {{"segment.bytes", "1048576"}}}})["ok"]);
  EXPECT_EQ(ErrorOf(Ask({{"request", "create_topic"}, {"topic", "a"}})), "topic_exists");
  EXPECT_TRUE(
      Ask({{"request", "alter_topic"}, {"topic", "a"}, {"config", {{"flush.ms", "7"}}}})["ok"]);
  const Json described = Ask({{"request", "describe_topic"}, {"topic", "a"}});
  EXPECT_EQ(described["config"]["segment.bytes"], "1048576");
  EXPECT_EQ(described["config"]["flush.ms"], "7");
  EXPECT_EQ(described["partitions"].size(), 3U);
  const Json topics = Ask({{"request", "list_topics"}})["topics"];
  ASSERT_EQ(topics.size(), 1U);
  EXPECT_EQ(topics[0]["topic"], "a");
  EXPECT_TRUE(Ask({{"request", "delete_topic"}, {"topic", "a"}})["ok"]);
  EXPECT_EQ(ErrorOf(Ask({{"request", "describe_topic"}, {"topic", "a"}})), "unknown_topic");
}

TEST_F(RequestQueueTest, BadRequestsAreRefused) {
  MakeTopic("a");
  const Json partition = {{"partition", 0}, {"offset", 0}};
  for (const Json& head : std::vector<Json>{
           {{"request", 5}},
           {{"no", "request"}},
           {{"request", "fly"}},
           {{"request", "list_topics"}, {"all", true}},
           {{"request", "create_topic"}, {"topic", "../x"}},
           {{"request", "create_topic"}, {"topic", "b"}, {"partitions", 0}},
           {{"request", "create_topic"}, {"topic", "b"}, {"partitions", -1}},
           {{"request", "create_topic"}, {"topic", "b"}, {"partitions", "4"}},
           {{"request", "create_topic"}, {"topic", "b"}, {"config", "x"}},
           {{"request", "create_topic"}, {"topic", "b"}, {"config", {{"segment.bytes", 5}}}},
           {{"request", "create_topic"}, {"topic", "b"}, {"config", {{"nonsense", "5"}}}},
           {{"request", "delete_topic"}, {"topic", "b"}},
           {{"request", "produce"}, {"topic", "a"}},
           {{"request", "produce"}, {"topic", "a"}, {"partition", 1}},
           {{"request", "produce"}, {"topic", "a"}, {"durability", "maybe"}},
           {{"request", "fetch"}, {"topic", "a"}},
           {{"request", "fetch"}, {"topic", "a"}, {"partitions", Json::array()}},
           {{"request", "fetch"}, {"topic", "a"}, {"partitions", Json::array({7})}},
           {{"request", "fetch"}, {"topic", "b"}, {"partitions", Json::array({partition})}},
           {{"request", "fetch"},
            {"topic", "a"},
            {"partitions", Json::array({partition, partition})}},
           {{"request", "fetch"},
            {"topic", "a"},
            {"partitions", Json::array({{{"partition", 0}}})}},
           {{"request", "fetch"}, {"topic", "a"}, {"partitions", Json::array({{{"offset", 0}}})}},
       }) {
    EXPECT_NE(ErrorOf(Ask(head)), "none") << head;
  }
  EXPECT_FALSE(queue_->must_close());
}

TEST_F(RequestQueueTest, WithoutHelloNothingIsAnswered) {
  RequestQueue stranger(*engine_);
  stranger.Push({{{"request", "list_topics"}}, {}});
  stranger.Push({{{"request", "list_topics"}}, {}});
  stranger.Advance();
  EXPECT_EQ(ErrorOf(stranger.PopResponse()->head), "invalid_argument");
  EXPECT_TRUE(stranger.must_close());
  EXPECT_FALSE(stranger.PopResponse());

  RequestQueue newer(*engine_);
  newer.Push({{{"request", "hello"}, {"version", 2}}, {}});
  newer.Advance();
  EXPECT_EQ(ErrorOf(newer.PopResponse()->head), "unsupported");
  EXPECT_TRUE(newer.must_close());
}

TEST_F(RequestQueueTest, ProduceIsAnsweredWhenDurable) {
  MakeTopic("a");
  const Json answer = Produce("a", {{"k", "1"}, {std::nullopt, std::nullopt}, {"k", "3"}});
  ASSERT_TRUE(answer["ok"]);
  EXPECT_EQ(
      answer["partitions"],
      Json::array({{{"partition", 0}, {"first_offset", 0}, {"last_offset", 2}, {"records", 3}}}));
  EXPECT_EQ(engine_->FindTopic("a")->partition(0)->durable_end_offset(), 3);
}

TEST_F(RequestQueueTest, KeysDecideThePartitionUnlessOneIsNamed) {
  MakeTopic("a", 4);
  std::vector<TestRecord> records;
  for (int i = 0; i < 100; ++i) records.push_back({"key-" + std::to_string(i), "v"});
  const Json spread = Produce("a", records);
  EXPECT_EQ(spread["partitions"].size(), 4U);
  const Json keyless = Produce("a", {{std::nullopt, "v"}});
  EXPECT_EQ(keyless["partitions"][0]["partition"], 0);
  const Json named =
      Ask({{"request", "produce"}, {"topic", "a"}, {"partition", 2}}, MakeBatch(records));
  ASSERT_EQ(named["partitions"].size(), 1U);
  EXPECT_EQ(named["partitions"][0]["records"], 100);
}

TEST_F(RequestQueueTest, OfABadBatchNothingIsAppended) {
  MakeTopic("a");
  const std::string good = MakeBatch({{"k", "v"}});
  std::string flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  const int16_t control = record::kControlBit | record::kTransactionalBit;
  for (const std::string& body :
       {flipped, good.substr(0, good.size() - 1), good + good, good + "x", std::string("garbage"),
        std::string(100, '\0'), MakeBatch({{"k", "v"}}, 0, control)}) {
    EXPECT_NE(ErrorOf(Ask({{"request", "produce"}, {"topic", "a"}}, body)), "none");
  }
  EXPECT_EQ(engine_->FindTopic("a")->partition(0)->end_offset(), 0);
}

TEST_F(RequestQueueTest, ManyProducesAreUnderWayAtOnceAndAnsweredInOrder) {
  MakeTopic("a");
  for (int i = 0; i < 50; ++i) {
    Push({{"request", "produce"}, {"topic", "a"}}, MakeBatch({{"k", std::to_string(i)}}));
  }
  queue_->Advance();
  EXPECT_EQ(engine_->FindTopic("a")->partition(0)->end_offset(), 50);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Next().head["partitions"][0]["first_offset"], i);
}

TEST_F(RequestQueueTest, FullMeansNoMoreRequestsForNow) {
  MakeTopic("a");
  for (size_t i = 0; i < RequestQueue::kMaxRequests; ++i) {
    EXPECT_FALSE(queue_->full());
    Push({{"request", "list_topics"}});
  }
  EXPECT_TRUE(queue_->full());
  (void)Next();
  EXPECT_FALSE(queue_->full());
}

// More than memory_bytes: the engine says busy in between, and the request waits for room.
TEST_F(RequestQueueTest, WhileTheEngineIsBusyProduceWaits) {
  MakeTopic("a");
  constexpr int kRequests = 60;
  const std::string value(200'000, 'v');
  int answered = 0;
  for (int i = 0; i < kRequests; ++i) {
    while (queue_->full()) {
      EXPECT_TRUE(Next().head["ok"]);
      ++answered;
    }
    Push({{"request", "produce"}, {"topic", "a"}}, MakeBatch({{"k", value}}));
    queue_->Advance();
  }
  for (; answered < kRequests; ++answered) EXPECT_TRUE(Next().head["ok"]);
  EXPECT_EQ(engine_->FindTopic("a")->partition(0)->durable_end_offset(), kRequests);
}

TEST_F(RequestQueueTest, FetchGivesBatchesFromAnOffset) {
  MakeTopic("a");
  (void)Produce("a", {{"k", "zero"}, {"k", "one"}, {"k", "two"}});
  Push(FetchFrom("a", 1));
  const Message answer = Next();
  const Json& part = answer.head["partitions"][0];
  EXPECT_EQ(part["offset"], 1);
  EXPECT_EQ(part["next_offset"], 3);
  EXPECT_EQ(part["durable_end_offset"], 3);
  EXPECT_EQ(part["batch_bytes"], answer.body.size());
  EXPECT_EQ(Records(part, answer.body), (std::vector<std::string>{"1=one", "2=two"}));
  EXPECT_TRUE(Ask(FetchFrom("a", 3))["partitions"].empty());
  EXPECT_EQ(ErrorOf(Ask(FetchFrom("a", 4))["partitions"][0]), "offset_out_of_range");
  EXPECT_EQ(ErrorOf(Ask(FetchFrom("a", -1))["partitions"][0]), "offset_out_of_range");
}

TEST_F(RequestQueueTest, FetchGoesOnWhereTheLastOneEnded) {
  MakeTopic("a");
  for (int i = 0; i < 200; ++i)
    (void)Produce("a", {{"k", std::to_string(i) + std::string(2000, 'x')}});
  int64_t offset = 0;
  int answers = 0;
  while (offset < 200) {
    Json request = FetchFrom("a", offset);
    request["max_bytes"] = 1000;
    Push(request);
    const Message answer = Next();
    const Json& part = answer.head["partitions"][0];
    EXPECT_EQ(part["offset"], offset);
    ASSERT_GT(part["next_offset"], offset);
    offset = part["next_offset"];
    ++answers;
  }
  EXPECT_GT(answers, 1);
}

TEST_F(RequestQueueTest, FetchFindsATimestamp) {
  MakeTopic("a");
  (void)Produce("a", {{"k", "0"}, {"k", "1"}, {"k", "2"}}, 1000);
  const auto at = [](int64_t timestamp_ms) -> Json {
    return {{"request", "fetch"},
            {"topic", "a"},
            {"partitions", Json::array({{{"partition", 0}, {"timestamp", timestamp_ms}}})}};
  };
  Push(at(1001));
  const Message answer = Next();
  EXPECT_EQ(Records(answer.head["partitions"][0], answer.body),
            (std::vector<std::string>{"1=1", "2=2"}));
  const Json behind = Ask(at(5000))["partitions"][0];
  EXPECT_EQ(behind["offset"], 3);
  EXPECT_EQ(behind["next_offset"], 3);
  EXPECT_EQ(Ask(at(0))["partitions"][0]["offset"], 0);
}

TEST_F(RequestQueueTest, AWaitingFetchIsAnsweredByTheNextRecordOfItsPartition) {
  MakeTopic("a");
  MakeTopic("b");
  Json fetch = FetchFrom("a", 0);
  fetch["wait"] = true;
  Push(fetch);
  queue_->Advance();
  EXPECT_TRUE(queue_->only_waits_for_records());

  Record record;
  record.value = "elsewhere";
  Partition* other = engine_->FindTopic("b")->partition(0);
  ASSERT_TRUE(other->Append(record, Durability::durable).ok());
  while (other->durable_end_offset() == 0) Turn();
  EXPECT_FALSE(queue_->PopResponse());

  record.value = "here";
  ASSERT_TRUE(engine_->FindTopic("a")->partition(0)->Append(record, Durability::durable).ok());
  const Message answer = Next();
  EXPECT_EQ(Records(answer.head["partitions"][0], answer.body), std::vector<std::string>{"0=here"});
}

TEST_F(RequestQueueTest, AWaitingFetchIsAnsweredWhenTheTopicHasMorePartitions) {
  MakeTopic("a");
  Json fetch = FetchFrom("a", 0);
  fetch["wait"] = true;
  fetch["known_partitions"] = 1;
  Push(fetch);
  queue_->Advance();
  EXPECT_TRUE(queue_->only_waits_for_records());
  ASSERT_TRUE(engine_->AddPartitions("a", 3).ok());
  const Message answer = Next();
  EXPECT_EQ(answer.head["partition_count"], 3);
  EXPECT_TRUE(answer.head["partitions"].empty());
}

TEST_F(RequestQueueTest, DeletingTheTopicEndsAWaitingFetch) {
  MakeTopic("a");
  Json fetch = FetchFrom("a", 0);
  fetch["wait"] = true;
  Push(fetch);
  queue_->Advance();
  ASSERT_TRUE(engine_->DeleteTopic("a").ok());
  EXPECT_EQ(ErrorOf(Next().head), "unknown_topic");
}

}  // namespace
}  // namespace tidemark::tools
