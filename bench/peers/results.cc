#include "bench/peers/results.h"

#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <utility>

#include <fmt/core.h>

#include "bench/device.h"

namespace tidemark::bench {
namespace {

// Four digits that count, and thousands apart.
std::string NumberText(double value) {
  constexpr double kWhole = 1000;
  if (value < kWhole) return fmt::format("{:.4g}", value);
  std::string digits = fmt::format("{:.0f}", value);
  constexpr size_t kGroup = 3;
  for (size_t at = digits.size(); at > kGroup;) {
    at -= kGroup;
    digits.insert(at, ",");
  }
  return digits;
}

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  const std::string field = "model name";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field)) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string FileSystemName(const std::string& folder) {
  struct statfs facts {};
  if (statfs(folder.c_str(), &facts) != 0) return "unknown";
  constexpr std::pair<uint64_t, const char*> kNames[] = {
      {0xef53, "ext4"},     {0x58465342, "xfs"},   {0x9123683e, "btrfs"},
      {0xf2f52010, "f2fs"}, {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"}};
  for (const auto& [magic, name] : kNames) {
    if (static_cast<uint64_t>(facts.f_type) == magic) return name;
  }
  return fmt::format("type {:#x}", static_cast<uint64_t>(facts.f_type));
}

std::string NowText() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::string text(32, '\0');
  text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
  return text;
}

}  // namespace

Json ToJson(const std::vector<Measured>& figures) {
  Json list = Json::array();
  for (const Measured& figure : figures) {
    list.push_back({{"case", figure.case_name},
                    {"unit", figure.unit},
                    {"better", figure.higher_is_better ? "higher" : "lower"},
                    {"value", figure.value},
                    {"notes", figure.notes},
                    {"x", figure.x ? Json(*figure.x) : Json()},
                    {"series", figure.series}});
  }
  return list;
}

Results::Row& Results::RowOf(const std::string& work, const Variant& variant, const Json& figure) {
  const std::string case_name = figure["case"];
  const std::string unit = figure["unit"];
  const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) {
    return row.work == work && row.case_name == case_name && row.unit == unit &&
           row.system == variant.system && row.setting == variant.setting;
  });
  if (found != rows_.end()) return *found;
  Row row;
  row.work = work;
  row.case_name = case_name;
  row.system = variant.system;
  row.setting = variant.setting;
  row.unit = unit;
  row.higher_is_better = figure["better"] == "higher";
  row.notes = figure["notes"];
  row.x = figure["x"];
  row.series = figure["series"];
  rows_.push_back(std::move(row));
  return rows_.back();
}

void Results::Add(const std::string& work, const Variant& variant, const Json& figures) {
  for (const Json& figure : figures) {
    RowOf(work, variant, figure).samples.Add(figure["value"].get<double>());
  }
}

Samples Results::Ratios(const Row& row) const {
  Samples ratios;
  const auto reference = std::find_if(rows_.begin(), rows_.end(), [&](const Row& other) {
    return other.system == "Tidemark" && other.work == row.work && other.unit == row.unit &&
           other.case_name == row.case_name;
  });
  if (reference == rows_.end()) return ratios;
  const auto& mine = row.samples.values();
  const auto& theirs = reference->samples.values();
  for (size_t i = 0; i < std::min(mine.size(), theirs.size()); ++i) {
    if (theirs[i] != 0) ratios.Add(mine[i] / theirs[i]);
  }
  return ratios;
}

void Results::Print(const std::string& work) const {
  std::vector<std::pair<std::string, std::string>> tables;
  for (const Row& row : rows_) {
    const std::pair<std::string, std::string> table(row.case_name, row.unit);
    const bool seen = std::find(tables.begin(), tables.end(), table) != tables.end();
    if (row.work == work && !seen) tables.push_back(table);
  }
  for (const auto& [case_name, unit] : tables) {
    fmt::print("({}) {}, {}\n", work, case_name, unit);
    for (const Row& row : rows_) {
      if (row.work != work || row.case_name != case_name || row.unit != unit) continue;
      const Samples ratios = Ratios(row);
      const std::string of_tidemark =
          ratios.empty() ? std::string("-")
                         : fmt::format("{:.3g} ({:.3g} to {:.3g})", ratios.Median(), ratios.Min(),
                                       ratios.Max());
      fmt::print("  {:<11} {:>12}  ({} to {})  by Tidemark's: {}  {}{}\n", row.system,
                 NumberText(row.samples.Median()), NumberText(row.samples.Min()),
                 NumberText(row.samples.Max()), of_tidemark, row.setting,
                 row.notes.empty() ? "" : "; " + row.notes);
    }
    fmt::print("\n");
  }
}

Json Results::RowsJson() const {
  Json list = Json::array();
  for (const Row& row : rows_) {
    Json json = {{"work", row.work},
                 {"case", row.case_name},
                 {"system", row.system},
                 {"setting", row.setting},
                 {"unit", row.unit},
                 {"better", row.higher_is_better ? "higher" : "lower"},
                 {"samples", row.samples.values()},
                 {"median", row.samples.Median()},
                 {"notes", row.notes}};
    const Samples ratios = Ratios(row);
    if (!ratios.empty()) {
      json["ratio_to_tidemark"] = ratios.Median();
      json["ratio_min"] = ratios.Min();
      json["ratio_max"] = ratios.Max();
    }
    if (!row.x.is_null()) json["x"] = row.x;
    if (!row.series.empty()) json["series"] = row.series;
    list.push_back(std::move(json));
  }
  return list;
}

Json MachineJson(const std::string& folder, const std::vector<System>& systems) {
  utsname kernel{};
  uname(&kernel);
  constexpr double kGiB = 1 << 30;
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<double>(sysconf(_SC_PAGESIZE)) / kGiB;
  Json versions = Json::object();
  for (const System& system : systems) {
    if (!system.version.empty()) versions[system.name] = system.version;
  }
  return {{"processor", ProcessorName()},
          {"processors", sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_gib", memory},
          {"kernel", std::string(kernel.sysname) + " " + kernel.release},
          {"file_system", FileSystemName(folder)},
          {"device", BlockDevice(folder).name()},
          {"load", LoadText()},
          {"time", NowText()},
          {"versions", std::move(versions)}};
}

}  // namespace tidemark::bench
