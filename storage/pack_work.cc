// The packer's work on the background thread: compressing and writing runs, rolling.
#include <algorithm>
#include <utility>

#include "storage/packer.h"

namespace tidemark::storage {
namespace {

// Raw bytes in one piece of work: some ten milliseconds at most, so that flushes and checkpoints
// get their turn.
constexpr uint64_t kPackBytes = uint64_t{256} << 10;
// Of a budget, what one segment may take, and all active ones together; but not so little that a
// segment's files take more room than what is in them.
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

namespace {

// The writer of a partition, made when it is needed first. A damaged active segment is left as it
// is: the partition goes on in a new one, as it does where the active one has nothing in it (or is
// missing).
Status EnsureWriter(io::FileSystem& files, PartitionCore& partition, int64_t active_base,
                    uint64_t flushed_bytes, const WriterTerms& terms, std::string* warning) {
  if (partition.writer) {
    partition.writer->SetTerms(terms);
    return {};
  }
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
  const TopicConfig& config = partition.topic().config();
  return {partition.owner(), static_cast<uint32_t>(config.index_interval_bytes),
          partition.indexes_finished, static_cast<uint64_t>(config.segment_index_bytes)};
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

// By what is still to be packed, not by how full the journal is: most of a journal of small commits
// is padding, which compressing faster would not drain.
Pressure Packer::CurrentPressure() const {
  const uint64_t unpacked = context_.tail_memory_bytes;
  return std::max(
      {PressureOf(unpacked, journal_.ring_bytes()),
       PressureOf(unpacked + context_.reader_memory_bytes, context_.options.memory_bytes),
       governor_.pressure()});
}

// After a crash more may be replayed than a budget has room for: it was admitted when its first
// packing had made it smaller, and must be made so again, whatever the pressure. How much room
// there is, is not known before the opening has counted the files.
int Packer::LevelUnderPressure(const TopicCore& topic, record::Codec* codec) const {
  const TopicConfig& config = topic.config();
  *codec = config.compression == Compression::zstd ? record::Codec::zstd : record::Codec::none;
  const Pressure pressure = CurrentPressure();
  const bool has_budget = context_.options.store_bytes != 0 || topic.budget_bytes() != 0;
  const bool fits = checkpoints_allowed_ && context_.space.Fits(0) && topic.space.Fits(0);
  if (pressure >= Pressure::severe && (fits || !has_budget)) *codec = record::Codec::none;
  if (pressure == Pressure::none) return config.zstd_level;
  return std::min(config.zstd_level,
                  pressure == Pressure::some ? kLevelUnderSomePressure : kLevelUnderHighPressure);
}

namespace {

// With a small budget segments are rolled early: what is dropped is a segment at least, and active
// ones cannot be.
int64_t MostSegmentBytesIn(uint64_t budget_bytes, size_t partitions) {
  const uint64_t most =
      std::clamp(budget_bytes / kActiveShare / std::max<size_t>(1, partitions), kLeastSegmentBytes,
                 std::max(kLeastSegmentBytes, budget_bytes / kSegmentShare));
  return static_cast<int64_t>(most);
}

// Of a topic with a budget of its own, and in a store whose budget allows `most_in_store`.
int64_t MostSegmentBytesOf(const TopicCore& topic, int64_t most_in_store) {
  const TopicConfig& config = topic.config();
  const int64_t most = std::min(config.segment_bytes, most_in_store);
  if (config.topic_bytes < 0) return most;
  return std::min(most, MostSegmentBytesIn(static_cast<uint64_t>(config.topic_bytes),
                                           topic.partitions().size()));
}

}  // namespace

int64_t Packer::MostSegmentBytes(const TopicCore& topic) const {
  return MostSegmentBytesOf(topic, MostSegmentBytesInStore());
}

int64_t Packer::MostSegmentBytesInStore() const {
  const uint64_t budget = context_.options.store_bytes;
  if (budget == 0) return INT64_MAX;
  size_t partitions = 0;
  for (const auto& topic : topics_) partitions += topic->deleted ? 0 : topic->partitions().size();
  return MostSegmentBytesIn(budget, partitions);
}

bool Packer::StartPack() {
  auto work = std::make_shared<PackWork>();
  uint64_t bytes = 0;
  const int64_t most_segment_bytes = MostSegmentBytesInStore();
  while (!queue_.empty() && bytes < kPackBytes &&
         unflushed_.size() + work->items.size() < kMostUnflushedPartitions) {
    PartitionCore& partition = *queue_.front();
    PackItem item;
    item.partition = &partition;
    bool more = false;
    for (auto& run : partition.runs()) {
      if (run->with_worker()) continue;
      if (!run->packable()) break;
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
    item.level = LevelUnderPressure(partition.topic(), &item.codec);
    item.active_base_offset = partition.active_base_offset();
    item.flushed_bytes = partition.active_flushed_bytes();
    item.segment_bytes = MostSegmentBytesOf(partition.topic(), most_segment_bytes);
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

// What is not compressed becomes a batch where it stands.
Result<Packer::EncodedBatch> Packer::EncodeRun(Run& run, record::Codec codec, int level) {
  const auto count = static_cast<int32_t>(run.next_offset() - run.base_offset());
  const record::BatchHeader header = run.HeaderFor(run.next_offset(), count);
  if (codec == record::Codec::none)
    return EncodedBatch{record::FinishBatch(header, codec, run.batch()), run.batch()};
  batch_.clear();
  auto made =
      record::AppendBatch(header, run.bytes(0, run.size()), codec, level, &compressor_, &batch_);
  if (!made) return made.error();
  return EncodedBatch{*made, batch_};
}

void Packer::PackOnWorker(PackItem& item) {
  item.status = EnsureWriter(context_.environment.files, *item.partition, item.active_base_offset,
                             item.flushed_bytes, item.terms, &item.warning);
  int64_t segment_bytes = item.roll ? 0 : item.segment_bytes;
  for (Run* run : item.runs) {
    if (!item.status.ok()) return;
    auto batch = EncodeRun(*run, item.codec, item.level);
    if (!batch) {
      item.status = batch.error();
      return;
    }
    auto appended =
        item.partition->writer->Append(batch->header, batch->bytes, run->appended(), segment_bytes);
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

// What the worker has done with a partition's writer. False: it has failed.
bool Packer::TakeWritten(PartitionCore& partition, const Status& status,
                         const std::string& warning) {
  if (!warning.empty()) context_.Tell(NoticeLevel::warning, warning);
  if (partition.writer)
    context_.stats.segment_bytes_written += partition.writer->TakeBytesWritten();
  if (status.ok()) return true;
  if (status.error().code() == ErrorCode::disk_full) {
    RetryLater(partition, status.error());
  } else {
    context_.Stop(status.error());
  }
  return false;
}

void Packer::FinishPackItem(PackItem& item) {
  PartitionCore& partition = *item.partition;
  if (!TakeWritten(partition, item.status, item.warning)) return;
  told_disk_full_ = false;
  for (size_t i = 0; i < item.runs.size(); ++i) {
    const AppendedBatch& batch = item.appended[i];
    item.runs[i]->set_state(Run::State::packed);
    const uint64_t written = batch.header.total_bytes();
    const AppendTimes& appended = item.runs[i]->appended();
    partition.unflushed_segments[batch.segment_base_offset] = {batch.position + written,
                                                               appended.last_ms};
    if (batch.new_segment) partition.SettleSpace(0, kSegmentSlackBytes);
    partition.begun_active = partition.begun_active || batch.new_segment;
    if (batch.new_segment || !partition.active_begin_ms)
      partition.active_begin_ms = appended.first_ms;
    partition.SettleSpace(PartitionCore::ReservedFor(*item.runs[i]),
                          written + PartitionCore::kIndexBytesPerRun);
    unflushed_bytes_ += written;
    unflushed_run_bytes_ += item.runs[i]->size();
    if (item.runs[i]->around_journal)
      flush_due_us_ = std::min(flush_due_us_, FlushDueOf(partition, *item.runs[i]));
  }
  if (!partition.writer_dirty) {
    partition.writer_dirty = true;
    unflushed_.push_back(&partition);
  }
}

struct Packer::RollWork {
  PartitionCore* partition = nullptr;
  int64_t next_offset = 0;
  Status status;
  std::string warning;
};

// An active segment with nothing in it is as good as a new one.
bool Packer::HasToRoll(const PartitionCore* partition) {
  return partition->active_begin_ms && !partition->deleted;
}

// When nothing is left to pack.
bool Packer::StartRoll() {
  PartitionCore* partition = nullptr;
  while (partition == nullptr && !to_roll_.empty()) {
    partition = to_roll_.front();
    to_roll_.pop_front();
    partition->in_roll_list = false;
    partition->roll_wanted = false;
    if (!HasToRoll(partition)) partition = nullptr;
  }
  if (partition == nullptr) return false;
  job_ = Job::roll;
  auto work = std::make_shared<RollWork>();
  work->partition = partition;
  work->next_offset = partition->packed_end_offset();
  for (const auto& run : partition->runs()) {
    if (run->state() == Run::State::packed) work->next_offset = run->next_offset();
  }
  context_.environment.worker.Submit(
      [this, work, terms = TermsFor(*partition), active = partition->active_base_offset(),
       flushed = partition->active_flushed_bytes(), now_ms = context_.EngineClockMs()] {
        work->status = EnsureWriter(context_.environment.files, *work->partition, active, flushed,
                                    terms, &work->warning);
        if (work->status.ok())
          work->status = work->partition->writer->Roll(work->next_offset, now_ms);
      },
      [this, work] { FinishRoll(*work); });
  return true;
}

void Packer::FinishRoll(RollWork& work) {
  job_ = Job::none;
  PartitionCore& partition = *work.partition;
  if (!TakeWritten(partition, work.status, work.warning)) return;
  std::erase(unflushed_, &partition);
  partition.SettleSpace(0, kSegmentSlackBytes);
  partition.unflushed_segments[work.next_offset] = {};
  partition.active_begin_ms.reset();
  partition.begun_active = true;
  TakeAllFlushed({&partition});
}

}  // namespace tidemark::storage
