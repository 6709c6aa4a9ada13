// What the benchmark programs share: scratch folders, clocks, samples, and giving up with a
// message.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/engine.h"

namespace tidemark::bench {

// Prints why and exits with 1: a benchmark that could not do its work has no figures.
[[noreturn]] void GiveUp(const std::string& why);
// "what: " and what errno says.
[[noreturn]] void GiveUpWithErrno(const std::string& what);

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) GiveUp(result.error().ToString());
  return std::move(*result);
}
void Must(const Status& status);

// A new folder below `parent`, removed with all that is in it.
class ScratchDir {
 public:
  explicit ScratchDir(const std::string& parent);
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  const std::string& path() const { return path_; }
  std::string Sub(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Monotonic; comparable between processes.
double NowSeconds();
// Processor time of all of this process's threads, the kernel's part included.
double CpuSeconds();

// A line of /proc/self/status in bytes: "VmRSS", "VmHWM" (its peak).
uint64_t ProcessMemoryBytes(const std::string& field);

// Bytes of the regular files below `folder` whose name ends so; an empty ending: all.
uint64_t FileBytes(const std::string& folder, const std::string& ending);

// Repeated measurements of one thing.
class Samples {
 public:
  void Add(double value) { values_.push_back(value); }
  bool empty() const { return values_.empty(); }
  const std::vector<double>& values() const { return values_; }
  // 0 when there are none. `share` from 0 (the least) to 1 (the greatest).
  double Quantile(double share) const;
  double Median() const { return Quantile(0.5); }
  double Min() const { return Quantile(0); }
  double Max() const { return Quantile(1); }

 private:
  std::vector<double> values_;
};

// Durations in buckets of a microsecond; what takes longer than the last bucket counts as it.
class Latencies {
 public:
  Latencies() : counts_(kBuckets) {}
  void Add(int64_t microseconds);
  // Microseconds.
  int64_t Quantile(double share) const;

 private:
  static constexpr size_t kBuckets = 200'000;
  std::vector<uint32_t> counts_;
  uint64_t total_ = 0;
};

}  // namespace tidemark::bench
