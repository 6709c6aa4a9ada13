// g, h and i: recovery, bytes and memory.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include <fmt/core.h>

#include "bench/child.h"
#include "bench/device.h"
#include "bench/peers/results.h"
#include "bench/peers/works.h"
#include "bench/support.h"
#include "tools/workload.h"

namespace tidemark::bench {
namespace {

constexpr double kMiB = 1 << 20;

// --- g

constexpr size_t kLargeValueBytes = 1000;
constexpr size_t kLargeValues = 4096;
// Appended at least before each kill, so that there is something to recover.
constexpr uint64_t kFreshBytes = uint64_t{24} << 20;

void FillAndDie(const Variant& variant, const std::string& folder, uint64_t log_bytes,
                uint64_t first_offset) {
  const auto values = MakeRandomValues(kLargeValueBytes, kLargeValues);
  const auto peer = variant.open({folder});
  constexpr uint64_t kPieceRecords = 8000;
  uint64_t offset = first_offset;
  uint64_t fresh = 0;
  while (fresh < kFreshBytes || DiskBytes(folder) < log_bytes) {
    AppendMany(*peer, variant, offset, kPieceRecords, values);
    offset += kPieceRecords;
    fresh += kPieceRecords * kLargeValueBytes;
  }
  kill(getpid(), SIGKILL);  // before `peer` is destroyed
}

Measured KillCase(const Variant& variant, const WorkOptions& options, const std::string& folder,
                  uint64_t log_bytes) {
  // Every fill has offsets of its own: what the kill before has taken is not asked for.
  constexpr unsigned kOffsetBitsOfFill = 27;
  static uint64_t fills = 0;
  const uint64_t first_offset = ++fills << kOffsetBitsOfFill;
  RunUntilKilled([&] { FillAndDie(variant, folder, log_bytes, first_offset); });
  const bool cold = !options.keep_page_cache && DropPageCache();
  const Json milliseconds = RunInChild([&] {
    const std::string value(kLargeValueBytes, 'x');
    PeerRecord record;
    record.offset = first_offset + (uint64_t{1} << (kOffsetBitsOfFill - 1));
    record.timestamp_ms = kFirstTimestampMs;
    record.value = value;
    const double start = NowSeconds();
    const auto peer = variant.open({folder});
    peer->Append({&record, 1}, Safety::durable);
    Json answer = (NowSeconds() - start) * 1e3;
    peer->Close();
    return answer;
  });
  constexpr double kGiB = 1 << 30;
  Measured figure;
  figure.case_name = fmt::format("log of {:.4g} GiB, to the first durable append",
                                 static_cast<double>(log_bytes) / kGiB);
  figure.unit = "ms";
  figure.higher_is_better = false;
  figure.value = milliseconds.get<double>();
  figure.notes = cold ? "page cache dropped" : "page cache warm";
  figure.x = static_cast<double>(log_bytes) / kGiB;
  figure.series = "GiB of log";
  return figure;
}

// --- h

// What stays on the disk for the records: without a journal of fixed size that is used again and
// again, and without logs for people.
uint64_t StoredBytes(const std::string& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().native();
    if (entry.is_regular_file() && name != "journal" && !name.starts_with("LOG")) {
      bytes += entry.file_size();
    }
  }
  return bytes;
}

PeerRecord RecordOf(const tools::Reading& reading, uint64_t offset) {
  PeerRecord record;
  record.offset = offset;
  record.timestamp_ms = reading.timestamp_ms;
  record.key = reading.key;
  record.value = reading.value;
  return record;
}

void AppendEach(Peer& peer, const std::vector<tools::Reading>& readings) {
  uint64_t offset = 0;
  for (const tools::Reading& reading : readings) {
    const PeerRecord record = RecordOf(reading, offset++);
    peer.Append({&record, 1}, Safety::durable);
  }
}

// At so many a second. A system that does not keep the window by itself gets a second's readings at
// once, durable.
void AppendWithinWindow(Peer& peer, const std::vector<tools::Reading>& readings, double rate) {
  constexpr double kSlice = 0.01;
  const double step = peer.KeepsWindow() ? kSlice : 1;
  const Safety safety = peer.KeepsWindow() ? Safety::relaxed : Safety::durable;
  std::vector<PeerRecord> records;
  size_t next = 0;
  const double start = NowSeconds();
  for (int turn = 1; next < readings.size(); ++turn) {
    const double due = start + step * turn;
    peer.Wait(std::max(due - NowSeconds(), 0.0));
    records.clear();
    for (; next < readings.size() && static_cast<double>(next) < rate * step * turn; ++next) {
      records.push_back(RecordOf(readings[next], next));
    }
    peer.Append(records, safety);
  }
}

std::vector<tools::Reading> MakeReadings(uint64_t count) {
  tools::Thermometers thermometers({});
  std::vector<tools::Reading> readings;
  for (uint64_t i = 0; i < count; ++i) readings.push_back(thermometers.Next());
  return readings;
}

Json SpaceCase(const Variant& variant, const WorkOptions& options, const std::string& folder,
               bool window) {
  const auto rate = static_cast<double>(options.readings_per_second);
  const uint64_t count =
      window ? static_cast<uint64_t>(rate * options.window_seconds) : options.readings;
  const auto readings = MakeReadings(count);
  auto peer = variant.open({folder});
  const BlockDevice device(folder);
  sync();
  const uint64_t device_before = device.BytesWritten();
  const uint64_t written_before = peer->BytesWritten();
  if (window) {
    AppendWithinWindow(*peer, readings, rate);
  } else {
    AppendEach(*peer, readings);
  }
  peer->Close();
  sync();
  const auto device_bytes = static_cast<double>(device.BytesWritten() - device_before);
  const auto written_bytes = static_cast<double>(peer->BytesWritten() - written_before);
  peer.reset();
  variant.open({folder})->Close();  // what a log still holds goes where it stays

  std::vector<Measured> figures;
  const std::string case_name = window ? fmt::format("{} readings, {} a second, window of loss 1 s",
                                                     count, options.readings_per_second)
                                       : fmt::format("{} readings, each durable", count);
  auto add = [&](const char* unit, double value) {
    Measured figure;
    figure.case_name = case_name;
    figure.unit = unit;
    figure.higher_is_better = false;
    figure.value = value;
    figures.push_back(figure);
  };
  const auto readings_count = static_cast<double>(count);
  add("bytes stored per reading", static_cast<double>(StoredBytes(folder)) / readings_count);
  if (device.missing().empty()) {
    add("bytes to the device per reading", device_bytes / readings_count);
    if (written_bytes > 0) {
      add("bytes to the device per byte stored and journalled", device_bytes / written_bytes);
    }
  }
  return ToJson(figures);
}

Measured MemoryFigure(const std::string& case_name, uint64_t bytes, uint64_t before) {
  Measured figure;
  figure.case_name = case_name;
  figure.unit = "MiB";
  figure.higher_is_better = false;
  figure.value = static_cast<double>(bytes - std::min(before, bytes)) / kMiB;
  figure.notes = "memory without a file behind it, less what the process had before";
  return figure;
}

}  // namespace

