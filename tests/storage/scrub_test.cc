// The scrub: what it finds, that it tells it once, and that it keeps out of the way.
#include <functional>
#include <set>

#include "storage/open.h"
#include "tests/support/damage_fixture.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"

namespace tidemark::testing {
namespace {

class ScrubTest : public DamageFixture {
 protected:
  static constexpr int64_t kSecondUs = 1'000'000;
  static constexpr int64_t kHourUs = 3600 * kSecondUs;
  static constexpr int64_t kRecords = 32'000;

  ~ScrubTest() override { engine_.reset(); }  // before its world goes

  // Some segments of a clean store, opened again in a world whose time a test moves.
  void MakeStore() {
    MakeSegments(kRecords, int64_t{1} << 20);
    bases_ = SegmentBases();
    ASSERT_GE(bases_.size(), 3u);
    options_.scrub_bytes_per_second = uint64_t{1} << 30;
    options_.scrub_interval_hours = 1;
  }
  void OpenWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
    engine_->TakeNotices();
  }
  // Whether `done` came true before the time was up; a turn a millisecond.
  bool PassUntil(const std::function<bool()>& done, int64_t most_us = 600 * kSecondUs) {
    const int64_t until_us = clock_.now_us + most_us;
    while (!done() && clock_.now_us < until_us) {
      clock_.now_us += 1'000;
      engine_->Poll(std::chrono::microseconds(0));
    }
    for (const Notice& notice : engine_->TakeNotices()) notices_.push_back(notice);
    return done();
  }
  void RunRound() {
    const uint64_t rounds = engine_->stats().scrub_rounds;
    EXPECT_TRUE(PassUntil([&] { return engine_->stats().scrub_rounds > rounds; }));
  }
  // Rounds until then are through; the next one begins with the next turn.
  void PassInterval() { clock_.now_us += kHourUs; }
  std::vector<std::string> Told() const {
    std::vector<std::string> texts;
    for (const Notice& notice : notices_) {
      if (notice.text.starts_with("scrub")) texts.push_back(notice.text);
    }
    return texts;
  }
  void Flip(const std::string& path, uint64_t position) {
    const std::string content = ReadFile(path);
    Overwrite(path, position, std::string(1, static_cast<char>(content[position] ^ 0x10)));
  }
  uint64_t LogBytes() {
    uint64_t bytes = 0;
    for (const int64_t base : bases_) bytes += ReadFile(LogPath(base)).size();
    return bytes;
  }

