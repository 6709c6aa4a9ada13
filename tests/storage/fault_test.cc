// What happens when the disk says no.
#include "storage/open.h"
#include "tests/support/fault_world.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

class FaultTest : public StoreFixture {
 protected:
  Result<ReadState> NextThatIsNotPending(Reader& reader) {
    Result<ReadState> state = ReadState::pending;
    while (state.ok() && *state == ReadState::pending) {
      engine_->Poll(std::chrono::milliseconds(0));
      state = reader.Next();
    }
    return state;
  }
  ~FaultTest() override { Crash(); }  // before its world goes

  void OpenInFaultWorld() {
    auto engine = storage::OpenEngine(world_.environment(), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  static bool IsSegment(const std::string& path) { return path.ends_with(".log"); }
  static bool IsJournal(const std::string& path) { return path.ends_with("/journal"); }
  void ExpectStopped(Partition& partition) {
    EXPECT_EQ(engine_->health().error().code(), ErrorCode::stopped);
    Record record;
    EXPECT_EQ(partition.Append(record).error().code(), ErrorCode::stopped);
  }
  // Appends until the engine takes no more.
  int64_t FillUntilStopped(Partition& partition) {
    int64_t next = partition.end_offset();
    while (engine_->health().ok()) {
      const std::string value = ValueOf(next);
      Record record;
      record.value = value;
      if (partition.Append(record, Durability::buffered).ok()) ++next;
      if (next % 100 == 0) engine_->Poll(std::chrono::milliseconds(0));
      if (next > 1'000'000) break;
    }
    return next;
  }

  FaultWorld world_;
};

TEST_F(FaultTest, AfterAFailedCommitNothingIsAcceptedAndReadsGoOn) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  for (int64_t i = 0; i < 10; ++i) AppendDurably(partition, ValueOf(i));
  world_.plan = [](Call call, const std::string& path) {
    return call == Call::write && IsJournal(path) ? EIO : 0;
  };
  Append(partition, ValueOf(10));
  while (engine_->health().ok()) engine_->Poll(std::chrono::milliseconds(0));
  ExpectStopped(partition);
  EXPECT_EQ(partition.durable_end_offset(), 10);
  ExpectInOrder(ReadFrom(partition, 0), 0, 10);
  world_.plan = [](Call, const std::string&) { return 0; };
  for (int i = 0; i < 10; ++i) engine_->Poll(std::chrono::milliseconds(0));
  ExpectStopped(partition);  // not again as if nothing had happened
  Crash();
  OpenInFaultWorld();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 10);
}

TEST_F(FaultTest, AfterAFailedSegmentFlushWhatWasNotFlushedIsStillRead) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  int flushes = 0;
  world_.plan = [&](Call call, const std::string& path) {
    return call == Call::flush && IsSegment(path) && ++flushes > 2 ? EIO : 0;
  };
  FillUntilStopped(partition);
  EXPECT_EQ(flushes, 3);  // the failed one was not tried again
  ExpectStopped(partition);
  const int64_t durable = partition.durable_end_offset();
  ASSERT_GT(durable, 1'000);
  ExpectInOrder(ReadFrom(partition, 0), 0, durable);
  Crash();
  world_.plan = [](Call, const std::string&) { return 0; };
  OpenInFaultWorld();
  EXPECT_TRUE(engine_->recovery().damage.empty());
  EXPECT_GE(PartitionOf("t").end_offset(), durable);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, PartitionOf("t").end_offset());
}