Json RunKill(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  std::vector<Measured> figures;
  for (const uint64_t log_bytes : options.log_bytes) {
    const std::string store = folder + "/" + std::to_string(log_bytes);
    MakeFolder(store);
    figures.push_back(KillCase(variant, options, store, log_bytes));
  }
  return ToJson(figures);
}

Json RunSpace(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  Json all = Json::array();
  for (const bool window : {false, true}) {
    if ((variant.works & (window ? kSpaceWindow : kSpaceEach)) == 0) continue;
    const std::string store = folder + (window ? "/window" : "/each");
    MakeFolder(store);
    for (Json& figure : RunInChild([&] { return SpaceCase(variant, options, store, window); })) {
      all.push_back(std::move(figure));
    }
  }
  return all;
}

Json RunMemory(const Variant& variant, const WorkOptions& options, const std::string& folder) {
  return RunInChild([&] {
    constexpr uint32_t kPartitions = 100;
    constexpr double kQuietSeconds = 0.5;
    constexpr uint64_t kPieces = 100;
    const auto values = MakeValues(options.value_bytes, kValues);
    malloc_trim(0);  // else the peer would live on what was freed before it
    const uint64_t before = AnonymousMemoryBytes();
    const auto peer = variant.open({folder, kPartitions});
    peer->Wait(kQuietSeconds);
    const uint64_t idle = AnonymousMemoryBytes();
    uint64_t most = idle;
    for (uint64_t i = 0; i < kPieces; ++i) {
      const uint64_t records = options.bulk_records / kPieces;
      AppendMany(*peer, variant, i * records, records, values);
      most = std::max(most, AnonymousMemoryBytes());
    }
    peer->Close();
    return ToJson({MemoryFigure("embedded, idle, 100 partitions", idle, before),
                   MemoryFigure("embedded, bulk ingest, most", most, before)});
  });
}

}  // namespace tidemark::bench
