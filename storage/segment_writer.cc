// Appending to the active segment, rolling, and going on where an earlier writer stopped.
//
// Files are open only while they have to be: the .log from its first unflushed write to a
// successful flush, since a write that fails in the background is told to who has the file open;
// the indexes for each write, since a store may have a thousand partitions and a process a thousand
// open files.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/check.h"
#include "storage/index_appender.h"
#include "storage/seal.h"
#include "storage/segment.h"
#include "storage/segment_index.h"

namespace tidemark::storage {

struct SegmentWriter::State {
  State(io::FileSystem& file_system, std::string partition_folder, const WriterTerms& terms)
      : files(file_system),
        folder(std::move(partition_folder)),
        index_interval_bytes(terms.index_interval_bytes),
        index_bytes(terms.index_bytes),
        indexes(0, terms.index_interval_bytes),
        sealer(files, folder, terms.owner) {}

  Result<AppendedBatch> Append(const record::BatchHeader& header, base::ByteSpan batch,
                               const AppendTimes& times, int64_t segment_bytes);
  Status Resume(int64_t active_base_offset, uint64_t bytes, bool indexes_flushed);
  void StartWriteback();
  Status Flush();
  Status Finish();
  Status Roll(int64_t next_offset, int64_t now_ms);
  // Remembers the first failure, so that nothing is done after it.
  Status Remember(Status status);
  Error Poisoned() const;

  bool MustRoll(const record::BatchHeader& header, int64_t segment_bytes) const;
  Status FinishForGood(int64_t next_offset, int64_t next_append_ms);
  Status StartSegment(int64_t new_base_offset);
  Status RemoveStaleSeal();
  Status OpenLog();
  Status CompleteIndexes(io::File& log, bool flushed);
  Status WriteIndexes();
  Status WriteFinalTimeEntry();
  Status FlushFile(SegmentFile kind);
  std::string Path(SegmentFile kind) const { return SegmentPath(folder, base_offset, kind); }

  io::FileSystem& files;
  std::string folder;
  uint32_t index_interval_bytes;
  uint64_t index_bytes;

  int64_t base_offset = -1;
  uint64_t log_bytes = 0;
  uint64_t flushed_bytes = 0;
  uint64_t writeback_begin = 0;   // what stands below is on its way to the disk
  std::unique_ptr<io::File> log;  // while it holds unflushed bytes
  bool folder_dirty = false;      // it has files whose entries were not flushed
  // Killed after it had cut the file and before it has flushed that, an opening leaves a length
  // that the next power cut may undo. Behind the flushed length of the active segment that does no
  // harm.
  bool length_is_durable = false;

