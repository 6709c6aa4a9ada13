// Every byte of a small store's segments, indexes, seals, manifests and journal is damaged, every
// file cut short and removed, one after the other: it always starts, every intact batch is read at
// its own offsets, and what is lost is told the same by verification, opening and readers.
#include <map>
#include <set>

#include "record/batch.h"
#include "storage/open.h"
#include "storage/verify.h"
#include "tests/support/fault_world.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/sanitized.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

using storage::Finding;
using Image = MemoryFileSystem::Image;
using Bytestring = std::vector<std::byte>;

class DamageSweepTest : public StoreFixture {
 protected:
  static constexpr int64_t kBatches = 5;
  static constexpr int64_t kBatchRecords = 3;
  static constexpr int64_t kPacked = kBatches * kBatchRecords;
  static constexpr int64_t kInJournal = 4;

  DamageSweepTest() { options_.data_dir = "/store"; }
  ~DamageSweepTest() override { engine_.reset(); }  // before its world

  void OpenImage(const Image& image) {
    engine_.reset();
    files_.SetImage(image);
    auto engine = storage::OpenEngine(world_.environment(), options_);
    ASSERT_TRUE(engine.ok()) << engine.error().ToString();
    engine_ = std::move(*engine);
  }
  // Three segments of five batches, an entry in the indexes for each but a segment's first.
  Image MakeCleanImage() {
    Image image;
    image.folders = {"", "/store"};
    TopicConfig config;
    config.segment_bytes = 1024;
    config.index_interval_bytes = 0;
    for (int64_t batch = 0; batch < kBatches; ++batch) {
      OpenImage(image);
      if (batch == 0) MakeTopic("t", config);
      for (int64_t i = 0; i < kBatchRecords; ++i) {
        Record record;
        const std::string value = ValueOf(batch * kBatchRecords + i);
        record.value = value;
        record.timestamp_ms = 1'700'000'000'000 + batch;
        Append(PartitionOf("t"), record);
      }
      CloseCleanly();
      image = files_.image();
    }
    return image;
  }
  // The same with records that only the journal holds, each in a commit of its own.
  Image MakeCrashedImage(const Image& clean) {
    OpenImage(clean);
    for (int64_t i = 0; i < kInJournal; ++i) AppendDurably(PartitionOf("t"), ValueOf(kPacked + i));
    Crash();
    return files_.image();
  }

  static void AddRange(int64_t first, int64_t end, int64_t limit, std::set<int64_t>* to) {
    for (int64_t offset = first; offset < std::min(end, limit); ++offset) to->insert(offset);
  }
  struct Outcome {
    std::set<int64_t> missing;   // not read
    std::set<int64_t> verified;  // lost, as the verification has said before
    std::set<int64_t> told;      // lost, as the reader says
    bool in_order = false;       // the verification had nothing to say
  };
  // Verifies, opens and reads a store of `records` records.
  Outcome Look(const Image& image, int64_t records) {
    Outcome outcome;
    engine_.reset();
    files_.SetImage(image);
    storage::VerifyOptions verify;
    verify.data_dir = options_.data_dir;
    verify.deep = true;
    const auto report = storage::VerifyStore(files_, verify);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    if (report.ok()) {
      outcome.in_order = report->findings.empty();
      for (const Finding& finding : report->findings) {
        if (finding.kind == Finding::Kind::loss)
          AddRange(finding.first_offset, finding.end_offset, records, &outcome.verified);
      }
    }
    OpenImage(image);
    if (!engine_) return outcome;
    AddRange(0, records, records, &outcome.missing);
    std::vector<LostRange> lost;
    for (const ReadRecord& record : ReadFrom(PartitionOf("t"), 0, &lost)) {
      EXPECT_EQ(record.value, ValueOf(record.offset));
      EXPECT_EQ(outcome.missing.erase(record.offset), 1u) << record.offset;
    }
    for (const LostRange& range : lost)
      AddRange(range.first_offset, range.end_offset, records, &outcome.told);
    return outcome;
  }
  void ExpectExact(const Outcome& outcome) {
    EXPECT_EQ(outcome.told, outcome.missing);
    EXPECT_EQ(outcome.verified, outcome.missing);
  }

  static Image With(const Image& image, const std::string& path, MemoryContent content) {
    Image changed = image;
    changed.files[path] = std::move(content);
    return changed;
  }
  static Image Without(const Image& image, const std::string& path) {
    Image changed = image;
    changed.files.erase(path);
    return changed;
  }
  static Image WithByte(const Image& image, const std::string& path, size_t at, bool zero) {
    MemoryContent content = image.files.at(path);
    std::byte byte{};
    content.Read(at, {&byte, 1});
    byte = zero ? std::byte{0} : byte ^ std::byte{0x81};
    content.Write(at, {&byte, 1});
    return With(image, path, std::move(content));
  }
  // The offsets of the batch at a place of a segment.
  static std::set<int64_t> OffsetsAt(const Bytestring& log, size_t at) {
    std::set<int64_t> offsets;
    for (size_t position = 0; position < log.size();) {
      const auto header = *record::DecodeBatchHeader(base::ByteSpan(log).subspan(position));
      const size_t end = position + header.total_bytes();
      if (at >= position && at < end)
        AddRange(header.base_offset, header.next_offset(), INT64_MAX, &offsets);
      position = end;
    }
    return offsets;
  }

