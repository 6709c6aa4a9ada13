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
  // A store with `records` records, each a commit of its own, after a crash.
  void MakeCrashedStore(int64_t records) {
    Open();
    Partition& partition = MakeTopic("t");
    for (int64_t i = 0; i < records; ++i) AppendDurably(partition, ValueOf(i));
    Crash();
  }
};

}  // namespace tidemark::testing
