// The part of recovery that deals with segments: they are brought back to what the checkpoint knows
// to be flushed. Nothing here reads a whole log, unless both checkpoints are lost.
#include <algorithm>
#include <map>

#include "storage/manifest.h"
#include "storage/recovery.h"
#include "storage/segment.h"
#include "storage/segment_swap.h"

namespace tidemark::storage {

Status Recovery::RestoreFiles(const Checkpoint* checkpoint, bool journal_lost) {
  std::map<std::pair<base::Uuid, int32_t>, const CheckpointEntry*> entries;
  if (checkpoint != nullptr) {
    for (const CheckpointEntry& entry : checkpoint->entries)
      entries[{entry.topic_id, entry.partition}] = &entry;
  }
  const bool by_checkpoint = checkpoint != nullptr && !journal_lost;
  if (!by_checkpoint && !topics_.empty() && !report_.created) {
    context_.Tell(NoticeLevel::error,
                  journal_.file().path() +
                      ": no checkpoint is readable; the newest segments are read to find "
                      "where they end");
  }
  const auto ahead = ReadFoldersAhead();
  for (const auto& topic : topics_) {
    for (const auto& partition : topic->partitions()) {
      partition->indexes_finished = by_checkpoint && checkpoint->clean;
      const auto found = entries.find({topic->description().id, partition->index()});
      Status restored =
          by_checkpoint
              ? RestorePartition(*partition, found == entries.end() ? nullptr : found->second)
              : RestoreByScan(*partition);
      if (!restored.ok()) return restored;
    }
  }
  if (Status flushed = FlushRestored(); !flushed.ok()) return flushed;
  return folders_made_ ? context_.environment.files.FlushDirectory(context_.options.data_dir)
                       : Status();
}

Status Recovery::FlushRestored() {
  io::FileSystem& files = context_.environment.files;
  if (AreFlushedTogether(files, context_.options.data_dir, to_flush_.size()))
    return files.FlushAll(context_.options.data_dir);
  for (const auto& [folder, base_offset] : to_flush_) {
    if (Status flushed = FlushSegment(files, folder, base_offset); !flushed.ok()) return flushed;
  }
  return {};
}

// Listing a thousand folders that nobody has read yet takes seconds, most of them waiting.
std::unique_ptr<io::ReadAhead> Recovery::ReadFoldersAhead() {
  constexpr size_t kWorthIt = 16;
  std::vector<std::string> folders;
  for (const auto& topic : topics_) {
    for (const auto& partition : topic->partitions()) folders.push_back(partition->folder());
  }
  if (folders.size() < kWorthIt) return nullptr;
  return context_.environment.files.WillList(folders);
}

// The partition's segments, once swaps are settled, leftovers removed, and its folder is there: it
// may be gone, or the crash came before it was made. Most of opening a store of many segments is
// listing them: where there is nothing to be settled, once.
Result<std::vector<int64_t>> Recovery::SettleFolder(PartitionCore& partition,
                                                    const CheckpointEntry* entry) {
  io::FileSystem& files = context_.environment.files;
  const std::string& folder = partition.folder();
  auto exists = files.Exists(folder);
  if (!exists) return exists.error();
  Result<std::vector<io::DirectoryEntry>> entries = std::vector<io::DirectoryEntry>();
  if (*exists) entries = files.List(folder);
  if (!entries) return entries.error();
  if (HasSwaps(*entries)) {
    if (Status settled = SettleSwaps(files, folder); !settled.ok()) return settled.error();
    entries = files.List(folder);
    if (!entries) return entries.error();
  }
  const bool whole = std::any_of(
      entries->begin(), entries->end(),
      [](const io::DirectoryEntry& file) { return file.name == kPartitionMetadataName; });
  if (!whole) {
    folders_made_ = true;
    Status made = MakePartitionFolder(files, folder, partition.topic().description().id);
    if (!made.ok()) return made.error();
  }
  if (entry != nullptr)
    RemoveOrphans(files, folder, *entries, entry->log_start_offset, entry->active_base_offset);
  return SegmentsAmong(*entries);
}

Status Recovery::RestorePartition(PartitionCore& partition, const CheckpointEntry* entry) {
  io::FileSystem& files = context_.environment.files;
  auto bases = SettleFolder(partition, entry);
  if (!bases) return bases.error();
  if (entry == nullptr) {
    const auto moved =
        quarantine_.MoveSegments(partition.folder(), "no checkpoint knows this segment");
    return moved ? Status() : moved.error();
  }

  PartitionState& state = states_[&partition];
  state.first_needed_sequence = entry->first_needed_sequence;
  state.known_end_offset = entry->durable_end_offset;
  state.known_end_cause = journal_.file().path() +
                          ": the checkpoint knows of more records than segments and journal hold";
  int64_t active = entry->active_base_offset;
  uint64_t flushed = entry->active_flushed_bytes;
  if (active >= 0 && !std::binary_search(bases->begin(), bases->end(), active)) {
    // Its place stays taken, with nothing in it: the segments below it are known by it.
    if (flushed > 0) {
      TellDamage(partition, active, entry->packed_end_offset,
                 SegmentPath(partition.folder(), active, SegmentFile::log) + " is missing");
    }
    flushed = 0;
  }
  bool cut_active = false;
  if (std::binary_search(bases->begin(), bases->end(), active)) {
    auto log = files.Open(SegmentPath(partition.folder(), active, SegmentFile::log), {});
    if (!log) return log.error();
    auto size = (*log)->Size();
    if (!size) return size.error();
    cut_active = *size > flushed;
    if (*size < flushed) {
      IntactPrefix prefix;
      if (Status cut = CutToIntact(partition, active, *size, &prefix); !cut) return cut;
      TellDamage(partition, std::max(prefix.next_offset, active), entry->packed_end_offset,
                 (*log)->path() + " is cut short: " + std::to_string(*size) + " of " +
                     std::to_string(flushed) + " bytes are there");
      flushed = prefix.bytes;
    }
  }
  // What lies behind the checkpoint was never acknowledged by way of a segment: the journal holds
  // it.
  const int64_t keep_up_to = entry->active_base_offset;
  const auto sealed = files.Exists(SegmentPath(partition.folder(), keep_up_to, SegmentFile::seal));
  if (!sealed) return sealed.error();
  const bool longer = !bases->empty() && bases->back() > keep_up_to;
  if (longer || *sealed || cut_active) {
    Status reset = ResetToFlushed(files, partition.folder(), keep_up_to, cut_active, flushed);
    if (!reset.ok()) return reset;
  }
  if (Status emptied = EmptyActive(partition, *bases, active, flushed); !emptied) return emptied;
  std::erase_if(*bases, [keep_up_to](int64_t base) { return base > keep_up_to; });
  partition.Restore(entry->log_start_offset, entry->packed_end_offset, active, flushed, *bases);
  return {};
}

// An active segment without a byte that counts, but with files: no writer goes on in it, so that
// nothing else would bring its indexes in order.
Status Recovery::EmptyActive(const PartitionCore& partition, const std::vector<int64_t>& bases,
                             int64_t active, uint64_t flushed_bytes) {
  if (flushed_bytes != 0 || partition.indexes_finished) return {};
  if (!std::binary_search(bases.begin(), bases.end(), active)) return {};
  to_flush_.emplace(partition.folder(), active);
  return EmptySegment(context_.environment.files, partition.folder(), active);
}

Status Recovery::RestoreByScan(PartitionCore& partition) {
  io::FileSystem& files = context_.environment.files;
  const auto bases = SettleFolder(partition, nullptr);
  if (!bases) return bases.error();
  if (bases->empty()) return {};
  const int64_t active = bases->back();
  auto log = files.Open(SegmentPath(partition.folder(), active, SegmentFile::log), {});
  if (!log) return log.error();
  auto size = (*log)->Size();
  if (!size) return size.error();
  IntactPrefix prefix;
  if (Status cut = CutToIntact(partition, active, *size, &prefix); !cut) return cut;
  if (Status emptied = EmptyActive(partition, *bases, active, prefix.bytes); !emptied)
    return emptied;
  to_flush_.emplace(partition.folder(), active);
  const int64_t end = std::max(prefix.next_offset, active);
  partition.Restore(kFirstLogStart, end, active, prefix.bytes, *bases);
  return {};
}

// Leaves what is intact from the segment's start; the rest goes to quarantine.
Status Recovery::CutToIntact(PartitionCore& partition, int64_t base_offset, uint64_t file_bytes,
                             IntactPrefix* prefix) {
  io::FileSystem& files = context_.environment.files;
  auto measured = MeasureIntactPrefix(files, partition.folder(), base_offset);
  if (!measured) return measured.error();
  *prefix = *measured;
  if (prefix->bytes == file_bytes) return {};
  const std::string path = SegmentPath(partition.folder(), base_offset, SegmentFile::log);
  auto log = files.Open(path, {});
  if (!log) return log.error();
  const std::string cause = path + ": no intact batch stands at " + std::to_string(prefix->bytes);
  Status kept = quarantine_.Copy(
      **log, prefix->bytes, file_bytes,
      partition.topic().description().name + "-" + std::to_string(partition.index()) + "-" +
          std::to_string(base_offset) + ".log-from-" + std::to_string(prefix->bytes),
      cause);
  if (!kept.ok()) return kept;
  // The journal may hold what stood behind the damage; where it does not, the offsets stay taken.
  const auto end = EndBehindDamage(**log, base_offset, *prefix, file_bytes);
  if (!end) return end.error();
  PartitionState& state = states_[&partition];
  if (*end > state.known_end_offset) {
    state.known_end_offset = *end;
    state.known_end_cause = cause + "; it is kept in quarantine/ with what stood behind it";
  }
  return CutSegment(files, partition.folder(), base_offset, prefix->bytes);
}

}  // namespace tidemark::storage
