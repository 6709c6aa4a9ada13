#include "tools/bench/output.h"

#include <array>
#include <chrono>

#include <fmt/core.h>

namespace tidemark::tools {
namespace {

// Those of fio.
constexpr std::array<double, 17> kPercents = {1,  5,  10, 20, 30,   40,   50,    60,   70,
                                              80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99};

double Share(double part, double whole) { return whole == 0 ? 0 : part / whole; }

// "412k", "3.1M"
std::string Short(double number) {
  if (number >= 1e6) return fmt::format("{:.2f}M", number / 1e6);
  if (number >= 1e4) return fmt::format("{:.1f}k", number / 1e3);
  return fmt::format("{:.0f}", number);
}

std::string Bandwidth(double bytes_per_s) {
  return fmt::format("{:.1f}MiB/s ({:.1f}MB/s)", bytes_per_s / (1 << 20), bytes_per_s / 1e6);
}

struct TimeUnit {
  const char* name;
  double ns;
};

TimeUnit UnitOf(const LatencyHistogram& latencies) {
  if (latencies.mean() < 2e3) return {"nsec", 1};
  if (latencies.mean() < 2e6) return {"usec", 1e3};
  return {"msec", 1e6};
}

std::string LatencyLine(const char* name, const LatencyHistogram& latencies) {
  const TimeUnit unit = UnitOf(latencies);
  return fmt::format("    {} ({}): min={:.1f}, max={:.1f}, avg={:.2f}, stdev={:.2f}\n", name,
                     unit.name, static_cast<double>(latencies.min()) / unit.ns,
                     static_cast<double>(latencies.max()) / unit.ns, latencies.mean() / unit.ns,
                     latencies.deviation() / unit.ns);
}

std::string PercentileLines(const LatencyHistogram& latencies) {
  const TimeUnit unit = UnitOf(latencies);
  std::string text = fmt::format("    clat percentiles ({}):\n", unit.name);
  for (size_t i = 0; i < kPercents.size(); ++i) {
    if (i % 3 == 0) text += "     |";
    text += fmt::format(" {:5.2f}th=[{:9.1f}]", kPercents[i],
                        static_cast<double>(latencies.Percentile(kPercents[i])) / unit.ns);
    text += i % 3 == 2 || i + 1 == kPercents.size() ? "\n" : ",";
  }
  return text;
}

std::string StreamText(const StreamResult& stream) {
  std::string text =
      fmt::format("  {}: RPS={}, BW={}, {} records, {:.1f}MiB in {}msec\n", stream.name,
                  Short(stream.records_per_s()), Bandwidth(stream.bytes_per_s()), stream.records,
                  static_cast<double>(stream.bytes) / (1 << 20), stream.elapsed_ns / 1'000'000);
  if (stream.submission.count() > 0) text += LatencyLine("slat", stream.submission);
  if (stream.completion.count() > 0) {
    text += LatencyLine("clat", stream.completion);
    text += PercentileLines(stream.completion);
  }
  if (stream.busy > 0) text += fmt::format("    busy         : {} answers\n", stream.busy);
  return text;
}

std::string JobTitle(const JobResult& result, size_t group) {
  const Job& job = result.job;
  const char* through = job.raw() ? "the device" : (result.core ? "the core" : "threads");
  const std::string records = job.workload.empty() ? ToText(job.record_size) : job.workload;
  return fmt::format("{}: (groupid={}, jobs={}): {}: rw={}, records={}, iodepth={}, through {}\n",
                     job.name, group, job.numjobs,
                     result.outcome.ok() ? "ok" : result.outcome.error().ToString(), NameOf(job.rw),
                     records, job.iodepth, through);
}

uint64_t Appended(const GroupResult& group) {
  uint64_t records = 0;
  for (const StoreResult& store : group.stores) records += store.stats.records_appended;
  return records;
}

std::string StoreText(const StoreResult& store) {
  const EngineStats& stats = store.stats;
  const auto records = static_cast<double>(stats.records_appended);
  std::string text = fmt::format("  store {}: closed in {:.1f} msec\n", store.directory,
                                 static_cast<double>(store.close_ns) / 1e6);
  if (stats.records_appended == 0) return text;
  text += fmt::format(
      "    {} commits, {:.1f} records each; bytes per record: encoded {:.1f}, journal {:.1f}, "
      "segments {:.1f}\n",
      stats.commits, Share(records, static_cast<double>(stats.commits)),
      static_cast<double>(stats.encoded_bytes) / records,
      static_cast<double>(stats.journal_bytes_written) / records,
      static_cast<double>(stats.segment_bytes_written) / records);
  return text;
}

std::string DeviceText(const DeviceResult& device, const GroupResult& group) {
  if (!device.missing.empty()) return fmt::format("  no device counters: {}\n", device.missing);
  std::string text = fmt::format("  {}: {:.1f}MiB written", device.name,
                                 static_cast<double>(device.bytes_written) / (1 << 20));
  const auto records = static_cast<double>(Appended(group));
  if (records > 0) {
    double encoded = 0;
    for (const StoreResult& store : group.stores) {
      encoded += static_cast<double>(store.stats.encoded_bytes);
    }
    text += fmt::format(", {:.1f} bytes per record, write amplification {:.2f}",
                        static_cast<double>(device.bytes_written) / records,
                        Share(static_cast<double>(device.bytes_written), encoded));
  }
  return text + "\n";
}

std::string GroupText(const GroupResult& group, size_t index) {
  const double seconds = static_cast<double>(group.elapsed_ns) / 1e9;
  std::string text = fmt::format("Run status group {} (all jobs):\n", index);
  text +=
      fmt::format("  cpu: usr={:.1f}%, sys={:.1f}% of one processor, over {:.2f} s",
                  100 * group.cpu.user_s / seconds, 100 * group.cpu.system_s / seconds, seconds);
  if (const uint64_t records = Appended(group); records > 0) {
    text += fmt::format("; {:.2f} usec per record", (group.cpu.user_s + group.cpu.system_s) * 1e6 /
                                                        static_cast<double>(records));
  }
  text += "\n";
  for (const StoreResult& store : group.stores) text += StoreText(store);
  for (const DeviceResult& device : group.devices) text += DeviceText(device, group);
  return text;
}

// --- JSON -------------------------------------------------------------------------------------

Json LatencyJson(const LatencyHistogram& latencies) {
  Json percentiles = Json::object();
  for (const double percent : kPercents) {
    percentiles[fmt::format("{:.6f}", percent)] =
        latencies.count() == 0 ? 0 : latencies.Percentile(percent);
  }
  return {{"N", latencies.count()},          {"min", latencies.min()},
          {"max", latencies.max()},          {"mean", latencies.mean()},
          {"stddev", latencies.deviation()}, {"percentile", percentiles}};
}

Json StreamJson(const StreamResult& stream) {
  return {{"records", stream.records},
          {"bytes", stream.bytes},
          {"runtime_ms", static_cast<double>(stream.elapsed_ns) / 1e6},
          {"records_per_s", stream.records_per_s()},
          {"bytes_per_s", stream.bytes_per_s()},
          {"busy", stream.busy},
          {"slat_ns", LatencyJson(stream.submission)},
          {"clat_ns", LatencyJson(stream.completion)}};
}

Json JobJson(const JobResult& result, size_t group) {
  Json options = Json::object();
  for (const JobKey& key : JobKeys()) options[key.name] = key.get(result.job);
  Json json = {{"jobname", result.job.name},
               {"groupid", group},
               {"error", result.outcome.ok() ? Json() : Json(result.outcome.error().ToString())},
               {"through", result.job.raw() ? "device" : (result.core ? "core" : "threads")},
               {"job options", options},
               {"usr_cpu_s", result.cpu.user_s},
               {"sys_cpu_s", result.cpu.system_s}};
  for (const StreamResult& stream : result.streams) json[stream.name] = StreamJson(stream);
  return json;
}

Json StoreJson(const StoreResult& store) {
  const EngineStats& stats = store.stats;
  return {{"directory", store.directory},
          {"close_ms", static_cast<double>(store.close_ns) / 1e6},
          {"clean", store.clean},
          {"records_appended", stats.records_appended},
          {"encoded_bytes", stats.encoded_bytes},
          {"commits", stats.commits},
          {"journal_bytes_written", stats.journal_bytes_written},
          {"carried_bytes", stats.carried_bytes},
          {"segment_bytes_written", stats.segment_bytes_written},
          {"checkpoints", stats.checkpoints},
          {"segments_removed", stats.segments_removed},
          {"compaction_passes", stats.compaction_passes},
          {"compaction_bytes", stats.compaction_bytes}};
}

Json GroupJson(const GroupResult& group, size_t index) {
  const auto appended = static_cast<double>(Appended(group));
  Json json = {{"groupid", index},
               {"elapsed_ms", static_cast<double>(group.elapsed_ns) / 1e6},
               {"usr_cpu_s", group.cpu.user_s},
               {"sys_cpu_s", group.cpu.system_s},
               {"stores", Json::array()},
               {"devices", Json::array()}};
  for (const StoreResult& store : group.stores) json["stores"].push_back(StoreJson(store));
  for (const DeviceResult& device : group.devices) {
    if (!device.missing.empty()) {
      json["devices"].push_back({{"missing", device.missing}});
      continue;
    }
    json["devices"].push_back(
        {{"name", device.name},
         {"bytes_written", device.bytes_written},
         {"bytes_per_record", Share(static_cast<double>(device.bytes_written), appended)}});
  }
  return json;
}

}  // namespace

std::string BenchText(const std::vector<GroupResult>& groups) {
  std::string text;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const JobResult& job : groups[i].jobs) {
      text += JobTitle(job, i);
      for (const StreamResult& stream : job.streams) text += StreamText(stream);
    }
    text += GroupText(groups[i], i) + "\n";
  }
  return text;
}

Json BenchJson(const std::vector<GroupResult>& groups) {
  const auto now = std::chrono::system_clock::now();
  Json json = {
      {"tidemark version", TIDEMARK_VERSION},
      {"timestamp_ms",
       std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count()},
      {"jobs", Json::array()},
      {"groups", Json::array()}};
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const JobResult& job : groups[i].jobs) json["jobs"].push_back(JobJson(job, i));
    json["groups"].push_back(GroupJson(groups[i], i));
  }
  return json;
}

std::string ProgressText(const GroupProgress& progress) {
  std::string text =
      fmt::format("records, {} jobs: {} rec/s", progress.threads, Short(progress.records_per_s));
  if (progress.share >= 0) {
    text += fmt::format(", {:.1f}%, eta {:02}m:{:02}s", 100 * progress.share,
                        progress.left_ns / 60'000'000'000, progress.left_ns / 1'000'000'000 % 60);
  }
  return text;
}

}  // namespace tidemark::tools
