// tidemark bench: the fio-style suite.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tools/bench/job_file.h"
#include "tools/bench/output.h"
#include "tools/bench/runner.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/stop_signal.h"

namespace tidemark::tools {
namespace {

// A folder below the present one, for jobs that name none; removed with all that is in it.
class ScratchFolder {
 public:
  static Result<std::unique_ptr<ScratchFolder>> Make() {
    std::string path = "tidemark-bench-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) {
      return Error(ErrorCode::io_error, "no scratch folder can be made here; name a --directory",
                   errno);
    }
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(path));
  }
  ~ScratchFolder() {
    std::error_code failed;
    std::filesystem::remove_all(path_, failed);
    if (failed) PrintError(path_ + ": could not be removed: " + failed.message());
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

Result<std::string> ReadJobFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) return Error(ErrorCode::io_error, path + ": the job file cannot be read", errno);
  return text.str();
}

// The file's jobs, or one made of keys alone; keys of the command line hold for all of them.
Result<std::vector<Job>> JobsOf(const BenchCommand& command) {
  std::vector<Job> jobs;
  for (const std::string& path : command.job_files) {
    const auto text = ReadJobFile(path);
    if (!text.ok()) return text.error();
    auto of_file = ParseJobFile(path, *text);
    if (!of_file.ok()) return of_file.error();
    if (!jobs.empty()) of_file->front().stonewall = true;  // one file after the other
    jobs.insert(jobs.end(), of_file->begin(), of_file->end());
  }
  if (command.job_files.empty()) jobs.emplace_back();
  for (Job& job : jobs) {
    for (const auto& [key, value] : command.keys) {
      const Status set = SetKey(job, key, value);
      if (!set.ok()) return Error(ErrorCode::invalid_argument, "--" + set.error().message());
    }
    constexpr int64_t kUsualRuntimeNs = 10'000'000'000;
    if (!job.runtime_ns && !job.size_bytes) job.runtime_ns = kUsualRuntimeNs;
    // Of what reads, size is what there is to read.
    if (job.reads_only() && job.runtime_ns) job.time_based = true;
  }
  return jobs;
}

Result<std::vector<Job>> OnlyTheWanted(std::vector<Job> jobs,
                                       const std::vector<std::string>& sections) {
  if (sections.empty()) return jobs;
  std::vector<Job> wanted;
  for (const std::string& section : sections) {
    bool found = false;
    for (const Job& job : jobs) {
      if (job.name != section) continue;
      wanted.push_back(job);
      found = true;
    }
    if (!found) return Error(ErrorCode::invalid_argument, "--section: no job '" + section + "'");
  }
  return wanted;
}

int UsageError(const Error& error) {
  PrintError(error);
  return error.code() == ErrorCode::invalid_argument ? kExitUsage : kExitFailed;
}

bool AllWell(const std::vector<GroupResult>& groups) {
  bool well = true;
  for (const GroupResult& group : groups) {
    for (const JobResult& job : group.jobs) {
      if (job.outcome.ok()) continue;
      well = false;
      PrintError("job '" + job.job.name + "': " + job.outcome.error().ToString());
    }
  }
  return well;
}

}  // namespace

int RunBench(const BenchCommand& command) {
  auto jobs = JobsOf(command);
  if (jobs.ok()) jobs = OnlyTheWanted(std::move(*jobs), command.sections);
  if (!jobs.ok()) return UsageError(jobs.error());
  InstallStopSignals();
  const auto scratch = ScratchFolder::Make();
  if (!scratch.ok()) return Fail(scratch.error());
  Progress progress;
  RunHooks hooks;
  hooks.stop = StopRequested;
  hooks.note = [&](const std::string& text) { progress.Update(0, text); };
  hooks.progress = [&](const GroupProgress& far) {
    progress.Update(far.records, ProgressText(far));
  };
  const auto groups = RunJobs(*jobs, (*scratch)->path(), hooks);
  progress.Clear();
  if (!groups.ok()) return UsageError(groups.error());
  Output output;
  output.Write(command.json ? JsonText(BenchJson(*groups), 2) + "\n" : BenchText(*groups));
  return Finish(output, AllWell(*groups) ? kExitDone : kExitFailed);
}

}  // namespace tidemark::tools
