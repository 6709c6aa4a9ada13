#include "storage/verify_index.h"

#include <algorithm>
#include <cerrno>
#include <type_traits>
#include <utility>

#include "storage/verify.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kIndexWindowBytes = uint64_t{16} << 10;

template <typename Entry>
constexpr size_t kEntryBytes =
    std::is_same_v<Entry, index::OffsetEntry> ? index::kOffsetEntryBytes : index::kTimeEntryBytes;

bool MayFollow(const index::OffsetEntry& entry, const index::OffsetEntry* before,
               uint64_t log_bytes) {
  return entry.MayFollow(before, log_bytes);
}
bool MayFollow(const index::TimeEntry& entry, const index::TimeEntry* before,
               uint64_t /*log_bytes*/) {
  return entry.MayFollow(before);
}

std::string EntryText(size_t entry) { return "entry " + std::to_string(entry); }

index::IndexBuilder::Batch ForBuilder(const SurveyedBatch& batch) {
  return {batch.position, batch.bytes, batch.last_offset, batch.max_timestamp_ms};
}

}  // namespace

// --- Entries -------------------------------------------------------------------------------------

template <typename Entry>
IndexEntries<Entry>::IndexEntries(io::FileSystem& files, const std::string& path,
                                  uint64_t log_bytes, bool direct)
    : log_bytes_(log_bytes) {
  auto file = OpenToCheck(files, path, direct);
  if (!file) {
    const bool missing = file.error().system_errno() == ENOENT;
    fault_ = missing ? "it is missing" : CauseText(file.error());
    unreadable_ = !missing;
    return;
  }
  file_ = *std::move(file);
  auto reader = BlockReader::Open(*file_, kIndexWindowBytes);
  if (!reader) {
    fault_ = CauseText(reader.error());
    unreadable_ = true;
    return;
  }
  reader_ = *std::move(reader);
  Load();
}

template <typename Entry>
void IndexEntries<Entry>::Load() {
  current_.reset();
  const uint64_t position = uint64_t{passed_} * kEntryBytes<Entry>;
  if (position == reader_->file_bytes()) return;
  const base::ByteSpan bytes = reader_->Read(position, kEntryBytes<Entry>);
  if (reader_->last_error()) {
    fault_ = CauseText(*reader_->last_error());
    unreadable_ = true;
    return;
  }
  const Entry entry = Entry::Decode(bytes.data());
  const bool whole = position + kEntryBytes<Entry> <= reader_->file_bytes();
  if (whole && MayFollow(entry, before_ ? &*before_ : nullptr, log_bytes_)) {
    stream_.Add(bytes);
    current_ = entry;
  } else {
    fault_ = EntryText(passed_) + " is not valid";
  }
}

template <typename Entry>
size_t IndexEntries<Entry>::EntryBytes() {
  return kEntryBytes<Entry>;
}

template <typename Entry>
void IndexEntries<Entry>::Advance() {
  before_ = current_;
  ++passed_;
  Load();
}

template <typename Entry>
std::string IndexEntries<Entry>::Finish() {
  while (current_) Advance();
  return fault_;
}

template class IndexEntries<index::OffsetEntry>;
template class IndexEntries<index::TimeEntry>;

// --- The offset index ----------------------------------------------------------------------------

OffsetIndexCheck::OffsetIndexCheck(io::FileSystem& files, const std::string& path,
                                   int64_t base_offset, uint32_t interval_bytes, uint64_t log_bytes,
                                   bool direct)
    : entries_(files, path, log_bytes, direct),
      builder_(base_offset, interval_bytes),
      base_offset_(base_offset) {}

void OffsetIndexCheck::Take(const SurveyedBatch& batch) {
  const bool due = builder_.Add(ForBuilder(batch)).offset_entry.has_value();
  if (due) ++wanted_;
  const auto& entry = entries_.current();
  if (names_none_) return;
  const bool here = entry && static_cast<uint64_t>(entry->position) <= batch.position;
  if (here) {
    names_none_ = static_cast<uint64_t>(entry->position) < batch.position ||
                  entry->relative_offset != batch.last_offset - base_offset_;
    if (names_none_) return;
  }
  const bool missing_at_end = due && !entry;
  follows_rule_ = follows_rule_ && (here == due || missing_at_end);
  const uint64_t bytes = batch.position - static_cast<uint64_t>(last_entry_.position);
  if (here) {
    least_bytes_to_entry_ = std::min(least_bytes_to_entry_, bytes);
    last_entry_ = *entry;
    entries_.Advance();
  } else {
    most_bytes_without_entry_ = std::max(most_bytes_without_entry_, bytes);
  }
}

