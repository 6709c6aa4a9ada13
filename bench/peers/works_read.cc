// d, e and f: reading. The answers are held against what was written.
#include <filesystem>

#include <fmt/core.h>

#include "bench/child.h"
#include "bench/peers/results.h"
#include "bench/peers/works.h"
#include "bench/support.h"
#include "tools/workload.h"

namespace tidemark::bench {
namespace {

constexpr uint64_t kSeed = 1;

// Fills the store where no run before has, and has all of it in the page cache.
void PrepareStore(const Variant& variant, const WorkOptions& options, const std::string& folder,
                  bool by_time) {
  if (std::filesystem::is_empty(folder)) {
    RunInChild([&] {
      const auto values = MakeValues(options.value_bytes, kValues);
      const auto peer = variant.open({folder, 1, by_time});
      AppendMany(*peer, variant, 0, options.read_records, values);
      peer->Close();
      return Json();
    });
  }
  WarmPageCache(folder);
}

// `ask` is called again and again for about so long; calls a second.
template <typename Ask>
double CallsPerSecond(double seconds, Ask ask) {
  constexpr uint64_t kBetweenLooksAtTheClock = 16;
  uint64_t calls = 0;
  const double start = NowSeconds();
  double now = start;
  while (now < start + seconds) {
    for (uint64_t i = 0; i < kBetweenLooksAtTheClock; ++i) ask();
    calls += kBetweenLooksAtTheClock;
    now = NowSeconds();
  }
  return static_cast<double>(calls) / (now - start);
}

std::string StoreText(const WorkOptions& options) {
  return fmt::format("of {} records of {} bytes, in the page cache", options.read_records,
                     options.value_bytes);
}

}  // namespace

Json RunReadAll(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  PrepareStore(variant, options, folder, false);
  return RunInChild([&] {
    BindToProcessor(options.processor);
    const auto peer = variant.open({folder});
    BindThreadsToProcessor(options.processor);
    const double start = NowSeconds();
    double seconds = 0;
    uint64_t count = 0;
    for (; seconds < options.seconds; seconds = NowSeconds() - start) {
      const uint64_t read = peer->ReadAll(0);
      if (read != options.read_records) {
        GiveUp(fmt::format("{} has {} records", variant.system, read));
      }
      count += read;
    }
    peer->Close();
    Measured figure;
    figure.case_name = "all " + StoreText(options);
    figure.unit = "records/s";
    figure.value = static_cast<double>(count) / seconds;
    return ToJson({figure});
  });
}

Json RunReadOne(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  PrepareStore(variant, options, folder, false);
  return RunInChild([&] {
    const auto values = MakeValues(options.value_bytes, kValues);
    const auto peer = variant.open({folder});
    tools::SeededRandom random(kSeed);
    Measured figure;
    figure.case_name = "any one " + StoreText(options);
    figure.unit = "reads/s";
    figure.value = CallsPerSecond(options.seconds, [&] {
      const uint64_t offset = random.Below(options.read_records);
      if (peer->ReadOne(0, offset) != values[offset % values.size()]) {
        GiveUp(fmt::format("{}: record {} is another", variant.system, offset));
      }
    });
    peer->Close();
    return ToJson({figure});
  });
}

Json RunReadByTime(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  PrepareStore(variant, options, folder, true);
  return RunInChild([&] {
    const auto peer = variant.open({folder, 1, true});
    tools::SeededRandom random(kSeed);
    Measured figure;
    figure.case_name = "any time, " + StoreText(options);
    figure.unit = "reads/s";
    figure.value = CallsPerSecond(options.seconds, [&] {
      const uint64_t millisecond = random.Below(options.read_records / kRecordsOfMillisecond);
      const uint64_t offset =
          peer->FirstAtOrAfter(0, kFirstTimestampMs + static_cast<int64_t>(millisecond));
      if (offset != millisecond * kRecordsOfMillisecond) {
        GiveUp(fmt::format("{}: the first record of {} ms is not {}", variant.system, millisecond,
                           offset));
      }
    });
    peer->Close();
    return ToJson({figure});
  });
}

}  // namespace tidemark::bench
