// Runs jobs as fio does: those between two stonewalls together, and what they have done.
//
// Jobs that run together on one data folder share its engine. The single-threaded core serves one
// thread; when there are more, or the job says thread=1, all go through the thread-safe class.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/engine.h"
#include "tools/bench/cpu_use.h"
#include "tools/bench/job.h"
#include "tools/bench/latency_histogram.h"

namespace tidemark::tools {

// Of all threads of a job, in one direction ("append", "read", "write").
struct StreamResult {
  std::string name;
  LatencyHistogram submission;
  LatencyHistogram completion;
  uint64_t records = 0;
  uint64_t bytes = 0;
  uint64_t busy = 0;       // answers
  int64_t elapsed_ns = 0;  // of the thread that took longest
  double records_per_s() const;
  double bytes_per_s() const;
};

struct JobResult {
  Job job;         // its topic_settings are what the topic was set to
  Status outcome;  // the first error of its threads
  std::vector<StreamResult> streams;
  CpuUse cpu;  // of its own threads
  bool core = false;
};

// A data folder from its opening to the end of its clean stop.
struct StoreResult {
  std::string directory;
  EngineStats stats;     // what this run has added; levels as they were at the end
  int64_t close_ns = 0;  // the clean stop: what is left is packed
  bool clean = true;
};

// What the device under the folders was told to write meanwhile, by whomever.
struct DeviceResult {
  std::string name;
  std::string missing;  // why there is no number
  uint64_t bytes_written = 0;
};

struct GroupResult {
  std::vector<JobResult> jobs;
  std::vector<StoreResult> stores;
  std::vector<DeviceResult> devices;
  CpuUse cpu;              // of the whole process: jobs, engines and workers
  int64_t elapsed_ns = 0;  // from the first record to the end of the last clean stop
};

// Told about once a second: how far a group has come.
struct GroupProgress {
  size_t threads = 0;
  uint64_t records = 0;
  double records_per_s = 0;
  double share = 0;  // of the time, or -1 when only sizes end it
  int64_t left_ns = 0;
};

struct RunHooks {
  std::function<void(const GroupProgress&)> progress;
  std::function<void(const std::string&)> note;  // "laying out ..."
  std::function<bool()> stop;                    // asked often
};

// `scratch` is a folder that is there, for jobs that name no directory. An error: a job that cannot
// even begin; what jobs met on their way is in their outcome.
Result<std::vector<GroupResult>> RunJobs(const std::vector<Job>& jobs, const std::string& scratch,
                                         const RunHooks& hooks);

}  // namespace tidemark::tools
