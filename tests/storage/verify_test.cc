// Verification: what is in order is said to be, what is not is named, and nothing is changed.
#include "storage/verify.h"

#include <algorithm>

#include "base/hash.h"
#include "storage/seal.h"
#include "tests/support/damage_fixture.h"

namespace tidemark::testing {
namespace {

using storage::Finding;
using storage::VerifyReport;

class VerifyTest : public DamageFixture {
 protected:
  static constexpr int64_t kRecords = 20'000;

  // Several segments.
  void MakeStore() { FillSegments(kRecords, int64_t{768} << 10); }
  void MakeCleanStore() {
    MakeStore();
    CloseCleanly();
  }
  VerifyReport Verify(bool deep = true) {
    storage::VerifyOptions options;
    options.data_dir = options_.data_dir;
    options.deep = deep;
    auto report = storage::VerifyStore(io::SystemFiles(), options);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return *std::move(report);
  }
  static std::string TextOf(const VerifyReport& report) {
    std::string text;
    for (const Finding& finding : report.findings) {
      text += finding.path + ": " + finding.what + " [" + std::to_string(finding.first_offset) +
              ", " + std::to_string(finding.end_offset) + ")\n";
    }
    return text;
  }
  static void ExpectOnlyLoss(const VerifyReport& report, int64_t first, int64_t end) {
    ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
    EXPECT_EQ(report.findings[0].kind, Finding::Kind::loss);
    EXPECT_EQ(report.findings[0].topic, "t");
    EXPECT_EQ(report.findings[0].partition, 0);
    EXPECT_EQ(report.findings[0].first_offset, first);
    EXPECT_EQ(report.findings[0].end_offset, end);
  }
};

TEST_F(VerifyTest, AStoreInOrderHasNoFindings) {
  MakeStore();
  VerifyReport report = Verify();  // beside the engine
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_TRUE(report.in_use);
  Crash();
  report = Verify();
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_FALSE(report.in_use);
  EXPECT_FALSE(report.clean);
  Open();
  CloseCleanly();
  report = Verify();
  EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  EXPECT_TRUE(report.clean);
  EXPECT_EQ(report.records, static_cast<uint64_t>(kRecords));
  EXPECT_GE(report.segments, 3u);
}

TEST_F(VerifyTest, EveryByteOfABatchCounts) {
  MakeCleanStore();
  const auto batches = Batches();
  const auto& [position, header] = batches[1];
  const std::string log = ReadFile(LogPath());
  for (const size_t at : {0U, 7U, 8U, 11U, 16U, 17U, 22U, 40U, 60U, 61U, 1000U}) {
    SCOPED_TRACE(at);
    std::string damaged = log;
    damaged[position + at] = static_cast<char>(damaged[position + at] ^ 0x10);
    WriteFile(LogPath(), damaged);
    ExpectOnlyLoss(Verify(), header.base_offset, header.next_offset());
  }
}

TEST_F(VerifyTest, AMissingSegmentIsALoss) {
  MakeCleanStore();
  const auto bases = SegmentBases();
  ASSERT_GE(bases.size(), 3u);
  std::filesystem::rename(LogPath(bases[1]), PathOf("elsewhere"));
  VerifyReport report = Verify();
  std::erase_if(report.findings, [](const Finding& f) { return f.kind == Finding::Kind::note; });
  ExpectOnlyLoss(report, bases[1], bases[2]);
  std::filesystem::rename(PathOf("elsewhere"), LogPath(bases[1]));
  std::filesystem::remove(LogPath(bases.back()));
  report = Verify();
  std::erase_if(report.findings, [](const Finding& f) { return f.kind == Finding::Kind::note; });
  ExpectOnlyLoss(report, bases.back(), kRecords);
}

TEST_F(VerifyTest, IndexesAreHeldAgainstTheLog) {
  MakeCleanStore();
  for (const char* suffix : {"index", "timeindex"}) {
    const std::string path = PathOf("t-0/00000000000000000000.") + suffix;
    const std::string whole = ReadFile(path);
    const size_t entry = suffix == std::string("index") ? 8 : 12;
    ASSERT_GE(whole.size(), entry);
    std::vector<std::string> wrong = {"", whole + std::string(entry, '\0'), whole + "x"};
    for (size_t at = 0; at < whole.size(); ++at) {
      wrong.push_back(whole);
      wrong.back()[at] = static_cast<char>(wrong.back()[at] ^ 1);
    }
    for (const std::string& content : wrong) {
      WriteFile(path, content);
      const VerifyReport report = Verify(/*deep=*/false);
      ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
      EXPECT_EQ(report.findings[0].kind, Finding::Kind::fault);
      EXPECT_EQ(report.findings[0].path, path);
    }
    WriteFile(path, whole);
  }
}

TEST_F(VerifyTest, AMissingIndexIsNamedOnce) {
  MakeCleanStore();
  const std::string path = SegmentFilePath(0, storage::SegmentFile::time_index);
  std::filesystem::remove(path);
  const VerifyReport report = Verify(/*deep=*/false);
  ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
  EXPECT_EQ(report.findings[0].ToText(), "fault: " + path + ": it is missing");
}

class VerifySealTest : public VerifyTest {
 protected:
  void SetUp() override {
    MakeCleanStore();
    ASSERT_TRUE(std::filesystem::exists(seal_path_));
  }
  void ExpectOnlyFault(const std::string& path, const std::string& text,
                       std::optional<uint64_t> position = {}) {
    const VerifyReport report = Verify();
    ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
    EXPECT_EQ(report.findings[0].kind, Finding::Kind::fault);
    EXPECT_EQ(report.findings[0].path, path);
    EXPECT_EQ(report.findings[0].position, position);
    EXPECT_NE(report.findings[0].what.find(text), std::string::npos) << report.findings[0].what;
  }
  std::string seal_path_ = SegmentFilePath(0, storage::SegmentFile::seal);
};

TEST_F(VerifySealTest, AMissingOneIsNoFault) {
  std::filesystem::remove(seal_path_);
  EXPECT_TRUE(Verify().findings.empty());
}

TEST_F(VerifySealTest, ADamagedOneIsAFault) {
  const std::string whole = ReadFile(seal_path_);
  for (const std::string& content :
       {std::string(), whole.substr(0, 100), whole + "x", std::string(whole.size(), '\0')}) {
    WriteFile(seal_path_, content);
    ExpectOnlyFault(seal_path_, "seal: ");
  }
}

TEST_F(VerifySealTest, OneFromElsewhereIsAFault) {
  const int64_t next = SegmentBases()[1];
  const std::string other = SegmentFilePath(next, storage::SegmentFile::seal);
  const std::string whole = ReadFile(seal_path_);
  std::filesystem::copy_file(other, seal_path_, std::filesystem::copy_options::overwrite_existing);
  ExpectOnlyFault(seal_path_, "begins at " + std::to_string(next));
  auto seal = *storage::DecodeSeal(base::AsBytes(whole));
  seal.owner.partition = 1;
  WriteFile(seal_path_, std::string(base::AsText(storage::EncodeSeal(seal))));
  ExpectOnlyFault(seal_path_, "another partition");
}

TEST_F(VerifySealTest, ANewerOneIsANote) {
  std::string seal = ReadFile(seal_path_);
  seal[8] = 3;
  const uint64_t checksum = base::Xxh3(base::AsBytes(seal).first(seal.size() - 8));
  base::StoreLittle(seal.data() + seal.size() - 8, checksum);
  WriteFile(seal_path_, seal);
  const VerifyReport report = Verify();
  ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
  EXPECT_EQ(report.findings[0].kind, Finding::Kind::note);
  EXPECT_NE(report.findings[0].what.find("newer"), std::string::npos);
}

// The leader epoch has no CRC, and the length of a log that ends between two batches none either.
TEST_F(VerifySealTest, WhatNoCrcSeesIsToldByTheSeal) {
  const auto batches = Batches();
  const std::string whole = ReadFile(LogPath());
  std::string log = whole;
  log[batches[1].first + 13] = 1;
  WriteFile(LogPath(), log);
  ExpectOnlyFault(LogPath(), "are not those that were sealed", 0);

  WriteFile(LogPath(), whole.substr(0, batches.back().first));
  VerifyReport report = Verify();
  const std::string sealed = std::to_string(whole.size()) + " were sealed";
  EXPECT_EQ(std::count_if(report.findings.begin(), report.findings.end(),
                          [&](const Finding& finding) {
                            return finding.kind == Finding::Kind::fault &&
                                   finding.path == LogPath() &&
                                   finding.what.find(sealed) != std::string::npos;
                          }),
            1);
  std::erase_if(report.findings, [](const Finding& f) { return f.kind != Finding::Kind::loss; });
  ExpectOnlyLoss(report, batches.back().second.base_offset, SegmentBases()[1]);
}

// Segments that were finished under another interval are as they were sealed; the active one is
// finished by the change.
TEST_F(VerifyTest, AnIntervalThatIsLoweredMakesNoIndexIncomplete) {
  Open();
  TopicConfig config;
  config.compression = Compression::none;
  config.segment_bytes = int64_t{64} << 10;
  config.index_interval_bytes = 1 << 20;
  MakeTopic("t", config);
  const std::string value(1'000, 'v');
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 15; ++i) Append(PartitionOf("t"), value);
    CloseCleanly();  // each time a batch or more
    Open();
  }
  config.index_interval_bytes = 4096;
  ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
  for (int more = 0; more < 2; ++more) {
    CloseCleanly();
    const VerifyReport report = Verify();
    EXPECT_TRUE(report.findings.empty()) << TextOf(report);
    Open();
    Append(PartitionOf("t"), value);
  }
}

class VerifyUnsealedTest : public VerifyTest {
 protected:
  // A batch each; of those with a time, one a second.
  void MakeStoreOf(const std::vector<size_t>& value_bytes, const TopicConfig& config, bool timed) {
    Open();
    MakeTopic("t", config);
    for (const size_t bytes : value_bytes) {
      const std::string value(bytes, 'v');
      Record record;
      record.value = value;
      record.timestamp_ms = kFirstTimestampMs;
      if (timed) record.timestamp_ms += 1'000 * PartitionOf("t").end_offset();
      Append(PartitionOf("t"), record);
      CloseCleanly();
      Open();
    }
  }
  // Neither a damaged seal nor one that is missing tells the interval.
  VerifyReport VerifyWithoutSeal(bool missing) {
    const std::string whole = ReadFile(seal_path_);
    if (missing) std::filesystem::remove(seal_path_);
    if (!missing) Overwrite(seal_path_, 100, "XXXX");
    VerifyReport report = Verify();
    WriteFile(seal_path_, whole);
    const size_t found = report.findings.size();
    std::erase_if(report.findings, [&](const Finding& f) { return f.path == seal_path_; });
    EXPECT_EQ(found - report.findings.size(), missing ? 0u : 1u);
    return report;
  }
  std::string seal_path_ = SegmentFilePath(0, storage::SegmentFile::seal);
  std::string index_path_ = SegmentFilePath(0, storage::SegmentFile::offset_index);
};

// The new interval makes the same entries at the beginning (none, and one), and more of them.
TEST_F(VerifyUnsealedTest, AnIndexOfAnIntervalThatWasLoweredIsRight) {
  for (const int32_t interval : {1 << 20, 8'000}) {
    SCOPED_TRACE(interval);
    std::filesystem::remove_all(options_.data_dir);
    TopicConfig config;
    config.compression = Compression::none;
    config.index_interval_bytes = interval;
    MakeStoreOf({10'000, 1'000, 1'000, 1'000, 1'000, 1'000, 1'000}, config, /*timed=*/true);
    // The first change finishes the segment.
    for (const int32_t altered : {interval + 1, 4096}) {
      config.index_interval_bytes = altered;
      ASSERT_TRUE(engine_->AlterTopic("t", config).ok());
      CloseCleanly();
      Open();
    }
    CloseCleanly();
    ASSERT_EQ(ReadFile(index_path_).size(), interval == 8'000 ? 8u : 0u);
    for (const bool missing : {false, true}) {
      const VerifyReport report = VerifyWithoutSeal(missing);
      EXPECT_TRUE(report.findings.empty()) << TextOf(report);
    }
  }
}

// Where times rise, the time index tells it; else the batches that have no entry, though so few
// bytes behind the entry before, as others that have one, or more.
TEST_F(VerifyUnsealedTest, AnIndexThatLacksItsEndIsTold) {
  constexpr size_t kEntryBytes = index::kOffsetEntryBytes;
  for (const bool timed : {true, false}) {
    std::filesystem::remove_all(options_.data_dir);
    TopicConfig config;
    config.compression = Compression::none;
    config.segment_bytes = 13'000;
    config.index_interval_bytes = 2'000;
    MakeStoreOf(std::vector<size_t>(14, 1'000), config, timed);
    CloseCleanly();
    const std::string whole = ReadFile(index_path_);
    ASSERT_EQ(whole.size(), 5 * kEntryBytes);
    for (size_t size = timed ? 0 : kEntryBytes; size < whole.size(); size += kEntryBytes) {
      for (const bool missing : {false, true}) {
        SCOPED_TRACE(std::to_string(size) + (timed ? " with times" : ""));
        WriteFile(index_path_, whole.substr(0, size));
        const VerifyReport report = VerifyWithoutSeal(missing);
        ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
        EXPECT_EQ(report.findings[0].path, index_path_);
        EXPECT_EQ(report.findings[0].what, "entries are missing");
      }
    }
    WriteFile(index_path_, whole);
  }
}

// It has no seal, and was written with the interval that its topic has.
TEST_F(VerifyUnsealedTest, TheActiveSegmentsIndexMustHaveWhatItsTopicsIntervalAsksFor) {
  TopicConfig config;
  config.compression = Compression::none;
  config.index_interval_bytes = 2'000;
  MakeStoreOf(std::vector<size_t>(6, 1'000), config, /*timed=*/false);
  CloseCleanly();
  ASSERT_EQ(ReadFile(index_path_).size(), 2 * index::kOffsetEntryBytes);
  WriteFile(index_path_, "");
  const VerifyReport report = Verify();
  ASSERT_EQ(report.findings.size(), 1u) << TextOf(report);
  EXPECT_EQ(report.findings[0].what, "entries are missing");
}

// Entries that follow the rule of another interval are right by themselves.
TEST_F(VerifySealTest, AnIndexOfWhichEveryEntryIsRightButWhichIsNotTheSealedOne) {
  const std::string path = SegmentFilePath(0, storage::SegmentFile::offset_index);
  const std::string whole = ReadFile(path);
  ASSERT_GE(whole.size(), 24u);
  WriteFile(path, whole.substr(8));
  ExpectOnlyFault(path, "not what was sealed");
}

TEST_F(VerifyTest, DamagedCommitsAreToldByTheirOffsets) {
  MakeCrashedStore(10);
  const auto commits = CommitsWithFrames();
  Overwrite(PathOf("journal"), commits[4].first + commits[4].second.data_offset() + 40, "XXXX");
  VerifyReport report = Verify();
  EXPECT_TRUE(report.Has(Finding::Kind::fault));
  std::erase_if(report.findings, [](const Finding& f) { return f.kind != Finding::Kind::loss; });
  ExpectOnlyLoss(report, 4, 5);
}

// Commits of which neither their own directory nor its copy in the next one can be read.
TEST_F(VerifyTest, CommitsOfWhichNobodyKnowsAnythingAreToldByWhatIsMissing) {
  MakeCrashedStore(10);
  const auto commits = CommitsWithFrames();
  Overwrite(PathOf("journal"), commits[4].first, std::string(64, 'X'));
  Overwrite(PathOf("journal"), commits[5].first, std::string(64, 'X'));
  VerifyReport report = Verify();
  const std::string name =
      "commit " + std::to_string(commits[4].second.sequence) + " is unreadable in every copy";
  EXPECT_NE(TextOf(report).find(name), std::string::npos) << TextOf(report);
  std::erase_if(report.findings, [](const Finding& f) { return f.kind != Finding::Kind::loss; });
  ExpectOnlyLoss(report, 4, 6);
}

// Without a later frame of the partition nobody can say which records they were.
TEST_F(VerifyTest, WhatUnknownCommitsMayHaveHeldIsToldOfPartitionsWithoutALaterFrame) {
  FillTwoTopics();
  AppendDurably(MakeTopic("later"), ValueOf(0));
  Crash();
  DamageBothCopiesOfADirectory();
  const VerifyReport report = Verify();
  EXPECT_EQ(std::count_if(report.findings.begin(), report.findings.end(),
                          [](const Finding& finding) {
                            return finding.what.find("unreadable commits may have held its last") !=
                                   std::string::npos;
                          }),
            1);
  EXPECT_NE(TextOf(report).find("t-0: unreadable commits may have held its last records, from "
                                "offset 1 on"),
            std::string::npos)
      << TextOf(report);
  // Of the other one the next frame tells where they end.
  const auto lost = std::find_if(report.findings.begin(), report.findings.end(),
                                 [](const Finding& f) { return f.topic == "other"; });
  ASSERT_NE(lost, report.findings.end()) << TextOf(report);
  EXPECT_EQ(lost->kind, Finding::Kind::loss);
  EXPECT_EQ(lost->first_offset, 0);
  EXPECT_EQ(lost->end_offset, 1);
}

TEST_F(VerifyTest, CopiesThatAreDamagedAreFaults) {
  MakeCleanStore();
  const std::string journal = ReadFile(PathOf("journal"));
  const std::string manifest = ReadFile(PathOf("manifest"));
  const auto superblock = SuperblockOf();
  for (const uint64_t position :
       {uint64_t{20}, uint64_t{superblock.block_bytes + 20}, superblock.slot_position(0) + 20,
        superblock.slot_position(1) + 20}) {
    Overwrite(PathOf("journal"), position, "XXXX");
    const VerifyReport report = Verify(/*deep=*/false);
    EXPECT_EQ(report.findings.size(), 1u) << TextOf(report);
    EXPECT_TRUE(report.Has(Finding::Kind::fault));
    Overwrite(PathOf("journal"), position, journal.substr(position, 4));
  }
  for (const char* name : {"manifest", "manifest.backup"}) {
    WriteFile(PathOf(name), "garbage");
    EXPECT_TRUE(Verify(/*deep=*/false).Has(Finding::Kind::fault));
    WriteFile(PathOf(name), manifest);
  }
  EXPECT_TRUE(Verify().findings.empty());
}

TEST_F(VerifyTest, LeftoversAreNotes) {
  MakeCleanStore();
  WriteFile(PathOf("t-0/00000000000000999999.index"), "x");
  WriteFile(PathOf("something"), "x");
  const VerifyReport report = Verify();
  EXPECT_EQ(report.findings.size(), 2u) << TextOf(report);
  EXPECT_FALSE(report.Has(Finding::Kind::fault));
}

TEST_F(VerifyTest, BesideARunningEngineNothingIsCalledDamage) {
  MakeStore();
  for (int round = 0; round < 20; ++round) {
    AppendRange(kRecords + int64_t{2'000} * round, kRecords + int64_t{2'000} * (round + 1));
    if (round == 10) MakeTopic("other");
    if (round == 15) {
      ASSERT_TRUE(engine_->DeleteTopic("other").ok());
    }
    const VerifyReport report = Verify(/*deep=*/false);
    EXPECT_TRUE(report.findings.empty()) << TextOf(report);
  }
}

TEST_F(VerifyTest, WhereThereIsNoStoreItFails) {
  storage::VerifyOptions options;
  options.data_dir = directory_.File("nothing");
  EXPECT_FALSE(storage::VerifyStore(io::SystemFiles(), options).ok());
}

}  // namespace
}  // namespace tidemark::testing
