// The manifest: which topics the store has. Text, for people too; two copies, each with a checksum.
// Blocks.
//
//   tidemark-manifest 1
//   store 8lfxqG8ZS1uVwGQ4Rk9w1A
//   topic 2mF1ZKXxQbeGdVf8cEJ7PQ partitions 4 name mqtt
//   config compression.type=zstd
//   ...
//   xxh3 0123456789abcdef
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"
#include "io/file_system.h"
#include "tidemark/error.h"
#include "tidemark/options.h"

namespace tidemark::storage {

struct TopicDescription {
  base::Uuid id;
  std::string name;
  int32_t partitions = 1;
  TopicConfig config;
  bool operator==(const TopicDescription&) const = default;
};

struct Manifest {
  base::Uuid store_id;
  std::vector<TopicDescription> topics;  // by name
  bool operator==(const Manifest&) const = default;
};

inline constexpr int kManifestVersion = 1;
// Kafka's own name for the file in which a partition folder names its topic's id.
inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";

std::string EncodeManifest(const Manifest& manifest);
// corrupt, or unsupported for a newer version.
Result<Manifest> DecodeManifest(std::string_view text);

struct ManifestFound {
  Manifest manifest;
  bool repaired = false;  // one copy was missing or damaged
  std::string note;       // what was wrong, for the operator
};
// Reads `manifest`, else `manifest.backup`. Neither readable: rebuilds topics from the partition
// folders' partition.metadata (settings then are the defaults; `store_id` nil) when there are any,
// and says so in the note. Nothing at all there: an empty manifest with a nil id. unsupported when
// a copy is of a newer version.
Result<ManifestFound> ReadManifest(io::FileSystem& files, const std::string& data_dir);
// Replaces both copies, one after the other, each flushed with its directory. disk_full: nothing
// was changed. (With room for one copy only, the store goes on with that.)
Status WriteManifest(io::FileSystem& files, const std::string& data_dir, const Manifest& manifest);
// A full disk may have left the store with one copy: makes the other, as far as that is possible.
void EnsureManifestBackup(io::FileSystem& files, const std::string& data_dir);

// Kafka's rule: letters, digits, '.', '_' and '-', 1 to 249 of them, not "." or "..".
Status CheckTopicName(std::string_view name);
// "data/TOPIC-PARTITION"
std::string PartitionFolder(const std::string& data_dir, std::string_view topic, int32_t partition);
// The same the other way; nullopt: no name of a partition's folder.
struct PartitionName {
  std::string_view topic;
  int32_t partition = 0;
};
std::optional<PartitionName> ParsePartitionFolder(std::string_view name);
// What a partition's folder says in its partition.metadata; nullopt: nothing that can be read.
std::optional<base::Uuid> ReadTopicId(io::FileSystem& files, const std::string& folder);
// Whether so many folders of `data_dir`, with their files, are flushed by one FlushAll() rather
// than one by one.
bool AreFlushedTogether(io::FileSystem& files, const std::string& data_dir, size_t folders);
// Makes a partition's folder with partition.metadata and leader-epoch-checkpoint; flushes it, not
// its parent.
Status MakePartitionFolder(io::FileSystem& files, const std::string& folder,
                           const base::Uuid& topic_id);
// The same for folders of `data_dir` that the manifest does not name yet, and flushes that, too.
// Many are flushed together. After a failure any part of them may be there.
Status MakePartitionFolders(io::FileSystem& files, const std::string& data_dir,
                            const std::vector<std::string>& folders, const base::Uuid& topic_id);
// Removes folders of `data_dir` with all their files, and flushes that. What names the topic goes
// last, so that the rest can be found where this is cut off.
Status RemovePartitionFolders(io::FileSystem& files, const std::string& data_dir,
                              const std::vector<std::string>& folders);

// Kafka's own checkpoint files, written at a clean stop so that a broker can take the folder over.
struct ExportedPartition {
  std::string topic;
  int32_t partition = 0;
  int64_t log_start_offset = 0;
  int64_t end_offset = 0;
  std::optional<int64_t> clean_end_offset = {};  // of a compacted topic, where a part is clean
};
Status WriteKafkaExports(io::FileSystem& files, const std::string& data_dir,
                         const std::vector<ExportedPartition>& partitions);
// Removes .kafka_cleanshutdown and the exports: from now on they would not be the truth.
Status RemoveKafkaExports(io::FileSystem& files, const std::string& data_dir);

}  // namespace tidemark::storage
