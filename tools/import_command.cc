// tidemark import: takes over partitions that Apache Kafka has written.
#include <string>

#include "io/environment.h"
#include "io/loop.h"
#include "io/worker.h"
#include "storage/import.h"
#include "tools/commands.h"
#include "tools/local_protocol.h"
#include "tools/output.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

using storage::ImportedPartition;
using storage::ImportLoss;

// As `tidemark verify` tells of what is lost.
std::string LossText(const ImportedPartition& partition, const ImportLoss& loss) {
  const std::string offsets = loss.end_offset
                                  ? "offsets " + std::to_string(loss.first_offset) + " to " +
                                        std::to_string(*loss.end_offset - 1)
                                  : "offsets from " + std::to_string(loss.first_offset) + " on";
  return partition.topic + "-" + std::to_string(partition.partition) + " " + offsets +
         " are left out: " + loss.path + " at " + std::to_string(loss.position) + ": " + loss.what;
}

Json PartitionJson(const ImportedPartition& partition) {
  Json line;
  line["type"] = "partition";
  line["topic"] = partition.topic;
  line["partition"] = partition.partition;
  line["log_start_offset"] = partition.log_start_offset;
  line["end_offset"] = partition.end_offset;
  line["batches"] = partition.batches;
  line["records"] = partition.records;
  line["bytes"] = partition.bytes;
  line["losses"] = Json::array();
  for (const ImportLoss& loss : partition.losses) {
    Json lost;
    lost["file"] = loss.path;
    lost["position"] = loss.position;
    lost["what"] = loss.what;
    lost["first_offset"] = loss.first_offset;
    lost["end_offset"] = loss.end_offset ? Json(*loss.end_offset) : Json(nullptr);
    line["losses"].push_back(std::move(lost));
  }
  return line;
}

std::string PartitionText(const ImportedPartition& partition) {
  return partition.topic + "-" + std::to_string(partition.partition) + ": offsets " +
         std::to_string(partition.log_start_offset) + " to " +
         std::to_string(partition.end_offset) + ", " + std::to_string(partition.records) +
         " records in " + std::to_string(partition.batches) + " batches";
}

Result<TopicConfig> ConfigFrom(const std::vector<std::string>& settings) {
  TopicConfig config;
  for (const std::string& text : settings) {
    const auto setting = ParseSetting(text);
    if (!setting.ok()) return setting.error();
    const Status set =
        config.Set(setting->key, NormalizeSettingValue(setting->key, setting->value));
    if (!set.ok()) return set.error();
  }
  return config;
}

Result<storage::ImportReport> Import(const ImportCommand& command,
                                     const storage::ImportOptions& import) {
  auto loop = io::MakeLoop(io::LoopKind::automatic);
  if (!loop) return loop.error();
  const auto worker = io::MakeThreadWorker(**loop);
  EngineOptions options;
  options.data_dir = command.data_dir;
  const io::Environment environment{
      io::SystemFiles(),      **loop,           *worker, base::SystemClock(), &io::SystemRandom64,
      io::CurrentProcessId(), io::CurrentBoot()};
  return storage::ImportFromKafka(environment, options, import);
}

}  // namespace

int RunImport(const ImportCommand& command) {
  const auto config = ConfigFrom(command.settings);
  if (!config) return Fail(config.error());
  const auto report = Import(command, {command.paths, *config});
  if (!report) return Fail(report.error());
  Output output;
  bool lost = false;
  for (const std::string& notice : report->notices) PrintError(notice);
  for (const std::string& folder : report->left_out) PrintError("left out: " + folder);
  for (const ImportedPartition& partition : report->partitions) {
    for (const ImportLoss& loss : partition.losses) PrintError(LossText(partition, loss));
    lost = lost || !partition.losses.empty();
    output.Write((command.json ? JsonText(PartitionJson(partition)) : PartitionText(partition)) +
                 "\n");
  }
  return Finish(output, lost ? kExitFailed : kExitDone);
}

}  // namespace tidemark::tools
