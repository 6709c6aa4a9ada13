#include "tools/bench/job.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/core.h>

#include "tools/text.h"
#include "tools/workloads.h"

namespace tidemark::tools {
namespace {

Error Wrong(const std::string& why) { return Error(ErrorCode::invalid_argument, why); }

// --- values -----------------------------------------------------------------------------------

// A number and what follows it: "1.5m" is 1.5 and "m".
Result<std::pair<double, std::string>> SplitUnit(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (parsed.ec != std::errc() || !std::isfinite(number) || number < 0) {
    return Wrong("'" + std::string(text) + "' is no number");
  }
  std::string unit(parsed.ptr, end);
  for (char& letter : unit) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return std::pair(number, unit);
}

struct Unit {
  std::string_view name;
  double factor;
};

template <size_t N>
Result<double> ParseWithUnit(std::string_view text, const std::array<Unit, N>& units,
                             const char* examples) {
  const auto split = SplitUnit(text);
  if (!split.ok()) return split.error();
  for (const Unit& unit : units) {
    if (split->second == unit.name) return split->first * unit.factor;
  }
  return Wrong(fmt::format("'{}' has an unknown unit; examples: {}", text, examples));
}

constexpr double kMostNumber = 9e18;  // fits int64_t

// As fio has it: k is 1,024, and so are kb and kib.
Result<uint64_t> ParseBytes(std::string_view text) {
  constexpr double kKi = 1024;
  constexpr std::array<Unit, 14> kUnits = {{{"", 1},
                                            {"b", 1},
                                            {"k", kKi},
                                            {"kb", kKi},
                                            {"kib", kKi},
                                            {"m", kKi * kKi},
                                            {"mb", kKi * kKi},
                                            {"mib", kKi * kKi},
                                            {"g", kKi * kKi * kKi},
                                            {"gb", kKi * kKi * kKi},
                                            {"gib", kKi * kKi * kKi},
                                            {"t", kKi * kKi * kKi * kKi},
                                            {"tb", kKi * kKi * kKi * kKi},
                                            {"tib", kKi * kKi * kKi * kKi}}};
  const auto bytes = ParseWithUnit(text, kUnits, "100, 4k, 64m, 1.5g");
  if (!bytes.ok()) return bytes.error();
  if (*bytes > kMostNumber) return Wrong("'" + std::string(text) + "' is too much");
  return static_cast<uint64_t>(*bytes);
}

// Nanoseconds; without a unit seconds.
Result<int64_t> ParseTime(std::string_view text) {
  constexpr std::array<Unit, 7> kUnits = {
      {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"m", 60e9}, {"h", 3600e9}}};
  const auto time = ParseWithUnit(text, kUnits, "10, 10s, 500ms, 2m");
  if (!time.ok()) return time.error();
  if (*time > kMostNumber) return Wrong("'" + std::string(text) + "' is too much");
  return static_cast<int64_t>(*time);
}

// Of things that are counted: k is 1,000.
Result<double> ParseCount(std::string_view text) {
  constexpr std::array<Unit, 3> kUnits = {{{"", 1}, {"k", 1e3}, {"m", 1e6}}};
  return ParseWithUnit(text, kUnits, "64, 10k, 1m");
}

Result<int64_t> ParseWhole(std::string_view text, int64_t least, int64_t most) {
  const auto number = ParseCount(text);
  if (!number.ok()) return number.error();
  if (*number != std::floor(*number) || *number < static_cast<double>(least) ||
      *number > static_cast<double>(most)) {
    return Wrong(fmt::format("'{}' must be a whole number from {} to {}", text, least, most));
  }
  return static_cast<int64_t>(*number);
}

Result<bool> ParseSwitch(std::string_view text) {
  if (text == "1" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  return Wrong("'" + std::string(text) + "' must be 1 or 0");
}

Result<SizeRange> ParseSizeRange(std::string_view text) {
  const size_t dash = text.find('-');
  const auto least = ParseBytes(text.substr(0, dash));
  if (!least.ok()) return least.error();
  if (dash == std::string_view::npos) return SizeRange{*least, *least};
  const auto most = ParseBytes(text.substr(dash + 1));
  if (!most.ok()) return most.error();
  if (*most < *least) return Wrong("'" + std::string(text) + "' ends before it begins");
  return SizeRange{*least, *most};
}

template <typename T>
struct Named {
  const char* name;
  T value;
};
constexpr std::array<Named<Work>, 8> kWorks = {{{"append", Work::append},
                                                {"read", Work::read},
                                                {"randread", Work::randread},
                                                {"timeread", Work::timeread},
                                                {"tail", Work::tail},
                                                {"mixed", Work::mixed},
                                                {"rawwrite", Work::rawwrite},
                                                {"rawsync", Work::rawsync}}};
constexpr std::array<Named<Durability>, 2> kDurabilities = {
    {{"durable", Durability::durable}, {"buffered", Durability::buffered}}};
constexpr std::array<Named<IoEngine>, 3> kIoEngines = {{{"auto", IoEngine::automatic},
                                                        {"io_uring", IoEngine::io_uring},
                                                        {"sync", IoEngine::syscalls}}};

template <typename T, size_t N>
Status SetNamed(std::string_view text, const std::array<Named<T>, N>& names, T* value) {
  std::string all;
  for (const auto& candidate : names) {
    if (text == candidate.name) {
      *value = candidate.value;
      return {};
    }
    all += all.empty() ? candidate.name : std::string(", ") + candidate.name;
  }
  return Wrong("'" + std::string(text) + "' must be one of: " + all);
}

template <typename T, size_t N>
std::string GetNamed(const std::array<Named<T>, N>& names, T value) {
  for (const auto& candidate : names) {
    if (candidate.value == value) return candidate.name;
  }
  return "";
}

template <typename T, typename U>
Status Put(const Result<T>& parsed, U* value) {
  if (!parsed.ok()) return parsed.error();
  *value = static_cast<typename std::decay_t<U>>(*parsed);
  return {};
}

std::string Seconds(int64_t nanoseconds) {
  return fmt::format("{}s", static_cast<double>(nanoseconds) / 1e9);
}
std::string Switch(bool on) { return on ? "1" : "0"; }

// --- keys -------------------------------------------------------------------------------------

constexpr int64_t kMostCount = 1'000'000'000;
constexpr int64_t kMostPartitions = 100'000;
constexpr int64_t kMostThreads = 1'024;
constexpr int64_t kMostInFlight = 1'000'000;
constexpr int64_t kUsInMs = 1'000;

Status SetLinger(Job& job, std::string_view text) {
  // The engine's commit.linger.ms counts milliseconds.
  int64_t linger_us = 0;
  Status put = Put(ParseWhole(text, 0, kMostCount), &linger_us);
  if (!put.ok()) return put;
  if (linger_us % kUsInMs != 0) {
    return Wrong("'" + std::string(text) +
                 "' must be a multiple of 1000: the engine's "
                 "commit.linger.ms is in milliseconds");
  }
  return job.topic_settings.Set("commit.linger.ms", fmt::format("{}", linger_us / kUsInMs));
}

std::string LingerOf(const Job& job) {
  const std::string linger_ms = job.topic_settings.TextOf("commit.linger.ms");
  return linger_ms == "0" ? linger_ms : linger_ms + "000";
}

Status SetSegment(Job& job, std::string_view text) {
  const auto bytes = ParseBytes(text);
  if (!bytes.ok()) return bytes.error();
  return job.topic_settings.Set("segment.bytes", fmt::format("{}", *bytes));
}

constexpr std::array<JobKey, 31> kKeys = {{
    {"rw", "append|read|randread|timeread|tail|mixed|rawwrite|rawsync", "What is done",
     [](Job& job, std::string_view text) { return SetNamed(text, kWorks, &job.rw); },
     [](const Job& job) { return GetNamed(kWorks, job.rw); }},
    {"recordsize", "BYTES[-BYTES]", "Size of a value, or a range of sizes; of raw work, a block's",
     [](Job& job, std::string_view text) { return Put(ParseSizeRange(text), &job.record_size); },
     [](const Job& job) { return ToText(job.record_size); }},
    {"keys", "N", "So many different keys; 0: records without one",
     [](Job& job, std::string_view text) {
       return Put(ParseWhole(text, 0, kMostCount), &job.keys);
     },
     [](const Job& job) { return fmt::format("{}", job.keys); }},
    {"workload", "thermometers|plant|vibration|burst|status|skew",
     "Records of a named workload, in place of recordsize and keys",
     [](Job& job, std::string_view text) {
       const auto made = MakeWorkload(text, {});
       if (!made.ok()) return Status(made.error());
       job.workload = text;
       return Status();
     },
     [](const Job& job) { return job.workload; }},
    {"partitions", "N", "Of the topic; records go to them in turn",
     [](Job& job, std::string_view text) {
       return Put(ParseWhole(text, 1, kMostPartitions), &job.partitions);
     },
     [](const Job& job) { return fmt::format("{}", job.partitions); }},
    {"numjobs", "N", "So many threads do the same; more than one: through the thread-safe class",
     [](Job& job, std::string_view text) {
       return Put(ParseWhole(text, 1, kMostThreads), &job.numjobs);
     },
     [](const Job& job) { return fmt::format("{}", job.numjobs); }},
    {"iodepth", "N", "Records (reads, blocks) in flight, of each thread",
     [](Job& job, std::string_view text) {
       return Put(ParseWhole(text, 1, kMostInFlight), &job.iodepth);
     },
     [](const Job& job) { return fmt::format("{}", job.iodepth); }},
    {"durability", "durable|buffered", "What an acknowledgement means",
     [](Job& job, std::string_view text) { return SetNamed(text, kDurabilities, &job.durability); },
     [](const Job& job) { return GetNamed(kDurabilities, job.durability); }},
    {"linger_us", "N", "A durable commit waits so long for more", SetLinger, LingerOf},
    {"compression", "zstd|none", "Of the topic",
     [](Job& job, std::string_view text) {
       return job.topic_settings.Set("compression.type", text);
     },
     [](const Job& job) { return job.topic_settings.TextOf("compression.type"); }},
    {"zstd_level", "N", "Of the topic: -7 to 22",
     [](Job& job, std::string_view text) {
       return job.topic_settings.Set("compression.zstd.level", text);
     },
     [](const Job& job) { return job.topic_settings.TextOf("compression.zstd.level"); }},
    {"segment", "BYTES", "segment.bytes of the topic", SetSegment,
     [](const Job& job) { return job.topic_settings.TextOf("segment.bytes"); }},
    {"config", "KEY=VALUE...", "Settings of the topic under their own names, with blanks between",
     [](Job& job, std::string_view text) { return job.topic_settings.SetAll(text); },
     [](const Job& job) { return job.topic_settings.Text(); }},
    {"rate", "N", "So many records a second at most, of each thread; 0: no limit",
     [](Job& job, std::string_view text) { return Put(ParseCount(text), &job.rate); },
     [](const Job& job) { return fmt::format("{}", job.rate); }},
    {"runtime", "TIME", "How long, in seconds or with a unit",
     [](Job& job, std::string_view text) { return Put(ParseTime(text), &job.runtime_ns); },
     [](const Job& job) { return job.runtime_ns ? Seconds(*job.runtime_ns) : std::string(); }},
    {"ramp_time", "TIME", "So much goes before, and is not counted",
     [](Job& job, std::string_view text) { return Put(ParseTime(text), &job.ramp_time_ns); },
     [](const Job& job) { return Seconds(job.ramp_time_ns); }},
    {"size", "BYTES", "So many bytes of keys and values, of each thread",
     [](Job& job, std::string_view text) { return Put(ParseBytes(text), &job.size_bytes); },
     [](const Job& job) {
       return job.size_bytes ? fmt::format("{}", *job.size_bytes) : std::string();
     }},
    {"time_based", "0|1", "Go on until runtime is over, though size is done",
     [](Job& job, std::string_view text) { return Put(ParseSwitch(text), &job.time_based); },
     [](const Job& job) { return Switch(job.time_based); }},
    {"directory", "DIR", "The data folder, which stays; without one a scratch folder is made here",
     [](Job& job, std::string_view text) {
       job.directory = text;
       return Status();
     },
     [](const Job& job) { return job.directory; }},
    {"topic", "NAME", "The topic; otherwise the job's name is its name",
     [](Job& job, std::string_view text) {
       job.topic = text;
       return Status();
     },
     [](const Job& job) { return job.topic; }},
    {"ioengine", "auto|io_uring|sync", "How the kernel is asked",
     [](Job& job, std::string_view text) { return SetNamed(text, kIoEngines, &job.io_engine); },
     [](const Job& job) { return GetNamed(kIoEngines, job.io_engine); }},
    {"memory", "BYTES", "The engine's option memory_bytes",
     [](Job& job, std::string_view text) { return Put(ParseBytes(text), &job.memory_bytes); },
     [](const Job& job) { return fmt::format("{}", job.memory_bytes); }},
    {"journal", "BYTES", "The engine's option journal_bytes, of a new store",
     [](Job& job, std::string_view text) { return Put(ParseBytes(text), &job.journal_bytes); },
     [](const Job& job) { return fmt::format("{}", job.journal_bytes); }},
    {"thread", "0|1", "Through the thread-safe class though one thread is enough",
     [](Job& job, std::string_view text) { return Put(ParseSwitch(text), &job.thread); },
     [](const Job& job) { return Switch(job.thread); }},
    {"stonewall", "0|1", "Begin when all the jobs above have ended",
     [](Job& job, std::string_view text) { return Put(ParseSwitch(text), &job.stonewall); },
     [](const Job& job) { return Switch(job.stonewall); }},
    {"invalidate", "0|1", "Reads begin with the log out of the page cache",
     [](Job& job, std::string_view text) { return Put(ParseSwitch(text), &job.invalidate); },
     [](const Job& job) { return Switch(job.invalidate); }},
    {"gtod_reduce", "0|1", "Look at the clock once for a burst: no submission latencies",
     [](Job& job, std::string_view text) { return Put(ParseSwitch(text), &job.gtod_reduce); },
     [](const Job& job) { return Switch(job.gtod_reduce); }},
    {"rwmixread", "PERCENT", "rw=mixed: so many of the records are reads",
     [](Job& job, std::string_view text) {
       return Put(ParseWhole(text, 1, 99), &job.read_percent);
     },
     [](const Job& job) { return fmt::format("{}", job.read_percent); }},
    {"buffer_compress_percentage", "PERCENT", "So much of a value is all alike, the rest random",
     [](Job& job, std::string_view text) {
       return Put(ParseWhole(text, 0, 100), &job.compress_percent);
     },
     [](const Job& job) { return fmt::format("{}", job.compress_percent); }},
    {"randseed", "N", "The same seed makes the same records and places",
     [](Job& job, std::string_view text) { return Put(ParseInteger(text), &job.seed); },
     [](const Job& job) { return fmt::format("{}", job.seed); }},
    {"name", "NAME", "The job's name (in a file, its section's title)",
     [](Job& job, std::string_view text) {
       job.name = text;
       return Status();
     },
     [](const Job& job) { return job.name; }},
}};

constexpr uint64_t kRawBlockBytes = 4'096;

Status CheckRaw(const Job& job) {
  const SizeRange& range = job.record_size;
  if (range.least != range.most || range.least == 0 || range.least % kRawBlockBytes != 0) {
    return Wrong("recordsize of raw work is one size, a multiple of 4096");
  }
  if (!job.workload.empty() || job.keys != 0)
    return Wrong("raw work has neither workload nor keys");
  if (job.size_bytes && *job.size_bytes < range.least) {
    return Wrong("size must be at least recordsize");
  }
  return {};
}

}  // namespace

std::span<const JobKey> JobKeys() { return kKeys; }

const char* NameOf(Work rw) {
  for (const auto& candidate : kWorks) {
    if (candidate.value == rw) return candidate.name;
  }
  return "";
}

std::string ToText(const SizeRange& range) {
  return range.least == range.most ? fmt::format("{}", range.least)
                                   : fmt::format("{}-{}", range.least, range.most);
}

Status SetKey(Job& job, std::string_view key, std::string_view value) {
  for (const JobKey& candidate : kKeys) {
    if (key != candidate.name) continue;
    const Status set = candidate.set(job, value);
    return set.ok() ? set : Status(Wrong(std::string(key) + ": " + set.error().message()));
  }
  return Wrong("there is no key '" + std::string(key) + "'; tidemark bench --help lists them");
}

Status CheckJob(const Job& job) {
  const auto wrong = [&](const std::string& why) {
    return Status(Wrong("job '" + job.name + "': " + why));
  };
  if (job.time_based && !job.runtime_ns) return wrong("time_based needs a runtime");
  if (job.runtime_ns == 0) return wrong("runtime must be more than 0");
  if (!job.workload.empty() && job.keys != 0) return wrong("workload brings its own keys");
  if (job.size_bytes == uint64_t{0}) return wrong("size must be more than 0");
  const bool empty_records = job.workload.empty() && job.keys == 0 && job.record_size.most == 0;
  if (empty_records && job.size_bytes && !job.runtime_ns)
    return wrong("records without a byte never come to a size: set runtime");
  const bool together = job.rw == Work::tail || job.rw == Work::mixed;
  if (together && (job.numjobs > 1 || job.thread)) {
    return wrong(std::string("rw=") + NameOf(job.rw) +
                 " is work of one thread: set numjobs=1 and thread=0, or put a job with rw=append "
                 "and one with rw=read side by side");
  }
  if (together && job.durability == Durability::buffered && job.rw == Work::tail) {
    return wrong("rw=tail shows how soon a durable record can be read: durability=durable");
  }
  if (job.raw()) {
    const Status checked = CheckRaw(job);
    if (!checked.ok()) return wrong(checked.error().message());
  }
  return {};
}

}  // namespace tidemark::tools
