// tidemark repair: mends a store as far as that is possible.
#include <string>

#include "io/environment.h"
#include "io/loop.h"
#include "io/worker.h"
#include "storage/repair.h"
#include "tools/commands.h"
#include "tools/verify_output.h"

namespace tidemark::tools {

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
      io::SystemFiles(),     **loop, *worker, base::SystemClock(), &io::SystemRandom64,
      io::CurrentProcessId()};
  const auto report = storage::RepairStore(environment, options, command.dry_run);
  if (!report) {
    PrintError(report.error());
    return kVerifyUnreadable;
  }
  Output output;
  for (const std::string& action : report->actions)
    output.Write((command.dry_run ? "would: " : "done: ") + action + "\n");
  for (const storage::Finding& finding : report->after.findings)
    output.Write(FindingText(finding) + "\n");
  int code = VerifyExitCode(report->after);
  if (code == kVerifyClean && !report->actions.empty()) code = kVerifyRepaired;
  output.Write(code == kVerifyClean      ? "all is in order\n"
               : code == kVerifyRepaired ? "repaired\n"
                                         : "not all is in order\n");
  (void)Finish(output, code);
  return code;
}

}  // namespace tidemark::tools
