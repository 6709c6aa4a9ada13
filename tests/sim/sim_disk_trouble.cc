// Faults, deaths, and what a power cut leaves of a disk.
#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/sim/sim_disk.h"

namespace tidemark::sim {
namespace {

// The kernel writes pages back when it likes: about one operation in so many.
constexpr uint64_t kWriteBackOneIn = 8;

}  // namespace

bool SimDisk::Strikes(Fault::Kind kind) {
  if (fault_.kind != kind) return false;
  if (fault_.after-- > 0) return false;
  fault_ = {};
  ++faults_struck_;
  ++trouble_[kind == Fault::Kind::write   ? "failed writes"
             : kind == Fault::Kind::flush ? "failed flushes"
                                          : "failed reads"];
  if (tell)
    tell(kind == Fault::Kind::write   ? "a write fails"
         : kind == Fault::Kind::flush ? "a flush fails"
                                      : "a read fails");
  return true;
}

bool SimDisk::Tick() {
  if (dead()) return false;
  ++operations_;
  if (random_.OneIn(kWriteBackOneIn)) WriteBack();
  if (death_in_ == 0 || --death_in_ > 0) return true;
  DieNow(death_armed_);
  return false;
}

// Some page, and the oldest directory change, reach the medium without anybody asking.
void SimDisk::WriteBack() {
  if (random_.OneIn(4) && !changes_.empty()) {
    Apply(changes_.front());
    changes_.erase(changes_.begin());
  }
  std::vector<Inode*> dirty;
  ForEachFile([&](Inode& file) {
    if (!file.dirty.empty()) dirty.push_back(&file);
  });
  if (dirty.empty()) return;
  Inode& file = *dirty[random_.Below(dirty.size())];
  auto page = file.dirty.begin();
  std::advance(page, random_.Below(file.dirty.size()));
  if (file.least_size != UINT64_MAX) return;
  WritePage(file, *page);
  file.dirty.erase(page);
}

void SimDisk::DieIn(uint64_t operations, Death death) {
  death_in_ = operations;
  death_armed_ = death;
}

void SimDisk::DieNow(Death death) {
  if (dead()) return;
  death_happened_ = death;
  death_in_ = 0;
  ++trouble_[death == Death::kill ? "kills" : "power cuts"];
  if (tell) tell(death == Death::kill ? "the process is killed" : "the power is cut");
  on_death(death);
}

void SimDisk::ForEachFile(const std::function<void(Inode&)>& visit) {
  std::erase_if(files_, [](const std::weak_ptr<Inode>& file) { return file.expired(); });
  for (const auto& weak : files_) {
    if (const InodePointer file = weak.lock()) visit(*file);
  }
}

void SimDisk::Restart() {
  if (death_happened_ == Death::power_cut) CutPower();
  death_happened_ = Death::none;
  death_in_ = 0;
  fault_ = {};
  ForEachFile([](Inode& file) { file.locked = false; });
}

void SimDisk::CutPower() {
  const bool keep_some = !random_.OneIn(4);
  for (const Change& change : changes_) {
    const bool survives = keep_some && !random_.OneIn(3);
    if (survives) Apply(change);
    if (!survives && profile_.ordered_metadata) break;
  }
  changes_.clear();
  ForEachFile([this](Inode& file) {
    CutFile(file);
    file.named = false;
    Charge(file);
  });
  ForEachFile([](Inode& file) { file.entries = file.medium_entries; });
  root_->entries = root_->medium_entries;
  // What no name leads to is gone, and takes no room.
  used_bytes_ = 0;
  std::vector<InodePointer> folders = {root_};
  while (!folders.empty()) {
    const InodePointer folder = std::move(folders.back());
    folders.pop_back();
    for (const auto& [name, inode] : folder->entries) {
      used_bytes_ += inode->now.size();
      SetName(inode, folder);
      if (inode->directory) folders.push_back(inode);
    }
  }
}

// Any subset of what was not flushed survives.
void SimDisk::CutFile(Inode& file) {
  const uint64_t mood = random_.Below(4);  // 0: nothing survives; 1: all of it
  uint64_t size = file.medium.size();
  if (mood != 0 && (mood == 1 || random_.OneIn(2))) size = file.now.size();
  if (mood > 1 && random_.OneIn(4)) {
    const uint64_t low = std::min(file.now.size(), file.medium.size());
    size = low + random_.Below(std::max(file.now.size(), file.medium.size()) - low + 1);
  }
  std::set<uint64_t> pages = std::move(file.dirty);
  const uint64_t cut_at = file.least_size;
  if (cut_at < file.medium.size() && random_.OneIn(2)) file.medium.resize(cut_at);  // it survives
  file.medium.resize(size);
  for (const uint64_t page : pages) {
    for (uint64_t at = page * kPageBytes; at < (page + 1) * kPageBytes;
         at += profile_.sector_bytes) {
      const uint64_t end = std::min<uint64_t>({at + profile_.sector_bytes, size, file.now.size()});
      const bool survives = mood == 1 || (mood > 1 && random_.OneIn(2));
      if (at < end && survives)
        std::memcpy(file.medium.data() + at, file.now.data() + at, end - at);
    }
  }
  pages.merge(file.lost);
  // Where it was cut, or the sizes differ, the two may differ without being listed.
  const uint64_t common = std::min<uint64_t>({file.now.size(), size, cut_at});
  file.now.resize(size);
  for (const uint64_t page : pages) {
    const uint64_t begin = page * kPageBytes;
    const uint64_t end = std::min<uint64_t>(begin + kPageBytes, size);
    if (begin < end) std::memcpy(file.now.data() + begin, file.medium.data() + begin, end - begin);
  }
  if (common < size)
    std::memcpy(file.now.data() + common, file.medium.data() + common, size - common);
  file.dirty.clear();
  file.lost.clear();
  file.least_size = UINT64_MAX;
}

}  // namespace tidemark::sim