TEST_F(FaultTest, ACheckpointThatCannotBeWrittenStopsTheEngine) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  while (engine_->stats().checkpoints < 2) engine_->Poll(std::chrono::milliseconds(0));
  // Commits go through the loop as well: the first journal write from the packer's work on is a
  // checkpoint's.
  bool in_checkpoint = false;
  world_.plan = [&](Call call, const std::string& path) {
    if (call == Call::flush && IsSegment(path)) in_checkpoint = true;
    return in_checkpoint && call == Call::write && IsJournal(path) ? EIO : 0;
  };
  FillUntilStopped(partition);
  ExpectStopped(partition);
  const int64_t durable = partition.durable_end_offset();
  Crash();
  world_.plan = [](Call, const std::string&) { return 0; };
  OpenInFaultWorld();
  EXPECT_GE(PartitionOf("t").end_offset(), durable);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, PartitionOf("t").end_offset());
}

TEST_F(FaultTest, AFullDiskLosesNothingAndIngestResumesByItself) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  bool full = true;
  world_.plan = [&](Call call, const std::string& path) {
    return full && call == Call::write && IsSegment(path) ? ENOSPC : 0;
  };
  int64_t next = 0;
  Record record;
  const auto append = [&] {
    const std::string value = ValueOf(next);
    record.value = value;
    const auto offset = partition.Append(record, Durability::buffered);
    if (offset.ok()) ++next;
    engine_->Poll(std::chrono::milliseconds(0));
    return offset.ok();
  };
  while (append()) {
  }
  EXPECT_TRUE(engine_->health().ok());
  EXPECT_GT(next, 1'000);
  full = false;
  const int64_t before = next;
  while (next < before + 50'000) append();  // packing is tried again within a second
  PollUntilDurable(partition);
  ExpectInOrder(ReadFrom(partition, 0), 0, next);
  CloseCleanly();
  OpenInFaultWorld();
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, next);
}

