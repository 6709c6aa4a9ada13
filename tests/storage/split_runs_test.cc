// Runs are ended where they are durable, for a journal that is full: what each part holds, and what
// is accounted for it.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "storage/committer.h"
#include "storage/journal.h"
#include "storage/partition.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"

namespace tidemark::storage {
namespace {

using testing::FaultWorld;

constexpr uint64_t kRoomBytes = uint64_t{1} << 30;

class SplitRunsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const base::Uuid id = base::Uuid::FromRandom(1, 2);
    auto journal =
        Journal::Create(context_.environment, directory_.File("journal"), kMinJournalBytes, id);
    ASSERT_TRUE(journal.ok()) << journal.error().ToString();
    journal_ = *std::move(journal);
    JournalEnd end;
    end.next_position = journal_->superblock().ring_begin;
    journal_->Continue(end, {}, 1, {});
    committer_ = std::make_unique<Committer>(context_, *journal_);
    topic_ = std::make_unique<TopicCore>(TopicDescription{id, "t", 1, {}});
    partition_ =
        std::make_unique<PartitionCore>(context_, *committer_, *topic_, 0, directory_.File("t-0"));
    context_.space.SetRoom(static_cast<int64_t>(kRoomBytes));
    topic_->space.SetRoom(static_cast<int64_t>(kRoomBytes));
    context_.RefreshNow();
  }

  // The earlier, the later: so that the greatest timestamp is not the last one.
  static int64_t TimestampOf(int64_t offset) { return 1'000'000 - offset; }
  static std::string ValueOf(int64_t offset) {
    return std::to_string(offset) + std::string(static_cast<size_t>(300 + offset), 'v');
  }
  static std::string KeyOf(int64_t offset) { return "key-" + std::to_string(offset); }
  void Append(int64_t records) {
    for (int64_t i = 0; i < records; ++i) {
      const int64_t offset = partition_->end_offset();
      const std::string key = KeyOf(offset);
      const std::string value = ValueOf(offset);
      const std::vector<Header> headers{{"h", value}, {"none", std::nullopt}};
      const Record record{key, value, TimestampOf(offset), headers};
      const auto appended = partition_->Append(record, Durability::durable);
      ASSERT_TRUE(appended.ok()) << appended.error().ToString();
    }
  }
  void StartCommit() {
    committer_->MakeAllDue();
    committer_->MaybeStart();
    ASSERT_TRUE(committer_->in_flight());
  }
  void Commit() {
    StartCommit();
    context_.environment.loop.RunOnce(0);
    ASSERT_FALSE(committer_->in_flight());
  }
  const storage::Run& run(size_t i) const { return *partition_->runs()[i]; }

  void ExpectHolds(const storage::Run& run, int64_t first, int64_t end) const {
    ASSERT_EQ(run.base_offset(), first);
    ASSERT_EQ(run.next_offset(), end);
    RecordRange::Encoded encoded;
    encoded.records = base::AsText(run.bytes(0, run.size())).data();
    encoded.count = static_cast<int32_t>(end - first);
    encoded.base_offset = first;
    encoded.base_timestamp_ms = run.frame().base_timestamp_ms;
    int64_t offset = first;
    int64_t greatest_ms = INT64_MIN;
    for (const RecordView& view : RecordRange(encoded)) {
      EXPECT_EQ(view.offset, offset);
      EXPECT_EQ(view.timestamp_ms, TimestampOf(offset));
      EXPECT_EQ(view.key, KeyOf(offset));
      EXPECT_EQ(view.value, ValueOf(offset));
      std::vector<Header> headers;
      for (const Header& header : view.headers) headers.push_back(header);
      ASSERT_EQ(headers.size(), 2U);
      EXPECT_EQ(headers[0].key, "h");
      EXPECT_EQ(headers[0].value, ValueOf(offset));
      EXPECT_EQ(headers[1].key, "none");
      EXPECT_EQ(headers[1].value, std::nullopt);
      greatest_ms = std::max(greatest_ms, view.timestamp_ms);
      ++offset;
    }
    EXPECT_EQ(offset, end);
    EXPECT_GE(run.max_timestamp_ms(), greatest_ms);
  }
  // What the ledgers and counters say is what the runs come to.
  void ExpectAccounted() const {
    uint64_t memory_bytes = 0;
    uint64_t unsubmitted_bytes = 0;
    uint64_t reserved_bytes = 0;
    for (const auto& run : partition_->runs()) {
      memory_bytes += run->memory_bytes();
      unsubmitted_bytes += run->size() - run->submitted_bytes();
      reserved_bytes += PartitionCore::ReservedFor(*run);
    }
    EXPECT_EQ(context_.tail_memory_bytes, memory_bytes);
    EXPECT_EQ(context_.unsubmitted_bytes, unsubmitted_bytes);
    EXPECT_TRUE(context_.space.Fits(kRoomBytes - reserved_bytes));
    EXPECT_FALSE(context_.space.Fits(kRoomBytes - reserved_bytes + 1));
    EXPECT_TRUE(topic_->space.Fits(kRoomBytes - reserved_bytes));
    EXPECT_FALSE(topic_->space.Fits(kRoomBytes - reserved_bytes + 1));
  }

