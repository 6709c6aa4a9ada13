#include "storage/index_appender.h"

#include <array>

namespace tidemark::storage {
namespace {

Status WriteEntries(io::FileSystem& files, const std::string& path, uint64_t at,
                    base::ByteSpan entries) {
  auto file = files.Open(path, {.write = true});
  if (!file) return file.error();
  return (*file)->WriteAt(at, entries, io::Durable::no);
}

}  // namespace

IndexAppender::IndexAppender(const index::IndexBuilder& builder, const SegmentIndexes& indexes)
    : builder_(builder),
      offset_entries_(indexes.offsets.entries().size()),
      time_entries_(indexes.times.entries().size()) {
  if (time_entries_ != 0) last_time_entry_ms_ = indexes.times.entries().back().timestamp_ms;
}

void IndexAppender::Add(const index::IndexBuilder::Batch& batch) {
  const index::IndexBuilder::Due due = builder_.Add(batch);
  if (due.offset_entry) {
    std::array<std::byte, index::kOffsetEntryBytes> entry;
    index::OffsetIndex::Encode(*due.offset_entry, entry.data());
    new_offset_entries_.insert(new_offset_entries_.end(), entry.begin(), entry.end());
  }
  if (due.time_entry) {
    std::array<std::byte, index::kTimeEntryBytes> entry;
    index::TimeIndex::Encode(*due.time_entry, entry.data());
    new_time_entries_.insert(new_time_entries_.end(), entry.begin(), entry.end());
    last_time_entry_ms_ = due.time_entry->timestamp_ms;
  }
}

bool IndexAppender::IsFull(uint64_t index_bytes) const {
  const uint64_t offsets = offset_entries_ + new_offset_entries_.size() / index::kOffsetEntryBytes;
  const uint64_t times = time_entries_ + new_time_entries_.size() / index::kTimeEntryBytes;
  return offsets >= index_bytes / index::kOffsetEntryBytes ||
         times + 1 >= index_bytes / index::kTimeEntryBytes;
}

Result<uint64_t> IndexAppender::Write(io::FileSystem& files, const std::string& folder,
                                      int64_t base_offset) {
  uint64_t written_bytes = 0;
  const auto write = [&](SegmentFile kind, size_t entry_bytes, std::vector<std::byte>* waiting,
                         uint64_t* entries) {
    if (waiting->empty()) return Status();
    Status written = WriteEntries(files, SegmentPath(folder, base_offset, kind),
                                  *entries * entry_bytes, *waiting);
    if (!written.ok()) return written;
    written_bytes += waiting->size();
    *entries += waiting->size() / entry_bytes;
    waiting->clear();
    return Status();
  };
  Status done = write(SegmentFile::offset_index, index::kOffsetEntryBytes, &new_offset_entries_,
                      &offset_entries_);
  if (done.ok())
    done =
        write(SegmentFile::time_index, index::kTimeEntryBytes, &new_time_entries_, &time_entries_);
  if (!done.ok()) return done.error();
  return written_bytes;
}

Result<uint64_t> IndexAppender::WriteFinal(io::FileSystem& files, const std::string& folder,
                                           int64_t base_offset) const {
  const auto entry = builder_.Final();
  if (!entry || entry->timestamp_ms <= last_time_entry_ms_) return uint64_t{0};
  std::array<std::byte, index::kTimeEntryBytes> bytes;
  index::TimeIndex::Encode(*entry, bytes.data());
  Status written = WriteEntries(files, SegmentPath(folder, base_offset, SegmentFile::time_index),
                                time_entries_ * bytes.size(), bytes);
  if (!written.ok()) return written.error();
  return uint64_t{bytes.size()};
}

}  // namespace tidemark::storage
