// a, b and c: appending.
#include <fmt/core.h>

#include "bench/child.h"
#include "bench/peers/results.h"
#include "bench/peers/works.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

constexpr double kWarmShare = 0.25;  // of the time of a run, before it

std::string SubFolder(const std::string& folder, const std::string& name) {
  std::string path = folder + "/" + name;
  MakeFolder(path);
  return path;
}

std::string PartitionsText(uint32_t count) {
  return count == 1 ? "1 partition" : fmt::format("{} partitions", count);
}

// Appends to the partitions in turn for so long; returns how many records.
uint64_t AppendInTurn(Peer& peer, const Variant& variant, std::vector<uint64_t>* next_offsets,
                      const std::vector<std::string>& values, double seconds) {
  uint64_t count = 0;
  PeerRecord record;
  for (const double end = NowSeconds() + seconds; NowSeconds() < end; ++count) {
    record.offset = (*next_offsets)[record.partition]++;
    record.timestamp_ms = kFirstTimestampMs + static_cast<int64_t>(record.offset);
    record.value = values[count % values.size()];
    peer.Append({&record, 1}, variant.safety);
    if (++record.partition == next_offsets->size()) record.partition = 0;
  }
  return count;
}

Measured OneByOneCase(const Variant& variant, const WorkOptions& options, const std::string& folder,
                      uint32_t partitions) {
  const auto peer = variant.open({folder, partitions});
  const auto values = MakeValues(options.value_bytes, kValues);
  std::vector<uint64_t> next_offsets(partitions);
  AppendInTurn(*peer, variant, &next_offsets, values, options.seconds * kWarmShare);
  const double start = NowSeconds();
  const uint64_t count = AppendInTurn(*peer, variant, &next_offsets, values, options.seconds);
  Measured figure;
  figure.case_name = PartitionsText(partitions) + (partitions == 1 ? "" : " in turn");
  figure.unit = "records/s";
  figure.value = static_cast<double>(count) / (NowSeconds() - start);
  figure.x = partitions;
  figure.series = "partitions";
  peer->Close();
  return figure;
}

Measured InFlightCase(const Variant& variant, const WorkOptions& options, const std::string& folder,
                      uint32_t in_flight, uint32_t partitions) {
  const auto peer = variant.open({folder, partitions});
  const auto values = MakeValues(options.value_bytes, kValues);
  const InFlightResult result = peer->RunInFlight({in_flight, partitions, options.seconds, values});
  peer->Close();
  Measured figure;
  figure.case_name = fmt::format("{} in flight, {}", in_flight, PartitionsText(partitions));
  figure.unit = "records/s";
  figure.value = static_cast<double>(result.acknowledged) / result.seconds;
  figure.x = in_flight;
  figure.series = "in flight, " + PartitionsText(partitions);
  return figure;
}

}  // namespace

Json RunOneByOne(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  Json all = Json::array();
  for (const uint32_t partitions : options.partitions) {
    const std::string store = SubFolder(folder, std::to_string(partitions));
    all.push_back(
        RunInChild([&] { return ToJson({OneByOneCase(variant, options, store, partitions)})[0]; }));
  }
  return all;
}

Json RunInFlightWork(const Variant& variant, const WorkOptions& options,
                     const std::string& folder) {
  Json all = Json::array();
  for (const uint32_t partitions : options.in_flight_partitions) {
    for (const uint32_t in_flight : options.in_flight) {
      if (in_flight < partitions) continue;
      const std::string store = SubFolder(folder, fmt::format("{}-{}", partitions, in_flight));
      all.push_back(RunInChild([&] {
        return ToJson({InFlightCase(variant, options, store, in_flight, partitions)})[0];
      }));
    }
  }
  return all;
}

Json RunBulk(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  return RunInChild([&] {
    BindToProcessor(options.processor);
    const auto values = MakeValues(options.value_bytes, kValues);
    const auto peer = variant.open({folder});
    BindThreadsToProcessor(options.processor);
    const double cpu_before = CpuSeconds();
    const double start = NowSeconds();
    AppendMany(*peer, variant, 0, options.bulk_records, values);
    peer->Close();
    const double seconds = NowSeconds() - start;
    const double cpu_seconds = CpuSeconds() - cpu_before;
    const auto records = static_cast<double>(options.bulk_records);
    Measured figure;
    figure.case_name = fmt::format("{} records of {} bytes, to the end of a clean stop",
                                   options.bulk_records, options.value_bytes);
    figure.unit = "records/s";
    figure.value = records / seconds;
    Measured of_processor = figure;
    of_processor.unit = "records for each second of the processor";
    of_processor.value = records / cpu_seconds;
    return ToJson({figure, of_processor});
  });
}

}  // namespace tidemark::bench