  FaultWorld world_;
  ManualClock clock_;
  std::vector<int64_t> bases_;
};

TEST_F(ScrubTest, AStoreInOrderIsReadAndNothingIsTold) {
  MakeStore();
  OpenWorld();
  RunRound();
  EXPECT_EQ(engine_->stats().scrubbed_bytes, LogBytes());
  PassInterval();
  RunRound();
  EXPECT_EQ(Told(), std::vector<std::string>());
}

TEST_F(ScrubTest, DamageOfASealedSegmentIsToldOnce) {
  MakeStore();
  const auto batches = Batches(bases_[1]);
  const auto& [position, header] = batches[1];
  Flip(LogPath(bases_[1]), position + 200);
  OpenWorld();
  for (int round = 0; round < 3; ++round) {
    RunRound();
    PassInterval();
  }
  const auto told = Told();
  ASSERT_EQ(told.size(), 1u);
  const std::string expected =
      "scrub of t-0: lost: t-0 offsets " + std::to_string(header.base_offset) + " to " +
      std::to_string(header.next_offset() - 1) + ": " + LogPath(bases_[1]) + " at " +
      std::to_string(position) + ": batch: CRC";
  EXPECT_EQ(told[0].substr(0, expected.size()), expected);
  EXPECT_NE(told[0].find("tidemark repair"), std::string::npos);
  EXPECT_EQ(notices_.back().level, NoticeLevel::error);
}

TEST_F(ScrubTest, WhileWritingGoesOnTheActiveSegmentIsReadAsFarAsItIsFlushed) {
  MakeStore();
  const auto batches = Batches(bases_.back());
  Flip(LogPath(bases_.back()), batches[0].first + 200);
  OpenWorld();
  int64_t next = kRecords;
  const auto write = [&] {
    AppendRange(next, next + 20);
    next += 20;
  };
  EXPECT_TRUE(PassUntil([&] {
    write();
    return engine_->stats().scrub_rounds > 0;
  }));
  ASSERT_EQ(Told().size(), 1u);
  const std::string place = LogPath(bases_.back()) + " at " + std::to_string(batches[0].first);
  EXPECT_NE(Told()[0].find(place), std::string::npos) << Told()[0];
  // It grows and is rolled; no round after that calls anything else damage.
  for (int round = 0; round < 5; ++round) {
    PassInterval();
    const uint64_t rounds = engine_->stats().scrub_rounds;
    EXPECT_TRUE(PassUntil([&] {
      write();
      return engine_->stats().scrub_rounds > rounds;
    }));
    for (int i = 0; i < 200; ++i) write();
  }
  EXPECT_GT(SegmentBases().size(), bases_.size());
  EXPECT_EQ(Told().size(), 1u);
}

TEST_F(ScrubTest, IndexesAreHeldAgainstTheLog) {
  MakeStore();
  const std::string offsets = SegmentFilePath(bases_[0], storage::SegmentFile::offset_index);
  const std::string times = SegmentFilePath(bases_[1], storage::SegmentFile::time_index);
  Flip(offsets, 7);
  Flip(times, 11);
  OpenWorld();
  RunRound();
  const auto told = Told();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_NE((told[0] + told[1]).find(offsets), std::string::npos);
  EXPECT_NE((told[0] + told[1]).find(times), std::string::npos);
  EXPECT_EQ(notices_.back().level, NoticeLevel::warning);
}

TEST_F(ScrubTest, SealsAreHeldAgainstTheirFiles) {
  MakeStore();
  const std::string seal = SegmentFilePath(bases_[0], storage::SegmentFile::seal);
  Flip(seal, 60);
  Flip(LogPath(bases_[1]), Batches(bases_[1])[1].first + 13);  // the leader epoch
  OpenWorld();
  RunRound();
  const auto told = Told();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_NE((told[0] + told[1]).find(seal), std::string::npos);
  EXPECT_NE((told[0] + told[1]).find(LogPath(bases_[1]) + " at 0: the bytes"), std::string::npos);
  EXPECT_EQ(notices_.back().level, NoticeLevel::warning);
}

TEST_F(ScrubTest, AFileThatCannotBeReadIsTold) {
  MakeStore();
  OpenWorld();
  world_.plan = [&](Call call, const std::string& path) {
    return call == Call::read && path == LogPath(bases_[1]) ? EIO : 0;
  };
  RunRound();
  std::filesystem::remove(LogPath(bases_[0]));
  PassInterval();
  RunRound();
  ASSERT_EQ(Told().size(), 2u);
  EXPECT_NE(Told()[0].find("unreadable: " + LogPath(bases_[1])), std::string::npos) << Told()[0];
  EXPECT_NE(Told()[1].find("unreadable: " + LogPath(bases_[0])), std::string::npos) << Told()[1];
}

// Found by the simulator: what a read that failed had kept from it was called wrong.
TEST_F(ScrubTest, AnIndexOrASealThatCannotBeReadIsToldAsThat) {
  MakeStore();
  for (const auto kind : {storage::SegmentFile::time_index, storage::SegmentFile::seal}) {
    OpenWorld();
    const std::string unreadable = SegmentFilePath(bases_[1], kind);
    world_.plan = [&](Call call, const std::string& path) {
      return call == Call::read && path == unreadable ? EIO : 0;
    };
    RunRound();
    ASSERT_EQ(Told().size(), 1u);
    EXPECT_NE(Told()[0].find("unreadable: " + unreadable), std::string::npos) << Told()[0];
    world_.plan = [](Call, const std::string&) { return 0; };
    notices_.clear();
    Crash();
  }
}

TEST_F(ScrubTest, ItKeepsItsRate) {
  MakeStore();
  options_.scrub_bytes_per_second = uint64_t{128} << 10;
  OpenWorld();
  EXPECT_TRUE(PassUntil([&] { return engine_->stats().scrubbed_bytes > 0; }));
  const int64_t begin_us = clock_.now_us;
  RunRound();
  const auto seconds = static_cast<double>(clock_.now_us - begin_us) / kSecondUs;
  const auto wanted = static_cast<double>(LogBytes()) / (128 << 10);
  EXPECT_GT(seconds, wanted - 3);  // the first piece costs nothing before it is read
  EXPECT_LT(seconds, wanted + 3);
}

TEST_F(ScrubTest, OffIsOff) {
  MakeStore();
  options_.scrub_bytes_per_second = 0;
  OpenWorld();
  EXPECT_FALSE(PassUntil([&] { return engine_->stats().scrubbed_bytes > 0; }));
}

TEST_F(ScrubTest, RoundsBeginAtTheirInterval) {
  MakeStore();
  OpenWorld();
  RunRound();
  const uint64_t bytes = engine_->stats().scrubbed_bytes;
  EXPECT_FALSE(PassUntil([&] { return engine_->stats().scrubbed_bytes > bytes; }));
  clock_.now_us += kHourUs - 600 * kSecondUs;
  EXPECT_TRUE(PassUntil([&] { return engine_->stats().scrubbed_bytes > bytes; }));
}

// A gateway that is started anew each day must not look at the same segments only.
TEST_F(ScrubTest, ARoundBeginsSomewhere) {
  MakeStore();
  options_.scrub_bytes_per_second = 1;  // one piece, and no more
  std::set<std::string> first;
  for (int i = 0; i < 100 && first.size() < 2; ++i) {
    std::string opened;
    world_.plan = [&](Call call, const std::string& path) {
      if (call == Call::open && path.ends_with(".log") && opened.empty()) opened = path;
      return 0;
    };
    OpenWorld();
    opened.clear();
    EXPECT_TRUE(PassUntil([&] { return engine_->stats().scrubbed_bytes > 0; }));
    first.insert(opened);
    CloseCleanly();
  }
  EXPECT_EQ(first.size(), 2u);
}

TEST_F(ScrubTest, ATopicThatIsDeletedMeanwhileIsNoDamage) {
  MakeStore();
  options_.scrub_bytes_per_second = uint64_t{512} << 10;
  OpenWorld();
  const uint64_t before = engine_->stats().memory_bytes;  // a segment that is being read has some
  EXPECT_TRUE(PassUntil([&] { return engine_->stats().memory_bytes > before; }));
  ASSERT_TRUE(engine_->DeleteTopic("t").ok());
  MakeTopic("other");
  Append(PartitionOf("other"), "x");
  RunRound();
  EXPECT_TRUE(PassUntil([&] { return !engine_->deletions_pending(); }));
  EXPECT_FALSE(std::filesystem::exists(PathOf("t-0")));
  EXPECT_EQ(Told(), std::vector<std::string>());
}

// What it takes is counted, and given back.
TEST_F(ScrubTest, ItsMemoryIsCounted) {
  MakeStore();
  options_.scrub_bytes_per_second = uint64_t{64} << 10;
  OpenWorld();
  const uint64_t before = engine_->stats().memory_bytes;
  EXPECT_TRUE(PassUntil([&] { return engine_->stats().memory_bytes > before; }));
  const uint64_t during = engine_->stats().memory_bytes;
  EXPECT_GT(during, before);
  EXPECT_LT(during, before + (uint64_t{1} << 20));
  RunRound();
  EXPECT_EQ(engine_->stats().memory_bytes, before);
}

}  // namespace
}  // namespace tidemark::testing
