// Appending: whether a record is admitted, which time it gets, and where it goes.
#include <algorithm>

#include "storage/committer.h"
#include "storage/partition.h"

namespace tidemark::storage {
namespace {

// How far a record's LogAppendTime may lie behind its append. A smaller step makes smaller batches.
constexpr int64_t kAppendTimeStepMs = 1000;
// A record's own framing at most: varints and attributes.
constexpr size_t kMaxRecordFramingBytes = 64;
// Of flush.ms, within what part a run must have become full, and the oldest one that goes around
// the journal may be not durable yet, for the next to go there, too. The rest is left for packing
// and flushing.
constexpr int64_t kBulkShare = 4;
// A shorter flush.ms may be less than the flush of a segment takes.
constexpr int64_t kLeastFlushMsAround = 200;

}  // namespace

bool PartitionCore::StampsArrival() const {
  return topic_.config().timestamp_type == TimestampType::log_append_time;
}

Status PartitionCore::CheckAdmission(const Record& record) const {
  if (deleted) return Error(ErrorCode::unknown_topic, "the topic was deleted");
  if (!context_.health.ok()) return context_.health;
  if (topic_.config().compacts() && !record.key) {
    return Error(ErrorCode::invalid_argument,
                 "topic " + topic_.description().name +
                     " is compacted (cleanup.policy), so that each of its records needs a key");
  }
  uint64_t bytes = record.value ? record.value->size() : 0;
  if (record.key) bytes += record.key->size();
  for (const Header& header : record.headers) {
    bytes += header.key.size() + (header.value ? header.value->size() : 0) + kMaxRecordFramingBytes;
  }
  bytes += record::kBatchHeaderBytes + kMaxRecordFramingBytes;
  if (bytes > static_cast<uint64_t>(topic_.config().max_message_bytes)) {
    return Error(ErrorCode::record_too_large,
                 "a record of " + std::to_string(bytes) + " bytes exceeds max.message.bytes=" +
                     std::to_string(topic_.config().max_message_bytes) + " of topic " +
                     topic_.description().name);
  }
  if (bytes > committer_.max_frame_bytes()) {
    return Error(ErrorCode::record_too_large, "a record of " + std::to_string(bytes) +
                                                  " bytes exceeds the " +
                                                  std::to_string(committer_.max_frame_bytes()) +
                                                  " that this store's journal can commit");
  }
  const uint64_t limit = context_.options.memory_bytes / 10 * 9;
  if (context_.memory_bytes() + bytes > limit || !committer_.HasJournalRoom(bytes)) {
    return Error(ErrorCode::busy);
  }
  return CheckSpace(bytes + kRunOverheadBytes);
}

Status PartitionCore::CheckSpace(uint64_t bytes) const {
  if (!topic_.space.Fits(bytes + topic_.kept_room_bytes)) {
    if (context_.can_make_room(&topic_)) return Error(ErrorCode::busy);
    return Error(ErrorCode::disk_full,
                 "topic " + topic_.description().name +
                     " has used up its topic.bytes=" + std::to_string(topic_.config().topic_bytes) +
                     "; raise it, or let its retention be shorter");
  }
  if (!context_.space.Fits(bytes + context_.kept_room_bytes)) {
    if (context_.can_make_room(nullptr)) return Error(ErrorCode::busy);
    const EngineOptions& options = context_.options;
    const std::string within =
        options.store_bytes == 0
            ? "on its disk"
            : "on its disk, or within storage.store_bytes=" + std::to_string(options.store_bytes);
    return Error(ErrorCode::disk_full,
                 options.data_dir + " has no room left " + within +
                     ", and no topic may drop anything; make room, delete topics or let their "
                     "retention be shorter");
  }
  return {};
}

RecordsFrameHeader PartitionCore::FrameFor(int64_t offset, int64_t timestamp_ms) const {
  RecordsFrameHeader frame;
  frame.base_offset = offset;
  frame.base_timestamp_ms = timestamp_ms;
  if (StampsArrival()) frame.attributes = record::kLogAppendTimeBit;
  return frame;
}

// Kafka's rule for CreateTime.
bool PartitionCore::BelievesTimestamp(int64_t timestamp_ms) const {
  const TopicConfig& config = topic_.config();
  const int64_t before_max_ms = config.timestamp_before_max_ms;
  const int64_t after_max_ms = config.timestamp_after_max_ms;
  const bool limited = before_max_ms != kNoTimestampLimit || after_max_ms != kNoTimestampLimit;
  if (!limited || timestamp_ms == kTimestampOfArrival || StampsArrival()) return true;
  const int64_t now_ms = context_.environment.clock.WallMs();
  const bool before = timestamp_ms < now_ms;
  const int64_t most_ms = before ? before_max_ms : after_max_ms;
  // Unsigned: two timestamps may lie further apart than a signed number counts.
  const uint64_t distance_ms =
      before ? static_cast<uint64_t>(now_ms) - static_cast<uint64_t>(timestamp_ms)
             : static_cast<uint64_t>(timestamp_ms) - static_cast<uint64_t>(now_ms);
  return most_ms == kNoTimestampLimit || distance_ms <= static_cast<uint64_t>(most_ms);
}

Result<int64_t> PartitionCore::AppendAtArrival(const Record& record, Durability durability) {
  const std::string own = std::to_string(record.timestamp_ms);
  std::vector<Header> headers(record.headers.begin(), record.headers.end());
  headers.push_back({kOwnTimestampHeader, own});
  return Append({record.key, record.value, kTimestampOfArrival, headers}, durability);
}

Result<int64_t> PartitionCore::Append(const Record& record, Durability durability) {
  if (!BelievesTimestamp(record.timestamp_ms)) return AppendAtArrival(record, durability);
  if (Status admitted = CheckAdmission(record); !admitted) return admitted.error();
  const bool stamp = record.timestamp_ms == kTimestampOfArrival || StampsArrival();
  int64_t timestamp_ms = stamp ? context_.environment.clock.WallMs() : record.timestamp_ms;
  if (StampsArrival()) timestamp_ms = RunTimestamp(timestamp_ms);
  const int64_t offset = end_offset_;
  const RecordsFrameHeader frame = FrameFor(offset, timestamp_ms);

  Run* run = runs_.empty() ? nullptr : runs_.back().get();
  size_t encoded = run != nullptr ? run->EncodedBytes(record, offset, timestamp_ms) : 0;
  if (run == nullptr || !run->Takes(frame, offset, encoded)) {
    CloseOpenRun();
    const bool around = GoesAroundJournal(durability);
    run = &OpenRun(frame);
    run->around_journal = around;
    encoded = run->EncodedBytes(record, offset, timestamp_ms);
  }
  const size_t memory_before = run->memory_bytes();
  run->Append(record, offset, timestamp_ms, encoded);
  const int64_t now_ms = context_.EngineClockMs();
  run->NoteAppended({now_ms, now_ms});
  AccountMemory(*run, memory_before);
  ReserveSpace(encoded);
  context_.unsubmitted_bytes += encoded;
  if (durability == Durability::durable)
    context_.last_durable_append_us = last_durable_append_us_ = context_.now_us;
  if (run->around_journal) {
    context_.around_journal_bytes += encoded;
    if (durability == Durability::durable) ReturnToJournal(*run);
  }
  ++context_.stats.records_appended;
  context_.stats.encoded_bytes += encoded;
  ++end_offset_;
  if (run->size() >= kRunBytes) CloseOpenRun();
  committer_.MarkDirty(*this, durability);
  return offset;
}

bool PartitionCore::IsWithinBulkShare(const Run& run) const {
  const int64_t age_ms = context_.EngineClockMs() - run.appended().first_ms;
  return age_ms <= topic_.config().flush_ms / kBulkShare;
}

bool PartitionCore::GoesAroundJournal(Durability durability) const {
  if (durability == Durability::durable || dirty == Dirty::durable || !filled_at_once_)
    return false;
  if (topic_.config().flush_ms < kLeastFlushMsAround || !context_.may_go_around_journal)
    return false;
  // The worker may take long to finish a segment of an earlier opening.
  if (!begun_active && active_flushed_bytes_ > 0) return false;
  // A durable record behind what goes around the journal would wait for a flush of the segment.
  if (context_.AppendsDurably(last_durable_append_us_)) return false;
  const auto oldest =
      std::find_if(runs_.begin(), runs_.end(), [](const auto& run) { return run->flows_around(); });
  return oldest == runs_.end() || IsWithinBulkShare(**oldest);
}

void PartitionCore::ReturnToJournal(Run& run) {
  run.around_journal = false;
  context_.around_journal_bytes -= run.size();
}

void PartitionCore::TakeCheckpointed(int64_t packed_end) {
  bool any = false;
  for (auto& run : runs_) {
    if (run->state() != Run::State::packed || run->next_offset() > packed_end) break;
    if (!run->around_journal) continue;
    any = true;
    ReturnToJournal(*run);
    context_.unsubmitted_bytes -= run->size();
    context_.stats.around_journal_bytes += run->size();
    run->SetSubmitted();
    run->SetDurable(run->size(), run->next_offset(), 0, /*from_start=*/false);
  }
  if (any) committer_.TakeFlushedAround(*this, packed_end);
}

// A run under LogAppendTime has one timestamp, Kafka's readers being shown the batch's: that of its
// first record, for as long as that is near enough.
int64_t PartitionCore::RunTimestamp(int64_t now_ms) const {
  if (runs_.empty() || runs_.back()->state() != Run::State::open) return now_ms;
  const int64_t opened_ms = runs_.back()->frame().base_timestamp_ms;
  return now_ms >= opened_ms && now_ms - opened_ms < kAppendTimeStepMs ? opened_ms : now_ms;
}

}  // namespace tidemark::storage
