// tidemark verify: checks a store and changes nothing.
#include <string>

#include "io/file_system.h"
#include "storage/verify.h"
#include "tools/commands.h"
#include "tools/verify_output.h"

namespace tidemark::tools {
namespace {

using storage::Finding;
using storage::VerifyReport;

constexpr uint64_t kMebibyte = uint64_t{1} << 20;
// While one computes checksums the other waits for the device.
constexpr int kThreads = 2;

std::string SummaryText(const VerifyReport& report) {
  return std::to_string(report.partitions) + " partitions, " + std::to_string(report.segments) +
         " segments, " + std::to_string(report.batches) + " batches, " +
         std::to_string(report.commits) + " commits, " + std::to_string(report.records) +
         " records: " +
         (VerifyExitCode(report) == kVerifyClean ? "all is in order" : "not all is in order");
}

}  // namespace

int VerifyExitCode(const VerifyReport& report) {
  int code = kVerifyClean;
  if (report.Has(Finding::Kind::fault) || report.Has(Finding::Kind::loss))
    code += kVerifyDamageLeft;
  if (report.Has(Finding::Kind::unreadable)) code += kVerifyUnreadable;
  return code;
}

Json FindingJson(const Finding& finding) {
  Json line;
  line["type"] = KindName(finding.kind);
  line["file"] = finding.path;
  if (finding.position) line["position"] = *finding.position;
  line["what"] = finding.what;
  if (finding.kind == Finding::Kind::loss) {
    line["topic"] = finding.topic;
    line["partition"] = finding.partition;
    line["first_offset"] = finding.first_offset;
    line["end_offset"] = finding.end_offset;
  }
  return line;
}

Json SummaryJson(const VerifyReport& report) {
  Json line;
  line["type"] = "summary";
  line["partitions"] = report.partitions;
  line["segments"] = report.segments;
  line["batches"] = report.batches;
  line["commits"] = report.commits;
  line["records"] = report.records;
  line["bytes"] = report.bytes;
  line["in_use"] = report.in_use;
  line["stopped_cleanly"] = report.clean;
  line["in_order"] = VerifyExitCode(report) == kVerifyClean;
  return line;
}

int RunVerify(const VerifyCommand& command) {
  storage::VerifyOptions options;
  options.data_dir = command.data_dir;
  options.deep = command.deep;
  options.threads = kThreads;
  Progress progress;
  options.progress = [&](uint64_t bytes) { progress.Update(bytes / kMebibyte, "MiB verified"); };
  const auto report = storage::VerifyStore(io::SystemFiles(), options);
  progress.Clear();
  if (!report) {
    PrintError(report.error());
    return kVerifyUnreadable;
  }
  Output output;
  for (const Finding& finding : report->findings) {
    output.Write((command.json ? JsonText(FindingJson(finding)) : finding.ToText()) + "\n");
  }
  output.Write((command.json ? JsonText(SummaryJson(*report)) : SummaryText(*report)) + "\n");
  return Finish(output, VerifyExitCode(*report)) == kExitFailed ? kVerifyUnreadable
                                                                : VerifyExitCode(*report);
}

}  // namespace tidemark::tools
