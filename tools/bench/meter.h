// When a job's thread works, and what it has done.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "tools/bench/job.h"
#include "tools/bench/latency_histogram.h"

namespace tidemark::tools {

// Monotonic nanoseconds.
inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// What all threads of a group go by. Set before they start, and shared by them.
struct RunWindow {
  int64_t start_ns = 0;
  std::atomic<bool> stop = false;  // somebody wants it to end
};

// What one thread of a job has done in one direction. Submission belongs to the thread that asks,
// all else to the one that learns of completions (which may be the same); progress() to everybody.
class Meter {
 public:
  explicit Meter(std::string name) : name_(std::move(name)) {}
  // When the window has its start, and before anything is counted.
  void Begin(const Job& job, const RunWindow& window) {
    count_from_ns_ = window.start_ns + job.ramp_time_ns;
    end_ns_ = job.runtime_ns ? count_from_ns_ + *job.runtime_ns : INT64_MAX;
  }

  void Submitted(int64_t begun_ns, int64_t now_ns) {
    if (Counts(now_ns)) submission_.Add(now_ns - begun_ns);
  }
  void Completed(int64_t begun_ns, int64_t now_ns, uint64_t records, uint64_t bytes) {
    progress_.fetch_add(records, std::memory_order_relaxed);
    if (!Counts(now_ns)) return;
    completion_.Add(now_ns - begun_ns, records);
    Add(now_ns, records, bytes);
  }
  // As Completed(), of many records with one latency: that of the batch in which they came.
  void CompletedBatch(int64_t begun_ns, int64_t now_ns, uint64_t records, uint64_t bytes) {
    progress_.fetch_add(records, std::memory_order_relaxed);
    if (!Counts(now_ns)) return;
    completion_.Add(now_ns - begun_ns);
    Add(now_ns, records, bytes);
  }
  void Busy() { ++busy_; }

  const std::string& name() const { return name_; }
  int64_t end_ns() const { return end_ns_; }
  uint64_t progress() const { return progress_.load(std::memory_order_relaxed); }
  // What follows: when the threads have ended.
  const LatencyHistogram& submission() const { return submission_; }
  const LatencyHistogram& completion() const { return completion_; }
  uint64_t records() const { return records_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t busy() const { return busy_; }
  int64_t elapsed_ns() const { return records_ == 0 ? 0 : last_ns_ - count_from_ns_; }

 private:
  bool Counts(int64_t now_ns) const { return now_ns >= count_from_ns_ && now_ns < end_ns_; }
  void Add(int64_t now_ns, uint64_t records, uint64_t bytes) {
    records_ += records;
    bytes_ += bytes;
    last_ns_ = now_ns;
  }

  std::string name_;
  int64_t count_from_ns_ = 0;
  int64_t end_ns_ = INT64_MAX;
  LatencyHistogram submission_;
  LatencyHistogram completion_;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  uint64_t busy_ = 0;  // answers
  int64_t last_ns_ = 0;
  std::atomic<uint64_t> progress_ = 0;
};

// When the next record of a thread may go: at a steady rate, or at once.
class Pacer {
 public:
  Pacer(double rate, const RunWindow& window) : rate_(rate), start_ns_(window.start_ns) {}
  // How long from now until it may go; 0: now.
  int64_t WaitNs(int64_t now_ns) const {
    if (rate_ <= 0) return 0;
    const auto due_ns = start_ns_ + static_cast<int64_t>(static_cast<double>(taken_) * 1e9 / rate_);
    return due_ns > now_ns ? due_ns - now_ns : 0;
  }
  void Take() { ++taken_; }

 private:
  double rate_;
  int64_t start_ns_;
  uint64_t taken_ = 0;
};

// How much a thread still has to do: until `size`, the end of its time, or a stop. The clock is not
// asked: whoever has just asked it says what it said.
class Budget {
 public:
  Budget(const Job& job, const RunWindow& window, const Meter& meter)
      : window_(window),
        end_ns_(meter.end_ns()),
        left_(job.size_bytes && !job.time_based ? *job.size_bytes : UINT64_MAX) {}
  bool Over(int64_t now_ns) const {
    return left_ == 0 || now_ns >= end_ns_ || window_.stop.load(std::memory_order_relaxed);
  }
  void Take(uint64_t bytes) { left_ -= left_ == UINT64_MAX ? 0 : std::min(left_, bytes); }

 private:
  const RunWindow& window_;
  int64_t end_ns_;
  uint64_t left_;
};

}  // namespace tidemark::tools
