// What the simulator has found, each as a case of its own.
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "storage/journal_format.h"
#include "storage/manifest.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/sim/world_fixture.h"

namespace tidemark::sim {
namespace {

// Its pages were given up by the kernel, and still read from the cache: after a restart of the
// process it was told as durable, and the next power cut took it.
TEST_F(FoundTest, ACommitWhoseFlushFailedIsWrittenAgainBeforeItIsServed) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    OpenInWorld({.direct_refused = true}, seed);
    MakeTopic();
    Append("before");
    PollFor(10);
    world_->disk.Arm({Fault::Kind::flush, 0});
    Append("its flush fails");
    PollFor(10);
    ASSERT_FALSE(engine_->health().ok());
    DieAndOpen(Death::kill);
    const int64_t told = durable_end();
    DieAndOpen(Death::power_cut);
    ASSERT_GE(durable_end(), told) << "seed " << seed;
    ASSERT_TRUE(engine_->recovery().damage.empty()) << "seed " << seed;
  }
}

// One slot had gone back to an older checkpoint: cut off while it wrote over the newest one, an
// opening left the next by that, whose commits were long overwritten. Found while a seed was
// explained (10001276) in which the other slot was cut off first and this one damaged afterwards.
TEST_F(FoundTest, AnOpeningDoesNotWriteFirstOverTheNewestCheckpoint) {
  OpenInWorld({}, 1);
  // So many that a checkpoint takes several sectors, and its first and last ones change.
  constexpr int32_t kPartitions = 32;
  ASSERT_TRUE(engine_->CreateTopic("t", kPartitions, {}).ok());
  const auto last = [&] { return engine_->FindTopic("t")->partition(kPartitions - 1); };
  const auto slot = [&](std::vector<std::byte>& journal, uint64_t number) {
    const auto superblock = storage::DecodeSuperblock(journal);
    EXPECT_TRUE(superblock.ok());
    return std::span(journal).subspan(superblock->slot_position(static_cast<int>(number % 2)),
                                      superblock->slot_bytes);
  };
  std::vector<std::byte> before = world_->disk.Find("store/journal")->now;
  const std::string value(60'000, 'v');
  int64_t appended = 0;
  const auto append = [&] {
    Record record;
    record.value = value;
    ASSERT_TRUE(last()->Append(record, Durability::durable).ok());
    ++appended;
    while (last()->durable_end_offset() < appended) PollFor(1);
  };
  while (static_cast<uint64_t>(appended) * value.size() < 2 * options_.journal_bytes) append();
  for (uint64_t operation = 1; operation < 60; ++operation) {
    append();
    Die(Death::kill);
    const auto journal = world_->disk.Find("store/journal");
    for (auto* bytes : {&journal->now, &journal->medium})
      std::ranges::copy(slot(before, operation), slot(*bytes, operation).begin());
    world_->disk.DieIn(operation, Death::power_cut);
    static_cast<void>(storage::OpenEngine(world_->environment(), options_));
    DieAndOpen(Death::power_cut);
    ASSERT_TRUE(engine_->recovery().damage.empty()) << "cut off at operation " << operation;
    ASSERT_EQ(last()->durable_end_offset(), appended) << "cut off at operation " << operation;
  }
}

// Killed while it made the store, it left a folder whose own entry was never flushed.
TEST_F(FoundTest, AStoreWhoseMakingWasCutOffIsAsDurableAsAnyOther) {
  for (uint64_t operation = 1; operation < 40; ++operation) {
    MakeWorld({}, operation);
    options_.data_dir = "store";
    options_.journal_bytes = kMinJournalBytes;
    world_->disk.DieIn(operation, Death::kill);
    static_cast<void>(storage::OpenEngine(world_->environment(), options_));
    DieAndOpen(Death::kill);
    MakeTopic();
    DieAndOpen(Death::power_cut);
    ASSERT_NE(engine_->FindTopic("t"), nullptr) << "killed at operation " << operation;
  }
}

// The manifest could not be written, and the wait for the deletion did not notice.
TEST_F(FoundTest, ClosingEndsWhenTheDiskFailsWhileATopicIsDeleted) {
  for (uint64_t operation = 1; operation < 60; ++operation) {
    OpenInWorld({}, operation);
    MakeTopic();
    Append("a record");
    PollFor(300);  // the last commit has its witness: nothing else will end a wait
    ASSERT_TRUE(engine_->DeleteTopic("t").ok());
    world_->disk.DieIn(operation, Death::power_cut);
    static_cast<void>(engine_->Close());
    ASSERT_FALSE(world_->loop.stuck()) << "at operation " << operation;
  }
}

// Killed between cutting the active segment and flushing that, an opening left a length that nobody
// flushed when the segment was rolled: the next power cut brought the cut-off tail back.
TEST_F(FoundTest, ASegmentIsRolledWithTheLengthThatItWasCutTo) {
  const std::string path = "store/t-0/00000000000000000000.log";
  size_t cut_and_not_flushed = 0;
  for (uint64_t seed = 75; seed < 105; ++seed) {
    TopicConfig config;
    config.compression = Compression::none;
    OpenInWorld({}, seed);
    ASSERT_TRUE(engine_->CreateTopic("t", 1, config).ok());
    Append("packed and flushed");
    ASSERT_TRUE(engine_->Close().ok());
    DieAndOpen(Death::power_cut);
    const size_t flushed = world_->disk.Find(path)->now.size();
    for (int i = 0; i < 30; ++i) Append(std::string(20'000, 'v'));
    for (int i = 0; i < 500 && world_->disk.Find(path)->now.size() == flushed; ++i) PollFor(1);
    Die(Death::power_cut);
    world_->disk.DieIn(1 + seed % 12, Death::kill);
    static_cast<void>(storage::OpenEngine(world_->environment(), options_));
    if (world_->disk.Find(path)->least_size != UINT64_MAX) ++cut_and_not_flushed;
    DieAndOpen(Death::kill);
    config.segment_bytes = 1024;
    ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
    ASSERT_TRUE(engine_->Close().ok());
    Die(Death::power_cut);
    storage::VerifyOptions verify;
    verify.data_dir = options_.data_dir;
    verify.locked = true;
    const auto report = storage::VerifyStore(world_->files, verify);
    ASSERT_TRUE(report.ok()) << report.error().ToString();
    for (const storage::Finding& finding : report->findings)
      ADD_FAILURE() << "seed " << seed << ": " << finding.path << ": " << finding.what;
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(cut_and_not_flushed, 0U);
}

// Killed before it had flushed what it had cut, or having failed to, an opening left files that
// were short enough for the next one. If nobody went on in that segment, the next power cut brought
// the entries back, of records that were not there (seed 210000002938).
TEST_F(FoundTest, WhatAnEarlierOpeningHasCutIsCutForGood) {
  constexpr uint64_t kCutTo = 10;
  const auto cut = [&](bool empties) {
    io::FileSystem& files = world_->files;
    if (!empties) return storage::CutSegment(files, "store", 0, kCutTo);
    Status emptied = storage::EmptySegment(files, "store", 0);
    return emptied.ok() ? storage::FlushSegment(files, "store", 0) : emptied;
  };
  constexpr std::array kKinds = {storage::SegmentFile::log, storage::SegmentFile::offset_index,
                                 storage::SegmentFile::time_index};
  const auto path_of = [](auto kind) { return storage::SegmentPath("store", 0, kind); };
  const std::vector<std::byte> bytes(24);
  size_t not_finished = 0;
  for (uint64_t seed = 1; seed < 100; ++seed) {
    MakeWorld({}, seed);
    InodePointer made;
    ASSERT_EQ(world_->disk.Create("store", &made, /*directory=*/true), 0);
    const bool empties = seed % 2 == 0;
    for (const auto kind : kKinds) {
      if (empties && seed % 5 == 0 && kind == storage::SegmentFile::offset_index) continue;
      ASSERT_EQ(world_->disk.Create(path_of(kind), &made, /*directory=*/false), 0);
      ASSERT_EQ(world_->disk.Write(*made, 0, bytes, /*durable=*/true, /*direct=*/false), 0);
    }
    ASSERT_EQ(world_->disk.FlushAll(), 0);
    if (seed % 3 == 0) {
      world_->disk.Arm({Fault::Kind::flush, seed / 6 % 3});
    } else {
      world_->disk.DieIn(1 + seed / 6, Death::kill);
    }
    if (!cut(empties).ok()) ++not_finished;
    Die(Death::kill);
    ASSERT_TRUE(cut(empties).ok());
    Die(Death::power_cut);
    for (const auto kind : kKinds) {
      const uint64_t wanted = kind == storage::SegmentFile::log && !empties ? kCutTo : 0;
      const auto file = world_->disk.Find(path_of(kind));
      ASSERT_NE(file, nullptr) << "seed " << seed;
      EXPECT_EQ(file->now.size(), wanted) << "seed " << seed;
    }
  }
  EXPECT_GT(not_finished, 0U);
}

// Without a readable checkpoint a log counts as it is seen, and what the journal held of it is
// given up: unflushed bytes of a killed process were called durable, and the next power cut took
// them.
TEST_F(FoundTest, WhatIsFoundWithoutACheckpointIsFlushed) {
  const std::string path = "store/t-0/00000000000000000000.log";
  std::array<size_t, 2> unflushed{};
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    TopicConfig config;
    config.compression = Compression::none;
    OpenInWorld({}, seed);
    // One log is flushed by itself, many are by one flush of all.
    ASSERT_TRUE(engine_->CreateTopic("t", seed % 2 == 0 ? 1 : 10, config).ok());
    for (int32_t i = 0; i < engine_->FindTopic("t")->partition_count(); ++i) {
      const auto offset = engine_->FindTopic("t")->partition(i)->Append({}, Durability::durable);
      ASSERT_TRUE(offset.ok()) << offset.error().ToString();
    }
    ASSERT_TRUE(engine_->Close().ok());
    Reopen();
    constexpr int kRecords = 31;
    for (int i = 1; i < kRecords; ++i) Append(std::string(20'000, 'v'));
    const auto is_dirty = [&] {
      const auto log = world_->disk.Find(path);
      return log != nullptr && !log->dirty.empty();
    };
    for (int i = 0; i < 500 && (durable_end() < kRecords || !is_dirty()); ++i) PollFor(1);
    Die(Death::kill);
    if (is_dirty()) ++unflushed[seed % 2];
    SpoilCheckpoints();
    Open();
    ASSERT_EQ(durable_end(), kRecords);
    DieAndOpen(Death::power_cut);
    EXPECT_EQ(durable_end(), kRecords) << "seed " << seed;
    EXPECT_TRUE(engine_->recovery().damage.empty()) << "seed " << seed;
  }
  EXPECT_THAT(unflushed, ::testing::Each(::testing::Gt(0U)));
}

// Made with others, by one flush of all, and killed before that, a partition's files looked whole
// to who made them one by one.
TEST_F(FoundTest, AFolderThatWasMadeBeforeIsFlushed) {
  const std::string path = "store/t-0/partition.metadata";
  std::vector<std::string> folders;
  for (int i = 0; i < 8; ++i) folders.push_back("store/t-" + std::to_string(i));
  base::Uuid id;
  id.bytes[0] = std::byte{1};
  size_t cut_off = 0;
  for (uint64_t operation = 1; operation < 60; ++operation) {
    MakeWorld({}, operation);
    ASSERT_TRUE(world_->files.MakeDirectory("store").ok());
    ASSERT_EQ(world_->disk.FlushAll(), 0);
    world_->disk.DieIn(operation, Death::kill);
    if (!storage::MakePartitionFolders(world_->files, "store", folders, id).ok()) ++cut_off;
    Die(Death::kill);
    ASSERT_TRUE(storage::MakePartitionFolders(world_->files, "store", {folders[0]}, id).ok());
    const std::vector<std::byte> whole = world_->disk.Find(path)->now;
    Die(Death::power_cut);
    const auto file = world_->disk.Find(path);
    ASSERT_NE(file, nullptr) << "at operation " << operation;
    EXPECT_EQ(file->now, whole) << "at operation " << operation;
  }
  EXPECT_GT(cut_off, 8U);
}

// Killed between the renaming of the manifest's backup and the flush of that, it left two equal
// copies, of which the next power cut made one the older again: damage to the other one then took
// back what the opening in between had shown.
TEST_F(FoundTest, BothCopiesOfTheManifestAreDurableBeforeTheyAreServed) {
  size_t times_shown = 0;
  for (uint64_t operation = 1; operation < 60; ++operation) {
    OpenInWorld({}, operation);
    MakeTopic();
    world_->disk.DieIn(operation, Death::kill);
    static_cast<void>(engine_->CreateTopic("u", 1, {}));
    DieAndOpen(Death::kill);
    const bool shown = engine_->FindTopic("u") != nullptr;
    Die(Death::power_cut);
    Inode& manifest = *world_->disk.Find("store/manifest");
    const std::byte flipped = ~manifest.now[0];
    world_->disk.WriteNow(manifest, 0, {&flipped, 1});
    Open();
    EXPECT_EQ(engine_->FindTopic("u") != nullptr, shown) << "killed at operation " << operation;
    if (shown) ++times_shown;
  }
  EXPECT_GT(times_shown, 0U);
}

// The start of the log was then guessed from the first segment that was left: what had been lost
// before it was neither told nor in range any more.
TEST_F(FoundTest, WithoutACheckpointTheFirstRecordsAreToldAsLost) {
  TopicConfig config;
  config.segment_bytes = 1024;
  config.compression = Compression::none;
  OpenInWorld({}, 1);
  ASSERT_TRUE(engine_->CreateTopic("t", 1, config).ok());
  for (int i = 0; i < 4; ++i) {
    Append(std::string(1000, 'v'));
    ASSERT_TRUE(engine_->Close().ok());
    DieAndOpen(Death::kill);
  }
  Die(Death::power_cut);
  ASSERT_EQ(world_->disk.Remove("store/t-0/00000000000000000000.log"), 0);
  SpoilCheckpoints();

  storage::VerifyOptions verify;
  verify.data_dir = options_.data_dir;
  verify.locked = true;
  const auto report = storage::VerifyStore(world_->files, verify);
  ASSERT_TRUE(report.ok()) << report.error().ToString();
  const auto loss = std::find_if(
      report->findings.begin(), report->findings.end(),
      [](const storage::Finding& finding) { return finding.kind == storage::Finding::Kind::loss; });
  ASSERT_NE(loss, report->findings.end());
  EXPECT_EQ(loss->first_offset, 0);
  EXPECT_EQ(loss->end_offset, 1);

  Open();
  EXPECT_EQ(engine_->FindTopic("t")->partition(0)->log_start_offset(), 0);
  EXPECT_EQ(durable_end(), 4);
  auto reader = engine_->OpenReader(*engine_->FindTopic("t")->partition(0), 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  for (auto state = (*reader)->Next(); !state.ok() || *state != ReadState::at_end;
       state = (*reader)->Next())
    PollFor(1);
  const std::vector<LostRange> lost = (*reader)->TakeLost();
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost.front().first_offset, 0);
  EXPECT_EQ(lost.front().end_offset, 1);
}

// A run of the journal stood before runs that go around it, the journal was too full for it, and
// what could be flushed to make room was put off for these, which nobody could pack.
TEST_F(FoundTest, AFullJournalIsNotWaitedForInVain) {
  const std::string value(10'000, 'v');
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    OpenInWorld({}, seed);
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 64 << 10;
    std::vector<Partition*> partitions;
    for (const char* name : {"busy", "a", "b"}) {
      const auto topic = engine_->CreateTopic(name, 1, config);
      ASSERT_TRUE(topic.ok());
      partitions.push_back((*topic)->partition(0));
    }
    Random random(seed);
    for (int i = 0; i < 2'000; ++i) {
      const bool others = i % 500 < 15;  // their tails keep the journal's oldest part
      Partition& partition = *partitions[others ? random.Below(3) : 0];
      Record record;
      record.value = value;
      for (int turns = 0; !partition.Append(record, Durability::buffered).ok(); ++turns) {
        ASSERT_LT(turns, 1'000) << "for ever busy, seed " << seed << ", record " << i;
        engine_->Poll(std::chrono::milliseconds(random.OneIn(3) ? 100 : 0));
      }
      if (random.OneIn(30)) engine_->Poll(std::chrono::milliseconds(0));
      if (random.OneIn(40)) world_->clock.Pass(static_cast<int64_t>(random.Below(600'000)));
    }
    EXPECT_GT(engine_->stats().around_journal_bytes, 0U);
  }
}

}  // namespace
}  // namespace tidemark::sim
