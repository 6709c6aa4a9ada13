// The works of bench_peers, by the letters that docs/peers.md explains.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/peers/peer.h"
#include "bench/report.h"

namespace tidemark::bench {

struct WorkOptions {
  std::string dir = ".";
  double seconds = 1;  // of a run that is not told its number of records
  int processor = 0;   // that bulk ingest and reading are bound to
  size_t value_bytes = 100;
  std::vector<uint32_t> partitions = {1, 1000};           // a
  std::vector<uint32_t> in_flight = {64};                 // b
  std::vector<uint32_t> in_flight_partitions = {1, 64};   // b
  uint64_t bulk_records = 2'000'000;                      // c
  uint64_t read_records = 1'000'000;                      // d, e, f
  std::vector<uint64_t> log_bytes = {uint64_t{5} << 30};  // g
  bool keep_page_cache = false;                           // g
  uint64_t readings = 20'000;                             // h
  double window_seconds = 20;                             // h
  uint32_t readings_per_second = 1000;                    // h, within a window
};

struct WorkInfo {
  char letter;
  const char* title;
  uint32_t bits;  // of the variants that take part
  // What runs of the same variant leave to each other is in a folder of this name; "": nothing.
  const char* store;
  // One run in `folder`, which is there; what ToJson() of its figures gives.
  Json (*run)(const Variant& variant, const WorkOptions& options, const std::string& folder);
};
const std::vector<WorkInfo>& Works();

// How many values are made; more than stand in a batch, so that compression finds nothing twice
// that would not come twice.
inline constexpr size_t kValues = 16'384;
// What the files are given.
std::vector<std::string> MakeValues(size_t value_bytes, size_t count);
std::vector<std::string> MakeRandomValues(size_t value_bytes, size_t count);
// Appends `count` records to partition 0 from `first_offset` on, in the batches of the variant.
void AppendMany(Peer& peer, const Variant& variant, uint64_t first_offset, uint64_t count,
                const std::vector<std::string>& values);
// Timestamp of the records that AppendMany() appends: several have the same.
inline constexpr int64_t kFirstTimestampMs = 1'732'272'000'000;
inline constexpr uint64_t kRecordsOfMillisecond = 4;

Json RunOneByOne(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunInFlightWork(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunBulk(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunReadAll(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunReadOne(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunReadByTime(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunKill(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunSpace(const Variant& variant, const WorkOptions& options, const std::string& folder);
Json RunMemory(const Variant& variant, const WorkOptions& options, const std::string& folder);

}  // namespace tidemark::bench
