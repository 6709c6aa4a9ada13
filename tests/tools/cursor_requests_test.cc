// Requests on the cursors of groups, as a conversation gives them.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/cursor_fixture.h"
#include "tools/request_queue.h"

namespace tidemark::tools {
namespace {

using std::chrono::milliseconds;

class CursorRequestsTest : public testing::CursorFixture {
 protected:
  void SetUp() override {
    Open();
    queue_.emplace(*engine_);
    EXPECT_TRUE(Ask({{"request", "hello"}, {"version", kProtocolVersion}})["ok"]);
    MakeFilledTopic("t", 10, 2);
  }
  void TearDown() override { queue_.reset(); }

  Json Ask(Json head) {
    queue_->Push({std::move(head), {}});
    for (;;) {
      queue_->Advance();
      if (auto response = queue_->PopResponse()) return std::move(response->head);
      queue_->Stir(engine_->Poll(milliseconds(10)));
    }
  }
  static Json CommitOf(const std::vector<Json>& positions) {
    return {{"request", "commit_cursors"}, {"group", "g"}, {"positions", positions}};
  }
  static Json Position(int partition, int64_t offset) {
    return {{"topic", "t"}, {"partition", partition}, {"offset", offset}};
  }
  std::string ErrorOf(const Json& request) {
    return Ask(request).value("error", std::string("none"));
  }

  std::optional<RequestQueue> queue_;
};

TEST_F(CursorRequestsTest, CommitDescribeListDelete) {
  Json noted = Position(1, 10);
  noted["leader_epoch"] = 3;
  noted["metadata"] = "a note";
  EXPECT_EQ(Ask(CommitOf({Position(0, 4), noted})), (Json{{"ok", true}}));
  EXPECT_EQ(OffsetOf("g", "t", 0), 4);
  const Json described = Ask({{"request", "describe_group"}, {"group", "g"}});
  ASSERT_EQ(described["cursors"].size(), 2U);
  const Json& first = described["cursors"][0];
  EXPECT_EQ(first["offset"], 4);
  EXPECT_EQ(first["leader_epoch"], -1);
  EXPECT_EQ(first["log_start_offset"], 0);
  EXPECT_EQ(first["durable_end_offset"], 10);
  EXPECT_EQ(first["lag"], 6);
  EXPECT_EQ(described["cursors"][1]["metadata"], "a note");
  EXPECT_EQ(described["cursors"][1]["leader_epoch"], 3);
  EXPECT_EQ(Ask({{"request", "list_groups"}})["groups"], Json::array({"g"}));
  EXPECT_TRUE(Ask({{"request", "delete_cursors"}, {"group", "g"}, {"topic", "u"}})["ok"]);
  EXPECT_EQ(Ask({{"request", "list_groups"}})["groups"].size(), 1U);
  EXPECT_TRUE(Ask({{"request", "delete_cursors"}, {"group", "g"}})["ok"]);
  EXPECT_EQ(Ask({{"request", "list_groups"}})["groups"], Json::array());
  EXPECT_EQ(Ask({{"request", "describe_group"}, {"group", "g"}})["cursors"], Json::array());
}

// Answered means durable.
TEST_F(CursorRequestsTest, ACommitIsAnsweredWhenItIsDurable) {
  EXPECT_TRUE(Ask(CommitOf({Position(0, 1)}))["ok"]);
  EXPECT_TRUE(Ask(CommitOf({Position(0, 2)}))["ok"]);
  queue_.reset();
  CrashAndOpen();
  EXPECT_EQ(OffsetOf("g", "t"), 2);
}

TEST_F(CursorRequestsTest, WhatIsWrongIsRefusedByName) {
  EXPECT_EQ(ErrorOf(CommitOf({Position(0, 11)})), "offset_out_of_range");
  EXPECT_EQ(ErrorOf(CommitOf({Position(2, 0)})), "unknown_topic");
  EXPECT_EQ(ErrorOf(CommitOf({Position(-1, 0)})), "invalid_argument");
  EXPECT_EQ(ErrorOf(CommitOf({Json(7)})), "invalid_argument");
  EXPECT_EQ(ErrorOf({{"request", "commit_cursors"}, {"group", "g"}, {"positions", "none"}}),
            "invalid_argument");
  Json unknown = Position(0, 1);
  unknown["offset_"] = 1;
  EXPECT_EQ(ErrorOf(CommitOf({unknown})), "invalid_argument");
  Json epoch = Position(0, 1);
  epoch["leader_epoch"] = int64_t{1} << 40;
  EXPECT_EQ(ErrorOf(CommitOf({epoch})), "invalid_argument");
  EXPECT_EQ(ErrorOf({{"request", "describe_group"}}), "invalid_argument");
  EXPECT_EQ(ErrorOf({{"request", "describe_group"}, {"group", ""}}), "invalid_argument");
  EXPECT_EQ(ErrorOf({{"request", "list_groups"}, {"group", "g"}}), "invalid_argument");
  EXPECT_EQ(ErrorOf({{"request", "delete_cursors"}, {"group", "g"}, {"topic", 1}}),
            "invalid_argument");
  EXPECT_EQ(engine_->FindTopic("__consumer_offsets"), nullptr);
}

TEST_F(CursorRequestsTest, TheInternalTopicIsMarked) {
  EXPECT_TRUE(Ask(CommitOf({Position(0, 1)}))["ok"]);
  const Json topics = Ask({{"request", "list_topics"}})["topics"];
  ASSERT_EQ(topics.size(), 2U);
  EXPECT_EQ(topics[0]["internal"], true);
  EXPECT_FALSE(topics[1].contains("internal"));
  EXPECT_EQ(ErrorOf({{"request", "delete_topic"}, {"topic", "__consumer_offsets"}}),
            "invalid_argument");
}

}  // namespace
}  // namespace tidemark::tools
