// A journal in memory, written commit by commit as the engine would, so that a test can damage it
// and see what a scan makes of it. Each commit holds one frame, of one record, of one partition.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "tests/support/memory_file.h"

namespace tidemark::test_support {

class JournalImage {
 public:
  static constexpr uint32_t kBlock = storage::kMinBlockBytes;

  struct Commit {
    storage::CommitHeader header;
    uint64_t position = 0;
    uint64_t total_bytes = 0;
    std::vector<storage::DirectoryEntry> entries;
    std::vector<std::byte> directory;
    std::string data;

    uint64_t directory_position() const { return position + header.directory_offset(); }
    uint64_t copy_position() const { return position + header.previous_directory_offset(); }
    uint64_t data_position() const { return position + header.data_offset(); }
    uint64_t end() const { return position + total_bytes; }
  };

  explicit JournalImage(uint64_t ring_blocks, int journal_id = 0xa0) {
    superblock.journal_id.bytes.fill(static_cast<std::byte>(journal_id));
    superblock.journal_bytes = 4 * uint64_t{kBlock} + ring_blocks * kBlock;
    superblock.slot_bytes = kBlock;
    superblock.ring_begin = 4 * uint64_t{kBlock};
    bytes.resize(superblock.journal_bytes);
    storage::EncodeSuperblock(superblock, bytes.data());
    storage::EncodeSuperblock(superblock, bytes.data() + kBlock);
    checkpoint.journal_id = superblock.journal_id;
    checkpoint.start_position = superblock.ring_begin;
    checkpoint.incarnation = 1;
    checkpoint.incarnation_first_sequence = 1;
    end_.next_position = superblock.ring_begin;
  }

  storage::Superblock superblock;
  storage::Checkpoint checkpoint;
  std::vector<std::byte> bytes;

  uint64_t incarnation = 1;
  // What the next commits claim as durable; nullopt: all before them (one in flight).
  std::optional<uint64_t> durable_sequence;

  // --- Writing ---

  const Commit& Append(std::string data) {
    storage::DirectoryEntry entry;
    entry.topic_id.bytes.fill(std::byte{0x77});
    entry.first_offset = static_cast<int64_t>(end_.next_sequence) * 100;
    entry.end_offset = entry.first_offset + 1;
    entry.data_bytes = data.size();
    return Write({entry}, std::move(data));
  }
  // Takes `blocks` blocks. The data are different for each commit.
  const Commit& AppendBlocks(uint64_t blocks) {
    std::string data = "record " + std::to_string(++appended_) + " ";
    data.resize(blocks * kBlock - kCommitOverhead - end_.last_directory.size(), '.');
    return Append(std::move(data));
  }
  const Commit& AppendEmpty() { return Write({}, {}); }

  // Whether the engine would write as many blocks now: never up to the oldest commit that replay
  // needs. The functions above do not ask.
  bool HasRoom(uint64_t blocks) const {
    const uint64_t total = blocks * kBlock;
    const uint64_t head = end_.next_position;
    const auto oldest = log_.lower_bound(checkpoint.start_sequence);
    if (oldest == log_.end()) return total <= superblock.ring_bytes() / 2;
    const uint64_t limit = oldest->second.position;
    if (head <= limit) return head + total < limit;
    return head + total <= superblock.journal_bytes || superblock.ring_begin + total < limit;
  }

  // The commit as it counts now; it must have been written.
  const Commit& At(uint64_t sequence) const { return log_.at(sequence); }
  uint64_t next_position() const { return end_.next_position; }
  uint64_t next_sequence() const { return end_.next_sequence; }

  // Goes on as a new incarnation behind what a scan has found, like the engine after a crash.
  void Reopen(const storage::JournalEnd& end) {
    end_ = end;
    log_.erase(log_.lower_bound(end.next_sequence), log_.end());
    incarnation = end.last_incarnation + 1;
    checkpoint.incarnation = incarnation;
    checkpoint.incarnation_first_sequence = end.next_sequence;
  }
  // Goes on behind commit `sequence`, in the same incarnation: what was behind it stays as it is.
  void ContinueBehind(uint64_t sequence) {
    const Commit& last = log_.at(sequence);
    end_.next_sequence = sequence + 1;
    end_.next_position = last.end();
    end_.previous_checksum = last.header.checksum;
    end_.last_directory = last.directory;
    end_.last_directory_checksum = last.header.directory_checksum;
    log_.erase(log_.upper_bound(sequence), log_.end());
  }
  void NewIncarnation() {
    ++incarnation;
    checkpoint.incarnation = incarnation;
    checkpoint.incarnation_first_sequence = end_.next_sequence;
  }
  // The checkpoint's start: `sequence` is the first commit that replay needs.
  void StartAt(uint64_t sequence) {
    checkpoint.start_sequence = sequence;
    const auto at = log_.find(sequence);
    checkpoint.start_position = at != log_.end() ? at->second.position : end_.next_position;
    checkpoint.previous_checksum =
        at != log_.end() ? at->second.header.previous_checksum : end_.previous_checksum;
  }

  // --- Damage ---

  void Flip(uint64_t position) { bytes[position] ^= std::byte{0xff}; }
  void Zero(uint64_t position, uint64_t length) { Fill(position, length, std::byte{0}); }
  void Fill(uint64_t position, uint64_t length, std::byte with) {
    length = std::min<uint64_t>(length, bytes.size() - position);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(position), length, with);
  }
  void DamageHeader(uint64_t sequence) { Flip(At(sequence).position + 60); }
  void DamageDirectory(uint64_t sequence) { Flip(At(sequence).directory_position()); }
  void DamageData(uint64_t sequence) { Flip(At(sequence).data_position()); }
  // The copy of commit `sequence`'s directory, in the one behind it.
  void DamageCopy(uint64_t sequence) { Flip(At(sequence + 1).copy_position()); }

