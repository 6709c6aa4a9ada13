#include "bench/support.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace tidemark::bench {

void GiveUp(const std::string& why) {
  (void)std::fprintf(stderr, "benchmark: %s\n", why.c_str());
  std::exit(1);
}

void GiveUpWithErrno(const std::string& what) {
  GiveUp(what + ": " + std::generic_category().message(errno));
}

void Must(const Status& status) {
  if (!status.ok()) GiveUp(status.error().ToString());
}

ScratchDir::ScratchDir(const std::string& parent) : path_(parent + "/tidemark-bench-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) {
    GiveUp("no folder can be made below " + parent + ": " + std::generic_category().message(errno));
  }
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

double NowSeconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t ProcessMemoryBytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  std::string name;
  uint64_t kibibytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(field + ":")) continue;
    kibibytes = std::strtoull(line.c_str() + field.size() + 1, nullptr, 10);
    break;
  }
  return kibibytes * 1024;
}

uint64_t FileBytes(const std::string& folder, const std::string& ending) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().native().ends_with(ending)) {
      bytes += entry.file_size();
    }
  }
  return bytes;
}

double Samples::Quantile(double share) const {
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double position = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - static_cast<double>(below));
}

void Latencies::Add(int64_t microseconds) {
  const auto bucket = static_cast<size_t>(std::max<int64_t>(microseconds, 0));
  ++counts_[std::min(bucket, kBuckets - 1)];
  ++total_;
}

int64_t Latencies::Quantile(double share) const {
  const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total_));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen > wanted || seen == total_) return static_cast<int64_t>(bucket);
  }
  return static_cast<int64_t>(kBuckets);
}

}  // namespace tidemark::bench
