#include "tools/bench/store.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include <fmt/core.h>

#include "tools/bench/loads.h"

namespace tidemark::tools {
namespace {

constexpr uint64_t kLayOutBytes = uint64_t{256} << 20;  // without a size

TopicConfig ConfigOfNew(const Job& job) {
  TopicConfig config;
  config.durability = job.durability;
  if (job.workload == "status") config.cleanup_policy = CleanupPolicy::compact;
  return job.topic_settings.Over(config);
}

bool HoldsRecords(const Topic& topic) {
  for (int32_t i = 0; i < topic.partition_count(); ++i) {
    const Partition& partition = *topic.partition(i);
    if (partition.durable_end_offset() > partition.log_start_offset()) return true;
  }
  return false;
}

Status Fill(Engine& engine, Topic& topic, const Job& job, const std::function<bool()>& stop) {
  auto records = RecordSource::Make(job, job.seed);
  if (!records.ok()) return records.error();
  uint64_t left = job.size_bytes.value_or(kLayOutBytes);
  constexpr uint64_t kLookEvery = 1'000;  // records between turns of the engine
  int32_t partition = 0;
  for (uint64_t count = 1; left > 0; ++count) {
    const Record record = records->Peek();
    const auto offset = topic.partition(partition)->Append(record, Durability::buffered);
    const bool busy = !offset.ok() && offset.error().code() == ErrorCode::busy;
    if (!offset.ok() && !busy) return offset.error();
    if (!busy) {
      records->Take();
      left -= std::min(left, BytesOf(record));
      partition = partition + 1 == topic.partition_count() ? 0 : partition + 1;
    }
    if (busy || count % kLookEvery == 0) {
      engine.Poll(std::chrono::milliseconds(busy ? 10 : 0));
      if (stop()) return Error(ErrorCode::stopped, "stopped while the log was laid out");
    }
  }
  return {};
}

}  // namespace

EngineOptions EngineOptionsOf(const Job& job, const std::string& directory) {
  EngineOptions options;
  options.data_dir = directory;
  options.io_engine = job.io_engine;
  options.memory_bytes = job.memory_bytes;
  options.journal_bytes = job.journal_bytes;
  return options;
}

Result<Topic*> PrepareTopic(Engine& engine, const Job& job) {
  const std::string& name = TopicNameOf(job);
  Topic* topic = engine.FindTopic(name);
  if (topic == nullptr) return engine.CreateTopic(name, job.partitions, ConfigOfNew(job));
  if (topic->partition_count() != job.partitions) {
    return Error(
        ErrorCode::invalid_argument,
        fmt::format("topic '{}' has {} partitions, not {}: say partitions={}, or "
                    "name another topic or directory",
                    name, topic->partition_count(), job.partitions, topic->partition_count()));
  }
  const TopicConfig config = job.topic_settings.Over(topic->config());
  if (!job.reads_only() && !(topic->config() == config)) {
    const Status altered = engine.AlterTopic(name, config);
    if (!altered.ok()) return altered.error();
  }
  return topic;
}

Status LayOut(const Job& job, const std::string& directory, const std::function<bool()>& stop) {
  auto engine = Engine::Open(EngineOptionsOf(job, directory));
  if (!engine.ok()) return engine.error();
  const auto topic = PrepareTopic(**engine, job);
  if (!topic.ok()) return topic.error();
  Status filled;
  if (!HoldsRecords(**topic)) filled = Fill(**engine, **topic, job, stop);
  Status closed = (*engine)->Close();
  return filled.ok() ? closed : filled;
}

void DropFromPageCache(const std::string& directory) {
  std::error_code failed;
  for (auto entry = std::filesystem::recursive_directory_iterator(directory, failed);
       !failed && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(failed)) {
    if (!entry->is_regular_file(failed)) continue;
    const int descriptor = open(entry->path().c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) continue;  // a hint: the run is warmer than asked for
    (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    close(descriptor);
  }
}

EngineStats Added(const EngineStats& before, const EngineStats& after) {
  EngineStats added = after;
  added.records_appended -= before.records_appended;
  added.encoded_bytes -= before.encoded_bytes;
  added.commits -= before.commits;
  added.journal_bytes_written -= before.journal_bytes_written;
  added.carried_bytes -= before.carried_bytes;
  added.segment_bytes_written -= before.segment_bytes_written;
  added.segments_removed -= before.segments_removed;
  added.checkpoints -= before.checkpoints;
  added.scrubbed_bytes -= before.scrubbed_bytes;
  added.scrub_rounds -= before.scrub_rounds;
  added.compaction_passes -= before.compaction_passes;
  added.compaction_bytes -= before.compaction_bytes;
  added.compaction_records -= before.compaction_records;
  added.segments_compacted -= before.segments_compacted;
  return added;
}

}  // namespace tidemark::tools
