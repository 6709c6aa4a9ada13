// What a benchmark is to do, in the terms of fio's job files.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/error.h"
#include "tidemark/options.h"
#include "tools/bench/topic_settings.h"

namespace tidemark::tools {

// rw=
enum class Work {
  append,
  read,      // from the log start on, in order
  randread,  // one record at an offset
  timeread,  // the first record at or after a time
  tail,      // append, and read each record as soon as it can be read
  mixed,     // append, and read from the log start on at the same time
  rawwrite,  // the device itself: one block behind the other into a file
  rawsync,   // the same, each on the device before it counts, over zeros that were there before
};

struct SizeRange {
  uint64_t least = 0;
  uint64_t most = 0;
  bool operator==(const SizeRange&) const = default;
};

struct Job {
  std::string name = "bench";
  Work rw = Work::append;
  SizeRange record_size{100, 100};  // of the value
  uint64_t keys = 0;                // different ones; 0: records without a key
  std::string workload;             // a named one instead of record_size and keys
  int32_t partitions = 1;
  int32_t numjobs = 1;   // so many threads do the same
  uint64_t iodepth = 1;  // of each thread
  Durability durability = Durability::durable;
  TopicSettings topic_settings;
  double rate = 0;  // records a second of each thread; 0: as fast as they are taken
  std::optional<int64_t> runtime_ns;
  int64_t ramp_time_ns = 0;
  std::optional<uint64_t> size_bytes;  // of keys and values, of each thread
  bool time_based = false;             // `size` read over and over until `runtime` is over
  std::string directory;               // the data folder; empty: a scratch folder
  std::string topic;                   // empty: the job's name
  IoEngine io_engine = IoEngine::automatic;
  uint64_t memory_bytes = EngineOptions().memory_bytes;
  uint64_t journal_bytes = EngineOptions().journal_bytes;
  bool thread = false;       // through the thread-safe class though one thread is enough
  bool stonewall = false;    // begins when all jobs above have ended
  bool invalidate = true;    // reads begin with the log out of the page cache
  bool gtod_reduce = false;  // the clock is read once for a burst of appends: no submission latency
  int32_t read_percent = 50;     // of rw=mixed
  int32_t compress_percent = 0;  // of a value's bytes, that are all alike
  uint64_t seed = 1;

  bool raw() const { return rw == Work::rawwrite || rw == Work::rawsync; }
  bool reads_only() const {
    return rw == Work::read || rw == Work::randread || rw == Work::timeread;
  }
};

// One key of a job, as files and the command line name it.
struct JobKey {
  const char* name;
  const char* values;  // for people: "BYTES", "io_uring|sync"
  const char* help;
  // invalid_argument says what would do instead.
  Status (*set)(Job& job, std::string_view value);
  std::string (*get)(const Job& job);
};
// All of them, in the order in which help shows them.
std::span<const JobKey> JobKeys();

// invalid_argument names the key when there is none of that name, or the value is none for it.
Status SetKey(Job& job, std::string_view key, std::string_view value);
// What does not go together, and what a job must have.
Status CheckJob(const Job& job);

const char* NameOf(Work rw);
// "100", "1024-4096"
std::string ToText(const SizeRange& range);

}  // namespace tidemark::tools