  IndexAppender indexes;
  Sealer sealer;
  uint64_t bytes_written = 0;
  std::optional<Error> failure;
};

namespace {

// Kafka keeps positions in int32.
constexpr uint64_t kMaxLogBytes = std::numeric_limits<int32_t>::max();
constexpr uint64_t kPageBytes = 4096;

// Walks over all batches from a resumption's position on; where damage is, goes on behind it, since
// what stands there is kept and can still be read.
Status WalkPastDamage(io::File& log, uint64_t end_position, IndexResumption* resumption,
                      SegmentIndexes* indexes) {
  uint64_t position = resumption->position;
  int64_t skipped = 0;  // offsets, at least
  for (;;) {
    const auto visit = [&](const BatchAt& batch) {
      AddToIndexes(batch, resumption, indexes);
      return true;
    };
    const OffsetBounds bounds{resumption->next_offset + skipped, std::nullopt};
    Status walked = WalkBatchHeaders(log, position, end_position, visit, bounds);
    if (walked.ok() || walked.error().code() != ErrorCode::corrupt) return walked;
    skipped = 1;  // what is damaged had one
    const auto next = FindBatchBehindDamage(log, std::max(position, resumption->position),
                                            end_position, resumption->next_offset + skipped);
    if (!next) return next.error();
    if (!*next) return {};
    position = (*next)->position;
  }
}

}  // namespace

// --- Going on -----------------------------------------------------------------------------------

Status SegmentWriter::State::Resume(int64_t active_base_offset, uint64_t bytes,
                                    bool indexes_flushed) {
  if (active_base_offset < 0) return {};
  base_offset = active_base_offset;
  auto file = files.Open(Path(SegmentFile::log), {.write = true});
  if (!file) return file.error();
  const auto size = (*file)->Size();
  if (!size) return size.error();
  if (*size < bytes) {
    return Error(ErrorCode::corrupt, Path(SegmentFile::log) + ": holds " + std::to_string(*size) +
                                         " bytes, but " + std::to_string(bytes) + " were flushed");
  }
  if (*size > bytes) {
    if (Status status = (*file)->Truncate(bytes); !status.ok()) return status;
  }
  log_bytes = flushed_bytes = writeback_begin = bytes;
  sealer.Begin(base_offset, bytes);
  if (Status status = RemoveStaleSeal(); !status.ok()) return status;
  return CompleteIndexes(**file, indexes_flushed);
}

// Of a life in which the segment was finished, though no checkpoint came to know of it.
Status SegmentWriter::State::RemoveStaleSeal() {
  const auto removed = RemoveSeal(files, folder, base_offset);
  if (!removed) return removed.error();
  if (*removed) folder_dirty = true;
  return {};
}

// Makes both index files what Kafka's recovery makes of the log, its final time entry included.
Status SegmentWriter::State::CompleteIndexes(io::File& log_file, bool flushed) {
  auto loaded = LoadIndexes(files, folder, base_offset, log_file, log_bytes);
  if (!loaded) return loaded.error();
  auto resumption =
      ResumeBehindProvenEntry(log_file, base_offset, log_bytes, index_interval_bytes, &*loaded);
  if (!resumption) return resumption.error();
  Status walked = WalkPastDamage(log_file, log_bytes, &*resumption, &*loaded);
  if (!walked.ok()) return walked;

  indexes = IndexAppender(resumption->builder, *loaded);
  if (const auto final_entry = resumption->builder.Final()) loaded->times.MaybeAdd(*final_entry);

  const std::array updates{
      std::tuple(SegmentFile::offset_index, &loaded->offset_file,
                 EncodeOffsetEntries(loaded->offsets)),
      std::tuple(SegmentFile::time_index, &loaded->time_file, EncodeTimeEntries(loaded->times))};
  for (const auto& [kind, present, content] : updates) {
    const auto exists = files.Exists(Path(kind));
    if (!exists) return exists.error();
    if (!*exists || !flushed) folder_dirty = true;
    const auto written = UpdateIndexFile(
        files, Path(kind), flushed ? base::ByteSpan(*present) : base::ByteSpan(), content);
    if (!written) return written.error();
    bytes_written += *written;
  }
  return {};
}

// --- Appending ----------------------------------------------------------------------------------

bool SegmentWriter::State::MustRoll(const record::BatchHeader& header,
                                    int64_t segment_bytes) const {
  if (base_offset < 0) return true;
  TIDEMARK_CHECK(header.base_offset >= base_offset);
  if (header.last_offset() - base_offset > std::numeric_limits<int32_t>::max()) return true;
  const uint64_t most =
      std::min(kMaxLogBytes, static_cast<uint64_t>(std::max<int64_t>(0, segment_bytes)));
  return log_bytes != 0 && (log_bytes + header.total_bytes() > most || indexes.IsFull(index_bytes));
}

Result<AppendedBatch> SegmentWriter::State::Append(const record::BatchHeader& header,
                                                   base::ByteSpan batch, const AppendTimes& times,
                                                   int64_t segment_bytes) {
  TIDEMARK_CHECK(batch.size() == header.total_bytes());
  AppendedBatch appended;
  if (MustRoll(header, segment_bytes)) {
    if (Status status = FinishForGood(header.base_offset, times.first_ms); !status.ok())
      return status.error();
    if (Status status = StartSegment(header.base_offset); !status.ok()) return status.error();
    appended.new_segment = true;
  }
  if (Status status = OpenLog(); !status.ok()) return status.error();
  const Status written = log->WriteAt(log_bytes, batch, io::Durable::no);
  if (!written.ok()) return written.error();

  appended.segment_base_offset = base_offset;
  appended.position = log_bytes;
  appended.header = header;
  indexes.Add({log_bytes, batch.size(), header.last_offset(), header.max_timestamp_ms});
  sealer.Append(header, batch, times);
  log_bytes += batch.size();
  bytes_written += batch.size();
  return appended;
}

Status SegmentWriter::State::FinishForGood(int64_t next_offset, int64_t next_append_ms) {
  if (base_offset < 0) return {};
  if (Status status = Finish(); !status.ok()) return status;
  const auto sealed = sealer.Finish(next_offset, next_append_ms);
  if (!sealed) return sealed.error();
  bytes_written += *sealed;
  return {};
}

Status SegmentWriter::State::StartSegment(int64_t new_base_offset) {
  base_offset = new_base_offset;
  log_bytes = flushed_bytes = writeback_begin = 0;
  indexes = IndexAppender(base_offset, index_interval_bytes);
  folder_dirty = true;
  sealer.Begin(base_offset, 0);
  // Files of that name would be what a crash has left of a segment that was never part of the log.
  if (Status status = RemoveStaleSeal(); !status.ok()) return status;
  for (const SegmentFile kind :
       {SegmentFile::offset_index, SegmentFile::time_index, SegmentFile::log}) {
    auto file = files.Open(Path(kind), {.write = true, .create = true, .truncate = true});
    if (!file) return file.error();
    if (kind == SegmentFile::log) log = *std::move(file);
  }
  return {};
}

Status SegmentWriter::State::OpenLog() {
  if (log) return {};
  auto file = files.Open(Path(SegmentFile::log), {.write = true});
  if (!file) return file.error();
  log = *std::move(file);
  return {};
}

Status SegmentWriter::State::WriteIndexes() {
  const auto written = indexes.Write(files, folder, base_offset);
  if (!written) return written.error();
  bytes_written += *written;
  return {};
}

// --- Flushing -----------------------------------------------------------------------------------

// Whole pages: one that the next batch goes on in would be written twice.
void SegmentWriter::State::StartWriteback() {
  const uint64_t begin = writeback_begin / kPageBytes * kPageBytes;
  const uint64_t end = log_bytes / kPageBytes * kPageBytes;
  if (!log || end <= begin) return;
  log->StartWriteback(begin, end - begin);
  writeback_begin = end;
}

Status SegmentWriter::State::Flush() {
  // An index is a hint, and may lag until the segment is finished: no room for it is no failed
  // flush.
  Status written = WriteIndexes();
  if (!written.ok() && written.error().code() != ErrorCode::disk_full) return written;
  if (!length_is_durable) {
    if (Status status = OpenLog(); !status.ok()) return status;
  }
  if (log) {
    if (Status status = log->Flush(); !status.ok()) return status;
    length_is_durable = true;
  }
  if (folder_dirty) {
    if (Status status = files.FlushDirectory(folder); !status.ok()) return status;
    folder_dirty = false;
  }
  log.reset();
  flushed_bytes = writeback_begin = log_bytes;
  return {};
}

Status SegmentWriter::State::WriteFinalTimeEntry() {
  const auto written = indexes.WriteFinal(files, folder, base_offset);
  if (!written) return written.error();
  bytes_written += *written;
  return {};
}

Status SegmentWriter::State::Finish() {
  if (base_offset < 0) return {};
  if (Status status = WriteIndexes(); !status.ok()) return status;
  if (Status status = WriteFinalTimeEntry(); !status.ok()) return status;
  if (Status status = FlushFile(SegmentFile::offset_index); !status.ok()) return status;
  if (Status status = FlushFile(SegmentFile::time_index); !status.ok()) return status;
  return Flush();
}

Status SegmentWriter::State::Roll(int64_t next_offset, int64_t now_ms) {
  if (Status status = FinishForGood(next_offset, now_ms); !status.ok()) return status;
  if (Status status = StartSegment(next_offset); !status.ok()) return status;
  return Flush();
}

Status SegmentWriter::State::FlushFile(SegmentFile kind) {
  auto file = files.Open(Path(kind), {.write = true});
  if (!file) return file.error();
  return (*file)->Flush();
}

Status SegmentWriter::State::Remember(Status status) {
  if (!status.ok()) failure = status.error();
  return status;
}

Error SegmentWriter::State::Poisoned() const {
  return Error(
      ErrorCode::stopped,
      folder + ": nothing more is written to this segment, since earlier: " + failure->ToString(),
      failure->system_errno());
}

// --- SegmentWriter ------------------------------------------------------------------------------

SegmentWriter::SegmentWriter(io::FileSystem& files, std::string folder, const WriterTerms& terms)
    : state_(std::make_unique<State>(files, std::move(folder), terms)) {}

SegmentWriter::~SegmentWriter() = default;

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::Resume(io::FileSystem& files,
                                                             std::string folder,
                                                             int64_t active_base_offset,
                                                             uint64_t flushed_bytes,
                                                             const WriterTerms& terms) {
  std::unique_ptr<SegmentWriter> writer(new SegmentWriter(files, std::move(folder), terms));
  const Status resumed =
      writer->state_->Resume(active_base_offset, flushed_bytes, terms.indexes_flushed);
  if (!resumed.ok()) return resumed.error();
  return writer;
}

Result<AppendedBatch> SegmentWriter::Append(const record::BatchHeader& header, base::ByteSpan batch,
                                            const AppendTimes& times, int64_t segment_bytes) {
  if (state_->failure) return state_->Poisoned();
  auto appended = state_->Append(header, batch, times, segment_bytes);
  if (!appended) state_->failure = appended.error();
  return appended;
}

void SegmentWriter::SetTerms(const WriterTerms& terms) {
  state_->index_interval_bytes = terms.index_interval_bytes;
  state_->index_bytes = terms.index_bytes;
  if (state_->base_offset >= 0 && state_->log_bytes == 0)
    state_->indexes = IndexAppender(state_->base_offset, terms.index_interval_bytes);
}

void SegmentWriter::StartWriteback() {
  if (!state_->failure) state_->StartWriteback();
}

Status SegmentWriter::Flush() {
  if (state_->failure) return state_->Poisoned();
  return state_->Remember(state_->Flush());
}

Status SegmentWriter::Finish() {
  if (state_->failure) return state_->Poisoned();
  return state_->Remember(state_->Finish());
}

Status SegmentWriter::Roll(int64_t next_offset, int64_t now_ms) {
  if (state_->failure) return state_->Poisoned();
  return state_->Remember(state_->Roll(next_offset, now_ms));
}

int64_t SegmentWriter::active_base_offset() const { return state_->base_offset; }
uint64_t SegmentWriter::log_bytes() const { return state_->log_bytes; }
uint64_t SegmentWriter::flushed_bytes() const { return state_->flushed_bytes; }
uint64_t SegmentWriter::TakeBytesWritten() { return std::exchange(state_->bytes_written, 0); }

}  // namespace tidemark::storage
