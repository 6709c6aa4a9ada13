#include "storage/retention.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "storage/seal.h"
#include "storage/segment.h"
#include "storage/store_files.h"

namespace tidemark::storage {
namespace {

// How often limits are looked at, where there are any that a minute would be late for. Room is
// looked at in every turn.
constexpr int64_t kCheckUs = 1'000'000;
constexpr int64_t kSeldomCheckUs = 60 * kCheckUs;
constexpr int64_t kLongSegmentMs = int64_t{3600} * 1000;
// Segments whose files are removed in one piece of work, so that flushes get their turn.
constexpr size_t kMostSegmentsAtOnce = 16;
// Room that dropping keeps free: a sixteenth of a budget, else this on a disk. Enough for what
// arrives while segments are being removed.
constexpr uint64_t kBudgetHeadroomShare = 16;
// The store is counted anew when so much of its budget was removed.
constexpr uint64_t kCountShare = 4;
constexpr uint64_t kDiskHeadroomBytes = uint64_t{8} << 20;

// The first segment's records are all below the log start, or nothing would be lost with them.
bool FirstIsFinished(PartitionCore& partition) {
  const SegmentMap& segments = partition.segments();
  return !segments.empty() && segments.begin()->first != partition.active_base_offset();
}

// Where the offsets behind the first segment begin.
int64_t EndOfFirst(PartitionCore& partition) {
  const auto next = std::next(partition.segments().begin());
  return next == partition.segments().end() ? partition.packed_end_offset() : next->first;
}

// Its first segment is on its way out.
bool IsLeaving(PartitionCore& partition) {
  return FirstIsFinished(partition) && EndOfFirst(partition) <= partition.log_start_wanted();
}

bool HasExpired(PartitionCore& partition) {
  return FirstIsFinished(partition) && EndOfFirst(partition) <= partition.log_start_offset();
}

void AddOnce(std::vector<PartitionCore*>& list, PartitionCore& partition) {
  if (std::find(list.begin(), list.end(), &partition) == list.end()) list.push_back(&partition);
}

}  // namespace

struct Retention::Removal {
  std::string folder;
  struct Segment {
    int64_t base_offset = 0;
    std::shared_ptr<OpenSegment> opened;
    bool removed = false;  // the worker's to fill in
    uint64_t bytes = 0;
  };
  std::vector<Segment> segments;
  Status status;  // the first failure

  void Do(io::FileSystem& files) {
    for (Segment& segment : segments) {
      for (const SegmentFile kind : kSegmentFiles) {
        const auto size = io::SizeOf(files, SegmentPath(folder, segment.base_offset, kind));
        if (size) segment.bytes += *size + kFileSlackBytes;
      }
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
  context_.can_make_room = [this] { return victim_ != nullptr || FindVictim() != nullptr; };
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
    const bool limited = config.retention_ms >= 0 || config.retention_bytes >= 0;
    if (limited || config.segment_ms < kLongSegmentMs) due_us_ = context_.now_us + kCheckUs;
    for (const auto& partition : topic->partitions()) {
      RollIfDue(*partition);
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
  if (config.retention_ms >= 0) span_ms = std::min(span_ms, config.retention_ms);
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
    if (!segment.last_append_ms) AddOnce(to_date_, partition);
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

// --- Room ----------------------------------------------------------------------------------------

// One segment at a time: what it gives back is known when its files are gone.
void Retention::MakeRoom() {
  const uint64_t budget = context_.options.store_bytes;
  const uint64_t headroom = budget != 0 ? budget / kBudgetHeadroomShare : kDiskHeadroomBytes;
  const bool under_way = working_ || (victim_ != nullptr && IsLeaving(*victim_));
  if (under_way) return;
  victim_ = context_.space.Fits(headroom) ? nullptr : FindVictim();
  if (victim_ != nullptr) committer_.MoveLogStart(*victim_, EndOfFirst(*victim_));
}

// Of the topics that come first to give way, the partition with the most segments.
PartitionCore* Retention::FindVictim() const {
  PartitionCore* victim = nullptr;
  const auto before = [](PartitionCore& a, PartitionCore& b) {
    const int32_t priority_a = a.topic().config().retention_priority;
    const int32_t priority_b = b.topic().config().retention_priority;
    if (priority_a != priority_b) return priority_a < priority_b;
    return a.segments().size() > b.segments().size();
  };
  for (const auto& topic : topics_) {
    if (topic->deleted || topic->config().when_full != WhenFull::drop_oldest) continue;
    for (const auto& partition : topic->partitions()) {
      if (!FirstIsFinished(*partition)) continue;
      if (victim == nullptr || before(*partition, *victim)) victim = partition.get();
    }
  }
  return victim;
}

// --- Files ---------------------------------------------------------------------------------------

bool Retention::StartRemoval() {
  auto removal = std::make_shared<Removal>();
  while (removal->segments.empty() && !to_remove_.empty()) {
    PartitionCore& partition = *to_remove_.back();
    removal->folder = partition.folder();
    while (HasExpired(partition) && removal->segments.size() < kMostSegmentsAtOnce) {
      const auto first = partition.segments().begin();
      removal->segments.push_back({first->first, std::move(first->second.opened)});
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
    removed_bytes_ += segment.bytes;
    if (segment.opened.use_count() > 1) {
      pinned_.push_back({segment.opened, segment.bytes});
    } else {
      context_.space.Credit(segment.bytes);
    }
  }
  if (removal.status.ok() || told_failure_) return;
  told_failure_ = true;
  context_.Tell(NoticeLevel::warning, "retention: " + removal.status.error().ToString() +
                                          "; it is tried again when the store is opened");
}

void Retention::CreditUnpinned() {
  std::erase_if(pinned_, [this](const Pinned& pinned) {
    if (!pinned.segment.expired()) return false;
    context_.space.Credit(pinned.bytes);
    return true;
  });
}

// What a segment was charged with while it was written (the most that its index entries might take)
// is a little more than its files give back. Nothing is written while the worker counts.
bool Retention::StartCounting() {
  const uint64_t budget = context_.options.store_bytes;
  if (budget == 0 || removed_bytes_ < budget / kCountShare) return false;
  working_ = true;
  removed_bytes_ = 0;
  auto used = std::make_shared<Result<uint64_t>>(uint64_t{0});
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, used, data_dir = context_.options.data_dir] {
        *used = BytesOfStore(files, data_dir);
      },
      [this, used, budget] {
        working_ = false;
        if (!used->ok()) return;  // then the sum that is kept must do
        uint64_t bytes = **used;
        for (const Pinned& pinned : pinned_) bytes += pinned.bytes;
        context_.space.SetRoom(RoomInBudget(budget, bytes));
      });
  return true;
}

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
