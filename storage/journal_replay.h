// The last step of a scan: reads the bodies of the log's commits in order, tells what is intact and
// what is damaged, and decides where the log ends.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "storage/block_reader.h"
#include "storage/journal_chain.h"
#include "storage/journal_scan.h"

namespace tidemark::storage {

class JournalReplay {
 public:
  // `end`: what holds if there is no commit. The rest outlives this.
  JournalReplay(BlockReader& reader, const Superblock& superblock, const ChainBuilder& chain,
                const VisitCommit& visit, JournalEnd end)
      : reader_(reader),
        superblock_(superblock),
        chain_(chain),
        visit_(visit),
        end_(std::move(end)) {}

  Result<JournalEnd> Run(const std::vector<ChainLink>& links);

 private:
  // A directory whose checksum is right.
  struct Directory {
    std::vector<std::byte> bytes;
    std::vector<DirectoryEntry> entries;
  };
  static std::optional<Directory> Check(base::ByteSpan bytes, uint64_t checksum, uint64_t sequence,
                                        uint64_t data_bytes);
  std::optional<Directory> ReadCopy(const Candidate& successor, uint64_t data_bytes);
  std::optional<Directory> ReadDirectory(const Candidate& commit, const Candidate* successor);

  Status VisitLost(const ChainLink& link, std::optional<Directory> copy);
  Result<bool> VisitLink(const ChainLink& link, const Candidate* successor);
  Status VisitBody(const ChainLink& link, std::optional<Directory> directory, bool is_last,
                   bool* damaged);
  void EndBefore(const ChainLink& link, std::optional<Directory> copy);
  void EndBehind(const Candidate& commit);
  void Remember(std::optional<Directory> directory, uint64_t checksum);
  void TellTorn(uint64_t position);
  bool HasRemains(uint64_t position);

  BlockReader& reader_;
  const Superblock& superblock_;
  const ChainBuilder& chain_;
  const VisitCommit& visit_;
  JournalEnd end_;
};

}  // namespace tidemark::storage