TEST_F(FaultTest, AReadThatFailsIsToldAndCanBeTriedAgain) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  for (int64_t i = 0; i < 10'000; ++i) Append(partition, ValueOf(i));
  CloseCleanly();
  OpenInFaultWorld();
  auto reader = engine_->OpenReader(PartitionOf("t"), 0);
  bool failing = true;
  world_.plan = [&](Call call, const std::string& path) {
    return failing && call == Call::read && IsSegment(path) ? EIO : 0;
  };
  const Result<ReadState> state = NextThatIsNotPending(**reader);
  ASSERT_FALSE(state.ok());
  EXPECT_EQ(state.error().code(), ErrorCode::io_error);
  failing = false;
  ExpectInOrder(ReadToEnd(**reader), 0, 10'000);
}

// Too many files are open, say: nothing is known to be lost, unlike that of a file which is gone.
TEST_F(FaultTest, ASegmentThatCannotBeOpenedIsToldAndCanBeTriedAgain) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  for (int64_t i = 0; i < 10'000; ++i) Append(partition, ValueOf(i));
  CloseCleanly();
  OpenInFaultWorld();
  auto reader = engine_->OpenReader(PartitionOf("t"), 5'000);
  bool failing = true;
  world_.plan = [&](Call call, const std::string& path) {
    return failing && call == Call::open && IsSegment(path) ? EMFILE : 0;
  };
  for (int tries = 0; tries < 2; ++tries) {
    const Result<ReadState> state = NextThatIsNotPending(**reader);
    ASSERT_FALSE(state.ok());
    EXPECT_EQ(state.error().code(), ErrorCode::io_error);
    EXPECT_EQ(state.error().system_errno(), EMFILE);
    EXPECT_EQ((*reader)->position(), 5'000);
    EXPECT_TRUE((*reader)->TakeLost().empty());
  }
  failing = false;
  ExpectInOrder(ReadToEnd(**reader), 5'000, 10'000);
}

TEST_F(FaultTest, WhatTheDiskHasNoRoomForIsRefusedBeforeItIsTooLate) {
  world_.free_bytes = 0;
  OpenInFaultWorld();
  auto topic = engine_->CreateTopic("t", 1, {});
  ASSERT_TRUE(topic.ok()) << topic.error().ToString();
  EXPECT_EQ((*topic)->partition(0)->Append(Record()).error().code(), ErrorCode::disk_full);
  EXPECT_TRUE(engine_->health().ok());
}

TEST_F(FaultTest, WhatCouldNotBeWrittenDownOfATopicIsNotShownAndTheEngineStops) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  AppendDurably(partition, ValueOf(0));
  const TopicConfig before = engine_->FindTopic("t")->config();
  bool failing = true;
  world_.plan = [&](Call call, const std::string& path) {
    return failing && call == Call::write && path.find("manifest") != std::string::npos ? EIO : 0;
  };
  EXPECT_EQ(engine_->CreateTopic("u", 1, {}).error().code(), ErrorCode::io_error);
  ExpectStopped(partition);
  EXPECT_EQ(engine_->FindTopic("u"), nullptr);
  EXPECT_EQ(engine_->Topics().size(), 1U);
  Crash();
  failing = false;
  OpenInFaultWorld();
  failing = true;
  TopicConfig changed = before;
  changed.segment_bytes *= 2;
  EXPECT_EQ(engine_->AlterTopic("t", changed).error().code(), ErrorCode::io_error);
  ExpectStopped(PartitionOf("t"));
  EXPECT_EQ(engine_->FindTopic("t")->config(), before);
  ExpectInOrder(ReadFrom(PartitionOf("t"), 0), 0, 1);
}

TEST_F(FaultTest, PartitionsThatCouldNotBeWrittenDownAreNotThere) {
  OpenInFaultWorld();
  Partition& partition = MakeTopic("t");
  AppendDurably(partition, ValueOf(0));
  int error = ENOSPC;
  world_.plan = [&](Call call, const std::string& path) {
    return call == Call::write && path.find("manifest") != std::string::npos ? error : 0;
  };
  EXPECT_EQ(engine_->AddPartitions("t", 3).error().code(), ErrorCode::disk_full);
  EXPECT_EQ(engine_->FindTopic("t")->partition_count(), 1);
  AppendDurably(partition, ValueOf(1));
  error = 0;
  ASSERT_TRUE(engine_->AddPartitions("t", 3).ok());
  AppendDurably(PartitionOf("t", 2), ValueOf(0));
  error = EIO;
  EXPECT_EQ(engine_->AddPartitions("t", 4).error().code(), ErrorCode::io_error);
  ExpectStopped(partition);
  EXPECT_EQ(engine_->FindTopic("t")->partition_count(), 3);
}

// Else a power cut may take the whole folder: its entry stands in a folder that is not ours.
TEST_F(FaultTest, TheEntryOfANewStoresFolderIsFlushedBeforeAnythingIsAccepted) {
  bool all = false;
  bool parent = false;
  world_.plan = [&](Call call, const std::string& path) {
    all = all || call == Call::flush_all;
    parent = parent || (call == Call::flush_directory && path == PathOf(".."));
    return 0;
  };
  OpenInFaultWorld();
  EXPECT_TRUE(all);
  EXPECT_TRUE(parent);
  Crash();
  std::filesystem::remove_all(options_.data_dir);
  world_.plan = [](Call call, const std::string&) { return call == Call::flush_all ? EIO : 0; };
  EXPECT_FALSE(storage::OpenEngine(world_.environment(), options_).ok());
}

// Found as a rare hang of another test: the last turn had spent the worker's wake-up, and
// the destructor waited for another one. The world reports a wait that nothing can end.
TEST_F(FaultTest, MayBeDestroyedAfterAnyTurn) {
  for (int turns = 0; turns < 20; ++turns) {
    OpenInFaultWorld();
    Partition& partition = turns == 0 ? MakeTopic("t") : PartitionOf("t");
    for (int turn = 0; turn < turns; ++turn) {
      const std::string value = ValueOf(turn);
      Record record;
      record.value = value;
      while (partition.Append(record, Durability::durable).ok()) {
      }
      engine_->Poll(std::chrono::milliseconds(0));
    }
    Crash();
  }
}

}  // namespace
}  // namespace tidemark::testing
