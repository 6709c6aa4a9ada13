// Verification beside an engine that removes and replaces segments while they are read: what that
// looks like is no damage, and what is damaged is told all the same.
#include <cerrno>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/storage/compaction_fixture.h"
#include "tests/support/fault_world.h"
#include "tests/support/retention_fixture.h"

namespace tidemark::testing {
namespace {

using storage::Finding;
using storage::SegmentFile;
using storage::VerifyReport;

// Verifies through a file system that lets a test do something when a file is opened.
class WatchedVerification {
 public:
  // `at`: asked with the path and how often it was opened before; an errno makes the opening fail.
  explicit WatchedVerification(std::function<int(const std::string& path, int times)> at) {
    world_.plan = [this, at = std::move(at)](Call call, const std::string& path) {
      return call == Call::open ? at(path, opens_[path]++) : 0;
    };
  }
  VerifyReport Verify(const std::string& data_dir) {
    storage::VerifyOptions options;
    options.data_dir = data_dir;
    options.deep = true;
    auto report = storage::VerifyStore(world_.files(), options);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    looks_ = opens_[data_dir + "/manifest"];
    return report.ok() ? *std::move(report) : VerifyReport();
  }
  // How often the whole store was looked at.
  int looks() const { return looks_; }

 private:
  FaultWorld world_;
  std::map<std::string, int> opens_;
  int looks_ = 0;
};

std::string TextOf(const VerifyReport& report) {
  std::string text;
  for (const Finding& finding : report.findings) text += finding.ToText() + "\n";
  return text;
}

class VerifyBesideTest : public RetentionFixture {
 protected:
  void SetUp() override {
    MakeSegments(SmallSegments(), 8'000);
    bases_ = Segments();
    ASSERT_GT(bases_.size(), 5U);
  }
  std::string LogOf(size_t i) const {
    return storage::SegmentPath(PathOf("t-0"), bases_[i], SegmentFile::log);
  }
  void Damage(size_t i) {
    std::fstream file(LogOf(i), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(100);
    file << "damaged";
  }
  // Segments 0, 1 and 2 are gone.
  void RemoveThree() {
    ASSERT_TRUE(PartitionOf("t").DeleteRecords(bases_[3]).ok());
    PollUntilRemoved(3);
  }
  void ExpectOnlyLossIn(const VerifyReport& report, size_t i) {
    ASSERT_EQ(report.findings.size(), 1U) << TextOf(report);
    EXPECT_EQ(report.findings[0].kind, Finding::Kind::loss);
    EXPECT_EQ(report.findings[0].path, LogOf(i));
    EXPECT_EQ(report.findings[0].first_offset, bases_[i]);
  }
  std::vector<int64_t> bases_;
};

// That partition is looked at once more, and not the whole store.
TEST_F(VerifyBesideTest, ASegmentThatGoesBeforeItIsReadIsNoDamage) {
  WatchedVerification verification([&](const std::string& path, int times) {
    if (path == LogOf(0) && times == 0) RemoveThree();
    return 0;
  });
  const VerifyReport report = verification.Verify(options_.data_dir);
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_TRUE(report.in_use);
  EXPECT_EQ(report.segments, bases_.size() - 3);
  EXPECT_EQ(verification.looks(), 1);
}

TEST_F(VerifyBesideTest, WhatIsDamagedIsToldOnceThoughOthersGo) {
  Damage(4);
  WatchedVerification verification([&](const std::string& path, int times) {
    if (path == LogOf(1) && times == 0) RemoveThree();
    return 0;
  });
  ExpectOnlyLossIn(verification.Verify(options_.data_dir), 4);
  EXPECT_EQ(verification.looks(), 2);
}

// What was wrong at one look only was being changed; each look has something else here.
TEST_F(VerifyBesideTest, OnlyWhatIsWrongAtBothLooksIsTold) {
  const auto at = [&](const std::string& path, int times) {
    return (path == LogOf(4) && times == 0) || (path == LogOf(5) && times == 1) ? EIO : 0;
  };
  WatchedVerification beside(at);
  VerifyReport report = beside.Verify(options_.data_dir);
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_EQ(beside.looks(), 2);
  Crash();  // nobody changes anything any more
  WatchedVerification alone(at);
  report = alone.Verify(options_.data_dir);
  EXPECT_TRUE(report.Has(Finding::Kind::unreadable)) << TextOf(report);
  EXPECT_EQ(alone.looks(), 1);
}

TEST_F(VerifyBesideTest, AnEngineThatIsOpenedMeanwhileMakesASecondLookNeeded) {
  CloseCleanly();
  WatchedVerification verification([&](const std::string& path, int times) {
    if (path != LogOf(0) || times != 0) return 0;
    Open();
    RemoveThree();
    return 0;
  });
  const VerifyReport report = verification.Verify(options_.data_dir);
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_TRUE(report.in_use);
  EXPECT_EQ(verification.looks(), 2);
}

using VerifyBesideCompactionTest = CompactionFixture;

// The seal that was read says what the files were that others have taken the place of.
TEST_F(VerifyBesideCompactionTest, SegmentsThatAreReplacedWhileTheyAreReadAreNoDamage) {
  OpenInWorld();
  MakeTopic("t", Compacted());
  PutMany(PartitionOf("t"), 4'000, 10);
  Settle();
  ASSERT_GT(Segments().size(), 2U);
  const uint64_t before_bytes = LogBytes();
  const std::string path = storage::SegmentPath(PathOf("t-0"), 0, SegmentFile::log);
  WatchedVerification verification([&](const std::string& opened, int times) {
    if (opened == path && times == 0) PollUntilPasses(engine_->stats().compaction_passes + 1);
    return 0;
  });
  const VerifyReport report = verification.Verify(options_.data_dir);
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_LT(LogBytes(), before_bytes);
  EXPECT_EQ(verification.looks(), 1);
}

}  // namespace
}  // namespace tidemark::testing
