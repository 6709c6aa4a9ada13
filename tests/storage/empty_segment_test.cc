// An active segment with nothing in it, beside which a crash has left other files than belong to an
// empty one. What is packed next begins a segment of its own, so that only an opening brings them
// in order.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "storage/verify.h"
#include "tests/support/damage_fixture.h"

namespace tidemark::testing {
namespace {

using storage::Finding;
using storage::SegmentFile;

class EmptySegmentTest : public DamageFixture {
 protected:
  static constexpr int64_t kBase = 3;

  // A crash, behind a checkpoint that knows the empty segment.
  void SetUp() override {
    MakeSegments(kBase);
    Open();
    TopicConfig config = engine_->FindTopic("t")->config();
    config.index_interval_bytes /= 2;
    ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
    CloseCleanly();
    ASSERT_EQ(SegmentBases(), (std::vector<int64_t>{0, kBase}));
    ASSERT_EQ(ReadFile(LogPath(kBase)), "");
    CrashOnceMore();
  }
  void CrashOnceMore() {
    Open();
    Crash();
  }
  void RemoveFile(SegmentFile kind) {
    ASSERT_TRUE(std::filesystem::remove(SegmentFilePath(kBase, kind)));
  }
  void LeaveEntries(SegmentFile kind) {
    const size_t bytes = kind == SegmentFile::time_index ? 12 : 8;
    WriteFile(SegmentFilePath(kBase, kind), std::string(bytes, '\1'));
  }
  // After an opening and a clean stop.
  std::vector<Finding> FindingsAfterAStop() {
    Open();
    CloseCleanly();
    storage::VerifyOptions options;
    options.data_dir = options_.data_dir;
    auto report = storage::VerifyStore(io::SystemFiles(), options);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report->findings;
  }
  static std::string TextOf(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings) text += finding.path + ": " + finding.what + "\n";
    return text;
  }
};

TEST_F(EmptySegmentTest, AMissingIndexIsMadeAnew) {
  for (const SegmentFile kind : {SegmentFile::offset_index, SegmentFile::time_index}) {
    RemoveFile(kind);
    EXPECT_EQ(TextOf(FindingsAfterAStop()), "");
    CrashOnceMore();
  }
}

TEST_F(EmptySegmentTest, EntriesOfRecordsThatAreGoneAreRemoved) {
  for (const SegmentFile kind : {SegmentFile::offset_index, SegmentFile::time_index}) {
    LeaveEntries(kind);
    EXPECT_EQ(TextOf(FindingsAfterAStop()), "");
    CrashOnceMore();
  }
}

TEST_F(EmptySegmentTest, SoAreThoseOfALogThatIsCut) {
  LeaveEntries(SegmentFile::time_index);
  RemoveFile(SegmentFile::offset_index);
  WriteFile(LogPath(kBase), "what was not flushed");
  EXPECT_EQ(TextOf(FindingsAfterAStop()), "");
}

// The record that was to come first into it is lost: it stays behind.
TEST_F(EmptySegmentTest, OneThatStaysBehindIsInOrder) {
  const size_t commits = CommitsWithFrames().size();
  Open();
  AppendRange(kBase, kBase + 1);
  AppendRange(kBase + 1, kBase + 2);
  Crash();
  Overwrite(PathOf("journal"), CommitsWithFrames()[commits].first, std::string(64, 'X'));
  LeaveEntries(SegmentFile::time_index);
  RemoveFile(SegmentFile::offset_index);
  const std::vector<Finding> findings = FindingsAfterAStop();
  ASSERT_EQ(findings.size(), 1U) << TextOf(findings);
  EXPECT_EQ(findings[0].kind, Finding::Kind::loss);
  EXPECT_EQ(findings[0].first_offset, kBase);
  EXPECT_EQ(findings[0].end_offset, kBase + 1);
  EXPECT_EQ(SegmentBases(), (std::vector<int64_t>{0, kBase, kBase + 1}));
}

}  // namespace
}  // namespace tidemark::testing
