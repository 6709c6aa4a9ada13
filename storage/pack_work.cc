// The packer's work on the background thread: compressing and writing runs, flushing segments.
#include <algorithm>
#include <utility>

#include "storage/packer.h"
#include "storage/seal.h"

namespace tidemark::storage {
namespace {

// Raw bytes in one piece of work: some ten milliseconds at most, so that flushes and checkpoints
// get their turn.
constexpr uint64_t kPackBytes = uint64_t{256} << 10;
// Flushing much at once holds up a commit on the same file system: 16 MiB for 11 ms, 1 MiB for less
// than one. So the kernel is asked to begin with every so many bytes.
constexpr uint64_t kWritebackBytes = uint64_t{1} << 20;
// Unflushed segment bytes are bounded. A flush has costs of its own, so that it is for some times
// what is on its way already, unless the runs that wait for it hold their share of the memory, or
// of the journal.
constexpr uint64_t kLeastFlushBytes = kWritebackBytes;
constexpr uint64_t kMostFlushBytes = 4 * kWritebackBytes;
constexpr uint64_t kUnflushedShare = 8;
// From so many files on, one syncfs is cheaper than flushing them one by one.
constexpr size_t kFlushAllFiles = 64;
constexpr int64_t kRetryDiskFullUs = 1'000'000;
// Of a budget, what one segment may take, and all active ones together; but not so little that a
// segment's three files take more than what is in them.
constexpr uint64_t kSegmentShare = 32;
constexpr uint64_t kActiveShare = 4;
constexpr uint64_t kLeastSegmentBytes = uint64_t{64} << 10;
constexpr int kLevelUnderSomePressure = 6;
constexpr int kLevelUnderHighPressure = 1;

}  // namespace

struct Packer::PackItem {
  PartitionCore* partition = nullptr;
  std::vector<Run*> runs;
  record::Codec codec = record::Codec::none;
  int level = 0;
  // What the worker needs of the partition, copied, and what it gives back.
  int64_t active_base_offset = -1;
  uint64_t flushed_bytes = 0;
  int64_t segment_bytes = 0;
  bool roll = false;  // first of all
  WriterTerms terms;
  std::vector<AppendedBatch> appended;
  std::string warning;
  Status status;
};

struct Packer::PackWork {
  std::vector<PackItem> items;
  std::vector<PartitionCore*> to_write_back;
  int64_t busy_us = 0;
};

struct Packer::FlushWork {
  std::vector<PartitionCore*> partitions;
  Status status;
};

namespace {

// The writer of a partition, made when it is needed first. A damaged active segment is left as it
// is: the partition goes on in a new one, as it does where the active one has nothing in it (or is
// missing).
Status EnsureWriter(io::FileSystem& files, PartitionCore& partition, int64_t active_base,
                    uint64_t flushed_bytes, const WriterTerms& terms, std::string* warning) {
  if (partition.writer) return {};
  if (flushed_bytes == 0) active_base = -1;
  auto writer = SegmentWriter::Resume(files, partition.folder(), active_base, flushed_bytes, terms);
  if (!writer && writer.error().code() == ErrorCode::corrupt) {
    *warning = writer.error().message() + "; the partition goes on in a new segment";
    writer = SegmentWriter::Resume(files, partition.folder(), -1, 0, terms);
  }
  if (!writer) return writer.error();
  partition.writer = std::move(*writer);
  return {};
}

WriterTerms TermsFor(const PartitionCore& partition) {
  return {partition.owner(), static_cast<uint32_t>(partition.topic().config().index_interval_bytes),
          partition.indexes_finished};
}

}  // namespace

// An active segment that a crash has left may have unfinished indexes though nobody wrote to it
// since. False: there is none, or it is damaged, which a clean stop leaves as it is.
bool Packer::EnsureWriterToFinish(PartitionCore& partition) {
  if (partition.writer) return true;
  const bool unfinished = !partition.indexes_finished && partition.active_flushed_bytes() > 0;
  if (!unfinished) return false;
  std::string warning;
  const Status made =
      EnsureWriter(context_.environment.files, partition, partition.active_base_offset(),
                   partition.active_flushed_bytes(), TermsFor(partition), &warning);
  if (!made.ok()) warning = made.error().message();
  if (!warning.empty()) context_.Tell(NoticeLevel::warning, warning);
  return made.ok();
}

bool Packer::FlushIsDue() const {
  if (unflushed_.empty()) return false;
  const uint64_t room = std::min(context_.options.memory_bytes, journal_.ring_bytes());
  const bool large =
      unflushed_bytes_ >= kMostFlushBytes || unflushed_run_bytes_ * kUnflushedShare >= room;
  if (large && unflushed_bytes_ >= kLeastFlushBytes) return true;
  // Nothing more to pack for now, and somebody waits for what is written.
  const bool memory_waits = context_.tail_memory_bytes * 4 > context_.options.memory_bytes;
  return queue_.empty() && (reclaiming_ || draining_ || memory_waits);
}

// By what is still to be packed, not by how full the journal is: most of a journal of small commits
// is padding, which compressing faster would not drain.
Pressure Packer::CurrentPressure() const {
  const uint64_t unpacked = context_.tail_memory_bytes;
  return std::max(
      {PressureOf(unpacked, journal_.ring_bytes()),
       PressureOf(unpacked + context_.reader_memory_bytes, context_.options.memory_bytes),
       governor_.pressure()});
}

int Packer::LevelUnderPressure(const TopicConfig& config, record::Codec* codec) const {
  *codec = config.compression == Compression::zstd ? record::Codec::zstd : record::Codec::none;
  const Pressure pressure = CurrentPressure();
  if (pressure >= Pressure::severe) *codec = record::Codec::none;
  if (pressure == Pressure::none) return config.zstd_level;
  return std::min(config.zstd_level,
                  pressure == Pressure::some ? kLevelUnderSomePressure : kLevelUnderHighPressure);
}

// With a small budget segments are rolled early: what is dropped is a segment at least, and active
// ones cannot be.
int64_t Packer::SegmentBytes(const TopicConfig& config) const {
  const uint64_t budget = context_.options.store_bytes;
  if (budget == 0) return config.segment_bytes;
  size_t partitions = 1;
  for (const auto& topic : topics_) partitions += topic->deleted ? 0 : topic->partitions().size();
  const uint64_t most = std::clamp(budget / kActiveShare / partitions, kLeastSegmentBytes,
                                   std::max(kLeastSegmentBytes, budget / kSegmentShare));
  return std::min(config.segment_bytes, static_cast<int64_t>(most));
}

bool Packer::StartPack() {
  auto work = std::make_shared<PackWork>();
  uint64_t bytes = 0;
  while (!queue_.empty() && bytes < kPackBytes) {
    PartitionCore& partition = *queue_.front();
    PackItem item;
    item.partition = &partition;
    const TopicConfig& config = partition.topic().config();
    bool more = false;
    for (auto& run : partition.runs()) {
      if (run->with_worker()) continue;
      if (run->state() != Run::State::closed || !run->fully_durable() || run->in_flight) break;
      more = bytes >= kPackBytes;
      if (more) break;
      run->set_state(Run::State::packing);
      item.runs.push_back(run.get());
      bytes += run->size();
    }
    if (!more) {
      partition.in_pack_queue = false;
      queue_.pop_front();
    }
    if (item.runs.empty()) continue;
    item.level = LevelUnderPressure(config, &item.codec);
    item.active_base_offset = partition.active_base_offset();
    item.flushed_bytes = partition.active_flushed_bytes();
    item.segment_bytes = SegmentBytes(config);
    item.roll = std::exchange(partition.roll_wanted, false);
    item.terms = TermsFor(partition);
    work->items.push_back(std::move(item));
  }
  if (work->items.empty()) return false;
  job_ = Job::pack;
  if (unflushed_bytes_ - written_back_bytes_ >= kWritebackBytes) {
    written_back_bytes_ = unflushed_bytes_;
    work->to_write_back = unflushed_;
  }
  context_.environment.worker.Submit(
      [this, work] {
        const int64_t began_us = context_.environment.clock.MonotonicUs();
        for (PartitionCore* partition : work->to_write_back) partition->writer->StartWriteback();
        for (PackItem& item : work->items) PackOnWorker(item);
        work->busy_us = context_.environment.clock.MonotonicUs() - began_us;
      },
      [this, work] { FinishPack(*work); });
  return true;
}

void Packer::PackOnWorker(PackItem& item) {
  item.status = EnsureWriter(context_.environment.files, *item.partition, item.active_base_offset,
                             item.flushed_bytes, item.terms, &item.warning);
  int64_t segment_bytes = item.roll ? 0 : item.segment_bytes;
  for (Run* run : item.runs) {
    if (!item.status.ok()) return;
    batch_.clear();
    const auto count = static_cast<int32_t>(run->next_offset() - run->base_offset());
    auto header =
        record::AppendBatch(run->HeaderFor(run->next_offset(), count), run->bytes(0, run->size()),
                            item.codec, item.level, &compressor_, &batch_);
    if (!header) {
      item.status = header.error();
      return;
    }
    auto appended = item.partition->writer->Append(*header, batch_, run->appended(), segment_bytes);
    if (!appended) {
      item.status = appended.error();
      return;
    }
    item.appended.push_back(*appended);
    segment_bytes = item.segment_bytes;
  }
}

void Packer::FinishPack(PackWork& work) {
  job_ = Job::none;
  governor_.Note(context_.now_us, work.busy_us);
  for (PackItem& item : work.items) FinishPackItem(item);
}

void Packer::FinishPackItem(PackItem& item) {
  PartitionCore& partition = *item.partition;
  if (!item.warning.empty()) context_.Tell(NoticeLevel::warning, item.warning);
  if (partition.writer)
    context_.stats.segment_bytes_written += partition.writer->TakeBytesWritten();
  if (!item.status.ok()) {
    if (item.status.error().code() == ErrorCode::disk_full) {
      RetryLater(partition, item.status.error());
    } else {
      context_.Stop(item.status.error());
    }
    return;
  }
  told_disk_full_ = false;
  for (size_t i = 0; i < item.runs.size(); ++i) {
    const AppendedBatch& batch = item.appended[i];
    item.runs[i]->set_state(Run::State::packed);
    const uint64_t written = batch.header.total_bytes();
    const AppendTimes& appended = item.runs[i]->appended();
    partition.unflushed_segments[batch.segment_base_offset] = {batch.position + written,
                                                               appended.last_ms};
    if (batch.new_segment) context_.space.Settle(0, kSegmentSlackBytes);
    if (batch.new_segment || !partition.active_begin_ms)
      partition.active_begin_ms = appended.first_ms;
    context_.space.Settle(PartitionCore::ReservedFor(*item.runs[i]),
                          written + PartitionCore::kIndexBytesPerRun);
    unflushed_bytes_ += written;
    unflushed_run_bytes_ += item.runs[i]->size();
  }
  if (!partition.writer_dirty) {
    partition.writer_dirty = true;
    unflushed_.push_back(&partition);
  }
}

// What the disk had no room for stays in memory and journal. The writer's files are brought back to
// what is flushed; everything behind that is packed once more later.
void Packer::RetryLater(PartitionCore& partition, const Error& cause) {
  partition.writer.reset();
  partition.unflushed_segments.clear();
  if (partition.writer_dirty) {
    partition.writer_dirty = false;
    std::erase(unflushed_, &partition);
  }
  for (auto& run : partition.runs()) {
    if (run->state() == Run::State::packed)
      context_.space.Reserve(PartitionCore::ReservedFor(*run));
    if (run->with_worker()) run->set_state(Run::State::closed);
  }
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

void Packer::StartFlush() {
  job_ = Job::flush;
  auto work = std::make_shared<FlushWork>();
  work->partitions.swap(unflushed_);
  unflushed_bytes_ = unflushed_run_bytes_ = written_back_bytes_ = 0;
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
    // Never again as if that could help: what is not known to be flushed stays in memory and in the
    // journal.
    context_.Stop(work.status.error());
    return;
  }
  for (PartitionCore* partition : work.partitions) TakeFlushed(*partition);
}

// Its writer has flushed all that it has written.
void Packer::TakeFlushed(PartitionCore& partition) {
  partition.writer_dirty = false;
  int64_t packed_end = partition.packed_end_offset();
  for (const auto& run : partition.runs()) {
    if (run->state() != Run::State::packed) break;
    packed_end = run->next_offset();
  }
  partition.SetFlushed(partition.writer->active_base_offset(), partition.writer->flushed_bytes(),
                       packed_end);
  partition.DropPackedBelow(packed_end);
  CheckReclaimed(partition);
}

// When nothing is left to pack.
bool Packer::StartRoll() {
  while (!to_roll_.empty()) {
    PartitionCore& partition = *to_roll_.front();
    to_roll_.pop_front();
    partition.in_roll_list = false;
    partition.roll_wanted = false;
    if (!partition.active_begin_ms || partition.deleted) continue;
    int64_t next_offset = partition.packed_end_offset();
    for (const auto& run : partition.runs()) {
      if (run->state() == Run::State::packed) next_offset = run->next_offset();
    }
    auto status = std::make_shared<Status>();
    auto warning = std::make_shared<std::string>();
    job_ = Job::roll;
    context_.environment.worker.Submit(
        [this, &partition, next_offset, status, warning, terms = TermsFor(partition),
         active = partition.active_base_offset(), flushed = partition.active_flushed_bytes(),
         now_ms = context_.EngineClockMs()] {
          *status = EnsureWriter(context_.environment.files, partition, active, flushed, terms,
                                 warning.get());
          if (status->ok()) *status = partition.writer->Roll(next_offset, now_ms);
        },
        [this, &partition, next_offset, status, warning] {
          if (!warning->empty()) context_.Tell(NoticeLevel::warning, *warning);
          FinishRoll(partition, next_offset, *status);
        });
    return true;
  }
  return false;
}

void Packer::FinishRoll(PartitionCore& partition, int64_t next_offset, const Status& status) {
  job_ = Job::none;
  if (partition.writer)
    context_.stats.segment_bytes_written += partition.writer->TakeBytesWritten();
  if (!status.ok()) {
    if (status.error().code() == ErrorCode::disk_full) {
      RetryLater(partition, status.error());
    } else {
      context_.Stop(status.error());
    }
    return;
  }
  std::erase(unflushed_, &partition);
  context_.space.Settle(0, kSegmentSlackBytes);
  partition.unflushed_segments[next_offset] = {};
  partition.active_begin_ms.reset();
  TakeFlushed(partition);
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
