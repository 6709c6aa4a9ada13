// The subcommands of `tidemark`: what the command line says, and what does it. Each Run returns the
// exit code and has said on stderr what went wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::tools {

struct ServeCommand {
  std::string data_dir;
  std::string config_file;
  std::vector<std::string> mqtt;  // "ADDR:PORT"; empty: what the config says
};
int RunServe(const ServeCommand& command);

struct TopicCommand {
  enum class Action { create, list, describe, alter, remove };
  Action action = Action::list;
  std::string data_dir;
  std::string name;                   // describe: empty means all
  std::optional<int32_t> partitions;  // create: else 1; alter: else as before
  std::vector<std::string> settings;  // "KEY=VALUE"
  bool exclude_internal = false;      // list, describe: without the engine's own topics
  bool json = false;
};
int RunTopic(const TopicCommand& command);

struct ProduceCommand {
  std::string data_dir;
  std::string topic;
  std::optional<int32_t> partition;
  std::optional<std::string> key;
  std::optional<std::string> separator;
  std::optional<std::string> durability;
};
int RunProduce(const ProduceCommand& command);

struct ConsumeCommand {
  std::string data_dir;
  std::string topic;
  std::optional<int32_t> partition;
  std::string offset = "beginning";
  std::optional<uint64_t> count;
  bool exit_at_end = false;
  std::string format = "%s\\n";
  bool json = false;
  std::string group;            // empty: none
  std::string reset = "error";  // Kafka's auto.offset.reset: earliest, latest or error
};
int RunConsume(const ConsumeCommand& command);

struct GroupCommand {
  enum class Action { list, describe, reset, remove };
  Action action = Action::list;
  std::string data_dir;
  std::string name;
  std::string topic;  // remove: empty means all
  std::optional<int32_t> partition;
  std::string offset;
  bool json = false;
};
int RunGroup(const GroupCommand& command);

struct DumpCommand {
  std::vector<std::string> paths;
  bool records = false;
  bool json = false;
};
int RunDump(const DumpCommand& command);

struct VerifyCommand {
  std::string data_dir;
  bool deep = false;
  bool json = false;
};
int RunVerify(const VerifyCommand& command);

struct RepairCommand {
  std::string data_dir;
  bool dry_run = false;
  bool json = false;
};
int RunRepair(const RepairCommand& command);

struct ImportCommand {
  std::string data_dir;
  std::vector<std::string> paths;
  std::vector<std::string> settings;  // "KEY=VALUE"
  bool json = false;
};
int RunImport(const ImportCommand& command);

struct DatagenCommand {
  std::string workload = "thermometers";
  uint32_t devices = 0;  // 0: as many as the workload has of itself
  double rate = 0;       // readings a second; 0: as fast as they are taken
  std::optional<uint64_t> count;
  uint64_t seed = 1;
  std::string mqtt;  // "ADDR:PORT"
  uint32_t in_flight = 64;
  std::string data_dir;
  std::string topic;
};
int RunDatagen(const DatagenCommand& command);

struct BenchCommand {
  std::vector<std::string> job_files;
  std::vector<std::pair<std::string, std::string>> keys;  // of all jobs, over what their files say
  std::vector<std::string> sections;                      // empty: all jobs
  bool json = false;
};
int RunBench(const BenchCommand& command);

}  // namespace tidemark::tools
