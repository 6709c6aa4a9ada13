// The packer's work on the background thread: flushing segments. And what is done where the disk
// has no room for them.
#include <algorithm>

#include "storage/packer.h"
#include "storage/seal.h"

namespace tidemark::storage {
namespace {

// Unflushed segment bytes are bounded. A flush has costs of its own, so that it is for some times
// what is on its way already, and for more where no commit waits behind it, unless the runs that
// wait for it hold their share of the memory, or of the journal.
constexpr uint64_t kLeastFlushBytes = kWritebackBytes;
constexpr uint64_t kMostFlushBytes = 4 * kWritebackBytes;
constexpr uint64_t kMostFlushBytesInBulk = 8 * kWritebackBytes;
constexpr uint64_t kUnflushedShare = 8;
// From so many files on, one syncfs is cheaper than flushing them one by one.
constexpr size_t kFlushAllFiles = 64;
// What goes around the journal is flushed so much of flush.ms after it was written, at the latest:
// long enough for a flush, with a checkpoint behind it, to be for much.
constexpr int64_t kFlushShare = 16;
constexpr int64_t kAgeShare = 2;  // counted from its first record
// What goes around the journal may have to return to it: where it would take more of it than this,
// its flush waits for no more.
constexpr uint64_t kAroundShare = 4;

}  // namespace

struct Packer::FlushWork {
  std::vector<PartitionCore*> partitions;
  Status status;
};

bool Packer::FlushIsDue() const {
  if (unflushed_.empty()) return false;
  if (unflushed_.size() >= kMostUnflushedPartitions || flush_due_us_ <= context_.now_us)
    return true;
  const uint64_t room = std::min(context_.options.memory_bytes, journal_.ring_bytes());
  const uint64_t most_bytes = context_.AppendsDurably(context_.last_durable_append_us)
                                  ? kMostFlushBytes
                                  : kMostFlushBytesInBulk;
  const bool large =
      unflushed_bytes_ >= most_bytes || unflushed_run_bytes_ * kUnflushedShare >= room;
  if (large && unflushed_bytes_ >= kLeastFlushBytes) return true;
  // Nothing more to pack for now, and somebody waits for what is written.
  const bool memory_waits = context_.tail_memory_bytes * 4 > context_.options.memory_bytes;
  const bool journal_waits = context_.around_journal_bytes * kAroundShare >= journal_.ring_bytes();
  return queue_.empty() &&
         (reclaiming_ || draining_ || memory_waits || journal_waits || flush_wanted_);
}

void Packer::StartFlush() {
  job_ = Job::flush;
  flush_wanted_ = false;
  auto work = std::make_shared<FlushWork>();
  work->partitions.swap(unflushed_);
  unflushed_bytes_ = unflushed_run_bytes_ = written_back_bytes_ = 0;
  flush_due_us_ = INT64_MAX;
  context_.environment.worker.Submit(
      [this, work] {
        // Afterwards each file's own flush finds nothing left to write.
        if (work->partitions.size() >= kFlushAllFiles) {
          work->status = context_.environment.files.FlushAll(context_.options.data_dir);
        }
        for (PartitionCore* partition : work->partitions) {
          if (work->status.ok()) work->status = partition->writer->Flush();
        }
      },
      [this, work] { FinishFlush(*work); });
}

void Packer::FinishFlush(FlushWork& work) {
  job_ = Job::none;
  if (!work.status.ok()) {
    // Never again as if that could help: what is durable stays in the journal.
    context_.Stop(work.status.error());
    return;
  }
  TakeAllFlushed(std::move(work.partitions));
}

// What went around the journal is durable once a checkpoint knows of it. Until then nobody else
// may: neither readers nor retention.
void Packer::TakeAllFlushed(std::vector<PartitionCore*> partitions) {
  const auto went_around = [](const PartitionCore* partition) {
    return std::any_of(partition->runs().begin(), partition->runs().end(), [](const auto& run) {
      return run->state() == Run::State::packed && run->around_journal;
    });
  };
  if (std::any_of(partitions.begin(), partitions.end(), went_around))
    return StartCheckpoint(std::move(partitions));
  for (PartitionCore* partition : partitions) TakeFlushed(*partition);
}

int64_t Packer::FlushDueOf(const PartitionCore& partition, const Run& run) const {
  if (partition.waits_for_flush) return context_.now_us;
  const int64_t flush_us = partition.topic().config().flush_ms * 1000;
  return std::min(context_.now_us + flush_us / kFlushShare,
                  context_.MonotonicUsAt(run.appended().first_ms) + flush_us / kAgeShare);
}

// Its writer has flushed all that it has written.
void Packer::TakeFlushed(PartitionCore& partition) {
  partition.writer_dirty = false;
  const int64_t packed_end = partition.PackedRunsEnd();
  partition.SetFlushed(partition.writer->active_base_offset(), partition.writer->flushed_bytes(),
                       packed_end);
  partition.DropPackedBelow(packed_end);
  CheckReclaimed(partition);
}

// What the disk had no room for stays in memory, and in the journal as far as it went there. The
// writer's files are brought back to what is flushed; everything behind that is packed once more
// later.
void Packer::RetryLater(PartitionCore& partition, const Error& cause) {
  partition.writer.reset();
  partition.begun_active = false;
  partition.unflushed_segments.clear();
  if (partition.writer_dirty) {
    partition.writer_dirty = false;
    std::erase(unflushed_, &partition);
  }
  for (auto& run : partition.runs()) {
    if (run->state() == Run::State::packed)
      partition.ReserveSpace(PartitionCore::ReservedFor(*run));
    if (run->with_worker()) run->set_state(Run::State::closed);
  }
  committer_.NoFlushComes(partition);
  const int64_t active = partition.active_base_offset();
  Status reset = ResetToFlushed(context_.environment.files, partition.folder(), active,
                                /*cut_active=*/partition.segments().contains(active),
                                partition.active_flushed_bytes());
  if (!reset.ok()) {
    context_.Stop(reset.error());
    return;
  }
  Enqueue(partition);
  retry_at_us_ = context_.now_us + kRetryDiskFullUs;
  if (!told_disk_full_) {
    told_disk_full_ = true;
    context_.Tell(NoticeLevel::warning,
                  cause.message() + "; nothing is lost, packing is tried again every second");
  }
}

Status ResetToFlushed(io::FileSystem& files, const std::string& folder, int64_t active_base_offset,
                      bool cut_active, uint64_t flushed_bytes) {
  auto bases = ListSegments(files, folder);
  if (!bases) return bases.error();
  bool removed = false;
  for (int64_t base : *bases) {
    if (base <= active_base_offset) continue;
    if (Status done = RemoveSegment(files, folder, base); !done) return done;
    removed = true;
  }
  // It may have been finished and sealed, though no checkpoint came to know of it.
  const auto unsealed = RemoveSeal(files, folder, active_base_offset);
  if (!unsealed) return unsealed.error();
  removed = removed || *unsealed;
  if (cut_active) {
    if (Status cut = CutSegment(files, folder, active_base_offset, flushed_bytes); !cut) return cut;
  }
  return removed ? files.FlushDirectory(folder) : Status();
}

}  // namespace tidemark::storage
