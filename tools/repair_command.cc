// tidemark repair: mends a store as far as that is possible.
#include <string>

#include "io/environment.h"
#include "io/loop.h"
#include "io/worker.h"
#include "storage/repair.h"
#include "tools/commands.h"
#include "tools/verify_output.h"

namespace tidemark::tools {
namespace {

void WriteText(const storage::RepairReport& report, bool dry_run, int code, Output* output) {
  for (const std::string& action : report.actions)
    output->Write((dry_run ? "would: " : "done: ") + action + "\n");
  for (const storage::Finding& finding : report.after.findings)
    output->Write(finding.ToText() + "\n");
  output->Write(code == kVerifyClean      ? "all is in order\n"
                : code == kVerifyRepaired ? "repaired\n"
                                          : "not all is in order\n");
}

void WriteJson(const storage::RepairReport& report, bool dry_run, int code, Output* output) {
  for (const std::string& action : report.actions) {
    Json line;
    line["type"] = "action";
    line["done"] = !dry_run;
    line["what"] = action;
    output->Write(JsonText(line) + "\n");
  }
  for (const storage::Finding& finding : report.after.findings)
    output->Write(JsonText(FindingJson(finding)) + "\n");
  Json summary = SummaryJson(report.after);
  summary["dry_run"] = dry_run;
  summary["repaired"] = !dry_run && !report.actions.empty();
  summary["exit_code"] = code;
  output->Write(JsonText(summary) + "\n");
}

}  // namespace

int RunRepair(const RepairCommand& command) {
  auto loop = io::MakeLoop(io::LoopKind::automatic);
  if (!loop) {
    PrintError(loop.error());
    return kVerifyUnreadable;
  }
  const auto worker = io::MakeThreadWorker(**loop);
  EngineOptions options;
  options.data_dir = command.data_dir;
  const io::Environment environment{
      io::SystemFiles(),      **loop,           *worker, base::SystemClock(), &io::SystemRandom64,
      io::CurrentProcessId(), io::CurrentBoot()};
  const auto report = storage::RepairStore(environment, options, command.dry_run);
  if (!report) {
    PrintError(report.error());
    return kVerifyUnreadable;
  }
  int code = VerifyExitCode(report->after);
  if (code == kVerifyClean && !report->actions.empty()) code = kVerifyRepaired;
  Output output;
  if (command.json) {
    WriteJson(*report, command.dry_run, code, &output);
  } else {
    WriteText(*report, command.dry_run, code, &output);
  }
  return Finish(output, kExitDone) == kExitDone ? code : kVerifyUnreadable;
}

}  // namespace tidemark::tools
