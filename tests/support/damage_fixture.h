// A store whose files a test damages behind the engine's back.
#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "index/offset_index.h"
#include "record/batch.h"
#include "storage/journal_format.h"
#include "storage/segment.h"
#include "tests/support/store_fixture.h"

namespace tidemark::testing {

class DamageFixture : public StoreFixture {
 protected:
  std::string ReadFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void WriteFile(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
  void Overwrite(const std::string& path, uint64_t position, const std::string& bytes) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(position));
    file << bytes;
  }
  storage::Superblock SuperblockOf() {
    const std::string journal = ReadFile(PathOf("journal"));
    return *storage::DecodeSuperblock(base::AsBytes(journal));
  }
  // Where commits with frames start, in the order in which they stand in the ring.
  std::vector<std::pair<uint64_t, storage::CommitHeader>> CommitsWithFrames() {
    const std::string journal = ReadFile(PathOf("journal"));
    const storage::Superblock superblock = SuperblockOf();
    std::vector<std::pair<uint64_t, storage::CommitHeader>> commits;
    for (uint64_t at = superblock.ring_begin; at < journal.size(); at += superblock.block_bytes) {
      auto header =
          storage::DecodeCommitHeader(base::AsBytes(journal).subspan(at), journal.size() - at);
      if (header && header->data_bytes > 0) commits.emplace_back(at, *header);
    }
    return commits;
  }
  bool QuarantineHolds(const std::string& name) {
    if (!std::filesystem::exists(PathOf("quarantine"))) return false;
    for (const auto& entry : std::filesystem::directory_iterator(PathOf("quarantine"))) {
      if (entry.path().filename().string().find(name) != std::string::npos) return true;
    }
    return false;
  }
  // An open store with the topic "t": ValueOf(offset) at timestamp kFirstTimestampMs + offset, in
  // segments of about `segment_bytes` with several batches each.
  static constexpr int64_t kFirstTimestampMs = 1'000'000;
  void FillSegments(int64_t records, int64_t segment_bytes) {
    Open();
    TopicConfig config;
    config.segment_bytes = segment_bytes;
    MakeTopic("t", config);
    AppendRange(0, records);
  }
  // The same after a clean stop.
  void MakeSegments(int64_t records, int64_t segment_bytes = TopicConfig().segment_bytes) {
    FillSegments(records, segment_bytes);
    CloseCleanly();
  }
  // Records [first, end) of the same, durable in the end.
  void AppendRange(int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) {
      const std::string value = ValueOf(i);
      Record record;
      record.value = value;
      record.timestamp_ms = kFirstTimestampMs + i;
      const bool last = i + 1 == end;  // does not wait for flush.ms
      Append(PartitionOf("t"), record, last ? Durability::durable : Durability::buffered);
      if (i % 100 == 0) engine_->Poll(std::chrono::milliseconds(0));
    }
    PollUntilDurable(PartitionOf("t"));
  }
  std::vector<int64_t> SegmentBases() const {
    return *storage::ListSegments(io::SystemFiles(), PathOf("t-0"));
  }
  std::string SegmentFilePath(int64_t base, storage::SegmentFile kind) const {
    return storage::SegmentPath(PathOf("t-0"), base, kind);
  }
  std::string LogPath(int64_t base = 0) const {
    return SegmentFilePath(base, storage::SegmentFile::log);
  }
  // The batches of a segment with their positions.
  std::vector<std::pair<uint64_t, record::BatchHeader>> Batches(int64_t base = 0) {
    const std::string log = ReadFile(LogPath(base));
    std::vector<std::pair<uint64_t, record::BatchHeader>> batches;
    for (uint64_t at = 0; at < log.size(); at += batches.back().second.total_bytes()) {
      batches.emplace_back(at, *record::DecodeBatchHeader(base::AsBytes(log).subspan(at)));
    }
    return batches;
  }
  // A store with `records` records, each a commit of its own, after a crash.
  void MakeCrashedStore(int64_t records) {
    Open();
    Partition& partition = MakeTopic("t");
    for (int64_t i = 0; i < records; ++i) AppendDurably(partition, ValueOf(i));
    Crash();
  }
  // "t" with two records, then "other" with three, each a commit of its own.
  void FillTwoTopics() {
    Open();
    for (const auto& [name, records] : {std::pair("t", 2), std::pair("other", 3)}) {
      Partition& partition = MakeTopic(name);
      for (int64_t i = 0; i < records; ++i) AppendDurably(partition, ValueOf(i));
    }
  }
  // Of these, once they are closed: the last commit of "t", and the first of "other", which repeats
  // its directory.
  void DamageBothCopiesOfADirectory() {
    const auto commits = CommitsWithFrames();
    ASSERT_GE(commits.size(), 5u);
    for (const size_t which : {1u, 2u})
      Overwrite(PathOf("journal"), commits[which].first, std::string(64, 'X'));
  }
};

}  // namespace tidemark::testing
