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

const char* KindName(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::note:
      return "note";
    case Finding::Kind::fault:
      return "fault";
    case Finding::Kind::loss:
      return "lost";
    case Finding::Kind::unreadable:
      return "unreadable";
  }
  return "";
}

std::string SummaryText(const VerifyReport& report) {
  return std::to_string(report.partitions) + " partitions, " + std::to_string(report.segments) +
         " segments, " + std::to_string(report.batches) + " batches, " +
         std::to_string(report.commits) + " commits, " + std::to_string(report.records) +
         " records: " +
         (VerifyExitCode(report) == kVerifyClean ? "all is in order" : "not all is in order");
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

std::string FindingText(const Finding& finding) {
  std::string text = std::string(KindName(finding.kind)) + ": ";
  if (finding.kind == Finding::Kind::loss) {
    text += finding.topic + "-" + std::to_string(finding.partition) + " offsets " +
            std::to_string(finding.first_offset) + " to " + std::to_string(finding.end_offset - 1) +
            ": ";
  }
  text += finding.path;
  if (finding.position) text += " at " + std::to_string(*finding.position);
  return text + ": " + finding.what;
}

int RunVerify(const VerifyCommand& command) {
  storage::VerifyOptions options;
  options.data_dir = command.data_dir;
  options.deep = command.deep;
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
    output.Write((command.json ? FindingJson(finding).dump() : FindingText(finding)) + "\n");
  }
  output.Write((command.json ? SummaryJson(*report).dump() : SummaryText(*report)) + "\n");
  return Finish(output, VerifyExitCode(*report)) == kExitFailed ? kVerifyUnreadable
                                                                : VerifyExitCode(*report);
}

}  // namespace tidemark::tools