  // Puts `what` into the last commit as its data, at its `block`th block, with right checksums.
  void Plant(uint64_t block, base::ByteSpan what) {
    Commit& commit = log_.rbegin()->second;
    std::copy(what.begin(), what.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(commit.position + block * kBlock));
    const base::ByteSpan data(&bytes[commit.data_position()], commit.header.data_bytes);
    commit.data = base::AsText(data);
    commit.header.data_checksum = base::Xxh3(data, commit.header.sequence);
    storage::EncodeCommitHeader(&commit.header, &bytes[commit.position]);
    end_.previous_checksum = commit.header.checksum;
  }
  base::ByteSpan Bytes(uint64_t position, uint64_t length) const {
    return base::ByteSpan(bytes).subspan(position, length);
  }

  // --- Reading ---

  struct Scan {
    // "1 2:data-damaged 3-5:unknown 6:directory-only | next 7 torn": commits that are intact are
    // named by their sequence alone. "WRONG": delivered, but not what was written.
    std::string text;
    std::map<uint64_t, storage::FoundCommit> found;  // by first sequence
    storage::JournalEnd end;
  };
  Scan ScanNow() const { return ScanFrom(&checkpoint); }
  Scan ScanWithoutCheckpoint() const { return ScanFrom(nullptr); }
  Scan ScanFrom(const storage::Checkpoint* from) const {
    MemoryFile file(bytes);
    return ScanFile(file, from);
  }
  Scan ScanFile(MemoryFile& file, const storage::Checkpoint* from) const {
    Scan scan;
    auto end = storage::ScanJournal(
        file, superblock, from,
        [&](const storage::FoundCommit& commit, base::ByteSpan data) -> Status {
          scan.text += Describe(commit, data) + " ";
          scan.found.emplace(commit.sequence, commit);
          return {};
        });
    if (!end.ok()) {
      scan.text += end.error().ToString();
      return scan;
    }
    scan.end = *std::move(end);
    scan.text += "| next " + std::to_string(scan.end.next_sequence);
    if (scan.end.torn_tail) scan.text += " torn";
    return scan;
  }

 private:
  // Header, directory and the longest numbers in it.
  static constexpr uint64_t kCommitOverhead = storage::kCommitHeaderBytes + 40;

  const Commit& Write(std::vector<storage::DirectoryEntry> entries, std::string data) {
    Commit commit;
    commit.entries = std::move(entries);
    storage::DirectoryEncoder encoder;
    for (const storage::DirectoryEntry& entry : commit.entries) encoder.Add(entry);
    commit.directory = encoder.bytes();
    commit.data = std::move(data);
    FillHeader(&commit);
    commit.total_bytes = commit.header.total_bytes(kBlock);
    commit.position = end_.next_position;
    if (commit.total_bytes > superblock.journal_bytes - commit.position) {
      commit.position = superblock.ring_begin;
    }
    WriteBytes(&commit);
    end_.next_sequence = commit.header.sequence + 1;
    end_.next_position = commit.end();
    end_.previous_checksum = commit.header.checksum;
    end_.last_directory = commit.directory;
    end_.last_directory_checksum = commit.header.directory_checksum;
    return log_[commit.header.sequence] = std::move(commit);
  }

  void FillHeader(Commit* commit) const {
    storage::CommitHeader& header = commit->header;
    header.journal_id = superblock.journal_id;
    header.incarnation = incarnation;
    header.sequence = end_.next_sequence;
    header.previous_checksum = end_.previous_checksum;
    header.durable_sequence = durable_sequence.value_or(header.sequence - 1);
    header.engine_clock_ms = static_cast<int64_t>(header.sequence) * 10;
    header.directory_bytes = static_cast<uint32_t>(commit->directory.size());
    header.previous_directory_bytes = static_cast<uint32_t>(end_.last_directory.size());
    header.data_bytes = commit->data.size();
    header.directory_checksum = base::Xxh3(commit->directory, header.sequence);
    header.previous_directory_checksum = end_.last_directory_checksum;
    header.data_checksum = base::Xxh3(base::AsBytes(commit->data), header.sequence);
  }

  void WriteBytes(Commit* commit) {
    Zero(commit->position, commit->total_bytes);
    std::byte* to = &bytes[commit->position];
    storage::EncodeCommitHeader(&commit->header, to);
    to = std::copy(commit->directory.begin(), commit->directory.end(),
                   to + storage::kCommitHeaderBytes);
    to = std::copy(end_.last_directory.begin(), end_.last_directory.end(), to);
    const base::ByteSpan data = base::AsBytes(commit->data);
    std::copy(data.begin(), data.end(), to);
  }

  std::string Describe(const storage::FoundCommit& found, base::ByteSpan data) const {
    std::string text = std::to_string(found.sequence);
    using State = storage::FoundCommit::State;
    if (found.state == State::unknown) {
      if (found.unknown_count > 1) {
        text += "-" + std::to_string(found.sequence + found.unknown_count - 1);
      }
      return text + ":unknown";
    }
    if (found.state == State::data_damaged) text += ":data-damaged";
    if (found.state == State::directory_only) text += ":directory-only";
    if (found.last && found.state != State::intact) text += "(last)";
    const auto truth = log_.find(found.sequence);
    const bool is_true = truth != log_.end() && truth->second.entries == found.directory &&
                         (found.state != State::intact || truth->second.data == base::AsText(data));
    return is_true ? text : text + ":WRONG";
  }

  storage::JournalEnd end_;
  std::map<uint64_t, Commit> log_;  // by sequence
  int appended_ = 0;
};

inline constexpr uint64_t kBlock = JournalImage::kBlock;

}  // namespace tidemark::test_support
