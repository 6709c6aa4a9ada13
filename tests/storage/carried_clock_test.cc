// The engine clock from one opening to the next: it goes on within a boot, and never too far.
#include "storage/carried_clock.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "storage/open.h"
#include "storage/seal.h"
#include "tests/support/fault_world.h"
#include "tests/support/manual_clock.h"
#include "tests/support/retention_fixture.h"

namespace tidemark::testing {
namespace {

using storage::CarriedClock;
using storage::DecodeCarriedClock;
using storage::EncodeCarriedClock;

const CarriedClock kClock{"8b1a9953-c461-4e0b-8c2d-7a1f2b3c4d5e/time:[4026531834]", 12, 345'678'901,
                          -7};

TEST(CarriedClockFormat, IsTextWithAChecksum) {
  const std::string text = EncodeCarriedClock(kClock);
  EXPECT_EQ(text.substr(0, text.rfind("xxh3 ")),
            "tidemark-clock 1\n"
            "boot 8b1a9953-c461-4e0b-8c2d-7a1f2b3c4d5e/time:[4026531834]\n"
            "incarnation 12\n"
            "monotonic_us 345678901\n"
            "engine_clock_ms -7\n");
  EXPECT_EQ(DecodeCarriedClock(text), kClock);
}

TEST(CarriedClockFormat, AnyDamageIsNoticed) {
  const std::string text = EncodeCarriedClock(kClock);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(DecodeCarriedClock(damaged)) << i;
    EXPECT_FALSE(DecodeCarriedClock(text.substr(0, i))) << i;
  }
  EXPECT_FALSE(DecodeCarriedClock(text + "\n"));
  EXPECT_FALSE(DecodeCarriedClock(text + text));
}

class CarriedClockTest : public RetentionFixture {
 protected:
  CarriedClockTest() { world_.boot = "first"; }
  ~CarriedClockTest() override { Crash(); }  // before its world goes

  void OpenWorld() {
    auto engine = storage::OpenEngine(world_.environment(clock_), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  // Kept for 100 seconds; the first segment is finished, its last record just appended.
  void MakeStore() {
    OpenWorld();
    TopicConfig config = SmallSegments();
    config.retention_ms = 100'000;
    config.segment_ms = 1'000;
    Partition& partition = MakeTopic("t", config);
    AppendDurably(partition, ValueOf(0));
    clock_.AdvanceSeconds(2);
    Turn();
    ASSERT_EQ(Segments().size(), 2U);
  }
  void Turn() {
    for (int i = 0; i < 50; ++i) engine_->Poll(std::chrono::microseconds(0));
  }
  void Stop(bool cleanly) {
    if (cleanly) {
      CloseCleanly();
    } else {
      Crash();
    }
  }
  void ExpectStart(int64_t offset) {
    Turn();
    EXPECT_EQ(PartitionOf("t").log_start_offset(), offset);
  }
  std::string ClockFile() const {
    std::ifstream file(PathOf("clock"), std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
  }
  void WriteClockFile(const std::string& content) const {
    std::ofstream(PathOf("clock"), std::ios::binary | std::ios::trunc) << content;
  }

  FaultWorld world_;
  ManualClock clock_;
};

TEST_F(CarriedClockTest, WithinABootTheTimeCountsInWhichTheStoreIsClosed) {
  MakeStore();
  for (const bool cleanly : {true, false, true}) {
    Stop(cleanly);
    clock_.AdvanceSeconds(30);
    clock_.wall_ms = 0;
    OpenWorld();
    ExpectStart(0);
  }
  Stop(false);
  clock_.AdvanceSeconds(9);  // 101 seconds in all
  OpenWorld();
  ExpectStart(1);
}

TEST_F(CarriedClockTest, AcrossBootsItDoesNot) {
  MakeStore();
  Crash();
  world_.boot = "second";
  clock_.AdvanceSeconds(1'000'000);
  OpenWorld();
  ExpectStart(0);
  Crash();
  world_.boot.clear();  // not known: as another one
  OpenWorld();
  clock_.AdvanceSeconds(1'000'000);
  Crash();
  OpenWorld();
  ExpectStart(0);
  clock_.AdvanceSeconds(101);
  ExpectStart(1);
}

TEST_F(CarriedClockTest, AClockThatSteppedBackSaysNothing) {
  MakeStore();
  Crash();
  clock_.now_us = 1;  // as a machine that was brought back from a snapshot
  OpenWorld();
  ExpectStart(0);
  clock_.AdvanceSeconds(101);
  ExpectStart(1);
}

TEST_F(CarriedClockTest, DamageCostsNoMoreThanTheTimeInBetween) {
  MakeStore();
  const std::string good = ClockFile();
  ASSERT_TRUE(DecodeCarriedClock(good));
  for (const std::string& content : {std::string(), std::string(2000, 'x'), good + "x"}) {
    Crash();
    WriteClockFile(content);
    clock_.AdvanceSeconds(1'000);
    OpenWorld();
    ExpectStart(0);
  }
  Crash();
  std::filesystem::remove(PathOf("clock"));
  std::filesystem::create_directory(PathOf("clock"));
  clock_.AdvanceSeconds(1'000);
  OpenWorld();
  ExpectStart(0);
}

// Else records of an opening that knew nothing of the time before would age by that time.
TEST_F(CarriedClockTest, TheFileOfAnOlderOpeningDoesNotCount) {
  MakeStore();
  const std::string old = ClockFile();
  Crash();
  WriteClockFile("");
  clock_.AdvanceSeconds(1'000);
  OpenWorld();  // goes on as if no time had passed
  AppendDurably(PartitionOf("t"), ValueOf(1));
  Crash();
  WriteClockFile(old);
  OpenWorld();
  ExpectStart(0);
}

}  // namespace
}  // namespace tidemark::testing
