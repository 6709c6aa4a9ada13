#include "storage/packer.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"

namespace tidemark::storage {
namespace {

// A tail below this makes a poor batch (measured on readings: 31 bytes each in a batch of ten, 14
// in one of a hundred), and costs less to be carried than to be stored so.
constexpr uint64_t kGoodBatchBytes = uint64_t{32} << 10;
// A reclaim begins above 3/8 of the ring and goes for what is above 1/8, in shares of 8.
constexpr uint64_t kReclaimAboveEighths = 3;
constexpr uint64_t kReclaimDownToEighths = 1;
// Of the part that is reclaimed, so much may be carried; beyond it the larger tails are packed.
constexpr uint64_t kCarryShare = 4;

// For so many partitions a checkpoint, which is written twice, takes a quarter of what a run does.
constexpr size_t kMostPartitionsAround = 256;

template <typename Visit>
void ForEachPartition(const TopicList& topics, const Visit& visit) {
  for (const auto& topic : topics) {
    if (topic->deleted) continue;
    for (const auto& partition : topic->partitions()) visit(*partition);
  }
}

}  // namespace

Packer::Packer(Context& context, Journal& journal, Committer& committer, const TopicList& topics)
    : context_(context), journal_(journal), committer_(committer), topics_(topics) {}

void Packer::Advance() {
  for (PartitionCore* partition : committer_.TakePackable()) Enqueue(*partition);
  for (PartitionCore* partition : committer_.TakeCarried()) CheckReclaimed(*partition);
  if (committer_.flush_asked()) {
    committer_.FlushComes();
    flush_due_us_ = context_.now_us;
  }
  if (job_ != Job::none || !context_.health.ok()) return;
  if (retry_at_us_ <= context_.now_us) retry_at_us_ = INT64_MAX;
  const bool may_pack = retry_at_us_ == INT64_MAX;
  context_.may_go_around_journal = may_pack && few_partitions_;
  MaybeStartReclaim();
  MaybeFreeMemory();
  if (reclaiming_ && reclaim_pending_ == 0) {
    reclaiming_ = false;
    checkpoint_wanted_ = true;
  }
  if (FlushIsDue()) {
    StartFlush();
    return;
  }
  if (may_pack && StartPack()) return;
  if (may_pack && StartRoll()) return;
  if (checkpoint_wanted_ && checkpoints_allowed_) {
    checkpoint_wanted_ = false;
    StartCheckpoint({});
  }
}

int64_t Packer::next_due_us() const {
  if (job_ != Job::none) return INT64_MAX;
  if (unflushed_.empty()) return retry_at_us_;
  return std::min(retry_at_us_, committer_.flush_asked() ? context_.now_us : flush_due_us_);
}

void Packer::Enqueue(PartitionCore& partition) {
  if (partition.in_pack_queue || partition.deleted) return;
  partition.in_pack_queue = true;
  queue_.push_back(&partition);
}

void Packer::PackSoon(PartitionCore& partition) {
  if (committer_.blocked()) partition.SplitUndurableRuns();
  partition.CloseOpenRun();
  // In their order: what can be packed behind what cannot, as what goes around the journal may, is
  // no work, and a queue that holds it would put off the flush that the journal waits for.
  for (const auto& run : partition.runs()) {
    if (run->with_worker()) continue;
    if (run->packable()) Enqueue(partition);
    return;
  }
}

// Behind what is in its tail. Where there is always something to be packed, with the next batch.
void Packer::RollSoon(PartitionCore& partition) {
  PackSoon(partition);
  committer_.MakeAllDue();  // a run that is not wholly durable waits for that
  if (partition.in_roll_list) {
    partition.roll_wanted = true;
    return;
  }
  partition.in_roll_list = true;
  to_roll_.push_back(&partition);
}

// --- What is to be reclaimed ---

void Packer::MaybeStartReclaim() {
  if (reclaiming_) {
    // The journal is too full for what the reclaim waits for: pack what is durable as it stands.
    if (committer_.blocked()) {
      ForEachPartition(topics_, [this](PartitionCore& partition) {
        if (partition.reclaiming) PackSoon(partition);
      });
    }
    return;
  }
  const uint64_t used = journal_.used_bytes();
  if (!committer_.blocked() && used * 8 <= journal_.ring_bytes() * kReclaimAboveEighths) return;
  if (checkpoint_wanted_ || used == 0) return;  // the last round's fruit comes first
  const uint64_t keep =
      committer_.blocked() ? 0 : journal_.ring_bytes() / 8 * kReclaimDownToEighths;
  reclaim_target_ = std::min(journal_.SequenceToReach(keep), journal_.durable_sequence() + 1);
  std::vector<PartitionCore*> candidates;
  ForEachPartition(topics_, [&](PartitionCore& partition) {
    if (partition.first_needed_sequence().value_or(UINT64_MAX) < reclaim_target_)
      candidates.push_back(&partition);
  });
  reclaiming_ = true;
  reclaim_pending_ = candidates.size();
  PlanReclaim(std::move(candidates), used - std::min(used, keep));
}

void Packer::PlanReclaim(std::vector<PartitionCore*> candidates, uint64_t region_bytes) {
  std::sort(candidates.begin(), candidates.end(),
            [](const PartitionCore* a, const PartitionCore* b) {
              return a->unpacked_bytes() < b->unpacked_bytes();
            });
  uint64_t carried = 0;
  for (PartitionCore* partition : candidates) {
    partition->reclaiming = true;
    const uint64_t bytes = partition->unpacked_bytes();
    const bool carry = !committer_.blocked() && bytes < kGoodBatchBytes &&
                       carried + bytes <= region_bytes / kCarryShare;
    if (carry) {
      carried += bytes;
      committer_.Carry(*partition);
    } else {
      PackSoon(*partition);
    }
  }
  committer_.MakeAllDue();  // runs that are closed with a part not durable wait for it
}

void Packer::CheckReclaimed(PartitionCore& partition) {
  if (!partition.reclaiming) return;
  if (partition.first_needed_sequence().value_or(UINT64_MAX) < reclaim_target_) return;
  partition.reclaiming = false;
  --reclaim_pending_;
}

void Packer::MaybeFreeMemory() {
  const uint64_t limit = context_.options.memory_bytes;
  if (!queue_.empty() || !unflushed_.empty() || context_.tail_memory_bytes * 2 <= limit) return;
  std::vector<PartitionCore*> candidates;
  ForEachPartition(topics_, [&](PartitionCore& partition) {
    if (partition.unpacked_bytes() > 0) candidates.push_back(&partition);
  });
  std::sort(candidates.begin(), candidates.end(),
            [](const PartitionCore* a, const PartitionCore* b) {
              return a->unpacked_bytes() > b->unpacked_bytes();
            });
  uint64_t freed = 0;
  for (PartitionCore* partition : candidates) {
    if (context_.tail_memory_bytes - freed <= limit / 4) break;
    freed += std::min(partition->unpacked_bytes(), context_.tail_memory_bytes - freed);
    PackSoon(*partition);
  }
  committer_.MakeAllDue();
}

void Packer::Drain() {
  draining_ = true;
  ForEachPartition(topics_, [this](PartitionCore& partition) { PackSoon(partition); });
}

bool Packer::drained() const {
  bool all = job_ == Job::none && queue_.empty() && unflushed_.empty() &&
             std::none_of(to_roll_.begin(), to_roll_.end(), &Packer::HasToRoll);
  if (all) {
    ForEachPartition(topics_,
                     [&](PartitionCore& partition) { all = all && partition.runs().empty(); });
  }
  return all;
}

Status Packer::FinishWriters() {
  TIDEMARK_CHECK(job_ == Job::none);
  Status result;
  ForEachPartition(topics_, [&](PartitionCore& partition) {
    if (!result.ok() || !EnsureWriterToFinish(partition)) return;
    result = partition.writer->Finish();
    context_.stats.segment_bytes_written += partition.writer->TakeBytesWritten();
  });
  if (!result.ok()) context_.Stop(result.error());
  return result;
}

void Packer::Forget(PartitionCore& partition) {
  TIDEMARK_CHECK(job_ == Job::none);
  std::erase(queue_, &partition);
  std::erase(unflushed_, &partition);
  std::erase(to_roll_, &partition);
  partition.in_pack_queue = false;
  partition.writer_dirty = false;
  partition.writer.reset();
  if (partition.reclaiming) {
    partition.reclaiming = false;
    --reclaim_pending_;
  }
}

// --- Checkpoints ---

// `flushed`: as it will be once TakeFlushed() has taken what its writer has flushed.
CheckpointEntry Packer::EntryFor(const PartitionCore& partition, bool flushed) const {
  CheckpointEntry entry;
  entry.topic_id = partition.topic().description().id;
  entry.partition = partition.index();
  entry.log_start_offset = partition.log_start_offset();
  entry.durable_end_offset = partition.durable_end_offset();
  entry.packed_end_offset = partition.packed_end_offset();
  entry.active_base_offset = partition.active_base_offset();
  entry.active_flushed_bytes = partition.active_flushed_bytes();
  if (flushed) {
    entry.packed_end_offset = partition.PackedRunsEnd();
    entry.durable_end_offset = std::max(entry.durable_end_offset, entry.packed_end_offset);
    entry.active_base_offset = partition.writer->active_base_offset();
    entry.active_flushed_bytes = partition.writer->flushed_bytes();
  }
  entry.first_needed_sequence =
      partition.first_needed_sequence().value_or(journal_.durable_sequence() + 1);
  return entry;
}

Checkpoint Packer::BuildCheckpoint(bool clean, const std::vector<PartitionCore*>& flushed) const {
  const std::set<const PartitionCore*> just_flushed(flushed.begin(), flushed.end());
  Checkpoint checkpoint;
  checkpoint.clean = clean;
  checkpoint.engine_clock_ms = context_.EngineClockMs();
  checkpoint.wall_clock_ms = context_.environment.clock.WallMs();
  uint64_t start = std::min(journal_.durable_sequence() + 1, committer_.first_tombstone_sequence());
  for (const auto& topic : topics_) {
    if (topic->gone) continue;  // one that is only being deleted keeps its entries
    for (const auto& partition : topic->partitions()) {
      checkpoint.entries.push_back(EntryFor(*partition, just_flushed.contains(partition.get())));
      start = std::min(start, checkpoint.entries.back().first_needed_sequence);
    }
  }
  journal_.PlanCheckpoint(start, &checkpoint);
  return checkpoint;
}

void Packer::NoteCheckpointed(const Checkpoint& checkpoint) {
  few_partitions_ = checkpoint.entries.size() <= kMostPartitionsAround;
  context_.may_go_around_journal = few_partitions_ && retry_at_us_ == INT64_MAX;
  std::map<std::pair<base::Uuid, int32_t>, int64_t> active_bases;
  for (const CheckpointEntry& entry : checkpoint.entries)
    active_bases[{entry.topic_id, entry.partition}] = entry.active_base_offset;
  ForEachPartition(topics_, [&](PartitionCore& partition) {
    const auto found = active_bases.find({partition.topic().description().id, partition.index()});
    if (found != active_bases.end()) partition.checkpointed_active_base = found->second;
  });
}

// Of what the writers of `flushed` have flushed, too.
void Packer::StartCheckpoint(std::vector<PartitionCore*> flushed) {
  job_ = Job::checkpoint;
  auto checkpoint = std::make_shared<Checkpoint>(BuildCheckpoint(/*clean=*/false, flushed));
  auto status = std::make_shared<Status>();
  context_.environment.worker.Submit(
      [this, checkpoint, status] { *status = journal_.WriteCheckpoint(*checkpoint); },
      [this, checkpoint, status, flushed = std::move(flushed)] {
        job_ = Job::none;
        if (!status->ok()) {
          context_.Stop(status->error());
          return;
        }
        ++context_.stats.checkpoints;
        for (PartitionCore* partition : flushed) {
          partition->TakeCheckpointed(partition->PackedRunsEnd());
          TakeFlushed(*partition);
        }
        NoteCheckpointed(*checkpoint);
        journal_.Release(*checkpoint);
      });
}

Status Packer::WriteCheckpointNow(bool clean) {
  TIDEMARK_CHECK(job_ == Job::none);
  const Checkpoint checkpoint = BuildCheckpoint(clean, {});
  if (Status written = journal_.WriteCheckpoint(checkpoint); !written) {
    context_.Stop(written.error());
    return written;
  }
  ++context_.stats.checkpoints;
  NoteCheckpointed(checkpoint);
  journal_.Release(checkpoint);
  return {};
}

}  // namespace tidemark::storage
