// Cursors where records of the internal topic are not understood or lost, and where the disk says
// no.
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "storage/cursor_format.h"
#include "storage/open.h"
#include "tests/support/cursor_fixture.h"
#include "tests/support/fault_world.h"

namespace tidemark::testing {
namespace {

class CursorDamageTest : public CursorFixture {
 protected:
  void SetUp() override { Open(); }
  // A store whose internal topic holds `records`, as another program may have left it.
  void MakeInternalTopicOf(const std::vector<std::pair<std::string, std::string>>& records) {
    MakeFilledTopic("t", 10);
    Partition& partition = MakeTopic("foreign");
    for (const auto& [key, value] : records) {
      Record record;
      record.key = key;
      record.value = value;
      Append(partition, record);
    }
    CloseCleanly();
    // The topics are found by their folders then.
    std::filesystem::rename(PathOf("foreign-0"), PathOf(std::string(kInternal) + "-0"));
    std::filesystem::remove(PathOf("manifest"));
    std::filesystem::remove(PathOf("manifest.backup"));
    Open();
  }
  static std::string KeyOf(std::string_view group) {
    return storage::EncodeCursorKey({group, "t", 0});
  }
  static std::string ValueAt(int64_t offset) {
    return storage::EncodeCursorValue({offset, -1, "", 1'700'000'000'000});
  }
};

// No header with the topic's id: the topic of that name is meant.
TEST_F(CursorDamageTest, RecordsOfKafkaAreUnderstood) {
  MakeInternalTopicOf({{KeyOf("g"), ValueAt(3)},
                       {std::string("\0\2\0\1g", 5), "the members of the group"},
                       {KeyOf("g"), ValueAt(4)}});
  EXPECT_EQ(OffsetOf("g", "t"), 4);
  TakeNotices();
  EXPECT_FALSE(NoticesMention("not understood"));
}

TEST_F(CursorDamageTest, ARecordThatIsNotUnderstoodIsToldAndPassedOver) {
  MakeInternalTopicOf({{KeyOf("g"), ValueAt(3)},
                       {KeyOf("g"), "garbage"},
                       {std::string("\0\1\0\1h", 5), ValueAt(5)},
                       {KeyOf("h"), ValueAt(6)}});
  EXPECT_EQ(OffsetOf("g", "t"), 3);
  EXPECT_EQ(OffsetOf("h", "t"), 6);
  TakeNotices();
  EXPECT_TRUE(NoticesMention("2 commits of cursors are not understood"));
  EXPECT_TRUE(NoticesMention("__consumer_offsets-0 at offset 1"));
}

TEST_F(CursorDamageTest, ALostBatchCostsTheCommitsInIt) {
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 1)});
  CloseCleanly();
  Open();
  Commit("g", {At("t", 2)});
  Commit("h", {At("t", 2)});
  CloseCleanly();  // each stop leaves a batch behind
  Open();
  Commit("h", {At("t", 3)});
  CloseCleanly();
  const std::string path = PathOf(std::string(kInternal) + "-0/00000000000000000000.log");
  std::fstream log(path, std::ios::binary | std::ios::in | std::ios::out);
  char length[4];
  log.seekg(8);
  log.read(length, sizeof length);
  const int64_t second = 12 + base::LoadBig<int32_t>(length);
  log.seekp(second + 70);
  log << "damage";
  log.close();
  Open();
  EXPECT_EQ(OffsetOf("g", "t"), 1);
  EXPECT_EQ(OffsetOf("h", "t"), 3);
  TakeNotices();
  EXPECT_TRUE(NoticesMention("__consumer_offsets-0: offsets 1 to 2 are lost"));
  Commit("g", {At("t", 4)});
  EXPECT_EQ(OffsetOf("g", "t"), 4);
}

class CursorFaultTest : public CursorFixture {
 protected:
  ~CursorFaultTest() override { Crash(); }  // before its world goes
  void OpenInFaultWorld() {
    auto engine = storage::OpenEngine(world_.environment(), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  FaultWorld world_;
};

TEST_F(CursorFaultTest, ACommitWhoseWriteFailsIsNeverAcknowledged) {
  OpenInFaultWorld();
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 1)});
  world_.plan = [](Call call, const std::string& path) {
    return call == Call::write && path.ends_with("/journal") ? EIO : 0;
  };
  const auto ticket = BeginCommit("g", {At("t", 2)});
  ASSERT_TRUE(ticket.ok());
  while (engine_->health().ok()) engine_->Poll(std::chrono::milliseconds(0));
  for (int i = 0; i < 5; ++i) engine_->Poll(std::chrono::milliseconds(0));
  EXPECT_FALSE(ticket->durable());
  EXPECT_EQ(OffsetOf("g", "t"), 1);
  EXPECT_EQ(BeginCommit("g", {At("t", 3)}).error().code(), ErrorCode::stopped);
  EXPECT_EQ(engine_->DeleteCursors("g").error().code(), ErrorCode::stopped);
  Crash();
  world_.plan = [](Call, const std::string&) { return 0; };
  OpenInFaultWorld();
  EXPECT_EQ(OffsetOf("g", "t"), 1);
}

TEST_F(CursorFaultTest, AFailedReadIsToldAndTriedAgain) {
  OpenInFaultWorld();
  MakeFilledTopic("t", 10);
  Commit("g", {At("t", 1)});
  CloseCleanly();
  OpenInFaultWorld();
  world_.plan = [](Call call, const std::string& path) {
    return call == Call::read && path.ends_with(".log") ? EIO : 0;
  };
  const auto failed = WhenReady([&] { return engine_->Cursors("g"); });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), ErrorCode::io_error);
  EXPECT_TRUE(engine_->health().ok());
  world_.plan = [](Call, const std::string&) { return 0; };
  EXPECT_EQ(OffsetOf("g", "t"), 1);
}

}  // namespace
}  // namespace tidemark::testing
