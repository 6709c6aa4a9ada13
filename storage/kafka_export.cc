// What Kafka wants to find in a data folder besides segments: partition folders, and the checkpoint
// files that are exported at a clean stop.
#include <array>
#include <functional>

#include "storage/kafka_names.h"
#include "storage/manifest.h"

namespace tidemark::storage {
namespace {

constexpr std::string_view kLeaderEpochs = "leader-epoch-checkpoint";

// Leader epoch 0 starts at offset 0: there was never another leader.
constexpr std::string_view kFirstLeaderEpoch = "0\n1\n0 0\n";
// The broker epoch is -1, "unknown": none of Kafka's brokers has stopped here.
constexpr std::string_view kCleanShutdownContent = R"({"version":0,"brokerEpoch":-1})";
constexpr uint64_t kMaxExportBytes = 4096;

// Replaces a file unless it holds `content` already, which may not have been flushed
// (MakePartitionFolders).
Status EnsureFile(io::FileSystem& files, const std::string& path, std::string_view content) {
  const auto exists = files.Exists(path);
  if (!exists) return exists.error();
  if (*exists) {
    const auto present = io::ReadWholeFile(files, path, kMaxExportBytes);
    if (present && *present == content) {
      const auto file = files.Open(path, {.write = true});
      return file ? (*file)->Flush() : Status(file.error());
    }
  }
  return io::ReplaceFile(files, path, content);
}

std::string PartitionMetadata(const base::Uuid& topic_id) {
  return "version: 0\ntopic_id: " + topic_id.ToBase64();
}

// Written anew whatever is there: after a failed flush it may be seen, and not be on the device.
Status WriteUnflushed(io::FileSystem& files, const std::string& path, std::string_view content) {
  auto file = files.Open(path, {.write = true, .create = true, .truncate = true});
  if (!file) return file.error();
  return (*file)->WriteAt(0, base::AsBytes(content), io::Durable::no);
}

Status MakePartitionFolderUnflushed(io::FileSystem& files, const std::string& folder,
                                    const base::Uuid& topic_id) {
  if (Status made = files.MakeDirectory(folder); !made.ok()) return made;
  Status written = WriteUnflushed(files, io::JoinPath(folder, kPartitionMetadataName),
                                  PartitionMetadata(topic_id));
  if (!written.ok()) return written;
  return WriteUnflushed(files, io::JoinPath(folder, kLeaderEpochs), kFirstLeaderEpoch);
}

// Version 0, the number of lines, then "TOPIC PARTITION OFFSET" lines; none for a partition that
// has no such offset.
std::string CheckpointText(
    const std::vector<ExportedPartition>& partitions,
    const std::function<std::optional<int64_t>(const ExportedPartition&)>& offset_of) {
  std::string lines;
  size_t count = 0;
  for (const ExportedPartition& partition : partitions) {
    const std::optional<int64_t> offset = offset_of(partition);
    if (!offset) continue;
    ++count;
    lines += partition.topic + " " + std::to_string(partition.partition) + " " +
             std::to_string(*offset) + "\n";
  }
  return "0\n" + std::to_string(count) + "\n" + lines;
}

}  // namespace

// A folder takes five flushes when it is made, each of which is as dear as one of the whole file
// system where little else is written: from so many folders on the latter is cheaper in any case.
bool AreFlushedTogether(io::FileSystem& files, const std::string& data_dir, size_t folders) {
  constexpr size_t kFlushTogether = 8;
  if (folders < kFlushTogether) return false;
  const auto space = files.Space(data_dir);
  return space.ok() && space->flush_all_counts;
}

Status MakePartitionFolder(io::FileSystem& files, const std::string& folder,
                           const base::Uuid& topic_id) {
  if (Status status = files.MakeDirectory(folder); !status.ok()) return status;
  Status status =
      EnsureFile(files, io::JoinPath(folder, kPartitionMetadataName), PartitionMetadata(topic_id));
  if (!status.ok()) return status;
  status = EnsureFile(files, io::JoinPath(folder, kLeaderEpochs), kFirstLeaderEpoch);
  if (!status.ok()) return status;
  return files.FlushDirectory(folder);
}

Status MakePartitionFolders(io::FileSystem& files, const std::string& data_dir,
                            const std::vector<std::string>& folders, const base::Uuid& topic_id) {
  const bool together = AreFlushedTogether(files, data_dir, folders.size());
  for (const std::string& folder : folders) {
    Status made = together ? MakePartitionFolderUnflushed(files, folder, topic_id)
                           : MakePartitionFolder(files, folder, topic_id);
    if (!made.ok()) return made;
  }
  return together ? files.FlushAll(data_dir) : files.FlushDirectory(data_dir);
}

Status RemovePartitionFolders(io::FileSystem& files, const std::string& data_dir,
                              const std::vector<std::string>& folders) {
  if (folders.empty()) return {};
  const bool together = AreFlushedTogether(files, data_dir, folders.size());
  for (const std::string& folder : folders) {
    const auto entries = files.List(folder);
    if (!entries) return entries.error();
    for (const io::DirectoryEntry& entry : *entries) {
      if (entry.name == kPartitionMetadataName) continue;
      Status removed = files.Remove(io::JoinPath(folder, entry.name));
      if (!removed.ok()) return removed;
    }
    Status flushed = together ? Status() : files.FlushDirectory(folder);
    if (!flushed.ok()) return flushed;
  }
  Status flushed = together ? files.FlushAll(data_dir) : Status();
  if (!flushed.ok()) return flushed;
  for (const std::string& folder : folders) {
    const std::string metadata = io::JoinPath(folder, std::string(kPartitionMetadataName));
    const auto exists = files.Exists(metadata);
    if (!exists) return exists.error();
    Status removed = *exists ? files.Remove(metadata) : Status();
    if (removed.ok()) removed = files.Remove(folder);
    if (!removed.ok()) return removed;
  }
  return files.FlushDirectory(data_dir);
}

Status WriteKafkaExports(io::FileSystem& files, const std::string& data_dir,
                         const std::vector<ExportedPartition>& partitions) {
  const std::array<std::pair<std::string_view, std::string>, 5> exports{{
      {kLogStarts, CheckpointText(partitions, &ExportedPartition::log_start_offset)},
      {kRecoveryPoints, CheckpointText(partitions, &ExportedPartition::end_offset)},
      {kHighWatermarks, CheckpointText(partitions, &ExportedPartition::end_offset)},
      {kCleanEnds, CheckpointText(partitions, &ExportedPartition::clean_end_offset)},
      {kCleanShutdown, std::string(kCleanShutdownContent)},  // last: it vouches for the others
  }};
  for (const auto& [name, content] : exports) {
    Status status = io::ReplaceFile(files, io::JoinPath(data_dir, name), content);
    if (!status.ok()) return status;
  }
  return {};
}

Status RemoveKafkaExports(io::FileSystem& files, const std::string& data_dir) {
  bool removed = false;
  for (const std::string_view name : kKafkaFiles) {
    const std::string path = io::JoinPath(data_dir, name);
    const auto exists = files.Exists(path);
    if (!exists) return exists.error();
    if (!*exists) continue;
    if (Status status = files.Remove(path); !status.ok()) return status;
    removed = true;
  }
  if (!removed) return {};
  return files.FlushDirectory(data_dir);
}

}  // namespace tidemark::storage
