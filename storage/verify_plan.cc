#include "storage/verify_plan.h"

#include <algorithm>
#include <utility>

#include "storage/seal.h"
#include "storage/segment_swap.h"

namespace tidemark::storage {
namespace {

Finding NoteOf(const std::string& path, std::string what) {
  Finding note;
  note.path = path;
  note.what = std::move(what);
  return note;
}

// Segments whose place another one has taken, though their files are still there.
void LeaveOutReplaced(const std::vector<FoundSwap>& swaps, const std::string& folder,
                      std::vector<int64_t>* bases, std::vector<Finding>* notes) {
  for (const FoundSwap& swap : swaps) {
    notes->push_back(NoteOf(SwapPath(folder, swap.base_offset),
                            "a compaction was cut off; the next opening finishes it"));
    if (!swap.counts) continue;
    std::erase_if(*bases,
                  [&](int64_t base) { return base > swap.base_offset && base < swap.end_offset; });
  }
}

void PlanSegments(const std::vector<FoundSwap>& swaps, bool known, bool clean,
                  PartitionPlan* plan) {
  if (known && plan->entry == nullptr) return;  // the journal holds all that there is of it
  std::vector<int64_t> bases = *plan->bases;
  LeaveOutReplaced(swaps, plan->folder, &bases, &plan->notes);
  for (size_t i = 0; i < bases.size(); ++i) {
    const int64_t base = bases[i];
    if (known && base > plan->entry->active_base_offset) break;
    if (known && i + 1 < bases.size() && bases[i + 1] <= plan->entry->log_start_offset) {
      plan->notes.push_back(NoteOf(SegmentPath(plan->folder, base, SegmentFile::log),
                                   "its records are given up; the next opening removes it"));
      continue;
    }
    SegmentEnd end;
    if (known) {
      end = EndBy(*plan->entry, bases, i);
    } else if (i + 1 < bases.size()) {
      end.offset_limit = bases[i + 1];
    }
    const bool active = known ? base == plan->entry->active_base_offset : i + 1 == bases.size();
    // Of one that is being replaced the log is known, wherever it is; the rest may be another's.
    const auto swap = std::find_if(swaps.begin(), swaps.end(), [&](const FoundSwap& found) {
      return found.base_offset == base;
    });
    const bool replaced = swap != swaps.end();
    const bool by_draft = replaced && swap->counts && !swap->log_in_place;
    plan->segments.push_back({plan->topic->name,
                              {plan->topic->id, plan->partition},
                              plan->folder,
                              base,
                              end,
                              static_cast<uint32_t>(plan->topic->config.index_interval_bytes),
                              /*finished=*/!replaced && (!active || clean),
                              /*rolled=*/!replaced && !active,
                              by_draft ? CleanedPath(plan->folder, base, SegmentFile::log) : ""});
  }
}

}  // namespace

PartitionPlan PlanPartition(io::FileSystem& files, const std::string& data_dir,
                            const TopicDescription& topic, int32_t partition,
                            const Checkpoint* checkpoint, bool clean) {
  PartitionPlan plan;
  plan.topic = &topic;
  plan.partition = partition;
  plan.folder = PartitionFolder(data_dir, topic.name, partition);
  if (checkpoint != nullptr) {
    for (const CheckpointEntry& candidate : checkpoint->entries) {
      if (candidate.topic_id == topic.id && candidate.partition == partition)
        plan.entry = &candidate;
    }
  }
  plan.stamp = StampOf(files, plan.folder);
  const auto swaps = FindSwaps(files, plan.folder);
  plan.bases = swaps ? ListSegments(files, plan.folder) : swaps.error();
  if (plan.bases) PlanSegments(*swaps, checkpoint != nullptr, clean, &plan);
  return plan;
}

std::string StampOf(io::FileSystem& files, const std::string& folder) {
  std::string stamp;
  const auto bases = ListSegments(files, folder);
  if (!bases) return stamp;
  for (const int64_t base : *bases) {
    stamp += std::to_string(base);
    const std::string path = SegmentPath(folder, base, SegmentFile::seal);
    if (const auto seal = io::ReadWholeFile(files, path, kMaxSealBytes)) stamp += *seal;
    stamp += '\n';
  }
  const auto swaps = FindSwaps(files, folder);
  return swaps && !swaps->empty() ? stamp + "swap" : stamp;
}

}  // namespace tidemark::storage
