// Reading one segment whole, at the disk's speed.
#include "storage/verify_segment.h"

#include <algorithm>

#include "record/batch.h"
#include "storage/block_reader.h"
#include "storage/offset_chain.h"
#include "storage/segment_index.h"

namespace tidemark::storage {
namespace {

class Surveyor {
 public:
  Surveyor(io::File& log, int64_t base_offset, SegmentEnd end, bool deep)
      : log_(log), base_offset_(base_offset), end_(end), deep_(deep), chain_(base_offset) {}

  SegmentSurvey Run(const std::function<void(uint64_t bytes)>& progress);

 private:
  bool TakeBatchAt(uint64_t position, BlockReader& reader, std::string* why);
  std::optional<int64_t> FollowerAt(uint64_t position, BlockReader& reader) const;
  bool PassDamage(uint64_t* position, std::string why);

  io::File& log_;
  int64_t base_offset_;
  SegmentEnd end_;
  bool deep_;
  OffsetChain chain_;
  record::Compressor compressor_;
  std::vector<std::byte> decompressed_;
  SegmentSurvey survey_;
};

SegmentSurvey Surveyor::Run(const std::function<void(uint64_t bytes)>& progress) {
  survey_.next_offset = base_offset_;
  auto reader = BlockReader::Open(log_);
  if (!reader) {
    survey_.unreadable = reader.error();
    return std::move(survey_);
  }
  survey_.log_bytes = std::min(reader->file_bytes(), end_.log_bytes.value_or(UINT64_MAX));
  uint64_t position = 0;
  while (position < survey_.log_bytes) {
    const uint64_t from = position;
    std::string why;
    if (TakeBatchAt(position, *reader, &why)) {
      position += survey_.batches.back().bytes;
    } else if (reader->last_error()) {
      survey_.unreadable = *reader->last_error();
      break;
    } else if (!PassDamage(&position, std::move(why))) {
      break;
    }
    progress(position - from);
  }
  return std::move(survey_);
}

bool Surveyor::TakeBatchAt(uint64_t position, BlockReader& reader, std::string* why) {
  const uint64_t left = survey_.log_bytes - position;
  if (left < record::kBatchHeaderBytes) {
    *why = "the file ends within a batch's header";
    return false;
  }
  const auto header = record::DecodeBatchHeader(reader.Read(position, record::kBatchHeaderBytes));
  if (!header || header->total_bytes() > left) {
    *why = header ? "the batch does not fit into the file" : header.error().message();
    return false;
  }
  const base::ByteSpan bytes = reader.Read(position, header->total_bytes());
  const auto checked = record::CheckBatch(bytes);
  if (!checked) {
    *why = checked.error().message();
    return false;
  }
  if (deep_) {
    const auto opened = record::OpenCheckedBatch(*header, bytes, record::kMaxDecompressedBatchBytes,
                                                 &compressor_, &decompressed_);
    if (!opened && opened.error().code() == ErrorCode::corrupt) {
      *why = opened.error().message();
      return false;
    }
  }
  const bool in_order =
      header->base_offset >= base_offset_ &&
      header->next_offset() <= end_.offset_limit.value_or(INT64_MAX) &&
      chain_.Believes(*header, FollowerAt(position + header->total_bytes(), reader));
  if (!in_order) {
    chain_.Reject(*header);
    *why = "the batch's base offset " + std::to_string(header->base_offset) +
           " contradicts what is around it";
    return false;
  }
  chain_.Take(*header);
  if (!survey_.damage.empty() && !survey_.damage.back().end_offset)
    survey_.damage.back().end_offset = header->base_offset;
  survey_.batches.push_back({position, header->total_bytes(), header->base_offset,
                             header->last_offset(), header->max_timestamp_ms});
  survey_.records += static_cast<uint64_t>(header->record_count);
  survey_.next_offset = header->next_offset();
  return true;
}

std::optional<int64_t> Surveyor::FollowerAt(uint64_t position, BlockReader& reader) const {
  if (position >= survey_.log_bytes) return end_.offset_limit;
  if (survey_.log_bytes - position < record::kBatchHeaderBytes) return std::nullopt;
  const auto next = record::DecodeBatchHeader(reader.Read(position, record::kBatchHeaderBytes));
  return next ? std::optional(next->base_offset) : std::nullopt;
}

// False: nothing that counts follows.
bool Surveyor::PassDamage(uint64_t* position, std::string why) {
  const auto found = FindBatchBehindDamage(log_, *position, survey_.log_bytes, survey_.next_offset);
  if (!found) {
    survey_.unreadable = found.error();
    return false;
  }
  const uint64_t end = *found ? (*found)->position : survey_.log_bytes;
  if (!survey_.damage.empty() && !survey_.damage.back().end_offset) {
    survey_.damage.back().end = end;  // what was found behind it does not count either
  } else {
    survey_.damage.push_back({*position, end, std::move(why), survey_.next_offset, std::nullopt});
  }
  *position = end;
  return found->has_value();
}

std::string EntryText(size_t entry) { return "entry " + std::to_string(entry); }

}  // namespace

SegmentSurvey SurveySegment(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                            SegmentEnd end, bool deep,
                            const std::function<void(uint64_t bytes)>& progress) {
  auto log = files.Open(SegmentPath(folder, base_offset, SegmentFile::log), {});
  if (!log) {
    SegmentSurvey survey;
    survey.next_offset = base_offset;
    survey.unreadable = log.error();
    return survey;
  }
  return Surveyor(**log, base_offset, end, deep).Run(progress);
}

SegmentEnd EndBy(const CheckpointEntry& entry, const std::vector<int64_t>& bases, size_t which) {
  SegmentEnd end;
  end.offset_limit = entry.packed_end_offset;
  if (bases[which] == entry.active_base_offset) {
    end.log_bytes = entry.active_flushed_bytes;
  } else if (which + 1 < bases.size()) {
    end.offset_limit = std::min(bases[which + 1], entry.packed_end_offset);
  }
  return end;
}

IndexesByRule MakeIndexes(int64_t base_offset, uint32_t interval_bytes,
                          const SegmentSurvey& survey) {
  index::IndexBuilder builder(base_offset, interval_bytes);
  IndexesByRule made;
  for (const SegmentSurvey::Batch& batch : survey.batches) {
    const auto due =
        builder.Add({batch.position, batch.bytes, batch.last_offset, batch.max_timestamp_ms});
    if (due.offset_entry) made.offsets.Add(*due.offset_entry);
    if (due.time_entry) made.times.MaybeAdd(*due.time_entry);
  }
  if (const auto last = builder.Final()) made.times.MaybeAdd(*last);
  return made;
}

// Every entry must name a batch. The interval may have been another one when some of them were
// written, so that fewer than the rule asks for are a fault only where those that are there follow
// it: then the file was cut short.
std::string CheckOffsetIndex(io::FileSystem& files, const std::string& path, int64_t base_offset,
                             const SegmentSurvey& survey, uint32_t interval_bytes) {
  const uint64_t most =
      (survey.log_bytes / record::kBatchHeaderBytes + 2) * index::kOffsetEntryBytes;
  const auto bytes = ReadIndexFile(files, path, most);
  if (!bytes) return bytes.error().message();
  index::OffsetIndex offsets;
  if (offsets.Load(*bytes, survey.log_bytes) != bytes->size()) {
    return EntryText(offsets.entries().size()) + " is not valid";
  }
  if (!survey.damage.empty()) return {};  // what it says of lost batches cannot be told
  const auto entries = offsets.entries();
  auto batch = survey.batches.begin();
  for (size_t entry = 0; entry < entries.size(); ++entry) {
    const auto position = static_cast<uint64_t>(entries[entry].position);
    while (batch != survey.batches.end() && batch->position < position) ++batch;
    const bool names_it = batch != survey.batches.end() && batch->position == position &&
                          batch->last_offset - base_offset == entries[entry].relative_offset;
    if (!names_it) return EntryText(entry) + " names no batch";
  }
  const IndexesByRule made = MakeIndexes(base_offset, interval_bytes, survey);
  const auto wanted = made.offsets.entries();
  const bool cut_short =
      entries.size() < wanted.size() && std::equal(entries.begin(), entries.end(), wanted.begin());
  return cut_short ? "entries are missing" : std::string();
}

std::string CheckTimeIndex(io::FileSystem& files, const std::string& path, int64_t base_offset,
                           const SegmentSurvey& survey) {
  const uint64_t most = (survey.log_bytes / record::kBatchHeaderBytes + 2) * index::kTimeEntryBytes;
  const auto bytes = ReadIndexFile(files, path, most);
  if (!bytes) return bytes.error().message();
  index::TimeIndex times;
  if (times.Load(*bytes, INT32_MAX) != bytes->size()) {
    return EntryText(times.entries().size()) + " is not valid";
  }
  size_t entry = 0;
  int64_t greatest = index::kNoTimestamp;
  for (const SegmentSurvey::Batch& batch : survey.batches) {
    const auto entries = times.entries();
    const bool rises = batch.max_timestamp_ms > greatest;
    greatest = std::max(greatest, batch.max_timestamp_ms);
    if (entry == entries.size() ||
        entries[entry].relative_offset != batch.last_offset - base_offset) {
      continue;
    }
    if (!rises || entries[entry].timestamp_ms != greatest) break;
    ++entry;
  }
  if (!survey.damage.empty()) return {};  // what it says of lost batches cannot be told
  if (entry < times.entries().size())
    return EntryText(entry) + " names no batch with its timestamp";
  const int64_t last = entry == 0 ? index::kNoTimestamp : times.entries().back().timestamp_ms;
  return last < greatest ? "the final entry is missing" : std::string();
}

}  // namespace tidemark::storage
