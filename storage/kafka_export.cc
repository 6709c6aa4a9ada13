// What Kafka wants to find in a data folder besides segments: partition folders, and the checkpoint
// files that are exported at a clean stop.
#include <array>
#include <functional>

#include "storage/manifest.h"

namespace tidemark::storage {
namespace {

constexpr std::string_view kLeaderEpochs = "leader-epoch-checkpoint";
constexpr std::string_view kCleanShutdown = ".kafka_cleanshutdown";
constexpr std::string_view kRecoveryPoints = "recovery-point-offset-checkpoint";
constexpr std::string_view kLogStarts = "log-start-offset-checkpoint";
constexpr std::string_view kHighWatermarks = "replication-offset-checkpoint";
constexpr std::string_view kCleanEnds = "cleaner-offset-checkpoint";

// Leader epoch 0 starts at offset 0: there was never another leader.
constexpr std::string_view kFirstLeaderEpoch = "0\n1\n0 0\n";
// The broker epoch is -1, "unknown": none of Kafka's brokers has stopped here.
constexpr std::string_view kCleanShutdownContent = R"({"version":0,"brokerEpoch":-1})";
constexpr uint64_t kMaxExportBytes = 4096;

// Replaces a file unless it holds `content` already: most openings find everything in place.
Status EnsureFile(io::FileSystem& files, const std::string& path, std::string_view content) {
  const auto exists = files.Exists(path);
  if (!exists) return exists.error();
  if (*exists) {
    const auto present = io::ReadWholeFile(files, path, kMaxExportBytes);
    if (present && *present == content) return {};
  }
  return io::ReplaceFile(files, path, content);
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

Status MakePartitionFolder(io::FileSystem& files, const std::string& folder,
                           const base::Uuid& topic_id) {
  if (Status status = files.MakeDirectory(folder); !status.ok()) return status;
  Status status = EnsureFile(files, io::JoinPath(folder, kPartitionMetadataName),
                             "version: 0\ntopic_id: " + topic_id.ToBase64());
  if (!status.ok()) return status;
  status = EnsureFile(files, io::JoinPath(folder, kLeaderEpochs), kFirstLeaderEpoch);
  if (!status.ok()) return status;
  return files.FlushDirectory(folder);
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
  for (const std::string_view name :
       {kCleanShutdown, kRecoveryPoints, kHighWatermarks, kLogStarts, kCleanEnds}) {
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
