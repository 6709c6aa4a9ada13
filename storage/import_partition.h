// Between import*.cc only: what there is to import, and one partition of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "io/file_system.h"
#include "storage/import.h"
#include "storage/journal_format.h"
#include "storage/manifest.h"
#include "storage/segment.h"
#include "storage/verify_segment.h"

namespace tidemark::storage {

struct SourcePartition {
  std::string folder;
  std::optional<int64_t> log_start_offset;  // where Kafka says so
};
struct SourceTopic {
  std::optional<base::Uuid> id;
  std::map<int32_t, SourcePartition> partitions;
};
using SourceTopics = std::map<std::string, SourceTopic>;  // by name

// What the paths hold. `left_out` gets what is Kafka's own.
Result<SourceTopics> FindSources(io::FileSystem& files, const std::vector<std::string>& paths,
                                 std::vector<std::string>* left_out);

// Copies the log of one partition into its folder in the store, which is there and has no segments.
class PartitionImport {
 public:
  PartitionImport(io::FileSystem& files, SourcePartition source, std::string folder,
                  const TopicDescription& topic, int32_t partition, int64_t engine_clock_ms);

  Status Run();
  const ImportedPartition& imported() const { return imported_; }
  // What a checkpoint says of it; the sequence is the caller's to fill in.
  const CheckpointEntry& entry() const { return entry_; }

 private:
  Status CopySegment(int64_t base_offset, std::optional<int64_t> offset_limit);
  Status CopyBatch(io::File& log, const SurveyedBatch& batch);
  Status FillHole(int64_t end_offset);
  Status Append(const record::BatchHeader& header);
  void NoteLosses(const std::string& path, const SegmentSurvey& survey,
                  std::optional<int64_t> offset_limit);

  io::FileSystem& files_;
  SourcePartition source_;
  std::string folder_;
  const TopicConfig& config_;
  int64_t engine_clock_ms_;
  std::unique_ptr<SegmentWriter> writer_;
  std::vector<std::byte> batch_;
  std::optional<int64_t> next_offset_;  // behind what was copied, or where the log starts
  size_t damage_seen_ = 0;              // of the segment that is being copied
  uint64_t unflushed_bytes_ = 0;
  ImportedPartition imported_;
  CheckpointEntry entry_;
};

}  // namespace tidemark::storage
