// Takes over partitions that Apache Kafka has written: their batches are copied, each as it is,
// into segments of a store of ours, with the offsets that they have. Reads Kafka's folders and
// never changes them. Blocks; takes the store's lock.
//
// All or nothing: the topics join the store at the end, with the manifest.
//
// What differs from Kafka's folders afterwards: segments are of the topic's own segment.bytes;
// offsets that Kafka's compaction has left free are taken up by empty batches, since a gap is
// damage here; the leader epoch of every batch is 0, as is all that follows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/environment.h"
#include "tidemark/error.h"
#include "tidemark/options.h"

namespace tidemark::storage {

struct ImportOptions {
  // Folders of partitions (TOPIC-N), or folders that hold such folders: Kafka's log.dirs.
  std::vector<std::string> paths;
  TopicConfig config;  // of all topics that are made
};

// Something that is not an intact batch at its place, and was left out.
struct ImportLoss {
  std::string path;
  uint64_t position = 0;
  std::string what;
  int64_t first_offset = 0;
  std::optional<int64_t> end_offset;  // nullopt: it stands at the log's end, and none is known
};

struct ImportedPartition {
  std::string topic;
  int32_t partition = 0;
  int64_t log_start_offset = 0;
  int64_t end_offset = 0;
  uint64_t batches = 0;
  uint64_t records = 0;  // those of transactions, and their markers, too
  uint64_t bytes = 0;
  std::vector<ImportLoss> losses;
};

struct ImportReport {
  std::vector<ImportedPartition> partitions;
  std::vector<std::string> left_out;  // Kafka's own topics, and why
  std::vector<std::string> notices;   // what was wrong with the store before
};

// Makes the store if there is none. Errors: topic_exists; invalid_argument (no partition is there,
// one is there twice, a store of ours); locked; disk_full; io_error.
Result<ImportReport> ImportFromKafka(const io::Environment& environment,
                                     const EngineOptions& options, const ImportOptions& import);

}  // namespace tidemark::storage
