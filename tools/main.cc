// The `tidemark` command: parses the command line, nothing more. Each subcommand is a file of its
// own.
#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "tools/bench/job.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/verify_output.h"
#include "tools/workloads.h"

namespace tidemark::tools {
namespace {

// The subcommand that was chosen.
using Chosen = std::function<int()>;

void AddData(CLI::App* command, std::string* data_dir) {
  command->add_option("--data", *data_dir, "The data folder")->required()->type_name("DIR");
}

void AddServe(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<ServeCommand>();
  CLI::App* command = app.add_subcommand("serve", "Run the gateway: MQTT in, log on disk");
  AddData(command, &options->data_dir);
  command->add_option("--config", options->config_file, "Config file (TOML)")->type_name("FILE");
  command
      ->add_option("--mqtt", options->mqtt,
                   "Listen here for MQTT; may be repeated; port 0: any free one "
                   "(127.0.0.1:1883 unless the config says otherwise)")
      ->type_name("ADDR:PORT");
  command->callback([=] { *chosen = [=] { return RunServe(*options); }; });
}

CLI::App* AddTopicAction(CLI::App* topic, const char* name, const char* text,
                         TopicCommand::Action action, const std::shared_ptr<TopicCommand>& options,
                         Chosen* chosen) {
  CLI::App* command = topic->add_subcommand(name, text);
  AddData(command, &options->data_dir);
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([=] {
    options->action = action;
    *chosen = [=] { return RunTopic(*options); };
  });
  return command;
}

void AddTopic(CLI::App& app, Chosen* chosen) {
  using Action = TopicCommand::Action;
  auto options = std::make_shared<TopicCommand>();
  CLI::App* topic = app.add_subcommand("topic", "Create, list, describe, alter and delete topics");
  topic->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, Action action) {
    return AddTopicAction(topic, name, text, action, options, chosen);
  };
  const auto add_name = [&](CLI::App* command) {
    return command->add_option("NAME", options->name, "The topic's name");
  };
  const auto add_settings = [&](CLI::App* command) {
    return command
        ->add_option("--config", options->settings,
                     "A setting under Kafka's name, such as segment.bytes=16MiB; may be repeated")
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  CLI::App* create =
      add("create", "Create a topic, and the store if there is none", Action::create);
  add_name(create)->required();
  const auto add_partitions = [&](CLI::App* command, const char* text) {
    return command->add_option("--partitions", options->partitions, text)
        ->check(CLI::Range(1, 100'000));
  };
  add_partitions(create, "How many partitions (1)");
  add_settings(create);
  const auto add_exclude = [&](CLI::App* command) {
    command->add_flag("--exclude-internal", options->exclude_internal,
                      "Without the engine's own topics");
  };
  add_exclude(add("list", "List the topics", Action::list));
  CLI::App* describe =
      add("describe", "Show settings and offsets, of all topics or one", Action::describe);
  add_name(describe);
  add_exclude(describe);
  CLI::App* alter = add("alter", "Change settings, or add partitions", Action::alter);
  add_name(alter)->required();
  CLI::App* changes = alter->add_option_group("changes");
  add_partitions(changes, "How many partitions it has from now on; more than before");
  add_settings(changes);
  changes->require_option(1, 0);
  add_name(add("delete", "Delete a topic and its records", Action::remove))->required();
}

void AddProduce(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<ProduceCommand>();
  CLI::App* command =
      app.add_subcommand("produce", "Append records from standard input, a line each");
  AddData(command, &options->data_dir);
  command->add_option("TOPIC", options->topic, "The topic's name")->required();
  command->add_option("-p,--partition", options->partition,
                      "To this partition (otherwise by the key; without a key to partition 0)");
  CLI::Option* key = command->add_option("-k,--key", options->key, "The key of all records");
  command
      ->add_option("-K,--key-separator", options->separator,
                   "What stands between key and value in each line")
      ->excludes(key)
      ->check([](const std::string& text) {
        return text.empty() ? std::string("the separator must not be empty") : std::string();
      });
  command->add_option("--durability", options->durability, "Instead of the topic's own")
      ->check(CLI::IsMember({"durable", "buffered"}));
  command->callback([=] { *chosen = [=] { return RunProduce(*options); }; });
}

void AddConsume(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<ConsumeCommand>();
  CLI::App* command = app.add_subcommand("consume", "Print records, as kcat does");
  AddData(command, &options->data_dir);
  command->add_option("TOPIC", options->topic, "The topic's name")->required();
  command->add_option("-p,--partition", options->partition, "Only this partition");
  command
      ->add_option("-o,--offset", options->offset,
                   "Where to begin: beginning, end, N, -N (before the end) or s@MILLISECONDS")
      ->capture_default_str();
  command->add_option("-c,--count", options->count, "So many records, then exit")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("-e,--exit", options->exit_at_end, "Exit at the end instead of following");
  CLI::Option* format =
      command
          ->add_option("-f,--format", options->format,
                       "%t topic %p partition %o offset %T timestamp %k key %s value "
                       "%K %S their lengths %h headers; \\n \\t \\xHH")
          ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object a line")->excludes(format);
  command
      ->add_option("--reset", options->reset,
                   "Where to go on when an offset is not there (any more)")
      ->capture_default_str()
      ->check(CLI::IsMember({"error", "earliest", "latest"}));
  command
      ->add_option("--group", options->group,
                   "Go on where this group's consumers stopped, and commit how far this one comes")
      ->type_name("NAME")
      ->check([](const std::string& name) {
        return name.empty() ? std::string("the name of a group must not be empty") : std::string();
      });
  command->callback([=] { *chosen = [=] { return RunConsume(*options); }; });
}

CLI::App* AddGroupAction(CLI::App* group, const char* name, const char* text,
                         GroupCommand::Action action, const std::shared_ptr<GroupCommand>& options,
                         Chosen* chosen) {
  CLI::App* command = group->add_subcommand(name, text);
  AddData(command, &options->data_dir);
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([=] {
    options->action = action;
    *chosen = [=] { return RunGroup(*options); };
  });
  return command;
}

void AddGroup(CLI::App& app, Chosen* chosen) {
  using Action = GroupCommand::Action;
  auto options = std::make_shared<GroupCommand>();
  CLI::App* group =
      app.add_subcommand("group", "List, describe, reset and delete the cursors of groups");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, Action action) {
    return AddGroupAction(group, name, text, action, options, chosen);
  };
  const auto add_name = [&](CLI::App* command) {
    command->add_option("NAME", options->name, "The group's name")->required();
  };
  (void)add("list", "List the groups", Action::list);
  add_name(add("describe", "Show how far a group has come, and its lag", Action::describe));
  CLI::App* reset = add("reset", "Let a group go on from elsewhere", Action::reset);
  add_name(reset);
  reset->add_option("--topic", options->topic, "In this topic")->required();
  reset->add_option("-p,--partition", options->partition, "Only in this partition");
  reset
      ->add_option("-o,--offset", options->offset,
                   "Where: beginning, end, N, -N (before the end) or s@MILLISECONDS")
      ->required();
  CLI::App* remove = add("delete", "Forget how far a group has come", Action::remove);
  add_name(remove);
  remove->add_option("--topic", options->topic, "Only in this topic");
}

void AddDump(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<DumpCommand>();
  CLI::App* command =
      app.add_subcommand("dump", "Show segment, index and journal files, batch by batch");
  command->add_option("PATH", options->paths, "Files, or folders of them")->required();
  command->add_flag("--records", options->records, "Every record, too");
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([=] { *chosen = [=] { return RunDump(*options); }; });
}

void AddVerify(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<VerifyCommand>();
  CLI::App* command =
      app.add_subcommand("verify",
                         "Check everything in a store and change nothing; exits with 0: "
                         "in order, 4: damaged, 8: could not be read");
  command->add_option("DIR", options->data_dir, "The data folder")->required();
  command->add_flag("--deep", options->deep, "Decode every record, too");
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([=] { *chosen = [=] { return RunVerify(*options); }; });
}

void AddRepair(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<RepairCommand>();
  CLI::App* command = app.add_subcommand(
      "repair",
      "Mend a store; what is damaged goes to quarantine/; exits with 0: there was "
      "nothing to do, 1: repaired, 4: damage is left, 8: could not be read");
  command->add_option("DIR", options->data_dir, "The data folder")->required();
  command->add_flag("--dry-run", options->dry_run, "Only say what would be done");
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([=] { *chosen = [=] { return RunRepair(*options); }; });
}

void AddImport(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<ImportCommand>();
  CLI::App* command = app.add_subcommand(
      "import", "Take over partitions that a Kafka broker, now stopped, has written");
  command->add_option("--data", options->data_dir, "The data folder; made if there is none")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("PATH", options->paths,
                   "Folders of partitions (TOPIC-N), or a broker's log.dirs with such folders")
      ->required();
  command->add_option("--config", options->settings, "A setting of the topics that are made")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([=] { *chosen = [=] { return RunImport(*options); }; });
}

void AddDatagen(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<DatagenCommand>();
  CLI::App* command = app.add_subcommand("datagen", "Simulated sensors");
  command->add_option("WORKLOAD", options->workload, "What they are")
      ->required()
      ->check(CLI::IsMember(WorkloadNames()));
  command
      ->add_option("--devices", options->devices,
                   "How many devices, in place of the workload's own number")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--rate", options->rate, "Readings a second; 0: as fast as possible")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e9))
      ->check([](const std::string& text) -> std::string {  // which is within every range
        return std::isnan(std::strtod(text.c_str(), nullptr)) ? text + " is no number" : "";
      });
  command->add_option("--count", options->count, "So many readings, then exit")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--seed", options->seed, "The same seed gives the same readings")
      ->capture_default_str();
  CLI::Option* mqtt = command->add_option("--mqtt", options->mqtt, "Publish there at QoS 1")
                          ->type_name("ADDR:PORT");
  command->add_option("--inflight", options->in_flight, "Publishes awaiting their PUBACK")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000))
      ->needs(mqtt);
  CLI::Option* data =
      command->add_option("--data", options->data_dir, "Append to the store in this folder")
          ->type_name("DIR")
          ->excludes(mqtt);
  CLI::Option* topic = command->add_option("--topic", options->topic, "With --data: to this topic");
  data->needs(topic);
  topic->needs(data);
  command->callback([=] { *chosen = [=] { return RunDatagen(*options); }; });
}

void AddBench(CLI::App& app, Chosen* chosen) {
  auto options = std::make_shared<BenchCommand>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure the store and the device, as fio does: from job files, or keys alone");
  command->add_option("JOBFILE", options->job_files, "Job files; see docs/bench.md");
  command->add_option("--section", options->sections, "Only this job of the files; may be repeated")
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option_function<std::string>(
          "--output-format", [=](const std::string& format) { options->json = format == "json"; },
          "How it is shown: normal or json")
      ->check(CLI::IsMember({"normal", "json"}));
  for (const JobKey& key : JobKeys()) {
    const std::string name = key.name;
    command
        ->add_option_function<std::string>(
            "--" + name, [=](const std::string& value) { options->keys.emplace_back(name, value); },
            key.help)
        ->type_name(key.values)
        ->group("Keys, of all jobs");
  }
  command->callback([=] { *chosen = [=] { return RunBench(*options); }; });
}

// A standard descriptor that was closed by whoever started us would be given to the next file that
// is opened, the journal for one, and then be written to as stderr. What stands in for it fails
// with EBADF, as the closed one would.
void FillStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1) continue;
    const int opened =
        ::open("/dev/null", (descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (opened != descriptor) std::_Exit(kExitFailed);  // there is nobody to tell
  }
}

