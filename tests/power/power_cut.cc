// What goes wrong with the disk: failed flushes, and the cut.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tests/power/power_disk.h"

namespace tidemark::power {

void PowerDisk::FailNextFlush(const std::string& name_ending) {
  const std::lock_guard guard(lock_);
  failing_ending_ = name_ending;
}

bool PowerDisk::FlushFails(const Node& node) {
  if (failing_ending_.empty() || !node.name.ends_with(failing_ending_)) return false;
  failing_ending_.clear();
  ++failed_flushes_;
  return true;
}

void PowerDisk::Drop(Node& file, const PagesInFlight& in_flight, Access access) {
  if (access == Access::direct && random_.OneIn(2)) return;  // a later flush finds it
  for (const auto& [page, content] : in_flight) {
    if (access == Access::direct) file.now.SetPage(page, file.medium.page(page));
    file.dirty.erase(page);
  }
}

CutReport PowerDisk::Cut() {
  const std::lock_guard guard(lock_);
  CutReport report;
  if (std::exchange(cut_, true)) return report;
  CutNames(&report);
  report.unit_bytes = random_.OneIn(2) ? kSectorBytes : kPageBytes;
  // Of eight units, how many reach the medium: none, or some. (All: that is a kill, and has its own
  // test.)
  constexpr std::array<uint64_t, 4> kMoods = {0, 2, 4, 6};
  CutTree(*root_, kMoods[random_.Below(kMoods.size())], &report);
  return report;
}

// As a file system with a journal does it: the changes up to some moment. Or as one without: any.
void PowerDisk::CutNames(CutReport* report) {
  const bool in_order = random_.OneIn(2);
  const uint64_t kept_at_most = random_.Below(changes_.size() + 1);
  for (size_t i = 0; i < changes_.size(); ++i) {
    const bool survives = in_order ? i < kept_at_most : random_.OneIn(2);
    if (survives) Apply(changes_[i]);
    ++report->names;
    if (!survives) ++report->names_lost;
  }
  changes_.clear();
}

void PowerDisk::CutTree(Node& directory, uint64_t survive_in_eight, CutReport* report) {
  for (const auto& [name, node] : directory.medium_entries) {
    if (S_ISDIR(node->mode)) {
      CutTree(*node, survive_in_eight, report);
    } else {
      CutFile(*node, survive_in_eight, report);
    }
  }
}

// Any subset of the units, and any of the lengths.
void PowerDisk::CutFile(Node& file, uint64_t survive_in_eight, CutReport* report) {
  const uint64_t low = std::min(file.now.size(), file.medium.size());
  const uint64_t high = std::max(file.now.size(), file.medium.size());
  uint64_t size = file.medium.size();
  if (low != high) {
    ++report->sizes;
    if (random_.Below(8) < survive_in_eight) size = file.now.size();
    if (survive_in_eight > 0 && random_.OneIn(4)) size = low + random_.Below(high - low + 1);
    if (size != file.now.size()) ++report->sizes_lost;
  }
  file.medium.Resize(size);
  for (const uint64_t page : file.dirty) {
    const uint64_t page_end = std::min({(page + 1) * kPageBytes, size, file.now.size()});
    for (uint64_t at = page * kPageBytes; at < page_end; at += report->unit_bytes) {
      std::array<std::byte, kPageBytes> unit{};
      const uint64_t length = std::min(report->unit_bytes, page_end - at);
      ++report->units;
      if (random_.Below(8) < survive_in_eight) {
        file.now.Read(at, {unit.data(), length});
        file.medium.Write(at, {unit.data(), length});
      } else {
        ++report->units_lost;
      }
    }
  }
  file.dirty.clear();
}

}  // namespace tidemark::power
