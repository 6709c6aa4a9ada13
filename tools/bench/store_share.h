// A data folder and the threads that work on it.
#pragma once

#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tidemark/concurrent_engine.h"
#include "tools/bench/loads.h"
#include "tools/bench/runner.h"

namespace tidemark::tools {

// Where all threads of a group wait for each other: everything is open before the first record.
struct StartLine {
  explicit StartLine(ptrdiff_t threads) : ready(threads) {}
  std::latch ready;
  std::latch go{1};
  bool called_off = false;  // somebody could not get ready; set before `go`
};

// One thread of a job.
struct Clone {
  const Job* job = nullptr;
  int index = 0;  // among the threads of its job
  std::vector<std::unique_ptr<Meter>> meters;
  Status outcome;
  CpuUse cpu;
  uint64_t seed() const { return job->seed + static_cast<uint64_t>(index); }
};

// The thread-safe class of a folder, when more than one thread works there; the core is opened by
// the thread that works with it.
class StoreShare {
 public:
  StoreShare(std::string directory, const Job& first) : first_(first) {
    result_.directory = std::move(directory);
  }
  const std::string& directory() const { return result_.directory; }
  const Job& first() const { return first_; }
  StoreResult& result() { return result_; }
  // The topic of a job, ready for its work. From the thread that works with the engine.
  Result<Topic*> PrepareIn(Engine& engine, const Job& job);

  // From the thread that runs the group.
  Status OpenShared();
  Status Prepare(const Job& job);
  Status CloseShared();
  // What the topic of a job was set to for its work; nullptr: it did not come to that.
  const TopicConfig* ConfigFor(const Job& job) const;
  ConcurrentEngine* shared() const { return shared_.get(); }

 private:
  Result<EngineStats> Stats();

  const Job& first_;
  std::unique_ptr<ConcurrentEngine> shared_;
  EngineStats before_;
  std::map<std::string, TopicConfig> topics_;  // by name
  StoreResult result_;
};

// What the thread of a clone does from its beginning to its end; the outcome is the clone's.
void RunOnCore(StoreShare& store, const RunWindow& window, StartLine& line, Clone* clone);
void RunShared(StoreShare& store, const RunWindow& window, StartLine& line, Clone* clone);
void RunOnDevice(const std::string& path, const RunWindow& window, StartLine& line, Clone* clone);

}  // namespace tidemark::tools
