#include "storage/cleaned_segment.h"

#include <limits>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "storage/segment_index.h"
#include "storage/segment_swap.h"

namespace tidemark::storage {
namespace {

// Written and flushed at once: a large flush holds up the commits on the same file system.
constexpr size_t kCleanedFlushBytes = size_t{256} << 10;

Status WriteAndFlush(io::FileSystem& files, const std::string& path, base::ByteSpan bytes) {
  auto file = files.Open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  if (Status written = (*file)->WriteAt(0, bytes, io::Durable::no); !written.ok()) return written;
  return (*file)->Flush();
}

}  // namespace

CleanedSegment::CleanedSegment(io::FileSystem& files, std::string folder, int64_t base_offset,
                               uint32_t index_interval_bytes)
    : files_(files),
      folder_(std::move(folder)),
      base_offset_(base_offset),
      builder_(base_offset, index_interval_bytes) {}

Result<std::unique_ptr<CleanedSegment>> CleanedSegment::Begin(io::FileSystem& files,
                                                              std::string folder,
                                                              int64_t base_offset,
                                                              uint32_t index_interval_bytes) {
  std::unique_ptr<CleanedSegment> segment(
      new CleanedSegment(files, std::move(folder), base_offset, index_interval_bytes));
  auto log = files.Open(CleanedPath(segment->folder_, base_offset, SegmentFile::log),
                        {.write = true, .create = true, .truncate = true});
  if (!log) return log.error();
  segment->log_ = *std::move(log);
  return segment;
}

uint64_t CleanedSegment::memory_bytes() const {
  return buffer_.capacity() + offsets_.entries().size() * sizeof(index::OffsetEntry) +
         times_.entries().size() * sizeof(index::TimeEntry);
}

Status CleanedSegment::Append(const record::BatchHeader& header, base::ByteSpan batch) {
  TIDEMARK_CHECK(batch.size() == header.total_bytes());
  const auto due =
      builder_.Add({log_bytes(), batch.size(), header.last_offset(), header.max_timestamp_ms});
  if (due.offset_entry) offsets_.Add(*due.offset_entry);
  if (due.time_entry) times_.MaybeAdd(*due.time_entry);
  digest_.AddBytes(batch);
  digest_.AddBatch(header);
  buffer_.insert(buffer_.end(), batch.begin(), batch.end());
  return buffer_.size() < kCleanedFlushBytes ? Status() : FlushBuffer();
}

Status CleanedSegment::AppendHole(int64_t first_offset, int64_t end_offset) {
  std::vector<std::byte> bytes;
  const auto written = EncodeHole(first_offset, end_offset, &bytes);
  if (!written) return written.error();
  return Append(*written, bytes);
}

Result<record::BatchHeader> EncodeHole(int64_t first_offset, int64_t end_offset,
                                       std::vector<std::byte>* output) {
  record::BatchHeader header;
  header.base_offset = first_offset;
  header.last_offset_delta = static_cast<int32_t>(end_offset - 1 - first_offset);
  header.base_timestamp_ms = index::kNoTimestamp;
  header.max_timestamp_ms = index::kNoTimestamp;
  return record::AppendBatch(header, {}, record::Codec::none, 0, /*compressor=*/nullptr, output);
}

Status CleanedSegment::FlushBuffer() {
  if (Status written = log_->WriteAt(written_bytes_, buffer_, io::Durable::no); !written.ok())
    return written;
  written_bytes_ += buffer_.size();
  buffer_.clear();
  return log_->Flush();
}

Status CleanedSegment::Finish(const SegmentOwner& owner, const AppendTimes& appended,
                              CompactedPart compacted) {
  if (Status written = FlushBuffer(); !written.ok()) return written;
  log_.reset();
  if (const auto entry = builder_.Final()) times_.MaybeAdd(*entry);
  const std::vector<std::byte> offset_file = EncodeOffsetEntries(offsets_);
  const std::vector<std::byte> time_file = EncodeTimeEntries(times_);
  Seal seal = digest_.ToSeal();
  seal.base_offset = base_offset_;
  seal.owner = owner;
  seal.appended = appended;
  seal.compacted = compacted;
  seal.offset_index = {offset_file.size(), base::Xxh3(offset_file)};
  seal.time_index = {time_file.size(), base::Xxh3(time_file)};
  const auto path = [this](SegmentFile kind) { return CleanedPath(folder_, base_offset_, kind); };
  Status written = WriteAndFlush(files_, path(SegmentFile::offset_index), offset_file);
  if (written.ok()) written = WriteAndFlush(files_, path(SegmentFile::time_index), time_file);
  if (!written.ok()) return written;
  const std::vector<std::byte> seal_file = EncodeSeal(seal);
  total_bytes_ = log_bytes() + offset_file.size() + time_file.size() + seal_file.size();
  return WriteAndFlush(files_, path(SegmentFile::seal), seal_file);
}

}  // namespace tidemark::storage
