// Which partition is to be compacted, and which of its segments.
#include <algorithm>
#include <iterator>
#include <utility>

#include "storage/compaction.h"
#include "storage/seal.h"

namespace tidemark::storage {
namespace {

// How often it is looked whether a pass is due.
constexpr int64_t kLookUs = 1'000'000;
// Seals that are read in one piece of work.
constexpr size_t kMostSealsAtOnce = 64;

}  // namespace

struct Compaction::Survey {
  PartitionCore* partition = nullptr;
  uint64_t compactions = 0;
  std::vector<std::pair<int64_t, CompactionFacts>> segments;  // by base offset
};

// The one that is overdue, else the one with the largest dirty part.
void Compaction::Look() {
  look_us_ = INT64_MAX;
  std::optional<Plan> best;
  for (const auto& topic : topics_) {
    if (topic->deleted || !topic->config().compacts()) continue;
    look_us_ = context_.now_us + kLookUs;
    for (const auto& partition : topic->partitions()) {
      if (left_.contains(partition.get())) continue;
      if (!KnowsAll(*partition)) return StartSurvey(*partition);
      auto plan = PlanFor(*partition);
      if (!plan || !IsDue(*plan)) continue;
      const bool better = !best || std::pair(plan->overdue, plan->dirty_ratio) >
                                       std::pair(best->overdue, best->dirty_ratio);
      if (better) best = std::move(plan);
    }
  }
  if (best) Begin(*std::move(best));
}

// Else what is full could not be made smaller. From the first append on, so at once when there is
// such a topic.
void Compaction::KeepRoom() {
  context_.kept_room_bytes = 0;
  for (const auto& topic : topics_) {
    topic->kept_room_bytes = 0;
    if (!on() || topic->deleted || !topic->config().compacts()) continue;
    topic->kept_room_bytes =
        CompactionRoomBytes(static_cast<uint64_t>(packer_.MostSegmentBytes(*topic)));
    context_.kept_room_bytes = std::max(context_.kept_room_bytes, topic->kept_room_bytes);
  }
}

bool Compaction::KnowsAll(PartitionCore& partition) {
  const SegmentMap& segments = partition.segments();
  const auto end = segments.lower_bound(
      std::min(partition.checkpointed_active_base, partition.active_base_offset()));
  return std::all_of(segments.begin(), end,
                     [](const auto& segment) { return segment.second.facts.has_value(); });
}

// What stands below the log start is on its way out, and what is too young, or not finished by the
// checkpoint, stays as it is for now.
std::optional<Compaction::Plan> Compaction::PlanFor(PartitionCore& partition) {
  const TopicConfig& config = partition.topic().config();
  const int64_t now_ms = context_.EngineClockMs();
  const SegmentMap& segments = partition.segments();
  Plan plan;
  plan.partition = &partition;
  std::optional<int64_t> first_dirty_offset;
  bool tombstones_due = false;
  bool any_left = false;
  uint64_t clean_bytes = 0;
  uint64_t dirty_bytes = 0;
  uint64_t waiting_bytes = 0;  // for a checkpoint
  for (auto at = segments.begin(); at != segments.end(); ++at) {
    const auto& [base, segment] = *at;
    const auto next = std::next(at);
    if (base >= partition.active_base_offset() || next == segments.end()) break;
    if (next->first <= partition.log_start_wanted()) continue;
    if (base >= partition.checkpointed_active_base) {
      waiting_bytes += segment.log_bytes.value_or(1);
      continue;
    }
    const CompactionFacts& facts = *segment.facts;
    const bool dirty = first_dirty_offset || !(facts.clean() || facts.left || facts.log_bytes == 0);
    if (dirty && now_ms - facts.appended.last_ms < config.min_compaction_lag_ms) {
      waiting_bytes = 0;
      break;
    }
    plan.sources.push_back({base, next->first, facts.log_bytes, facts.appended, facts.sealed,
                            facts.compacted, facts.left});
    any_left = any_left || facts.left;
    if (facts.left) continue;
    if (!dirty) {
      clean_bytes += facts.log_bytes;
      const int64_t horizon_ms =
          facts.compacted ? facts.compacted->last_delete_horizon_ms : INT64_MIN;
      tombstones_due = tombstones_due ||
                       (!any_left && horizon_ms != INT64_MIN && horizon_ms <= HorizonClockMs());
      continue;
    }
    if (!first_dirty_offset) {
      first_dirty_offset = facts.compacted ? facts.compacted->clean_end_offset : base;
      plan.overdue = now_ms - facts.appended.first_ms > config.max_compaction_lag_ms;
    }
    dirty_bytes += facts.log_bytes;
  }
  const auto ratio = [&](uint64_t dirty) {
    return dirty == 0 ? 0.0 : static_cast<double>(dirty) / static_cast<double>(dirty + clean_bytes);
  };
  plan.dirty_ratio = ratio(dirty_bytes);
  if (!IsDue(plan) && waiting_bytes > 0 && !packer_.checkpoint_pending() &&
      (ratio(dirty_bytes + waiting_bytes) > config.min_cleanable_dirty_ratio ||
       config.max_compaction_lag_ms < INT64_MAX))
    packer_.RequestCheckpoint();
  if (dirty_bytes == 0 && !tombstones_due) return std::nullopt;
  plan.nothing_dirty = tombstones_due && !IsDue(plan);
  plan.first_dirty_offset =
      first_dirty_offset.value_or(plan.sources.empty() ? 0 : plan.sources.back().offset_limit);
  return plan;
}

bool Compaction::IsDue(const Plan& plan) const {
  if (plan.nothing_dirty || (plan.overdue && plan.dirty_ratio > 0)) return true;
  return plan.dirty_ratio > plan.partition->topic().config().min_cleanable_dirty_ratio;
}

std::optional<int64_t> Compaction::CleanEnd(io::FileSystem& files, PartitionCore& partition) {
  if (!partition.topic().config().compacts()) return std::nullopt;
  std::optional<int64_t> clean_end;
  for (const auto& [base, segment] : partition.segments()) {
    if (base == partition.active_base_offset()) break;
    const auto seal = ReadSeal(files, partition.folder(), base);
    if (!seal || seal->owner != partition.owner() || !seal->compacted) break;
    clean_end = seal->compacted->clean_end_offset;
    if (*clean_end < seal->end_offset) break;
  }
  return clean_end;
}

void Compaction::StartSurvey(PartitionCore& partition) {
  working_ = true;
  auto survey = std::make_shared<Survey>();
  survey->partition = &partition;
  survey->compactions = partition.compactions;
  for (const auto& [base, segment] : partition.segments()) {
    if (base >= partition.checkpointed_active_base || survey->segments.size() == kMostSealsAtOnce)
      break;
    if (segment.facts) continue;
    // Without its seal: for as old as is known, at the latest.
    CompactionFacts facts;
    facts.appended.last_ms = segment.last_append_ms.value_or(opened_ms_);
    facts.appended.first_ms = facts.appended.last_ms;
    survey->segments.emplace_back(base, facts);
  }
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, survey, folder = partition.folder(), owner = partition.owner()] {
        for (auto& [base, facts] : survey->segments) {
          const auto size = io::SizeOf(files, SegmentPath(folder, base, SegmentFile::log));
          facts.log_bytes = size ? *size : 0;
          const auto seal = ReadSeal(files, folder, base);
          facts.sealed = seal && seal->owner == owner && seal->log_bytes == facts.log_bytes;
          if (!facts.sealed) continue;
          facts.appended = seal->appended;
          facts.compacted = seal->compacted;
          facts.end_offset = seal->end_offset;
        }
      },
      [this, survey] {
        working_ = false;
        look_us_ = context_.now_us;
        SegmentMap& segments = survey->partition->segments();
        if (survey->compactions != survey->partition->compactions) return;
        for (auto& [base, facts] : survey->segments) {
          const auto found = segments.find(base);
          if (found != segments.end()) found->second.facts = facts;
        }
      });
}

}  // namespace tidemark::storage
