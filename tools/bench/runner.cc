#include "tools/bench/runner.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include <fmt/core.h>

#include "io/file_system.h"
#include "tools/bench/block_device.h"
#include "tools/bench/store.h"
#include "tools/bench/store_share.h"

namespace tidemark::tools {
namespace {

std::vector<std::string> StreamsOf(Work rw) {
  switch (rw) {
    case Work::append:
      return {"append"};
    case Work::read:
    case Work::randread:
    case Work::timeread:
      return {"read"};
    case Work::tail:
    case Work::mixed:
      return {"append", "read"};
    case Work::rawwrite:
    case Work::rawsync:
      return {"write"};
  }
  return {};
}

// Jobs that run together.
class Group {
 public:
  Group(std::span<const Job> jobs, const std::string& scratch, const RunHooks& hooks)
      : jobs_(jobs), scratch_(scratch), hooks_(hooks) {}
  Result<GroupResult> Run();

 private:
  const std::string& DirectoryOf(const Job& job) const {
    return job.directory.empty() ? scratch_ : job.directory;
  }
  Status Prepare();
  Status PrepareStore(const std::string& directory, const std::vector<const Job*>& jobs);
  void StartThreads(StartLine& line);
  void StartThread(StartLine& line, Clone& clone);
  // Until the last thread has ended.
  void Watch();
  void Tell(int64_t now_ns, int64_t* told_ns, uint64_t* told_records);
  Status CloseStores();
  GroupResult Gather() const;

