// Where a consumer begins, and goes on, while the log's start moves under it.
#include "tools/consumer.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/store_fixture.h"

namespace tidemark::tools {
namespace {

// The engine of the fixture and a client have the store open in turns.
class ConsumerTest : public testing::StoreFixture {
 protected:
  void SetUp() override {
    Open();
    MakeTopic("t");
    CloseCleanly();
  }

  void AppendRecords(int count) {
    Open();
    for (int i = 0; i < count; ++i) AppendDurably(PartitionOf("t"), ValueOf(i));
    CloseCleanly();
  }
  void DeleteRecordsBelow(int64_t offset) {
    Open();
    ASSERT_TRUE(PartitionOf("t").DeleteRecords(offset).ok());
    while (PartitionOf("t").log_start_offset() < offset) {
      engine_->Poll(std::chrono::milliseconds(100));
    }
    CloseCleanly();
  }

  template <typename Call>
  auto WithClient(Call call) {
    auto client = StoreClient::Open({options_.data_dir, false, false});
    EXPECT_TRUE(client.ok()) << client.error().ToString();
    auto result = call(**client);
    EXPECT_TRUE((*client)->Close().ok());
    return result;
  }
  Status Prepare() {
    return WithClient([this](StoreClient& client) { return consumer_.Prepare(client); });
  }
  Result<Consumer::Outcome> Step() {
    return WithClient([this](StoreClient& client) { return consumer_.Step(client, false); });
  }
  void ReadToEnd() {
    for (;;) {
      const auto outcome = Step();
      ASSERT_TRUE(outcome.ok()) << outcome.error().ToString();
      if (*outcome == Consumer::Outcome::at_end) return;
    }
  }
  static ConsumerOptions FromTheBeginning() {
    ConsumerOptions options;
    options.topic = "t";
    return options;
  }

  std::vector<int64_t> read_;
  Consumer consumer_{FromTheBeginning(), [this](int32_t, const RecordView& record) {
                       read_.push_back(record.offset);
                       return true;
                     }};
};

TEST_F(ConsumerTest, TheBeginningIsWhereTheLogBeginsWhenItIsRead) {
  AppendRecords(10);
  ASSERT_TRUE(Prepare().ok());
  DeleteRecordsBelow(6);
  ReadToEnd();
  EXPECT_EQ(read_, (std::vector<int64_t>{6, 7, 8, 9}));
}

TEST_F(ConsumerTest, WhoHasReadIsToldThatTheNextRecordIsGone) {
  AppendRecords(3);
  ASSERT_TRUE(Prepare().ok());
  ReadToEnd();
  AppendRecords(3);
  DeleteRecordsBelow(5);
  const auto outcome = Step();
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code(), ErrorCode::offset_out_of_range);
  EXPECT_EQ(read_, (std::vector<int64_t>{0, 1, 2}));
}

TEST_F(ConsumerTest, WhoWaitsInAnEmptyLogIsToldThatItsFirstRecordIsGone) {
  ASSERT_TRUE(Prepare().ok());
  AppendRecords(3);
  DeleteRecordsBelow(2);
  const auto outcome = Step();
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code(), ErrorCode::offset_out_of_range);
}

}  // namespace
}  // namespace tidemark::tools
