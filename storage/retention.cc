#include "storage/retention.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "storage/first_segment.h"
#include "storage/seal.h"
#include "storage/segment.h"

namespace tidemark::storage {
namespace {

// How often limits are looked at, where there are any that a minute would be late for. Room is
// looked at in every turn.
constexpr int64_t kCheckUs = 1'000'000;
constexpr int64_t kSeldomCheckUs = 60 * kCheckUs;
constexpr int64_t kLongSegmentMs = int64_t{3600} * 1000;
// Segments whose files are removed in one piece of work, so that flushes get their turn.
constexpr size_t kMostSegmentsAtOnce = 16;

bool HasExpired(PartitionCore& partition) {
  return FirstIsFinished(partition) && EndOfFirst(partition) <= partition.log_start_offset();
}

void AddOnce(std::vector<PartitionCore*>& list, PartitionCore& partition) {
  if (std::find(list.begin(), list.end(), &partition) == list.end()) list.push_back(&partition);
}

}  // namespace

uint64_t Retention::BytesOfSegment(io::FileSystem& files, const std::string& folder,
                                   int64_t base_offset) {
  uint64_t bytes = 0;
  for (const SegmentFile kind : kSegmentFiles) {
    const auto size = io::SizeOf(files, SegmentPath(folder, base_offset, kind));
    if (size) bytes += *size + kFileSlackBytes;
  }
  return bytes;
}

struct Retention::Removal {
  PartitionCore* partition = nullptr;
  struct Segment {
    int64_t base_offset = 0;
    Openings held;
    bool removed = false;  // the worker's to fill in
    uint64_t bytes = 0;
  };
  std::vector<Segment> segments;
  Status status;  // the first failure