int Main(int argc, char** argv) {
  FillStandardDescriptors();
  // A reader of our output that goes away is seen by the write that fails.
  (void)std::signal(SIGPIPE, SIG_IGN);
  // A limit on file sizes is an error of the write, too, not the end of a gateway.
  (void)std::signal(SIGXFSZ, SIG_IGN);

  CLI::App app("Tidemark: a partition log for edge gateways", "tidemark");
  app.set_version_flag("--version", "tidemark " TIDEMARK_VERSION);
  app.require_subcommand(1);
  Chosen chosen;
  AddServe(app, &chosen);
  AddTopic(app, &chosen);
  AddProduce(app, &chosen);
  AddConsume(app, &chosen);
  AddGroup(app, &chosen);
  AddDump(app, &chosen);
  AddVerify(app, &chosen);
  AddRepair(app, &chosen);
  AddImport(app, &chosen);
  AddBench(app, &chosen);
  AddDatagen(app, &chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, std::cout, std::cerr);  // help, version
    const auto unknown = app.remaining(true);
    PrintError(unknown.empty() ? std::string(error.what())
                               : "unknown argument '" + unknown.front() + "'");
    const bool as_fsck = argc > 1 && (std::string_view(argv[1]) == "verify" ||
                                      std::string_view(argv[1]) == "repair");
    return as_fsck ? kVerifyUsage : kExitUsage;
  }
  return chosen();
}

}  // namespace
}  // namespace tidemark::tools

int main(int argc, char** argv) { return tidemark::tools::Main(argc, argv); }
