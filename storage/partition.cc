#include "storage/partition.h"

#include <algorithm>

#include "base/check.h"
#include "storage/committer.h"

namespace tidemark::storage {
namespace {

// With less memory than this a run grows as it is filled, whatever the one before it did.
constexpr uint64_t kMemoryForFullRuns = uint64_t{32} * kRunBytes;

bool SameTerms(const RecordsFrameHeader& a, const RecordsFrameHeader& b) {
  return a.base_offset == b.base_offset && a.base_timestamp_ms == b.base_timestamp_ms &&
         a.leader_epoch == b.leader_epoch && a.attributes == b.attributes;
}

}  // namespace

PartitionCore::PartitionCore(Context& context, Committer& committer, TopicCore& topic,
                             int32_t index, std::string folder)
    : context_(context),
      committer_(committer),
      topic_(topic),
      index_(index),
      folder_(std::move(folder)),
      handle_(this) {}

SegmentOwner PartitionCore::owner() const { return {topic_.description().id, index_}; }

Run& PartitionCore::OpenRun(const RecordsFrameHeader& frame) {
  CloseOpenRun();
  const bool will_be_full = !runs_.empty() && runs_.back()->is_nearly_full() &&
                            context_.options.memory_bytes >= kMemoryForFullRuns;
  runs_.push_back(std::make_unique<Run>(frame));
  if (will_be_full) runs_.back()->ExpectFull();
  context_.tail_memory_bytes += runs_.back()->memory_bytes();
  ReserveSpace(kRunOverheadBytes);
  return *runs_.back();
}

void PartitionCore::AccountMemory(const Run& run, size_t before) {
  context_.tail_memory_bytes += run.memory_bytes() - before;
}

void PartitionCore::CloseOpenRun() {
  if (runs_.empty() || runs_.back()->state() != Run::State::open) return;
  Run& run = *runs_.back();
  run.set_state(Run::State::closed);
  filled_at_once_ = run.is_nearly_full() && IsWithinBulkShare(run);
  if (run.around_journal && !filled_at_once_) ReturnToJournal(run);
  if (run.around_journal) committer_.HurryBefore(*this, run);
  if (run.packable()) committer_.NotePackable(*this);
}

void PartitionCore::Restore(int64_t log_start, int64_t packed_end, int64_t active_base,
                            uint64_t flushed_bytes, const std::vector<int64_t>& segment_bases) {
  log_start_offset_ = log_start;
  packed_end_offset_ = packed_end;
  end_offset_ = packed_end;
  durable_end_offset_ = packed_end;
  active_base_offset_ = active_base;
  active_flushed_bytes_ = flushed_bytes;
  for (int64_t base : segment_bases) segments_[base];
}

void PartitionCore::Replay(const RecordsFrameHeader& frame, base::ByteSpan records,
                           const record::RecordsSummary& summary, int64_t first_offset,
                           uint64_t sequence, int64_t engine_clock_ms) {
  const int64_t end = frame.base_offset + summary.last_offset_delta + 1;
  if (end <= end_offset_) return;
  const bool continues = !runs_.empty() && runs_.back()->state() == Run::State::open &&
                         SameTerms(runs_.back()->frame(), frame) && first_offset == end_offset_ &&
                         runs_.back()->next_offset() == end_offset_;
  if (continues || (first_offset == end_offset_ && frame.base_offset == first_offset)) {
    Run& run = continues ? *runs_.back() : OpenRun(frame);
    const size_t memory_before = run.memory_bytes();
    run.AppendEncoded(records, summary);
    run.NoteAppended({engine_clock_ms, engine_clock_ms});
    AccountMemory(run, memory_before);
    ReserveSpace(records.size());
    run.SetSubmitted();
    run.SetDurable(run.size(), end, sequence, !continues);
    end_offset_ = end;
    durable_end_offset_ = end;
    return;
  }
  if (first_offset > end_offset_) SkipTo(first_offset);
  ReplayOneByOne(frame, records, summary, sequence, engine_clock_ms);
}

// The rare case: part of a frame is held already, or the first piece of its run is lost.
void PartitionCore::ReplayOneByOne(const RecordsFrameHeader& frame, base::ByteSpan records,
                                   const record::RecordsSummary& summary, uint64_t sequence,
                                   int64_t engine_clock_ms) {
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(records).data();
  encoded.count = summary.count;
  encoded.base_offset = frame.base_offset;
  encoded.base_timestamp_ms = frame.base_timestamp_ms;
  encoded.first_offset = end_offset_;
  std::vector<Header> headers;
  for (const RecordView& view : RecordRange(encoded)) {
    headers.clear();
    for (const Header& header : view.headers) headers.push_back(header);
    const Record record{view.key, view.value, view.timestamp_ms, headers};
    RecordsFrameHeader terms = frame;
    Run* run = runs_.empty() ? nullptr : runs_.back().get();
    const bool same_run = run != nullptr && run->state() == Run::State::open &&
                          run->next_offset() == view.offset &&
                          run->frame().attributes == frame.attributes &&
                          run->frame().leader_epoch == frame.leader_epoch &&
                          run->frame().base_timestamp_ms == frame.base_timestamp_ms &&
                          run->size() + record.value.value_or("").size() < kRunBytes;
    if (!same_run) {
      terms.base_offset = view.offset;
      run = &OpenRun(terms);
    }
    const size_t bytes = run->EncodedBytes(record, view.offset, view.timestamp_ms);
    const size_t memory_before = run->memory_bytes();
    run->Append(record, view.offset, view.timestamp_ms, bytes);
    run->NoteAppended({engine_clock_ms, engine_clock_ms});
    AccountMemory(*run, memory_before);
    ReserveSpace(bytes);
    run->SetSubmitted();
    run->SetDurable(run->size(), view.offset + 1, sequence, !same_run);
    end_offset_ = view.offset + 1;
    durable_end_offset_ = end_offset_;
  }
}

void PartitionCore::SplitUndurableRuns() {
  for (size_t i = 0; i < runs_.size(); ++i) {
    Run& run = *runs_[i];
    const bool splits = !run.with_worker() && !run.in_flight && run.durable_bytes() > 0 &&
                        run.submitted_bytes() == run.durable_bytes() && !run.fully_durable();
    if (!splits) continue;
    const Run::State state = run.state();
    const size_t memory_before = run.memory_bytes();
    const Run rest = run.SplitBehindDurable();
    AccountMemory(run, memory_before);
    run.set_state(Run::State::closed);
    committer_.NotePackable(*this);
    auto fresh = ReencodeRest(run, rest);
    fresh->set_state(state);
    context_.unsubmitted_bytes += fresh->size();
    context_.unsubmitted_bytes -= rest.size();
    ReserveSpace(kRunOverheadBytes + fresh->size());
    SettleSpace(rest.size(), 0);
    context_.tail_memory_bytes += fresh->memory_bytes();
    runs_.insert(runs_.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(fresh));
  }
}

// Records cut off from `run`, relative to a base of their own; nobody has seen their bytes yet.
std::unique_ptr<Run> PartitionCore::ReencodeRest(const Run& run, const Run& rest) {
  RecordRange::Encoded encoded;
  encoded.records = base::AsText(rest.bytes(0, rest.size())).data();
  encoded.count = static_cast<int32_t>(rest.next_offset() - run.next_offset());
  encoded.base_offset = rest.base_offset();
  encoded.base_timestamp_ms = rest.frame().base_timestamp_ms;
  RecordsFrameHeader frame = rest.frame();
  frame.base_offset = run.next_offset();
  auto fresh = std::make_unique<Run>(frame);
  fresh->NoteAppended(rest.appended());
  std::vector<Header> headers;
  for (const RecordView& view : RecordRange(encoded)) {
    headers.clear();
    for (const Header& header : view.headers) headers.push_back(header);
    const Record record{view.key, view.value, view.timestamp_ms, headers};
    fresh->Append(record, view.offset, view.timestamp_ms,
                  fresh->EncodedBytes(record, view.offset, view.timestamp_ms));
  }
  return fresh;
}

void PartitionCore::SkipTo(int64_t offset) {
  if (offset <= end_offset_) return;
  CloseOpenRun();
  if (runs_.empty()) packed_end_offset_ = offset;
  end_offset_ = offset;
  durable_end_offset_ = offset;
}

const Run* PartitionCore::FindRun(int64_t offset) const {
  auto after =
      std::upper_bound(runs_.begin(), runs_.end(), offset,
                       [](int64_t wanted, const auto& run) { return wanted < run->base_offset(); });
  if (after != runs_.begin() && (*(after - 1))->next_offset() > offset) return (after - 1)->get();
  return after == runs_.end() ? nullptr : after->get();  // behind a hole that damage has left
}

uint64_t PartitionCore::unpacked_bytes() const {
  uint64_t bytes = 0;
  for (const auto& run : runs_) {
    if (!run->with_worker()) bytes += run->size();
  }
  return bytes;
}

std::optional<uint64_t> PartitionCore::first_needed_sequence() const {
  std::optional<uint64_t> needed;
  for (const auto& run : runs_) {
    if (run->first_sequence() == 0) continue;
    needed = std::min(needed.value_or(UINT64_MAX), run->first_sequence());
  }
  return needed;
}

int64_t PartitionCore::PackedRunsEnd() const {
  int64_t end = packed_end_offset_;
  for (const auto& run : runs_) {
    if (run->state() != Run::State::packed) break;
    end = run->next_offset();
  }
  return end;
}

void PartitionCore::DropPackedBelow(int64_t offset) {
  while (!runs_.empty() && runs_.front()->state() == Run::State::packed &&
         runs_.front()->next_offset() <= offset) {
    context_.tail_memory_bytes -= runs_.front()->memory_bytes();
    runs_.pop_front();
  }
}

Status PartitionCore::DeleteRecords(int64_t before_offset) {
  if (deleted) return Error(ErrorCode::unknown_topic, "the topic was deleted");
  if (!context_.health.ok()) return context_.health;
  if (before_offset < 0 || before_offset > durable_end_offset_) {
    return Error(ErrorCode::offset_out_of_range,
                 "offset " + std::to_string(before_offset) + " is outside 0 to " +
                     std::to_string(durable_end_offset_) + ", the end of what is durable");
  }
  if (before_offset > log_start_wanted()) committer_.MoveLogStart(*this, before_offset);
  return {};
}

void PartitionCore::SetLogStart(int64_t offset) {
  TIDEMARK_CHECK(offset >= log_start_offset_);
  log_start_offset_ = offset;
}

void PartitionCore::ForgetRun(const Run& run) {
  context_.tail_memory_bytes -= run.memory_bytes();
  context_.unsubmitted_bytes -= run.size() - run.submitted_bytes();
  if (run.around_journal) context_.around_journal_bytes -= run.size();
  SettleSpace(ReservedFor(run), 0);
}

void PartitionCore::DropRuns() {
  for (const auto& run : runs_) ForgetRun(*run);
  runs_.clear();
}

void PartitionCore::DropGivenUpRuns() {
  while (!runs_.empty() && runs_.front()->next_offset() <= log_start_offset_ &&
         !runs_.front()->with_worker() && runs_.front()->state() != Run::State::packed) {
    packed_end_offset_ = runs_.front()->next_offset();
    ForgetRun(*runs_.front());
    runs_.pop_front();
    roll_wanted = active_flushed_bytes_ > 0;  // no segment has a gap in it
  }
}

std::vector<std::string> TopicCore::folders() const {
  std::vector<std::string> folders;
  for (const auto& partition : partitions_) folders.push_back(partition->folder());
  return folders;
}

void PartitionCore::ReserveSpace(uint64_t bytes) {
  context_.space.Reserve(bytes);
  topic_.space.Reserve(bytes);
}

void PartitionCore::SettleSpace(uint64_t reserved, uint64_t written) {
  context_.space.Settle(reserved, written);
  topic_.space.Settle(reserved, written);
}

void PartitionCore::CreditSpace(uint64_t bytes) {
  context_.space.Credit(bytes);
  topic_.space.Credit(bytes);
}

uint64_t PartitionCore::ReservedFor(const Run& run) { return run.size() + kRunOverheadBytes; }

SegmentEnd PartitionCore::EndOf(int64_t base_offset) const {
  SegmentEnd end{std::nullopt, packed_end_offset_};
  if (base_offset == active_base_offset_) {
    end.log_bytes = active_flushed_bytes_;
  } else if (const auto next = segments_.upper_bound(base_offset); next != segments_.end()) {
    end.offset_limit = std::min(next->first, packed_end_offset_);
  }
  return end;
}

void PartitionCore::SetFlushed(int64_t active_base, uint64_t flushed_bytes, int64_t packed_end) {
  TIDEMARK_CHECK(packed_end >= packed_end_offset_ && packed_end <= durable_end_offset_);
  // What was opened of the segment that has grown, or has been finished, is to be opened anew.
  if (auto active = segments_.find(active_base_offset_); active != segments_.end())
    active->second.LetGo();
  for (const auto& [base, unflushed] : unflushed_segments) {
    SegmentEntry& segment = segments_[base];
    segment = {.opened = nullptr,
               .held = segment.TakeHeld(),
               .max_timestamp_ms = std::nullopt,
               .last_append_ms = unflushed.last_append_ms,
               .log_bytes = unflushed.log_bytes,
               .facts = std::nullopt};
  }
  unflushed_segments.clear();
  active_base_offset_ = active_base;
  active_flushed_bytes_ = flushed_bytes;
  packed_end_offset_ = packed_end;
}

SegmentMap::iterator PartitionCore::SegmentFor(int64_t offset) {
  auto after = segments_.upper_bound(offset);
  return after == segments_.begin() ? after : std::prev(after);
}

}  // namespace tidemark::storage