  void Do(io::FileSystem& files) {
    const std::string& folder = partition->folder();
    for (Segment& segment : segments) {
      segment.bytes = BytesOfSegment(files, folder, segment.base_offset);
      Status removed = RemoveSegment(files, folder, segment.base_offset);
      segment.removed = removed.ok();
      if (status.ok()) status = removed;
    }
    Status flushed = files.FlushDirectory(folder);
    if (status.ok()) status = flushed;
  }
};

struct Retention::SealReading {
  PartitionCore* partition = nullptr;
  int64_t base_offset = 0;
  std::optional<int64_t> last_append_ms;
};

struct Retention::Survey {
  PartitionCore* partition = nullptr;
  std::vector<std::pair<int64_t, uint64_t>> log_bytes;  // by base offset
};

Retention::Retention(Context& context, Committer& committer, Packer& packer,
                     const TopicList& topics)
    : context_(context),
      committer_(committer),
      packer_(packer),
      topics_(topics),
      opened_ms_(context.EngineClockMs()),
      due_us_(context.now_us) {
  context_.can_make_room = [this](const TopicCore* only) { return CanMakeRoom(only); };
  for (const auto& topic : topics_) {
    for (const auto& partition : topic->partitions()) {
      if (partition->active_flushed_bytes() > 0 && !partition->active_begin_ms)
        partition->active_begin_ms = opened_ms_;
      RemoveSoon(*partition);
    }
  }
}

void Retention::RemoveSoon(PartitionCore& partition) {
  if (!partition.deleted && HasExpired(partition)) AddOnce(to_remove_, partition);
}

int64_t Retention::next_due_us() const {
  return stopped_ || working_ || !context_.health.ok() ? INT64_MAX : due_us_;
}

void Retention::Forget(PartitionCore& partition) {
  std::erase(to_remove_, &partition);
  std::erase(to_measure_, &partition);
  std::erase(to_date_, &partition);
  if (victim_ == &partition) victim_ = nullptr;
  if (partition.topic().victim == &partition) partition.topic().victim = nullptr;
  for (auto& [base, segment] : partition.segments()) {
    Openings held = segment.TakeHeld();
    if (held.empty()) continue;
    const uint64_t bytes = BytesOfSegment(context_.environment.files, partition.folder(), base);
    pinned_.push_back({std::move(held), &partition, bytes});
  }
}

void Retention::Advance() {
  for (PartitionCore* partition : committer_.TakeLogStarts()) RemoveSoon(*partition);
  CreditUnpinned();
  if (stopped_ || !context_.health.ok()) return;
  if (context_.now_us >= due_us_) CheckLimits();
  MakeRoom();
  if (working_ || StartCounting() || StartRemoval() || StartSealReading()) return;
  if (to_measure_.empty()) return;
  PartitionCore& partition = *to_measure_.back();
  to_measure_.pop_back();
  StartSurvey(partition);
}

// --- Limits --------------------------------------------------------------------------------------

void Retention::CheckLimits() {
  due_us_ = context_.now_us + kSeldomCheckUs;
  for (const auto& topic : topics_) {
    if (topic->deleted) continue;
    const TopicConfig& config = topic->config();
    const bool limited =
        config.deletes() && (config.retention_ms >= 0 || config.retention_bytes >= 0);
    const bool compacted_in_time = config.compacts() && config.max_compaction_lag_ms < INT64_MAX;
    if (limited || compacted_in_time || config.segment_ms < kLongSegmentMs)
      due_us_ = context_.now_us + kCheckUs;
    for (const auto& partition : topic->partitions()) {
      RollIfDue(*partition);
      if (!config.deletes()) continue;
      if (config.retention_ms >= 0) KeepTime(*partition);
      if (config.retention_bytes >= 0) KeepBytes(*partition);
    }
  }
}

// Also where nothing is appended any more: a segment's records go when its last one does, so that
// none stays longer than a segment's span too long.
void Retention::RollIfDue(PartitionCore& partition) {
  std::optional<int64_t> begin_ms = partition.active_begin_ms;
  if (!begin_ms && !partition.runs().empty())
    begin_ms = partition.runs().front()->appended().first_ms;
  if (!begin_ms) return;
  const TopicConfig& config = partition.topic().config();
  int64_t span_ms = config.segment_ms;
  if (config.deletes() && config.retention_ms >= 0)
    span_ms = std::min(span_ms, config.retention_ms);
  // The active segment cannot be compacted.
  if (config.compacts()) span_ms = std::min(span_ms, config.max_compaction_lag_ms);
  if (context_.EngineClockMs() - *begin_ms >= span_ms) packer_.RollSoon(partition);
}

// The oldest segments go, for as long as `goes` says so of the next one. Never the active one.
void Retention::GiveUpWhile(PartitionCore& partition,
                            const std::function<bool(const SegmentEntry&)>& goes) {
  const SegmentMap& segments = partition.segments();
  int64_t log_start = partition.log_start_wanted();
  for (auto at = segments.begin(); at != segments.end(); ++at) {
    const auto next = std::next(at);
    if (at->first == partition.active_base_offset() || next == segments.end()) break;
    if (!goes(at->second)) break;
    log_start = std::max(log_start, next->first);
  }
  committer_.MoveLogStart(partition, log_start);
}

void Retention::KeepTime(PartitionCore& partition) {
  const int64_t now_ms = context_.EngineClockMs();
  GiveUpWhile(partition, [&](const SegmentEntry& segment) {
    if (!segment.last_append_ms) DateSoon(partition);
    return segment.last_append_ms &&
           now_ms - *segment.last_append_ms > partition.topic().config().retention_ms;
  });
}

// True: its segments are measured.
bool Retention::MeasureSoon(PartitionCore& partition) {
  const SegmentMap& segments = partition.segments();
  const bool all = std::all_of(segments.begin(), segments.end(),
                               [](const auto& segment) { return segment.second.log_bytes; });
  if (!all) AddOnce(to_measure_, partition);
  return all;
}

// Kafka's rule: the oldest segment goes when what is left without it is not less than the limit.
void Retention::KeepBytes(PartitionCore& partition) {
  if (!FirstIsFinished(partition) || !MeasureSoon(partition)) return;
  const SegmentMap& segments = partition.segments();
  uint64_t bytes = 0;
  for (const auto& [base, segment] : segments) bytes += *segment.log_bytes;
  const auto limit = static_cast<uint64_t>(partition.topic().config().retention_bytes);
  GiveUpWhile(partition, [&](const SegmentEntry& segment) {
    if (bytes - *segment.log_bytes < limit) return false;
    bytes -= *segment.log_bytes;
    return true;
  });
}

// --- Files ---------------------------------------------------------------------------------------

bool Retention::StartRemoval() {
  auto removal = std::make_shared<Removal>();
  while (removal->segments.empty() && !to_remove_.empty()) {
    PartitionCore& partition = *to_remove_.back();
    removal->partition = &partition;
    while (HasExpired(partition) && removal->segments.size() < kMostSegmentsAtOnce) {
      const auto first = partition.segments().begin();
      removal->segments.push_back({first->first, first->second.TakeHeld()});
      partition.segments().erase(first);
    }
    if (!HasExpired(partition)) to_remove_.pop_back();
  }
  if (removal->segments.empty()) return false;
  working_ = true;
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit([&files, removal] { removal->Do(files); },
                                     [this, removal] { FinishRemoval(*removal); });
  return true;
}

// A file that could not be removed is no reason to stop: its records are given up, and the next
// opening tries again.
void Retention::FinishRemoval(const Removal& removal) {
  working_ = false;
  for (const Removal::Segment& segment : removal.segments) {
    if (!segment.removed) continue;
    ++context_.stats.segments_removed;
    CreditWhenReleased(*removal.partition, segment.held, segment.bytes);
  }
  if (removal.status.ok() || told_failure_) return;
  told_failure_ = true;
  context_.Tell(NoticeLevel::warning, "retention: " + removal.status.error().ToString() +
                                          "; it is tried again when the store is opened");
}

void Retention::DateSoon(PartitionCore& partition) { AddOnce(to_date_, partition); }

// When the oldest segment was appended that nobody has dated yet. A seal that is missing, damaged,
// or not this partition's says nothing.
bool Retention::StartSealReading() {
  if (to_date_.empty()) return false;
  PartitionCore& partition = *to_date_.back();
  to_date_.pop_back();
  const SegmentMap& segments = partition.segments();
  const auto undated = std::find_if(segments.begin(), segments.end(), [](const auto& segment) {
    return !segment.second.last_append_ms;
  });
  if (undated == segments.end()) return false;
  working_ = true;
  auto reading = std::make_shared<SealReading>();
  reading->partition = &partition;
  reading->base_offset = undated->first;
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, reading, folder = partition.folder(), owner = partition.owner()] {
        const auto seal = ReadSeal(files, folder, reading->base_offset);
        if (seal && seal->owner == owner) reading->last_append_ms = seal->appended.last_ms;
      },
      [this, reading] {
        working_ = false;
        SegmentMap& known = reading->partition->segments();
        const auto segment = known.find(reading->base_offset);
        if (segment != known.end() && !segment->second.last_append_ms) {
          // A clock that has lost its past may be behind what was written under it.
          segment->second.last_append_ms =
              std::min(reading->last_append_ms.value_or(opened_ms_), context_.EngineClockMs());
        }
        due_us_ = context_.now_us;
      });
  return true;
}

void Retention::StartSurvey(PartitionCore& partition) {
  working_ = true;
  auto survey = std::make_shared<Survey>();
  survey->partition = &partition;
  for (const auto& [base, segment] : partition.segments()) {
    if (!segment.log_bytes) survey->log_bytes.emplace_back(base, 0);
  }
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, survey, folder = partition.folder()] {
        for (auto& [base, bytes] : survey->log_bytes) {
          const auto size = io::SizeOf(files, SegmentPath(folder, base, SegmentFile::log));
          bytes = size ? *size : 0;  // missing: takes nothing
        }
      },
      [this, survey] {
        working_ = false;
        SegmentMap& segments = survey->partition->segments();
        for (const auto& [base, bytes] : survey->log_bytes) {
          const auto found = segments.find(base);
          if (found != segments.end() && !found->second.log_bytes) found->second.log_bytes = bytes;
        }
        due_us_ = context_.now_us;  // now the limit can be looked at
      });
}

}  // namespace tidemark::storage