  static std::string SealBeside(const std::string& log_path) {
    return log_path.substr(0, log_path.rfind('.')) + ".seal";
  }

  MemoryFileSystem files_;
  FaultWorld world_{files_};
};

TEST_F(DamageSweepTest, EveryByteOfASegment) {
  const Image clean = MakeCleanImage();
  int logs = 0;
  for (const auto& [path, content] : clean.files) {
    if (!path.ends_with(".log")) continue;
    ++logs;
    const Bytestring log = content.Bytes();
    for (size_t at = 0; at < log.size(); ++at) {
      for (const bool zero : {false, true}) {
        SCOPED_TRACE(path + " at " + std::to_string(at) + (zero ? " zeroed" : " flipped"));
        if (zero && log[at] == std::byte{0}) continue;
        const Outcome outcome = Look(WithByte(clean, path, at, zero), kPacked);
        ExpectExact(outcome);
        if (outcome.missing.empty()) {
          // Only the leader epoch has neither a CRC nor a meaning here; the seal has seen it.
          EXPECT_EQ(OffsetsAt(log, at - at % 4), OffsetsAt(log, at));
          EXPECT_EQ(outcome.in_order, !clean.files.contains(SealBeside(path)));
        } else {
          EXPECT_EQ(outcome.missing, OffsetsAt(log, at));
        }
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_GE(logs, 3);
}

TEST_F(DamageSweepTest, EveryByteOfAnIndexASealAndTheManifests) {
  const Image clean = MakeCleanImage();
  int seals = 0;
  for (const auto& [path, content] : clean.files) {
    const bool seal = path.ends_with(".seal");
    if (seal) ++seals;
    if (!seal && !path.ends_with("index") && path.find("manifest") == std::string::npos) continue;
    for (size_t at = 0; at < content.size(); ++at) {
      for (const bool zero : {false, true}) {
        if (zero && content.Bytes()[at] == std::byte{0}) continue;
        SCOPED_TRACE(path + " at " + std::to_string(at) + (zero ? " zeroed" : " flipped"));
        const Outcome outcome = Look(WithByte(clean, path, at, zero), kPacked);
        EXPECT_FALSE(outcome.in_order);
        EXPECT_TRUE(outcome.missing.empty());
        ExpectExact(outcome);
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_GE(seals, 2);
}

// Whatever is not zero in the journal: superblocks, checkpoints and commits.
TEST_F(DamageSweepTest, EveryByteOfTheJournal) {
  const Image crashed = MakeCrashedImage(MakeCleanImage());
  const std::string path = "/store/journal";
  const Bytestring journal = crashed.files.at(path).Bytes();
  constexpr size_t kStride = kSanitized ? 3 : 1;
  size_t seen = 0;
  for (size_t at = 0; at < journal.size(); ++at) {
    if (journal[at] == std::byte{0} || ++seen % kStride != 0) continue;
    SCOPED_TRACE(at);
    const Outcome outcome = Look(WithByte(crashed, path, at, false), kPacked + kInJournal);
    // Nothing that is in a segment is lost, and one commit at most.
    EXPECT_LE(outcome.missing.size(), 1u);
    for (const int64_t offset : outcome.missing) EXPECT_GE(offset, kPacked);
    EXPECT_EQ(outcome.verified, outcome.told);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(seen, 500u);
}

TEST_F(DamageSweepTest, EveryFileCutShortOrRemoved) {
  const Image clean = MakeCleanImage();
  for (const auto& [path, content] : clean.files) {
    const bool log = path.ends_with(".log");
    SCOPED_TRACE(path);
    const Outcome without = Look(Without(clean, path), kPacked);
    ExpectExact(without);
    // A store from before seals has none.
    EXPECT_TRUE(!path.ends_with(".seal") || without.in_order);
    for (size_t bytes = 0; bytes < content.size();
         bytes += std::max<size_t>(1, std::min<size_t>(content.size() / 16, 256 << 10))) {
      SCOPED_TRACE(bytes);
      MemoryContent cut = content;
      cut.Resize(bytes);
      const Outcome outcome = Look(With(clean, path, std::move(cut)), kPacked);
      ExpectExact(outcome);
      EXPECT_TRUE(log || outcome.missing.empty());
      ASSERT_FALSE(HasFailure());
    }
  }
}

}  // namespace
}  // namespace tidemark::testing
