// Between verify*.cc only: what of a partition is to be looked at, before any of it is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/journal_format.h"
#include "storage/manifest.h"
#include "storage/segment_check.h"

namespace tidemark::storage {

struct PartitionPlan {
  const TopicDescription* topic = nullptr;
  int32_t partition = 0;
  std::string folder;
  Result<std::vector<int64_t>> bases = std::vector<int64_t>();  // of the files that are there
  const CheckpointEntry* entry = nullptr;  // by the checkpoint, if it knows the partition
  std::vector<SegmentToCheck> segments;
  std::vector<Finding> notes;
  // Which files its segments are, as far as names and seals tell: another one means that somebody
  // has removed or compacted some meanwhile.
  std::string stamp;
};

// `checkpoint` null: the files are all that is known. `clean`: the store was stopped cleanly, and
// nobody has it open.
PartitionPlan PlanPartition(io::FileSystem& files, const std::string& data_dir,
                            const TopicDescription& topic, int32_t partition,
                            const Checkpoint* checkpoint, bool clean);

// The stamp of the folder as it is now.
std::string StampOf(io::FileSystem& files, const std::string& folder);

}  // namespace tidemark::storage