  io::TemporaryDirectory directory_;
  FaultWorld world_;
  ManualClock clock_;
  Context context_{world_.environment(clock_), EngineOptions()};
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<TopicCore> topic_;
  std::unique_ptr<PartitionCore> partition_;
};

TEST_F(SplitRunsTest, TheDurablePartIsPackableAndTheRestGoesIntoALaterCommit) {
  Append(40);
  Commit();
  clock_.AdvanceSeconds(5);
  context_.RefreshNow();
  Append(30);
  ExpectAccounted();
  partition_->SplitUndurableRuns();
  ASSERT_EQ(partition_->runs().size(), 2U);
  EXPECT_EQ(run(0).state(), storage::Run::State::closed);
  EXPECT_TRUE(run(0).fully_durable());
  EXPECT_EQ(committer_->TakePackable(), std::vector<PartitionCore*>{partition_.get()});
  EXPECT_EQ(run(1).state(), storage::Run::State::open);
  EXPECT_EQ(run(1).durable_bytes(), 0U);
  EXPECT_EQ(run(1).appended().last_ms, context_.EngineClockMs());
  ExpectHolds(run(0), 0, 40);
  ExpectHolds(run(1), 40, 70);
  ExpectAccounted();

  Append(10);  // the rest takes more
  Commit();
  ASSERT_EQ(partition_->runs().size(), 2U);
  EXPECT_TRUE(run(1).fully_durable());
  EXPECT_EQ(run(1).first_sequence(), 2U);
  EXPECT_EQ(partition_->durable_end_offset(), 80);
  ExpectHolds(run(1), 40, 80);
  ExpectAccounted();
}

// What stands in the cut-off part is of no concern for the batch that the durable one becomes.
TEST_F(SplitRunsTest, TheGreatestTimestampIsThatOfThePart) {
  Append(2);
  Commit();
  const std::string key = KeyOf(2);
  const Record late{key, "late", TimestampOf(0) + 1'000, {}};
  ASSERT_TRUE(partition_->Append(late, Durability::durable).ok());
  partition_->SplitUndurableRuns();
  ASSERT_EQ(partition_->runs().size(), 2U);
  EXPECT_EQ(run(0).max_timestamp_ms(), TimestampOf(0));
  EXPECT_EQ(run(1).max_timestamp_ms(), TimestampOf(0) + 1'000);
}

// A reader finds its place in the part by marks: those of the rest are not its own.
TEST_F(SplitRunsTest, MarksOfThePartPointIntoIt) {
  Append(30);
  Commit();
  Append(60);
  partition_->SplitUndurableRuns();
  ASSERT_EQ(partition_->runs().size(), 2U);
  for (const int64_t offset : {0, 15, 29, 89}) {
    const storage::Run& part = run(offset < 30 ? 0 : 1);
    const storage::Run::Mark mark = part.MarkBefore(offset);
    EXPECT_LE(mark.offset, offset);
    EXPECT_LE(mark.position, part.size());
  }
  EXPECT_LT(run(0).MarkBefore(89).offset, 30);
  EXPECT_GT(run(1).MarkBefore(89).offset, 40) << "the rest has marks of its own";
}

// Its bytes are with the kernel, as the committer knows them.
TEST_F(SplitRunsTest, ARunThatIsInACommitIsLeftAlone) {
  Append(10);
  Commit();
  Append(10);
  StartCommit();
  Append(10);
  partition_->SplitUndurableRuns();
  EXPECT_EQ(partition_->runs().size(), 1U);
  context_.environment.loop.RunOnce(0);
  ExpectHolds(run(0), 0, 30);
  ExpectAccounted();
}

TEST_F(SplitRunsTest, ARunThatIsDurableWhollyOrNotAtAllIsLeftAlone) {
  Append(10);
  partition_->SplitUndurableRuns();
  EXPECT_EQ(partition_->runs().size(), 1U);
  Commit();
  partition_->SplitUndurableRuns();
  ASSERT_EQ(partition_->runs().size(), 1U);
  EXPECT_EQ(run(0).state(), storage::Run::State::open);
  ExpectHolds(run(0), 0, 10);
  ExpectAccounted();
}

// One that was closed meanwhile stays so in both parts, and its rest is packable once it is
// durable.
TEST_F(SplitRunsTest, TheRestOfAClosedRunIsClosed) {
  Append(10);
  Commit();
  Append(10);
  partition_->CloseOpenRun();
  Append(10);
  ASSERT_EQ(partition_->runs().size(), 2U);
  partition_->SplitUndurableRuns();
  ASSERT_EQ(partition_->runs().size(), 3U);
  EXPECT_EQ(run(1).state(), storage::Run::State::closed);
  EXPECT_EQ(run(2).state(), storage::Run::State::open);
  ExpectHolds(run(0), 0, 10);
  ExpectHolds(run(1), 10, 20);
  ExpectHolds(run(2), 20, 30);
  ExpectAccounted();
  EXPECT_EQ(committer_->TakePackable().size(), 1U);
  Commit();
  EXPECT_EQ(committer_->TakePackable().size(), 1U);
  EXPECT_EQ(partition_->durable_end_offset(), 30);
  ExpectAccounted();
}

}  // namespace
}  // namespace tidemark::storage