std::string OffsetIndexCheck::Finish(bool log_is_damaged, const OffsetIndexWitness& witness) {
  std::string fault = FaultAtEnd(log_is_damaged, witness);
  if (fault.empty()) sum_ = entries_.sum();
  return fault;
}

std::string OffsetIndexCheck::FaultAtEnd(bool log_is_damaged, const OffsetIndexWitness& witness) {
  const bool one_is_left = entries_.current().has_value();
  const size_t passed = entries_.passed();
  std::string fault = entries_.Finish();
  if (!fault.empty() || log_is_damaged) return fault;
  if (one_is_left) return EntryText(passed) + " names no batch";
  const bool missing = follows_rule_ && passed < wanted_ && witness.sealed != entries_.sum() &&
                       !HasAnotherInterval(witness);
  return missing ? "entries are missing" : std::string();
}

bool OffsetIndexCheck::HasAnotherInterval(const OffsetIndexWitness& witness) const {
  return !witness.sealed && !witness.interval_is_certain &&
         most_bytes_without_entry_ < least_bytes_to_entry_ &&
         last_entry_.relative_offset >= witness.last_entry_at_least;
}

// --- The time index ------------------------------------------------------------------------------

TimeIndexCheck::TimeIndexCheck(io::FileSystem& files, const std::string& path, int64_t base_offset,
                               bool direct)
    : entries_(files, path, /*log_bytes=*/0, direct), base_offset_(base_offset) {}

void TimeIndexCheck::Take(const SurveyedBatch& batch) {
  const bool rises = batch.max_timestamp_ms > greatest_ms_;
  greatest_ms_ = std::max(greatest_ms_, batch.max_timestamp_ms);
  const auto& entry = entries_.current();
  if (contradicted_ || !entry || entry->relative_offset != batch.last_offset - base_offset_) return;
  contradicted_ = !rises || entry->timestamp_ms != greatest_ms_;
  if (contradicted_) return;
  last_entry_ms_ = entry->timestamp_ms;
  last_but_one_ = std::exchange(last_entry_offset_, entry->relative_offset);
  entries_.Advance();
}

std::string TimeIndexCheck::Finish(bool log_is_damaged) {
  std::string fault = FaultAtEnd(log_is_damaged);
  if (fault.empty()) sum_ = entries_.sum();
  return fault;
}

std::string TimeIndexCheck::FaultAtEnd(bool log_is_damaged) {
  const bool one_is_left = entries_.current().has_value();
  const size_t passed = entries_.passed();
  std::string fault = entries_.Finish();
  if (!fault.empty() || log_is_damaged) return fault;
  if (one_is_left) return EntryText(passed) + " names no batch with its timestamp";
  return last_entry_ms_ < greatest_ms_ ? "the final entry is missing" : std::string();
}

// --- Both ----------------------------------------------------------------------------------------

IndexFaults FinishBoth(OffsetIndexCheck& offsets, TimeIndexCheck& times, bool log_is_damaged,
                       OffsetIndexWitness witness) {
  IndexFaults faults;
  faults.times = times.Finish(log_is_damaged);
  witness.last_entry_at_least = times.last_offset_entry_at_least();
  faults.offsets = offsets.Finish(log_is_damaged, witness);
  return faults;
}

IndexFaults CheckIndexes(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                         const SegmentSurvey& survey, uint32_t interval_bytes,
                         const OffsetIndexWitness& witness) {
  OffsetIndexCheck offsets(files, SegmentPath(folder, base_offset, SegmentFile::offset_index),
                           base_offset, interval_bytes, survey.log_bytes, /*direct=*/false);
  TimeIndexCheck times(files, SegmentPath(folder, base_offset, SegmentFile::time_index),
                       base_offset, /*direct=*/false);
  for (const SurveyedBatch& batch : survey.batches) {
    offsets.Take(batch);
    times.Take(batch);
  }
  return FinishBoth(offsets, times, !survey.damage.empty(), witness);
}

IndexesByRule MakeIndexes(int64_t base_offset, uint32_t interval_bytes,
                          const SegmentSurvey& survey) {
  index::IndexBuilder builder(base_offset, interval_bytes);
  IndexesByRule made;
  for (const SurveyedBatch& batch : survey.batches) {
    const auto due = builder.Add(ForBuilder(batch));
    if (due.offset_entry) made.offsets.Add(*due.offset_entry);
    if (due.time_entry) made.times.MaybeAdd(*due.time_entry);
  }
  if (const auto last = builder.Final()) made.times.MaybeAdd(*last);
  return made;
}

}  // namespace tidemark::storage