  std::span<const Job> jobs_;
  const std::string& scratch_;
  const RunHooks& hooks_;
  std::map<std::string, std::unique_ptr<StoreShare>> stores_;
  std::vector<std::unique_ptr<Clone>> clones_;
  std::vector<std::thread> threads_;
  RunWindow window_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  size_t ended_ = 0;
};

Status Group::PrepareStore(const std::string& directory, const std::vector<const Job*>& jobs) {
  const Job& first = *jobs.front();
  int threads = 0;
  bool shared = false;
  for (const Job* job : jobs) {
    if (job->memory_bytes != first.memory_bytes || job->journal_bytes != first.journal_bytes ||
        job->io_engine != first.io_engine) {
      return Error(ErrorCode::invalid_argument,
                   fmt::format("jobs '{}' and '{}' run together in {}: memory, journal and "
                               "ioengine must be the same (or put stonewall between them)",
                               first.name, job->name, directory));
    }
    threads += job->numjobs;
    shared = shared || job->thread;
    if (!job->reads_only()) continue;
    hooks_.note(fmt::format("{}: laying out {} if it is empty", job->name, TopicNameOf(*job)));
    Status laid_out = LayOut(*job, directory, hooks_.stop);
    if (!laid_out.ok()) return laid_out;
    if (job->invalidate) DropFromPageCache(directory);
  }
  auto store = std::make_unique<StoreShare>(directory, first);
  if (shared || threads > 1) {
    for (const Job* job : jobs) {
      if (job->rw != Work::tail && job->rw != Work::mixed) continue;
      return Error(ErrorCode::invalid_argument,
                   fmt::format("job '{}': rw={} works alone on its store: put stonewall before and "
                               "behind it, or name another directory",
                               job->name, NameOf(job->rw)));
    }
    Status ready = store->OpenShared();
    for (size_t i = 0; i < jobs.size() && ready.ok(); ++i) ready = store->Prepare(*jobs[i]);
    if (!ready.ok()) return ready;
  }
  stores_[directory] = std::move(store);
  return {};
}

Status Group::Prepare() {
  std::map<std::string, std::vector<const Job*>> by_directory;
  for (const Job& job : jobs_) {
    Status made = io::SystemFiles().MakeDirectory(DirectoryOf(job));
    if (!made.ok()) return made;
    if (!job.raw()) by_directory[DirectoryOf(job)].push_back(&job);
    for (int i = 0; i < job.numjobs; ++i) {
      auto clone = std::make_unique<Clone>();
      clone->job = &job;
      clone->index = i;
      for (const std::string& name : StreamsOf(job.rw)) {
        clone->meters.push_back(std::make_unique<Meter>(name));
      }
      clones_.push_back(std::move(clone));
    }
  }
  for (const auto& [directory, jobs] : by_directory) {
    Status prepared = PrepareStore(directory, jobs);
    if (!prepared.ok()) return prepared;
  }
  return {};
}

void Group::StartThread(StartLine& line, Clone& clone) {
  const Job& job = *clone.job;
  const std::string& directory = DirectoryOf(job);
  threads_.emplace_back([this, &job, &directory, &line, &clone] {
    if (job.raw()) {
      const std::string path =
          io::JoinPath(directory, fmt::format("raw-{}-{}", job.name, clone.index));
      RunOnDevice(path, window_, line, &clone);
    } else if (StoreShare& store = *stores_.at(directory); store.shared() != nullptr) {
      RunShared(store, window_, line, &clone);
    } else {
      RunOnCore(store, window_, line, &clone);
    }
    const std::lock_guard lock(mutex_);
    ++ended_;
    ended_changed_.notify_one();
  });
}

void Group::StartThreads(StartLine& line) {
  for (const auto& clone : clones_) StartThread(line, *clone);
  line.ready.wait();
  for (const auto& clone : clones_) line.called_off = line.called_off || !clone->outcome.ok();
  window_.start_ns = NowNs();
  for (const auto& clone : clones_) {
    for (const auto& meter : clone->meters) meter->Begin(*clone->job, window_);
  }
  line.go.count_down();
}

void Group::Tell(int64_t now_ns, int64_t* told_ns, uint64_t* told_records) {
  GroupProgress progress;
  progress.threads = clones_.size();
  int64_t end_ns = 0;
  for (const auto& clone : clones_) {
    for (const auto& meter : clone->meters) {
      progress.records += meter->progress();
      end_ns = std::max(end_ns, meter->end_ns());
    }
  }
  progress.records_per_s = static_cast<double>(progress.records - *told_records) * 1e9 /
                           static_cast<double>(now_ns - *told_ns);
  progress.share = -1;
  if (end_ns != INT64_MAX) {
    progress.left_ns = std::max<int64_t>(end_ns - now_ns, 0);
    progress.share = std::min(1.0, static_cast<double>(now_ns - window_.start_ns) /
                                       static_cast<double>(end_ns - window_.start_ns));
  }
  hooks_.progress(progress);
  *told_ns = now_ns;
  *told_records = progress.records;
}

void Group::Watch() {
  constexpr int64_t kTellEveryNs = 1'000'000'000;
  int64_t told_ns = window_.start_ns;
  uint64_t told_records = 0;
  std::unique_lock lock(mutex_);
  while (!ended_changed_.wait_for(lock, std::chrono::milliseconds(50),
                                  [&] { return ended_ == clones_.size(); })) {
    if (hooks_.stop()) window_.stop = true;
    const int64_t now_ns = NowNs();
    if (now_ns - told_ns >= kTellEveryNs) Tell(now_ns, &told_ns, &told_records);
  }
}

Status Group::CloseStores() {
  Status failed;
  for (const auto& [directory, store] : stores_) {
    if (store->shared() == nullptr) continue;
    const Status closed = store->CloseShared();
    if (failed.ok()) failed = closed;
  }
  return failed;
}

GroupResult Group::Gather() const {
  GroupResult result;
  for (const Job& job : jobs_) {
    JobResult of_job;
    of_job.job = job;
    if (!job.raw()) {
      const StoreShare& store = *stores_.at(DirectoryOf(job));
      of_job.core = store.shared() == nullptr;
      if (const TopicConfig* config = store.ConfigFor(job))
        of_job.job.topic_settings = TopicSettings(*config);
    }
    for (const std::string& name : StreamsOf(job.rw)) of_job.streams.emplace_back().name = name;
    for (const auto& clone : clones_) {
      if (clone->job != &job) continue;
      if (of_job.outcome.ok()) of_job.outcome = clone->outcome;
      of_job.cpu += clone->cpu;
      for (size_t i = 0; i < clone->meters.size(); ++i) {
        const Meter& meter = *clone->meters[i];
        StreamResult& stream = of_job.streams[i];
        stream.submission.Merge(meter.submission());
        stream.completion.Merge(meter.completion());
        stream.records += meter.records();
        stream.bytes += meter.bytes();
        stream.busy += meter.busy();
        stream.elapsed_ns = std::max(stream.elapsed_ns, meter.elapsed_ns());
      }
    }
    result.jobs.push_back(std::move(of_job));
  }
  for (const auto& [directory, store] : stores_) result.stores.push_back(store->result());
  return result;
}

Result<GroupResult> Group::Run() {
  const Status prepared = Prepare();
  if (!prepared.ok()) return prepared.error();
  std::map<std::string, std::pair<BlockDevice, uint64_t>> devices;
  for (const Job& job : jobs_) {
    const BlockDevice device(DirectoryOf(job));
    devices.try_emplace(device.name(), device, device.BytesWritten());
  }
  StartLine line(static_cast<ptrdiff_t>(clones_.size()));
  StartThreads(line);
  const CpuUse cpu_before = ProcessCpu();
  Watch();
  for (std::thread& thread : threads_) thread.join();
  const Status closed = CloseStores();
  const int64_t end_ns = NowNs();
  const CpuUse cpu_after = ProcessCpu();
  if (!closed.ok()) return closed.error();
  GroupResult result = Gather();
  result.elapsed_ns = end_ns - window_.start_ns;
  result.cpu = cpu_after - cpu_before;
  for (const auto& [name, device] : devices) {
    result.devices.push_back(
        {name, device.first.missing(), device.first.BytesWritten() - device.second});
  }
  return result;
}

}  // namespace

double StreamResult::records_per_s() const {
  return elapsed_ns == 0 ? 0 : static_cast<double>(records) * 1e9 / static_cast<double>(elapsed_ns);
}

double StreamResult::bytes_per_s() const {
  return elapsed_ns == 0 ? 0 : static_cast<double>(bytes) * 1e9 / static_cast<double>(elapsed_ns);
}

Result<std::vector<GroupResult>> RunJobs(const std::vector<Job>& jobs, const std::string& scratch,
                                         const RunHooks& hooks) {
  for (const Job& job : jobs) {
    const Status checked = CheckJob(job);
    if (!checked.ok()) return checked.error();
  }
  std::vector<GroupResult> results;
  for (size_t begin = 0; begin < jobs.size() && !hooks.stop();) {
    size_t end = begin + 1;
    while (end < jobs.size() && !jobs[end].stonewall) ++end;
    auto result = Group(std::span(jobs).subspan(begin, end - begin), scratch, hooks).Run();
    if (!result.ok()) return result.error();
    results.push_back(std::move(*result));
    begin = end;
  }
  return results;
}

}  // namespace tidemark::tools
