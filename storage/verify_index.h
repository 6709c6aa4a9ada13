// Between verify*.cc, repair*.cc and the scrub: index files held against the batches of their log,
// batch by batch, in bounded memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/hash.h"
#include "index/offset_index.h"
#include "io/file_system.h"
#include "storage/block_reader.h"
#include "storage/verify_segment.h"

namespace tidemark::storage {

// The entries of one index file, from the first to the last valid one.
template <typename Entry>
class IndexEntries {
 public:
  IndexEntries(io::FileSystem& files, const std::string& path, uint64_t log_bytes, bool direct);

  // The entry that comes next; nullopt: no valid one does.
  const std::optional<Entry>& current() const { return current_; }
  size_t passed() const { return passed_; }
  void Advance();
  // Reads the rest. What is wrong with the file by itself; empty: nothing.
  std::string Finish();
  // What is wrong is that the file system gave an error.
  bool unreadable() const { return unreadable_; }
  // Of the file, once it is finished and nothing is wrong.
  FileSum sum() const { return {uint64_t{passed_} * EntryBytes(), stream_.Sum()}; }

 private:
  void Load();
  static size_t EntryBytes();

  base::Xxh3Stream stream_;
  uint64_t log_bytes_;
  std::unique_ptr<io::File> file_;
  std::optional<BlockReader> reader_;
  std::optional<Entry> current_;
  std::optional<Entry> before_;
  size_t passed_ = 0;
  std::string fault_;
  bool unreadable_ = false;
};

// What tells whether an offset index is whole, beside its entries.
struct OffsetIndexWitness {
  std::optional<FileSum> sealed;     // what the file was, by the segment's seal
  bool interval_is_certain = false;  // the segment was written with the one that its topic has now
  int32_t last_entry_at_least = -1;  // the last entry names this relative offset or a later one
};

// Every entry must name a batch. The interval may have been another one when some of them were
// written, so that fewer than the rule asks for are a fault only where those that are there follow
// it, and the file is not the one that was sealed: then it was cut short. Where neither a seal nor
// the topic tells the interval, it may have been any that makes all of these entries and no others,
// and no fewer than the time index tells of.
class OffsetIndexCheck {
 public:
  OffsetIndexCheck(io::FileSystem& files, const std::string& path, int64_t base_offset,
                   uint32_t interval_bytes, uint64_t log_bytes, bool direct);
  void Take(const SurveyedBatch& batch);
  // Behind the log's last batch: what is wrong; empty: nothing. Of a damaged log only what can be
  // told without the batches that are lost.
  std::string Finish(bool log_is_damaged, const OffsetIndexWitness& witness);
  bool unreadable() const { return entries_.unreadable(); }
  // Of the file, once it is finished; nullopt: something is wrong with it.
  const std::optional<FileSum>& sum() const { return sum_; }

 private:
  std::string FaultAtEnd(bool log_is_damaged, const OffsetIndexWitness& witness);
  bool HasAnotherInterval(const OffsetIndexWitness& witness) const;

  IndexEntries<index::OffsetEntry> entries_;
  std::optional<FileSum> sum_;
  index::IndexBuilder builder_;
  int64_t base_offset_;
  size_t wanted_ = 0;                     // entries that the rule asks for
  bool follows_rule_ = true;              // so far
  index::OffsetEntry last_entry_{-1, 0};  // that was passed
  // From the entry before (or the log's start): the interval is less than all of the one kind, and
  // no less than any of the other.
  uint64_t least_bytes_to_entry_ = UINT64_MAX;
  uint64_t most_bytes_without_entry_ = 0;
  bool names_none_ = false;  // the current entry names no batch
};

// An entry names the first batch with the greatest timestamp so far; the last one, the log's.
class TimeIndexCheck {
 public:
  TimeIndexCheck(io::FileSystem& files, const std::string& path, int64_t base_offset, bool direct);
  void Take(const SurveyedBatch& batch);
  std::string Finish(bool log_is_damaged);
  bool unreadable() const { return entries_.unreadable(); }
  const std::optional<FileSum>& sum() const { return sum_; }
  // Each entry but the last one has come with an offset entry of its batch or a later one: the last
  // of these relative offsets; -1: there is none.
  int32_t last_offset_entry_at_least() const { return last_but_one_; }

 private:
  std::string FaultAtEnd(bool log_is_damaged);

  IndexEntries<index::TimeEntry> entries_;
  std::optional<FileSum> sum_;
  int64_t base_offset_;
  int64_t greatest_ms_ = index::kNoTimestamp;    // of all batches
  int64_t last_entry_ms_ = index::kNoTimestamp;  // of the last entry that was passed
  int32_t last_entry_offset_ = -1;               // of the same
  int32_t last_but_one_ = -1;                    // of the one before
  bool contradicted_ = false;                    // the current entry's timestamp is another one
};

// What is wrong with each of a segment's indexes; empty: nothing.
struct IndexFaults {
  std::string offsets;
  std::string times;
};
// Of both checks behind the log's last batch.
IndexFaults FinishBoth(OffsetIndexCheck& offsets, TimeIndexCheck& times, bool log_is_damaged,
                       OffsetIndexWitness witness);
// The same over a survey that holds its batches.
IndexFaults CheckIndexes(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                         const SegmentSurvey& survey, uint32_t interval_bytes,
                         const OffsetIndexWitness& witness);

// Both indexes as the rule makes them from a log's batches.
struct IndexesByRule {
  index::OffsetIndex offsets;
  index::TimeIndex times;
};
IndexesByRule MakeIndexes(int64_t base_offset, uint32_t interval_bytes,
                          const SegmentSurvey& survey);

}  // namespace tidemark::storage
