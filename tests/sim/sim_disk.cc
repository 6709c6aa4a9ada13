#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tidemark::sim {
namespace {

uint64_t PagesOf(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

}  // namespace

SimDisk::SimDisk(DiskProfile profile, Random& random)
    : profile_(profile), random_(random), root_(std::make_shared<Inode>()) {
  root_->directory = true;
}

uint64_t SimDisk::free_bytes() const {
  return profile_.capacity_bytes - std::min(profile_.capacity_bytes, used_bytes_);
}

// --- Names ---------------------------------------------------------------------------------------

SimDisk::Place SimDisk::Resolve(std::string_view path) const {
  std::vector<InodePointer> way = {root_};
  Place place{root_, "."};
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string part(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (way.size() > 1) way.pop_back();
      place = {way.back(), "."};
      continue;
    }
    if (way.back() == nullptr || !way.back()->directory) return {};
    place = {way.back(), part};
    const auto found = way.back()->entries.find(part);
    way.push_back(found == way.back()->entries.end() ? nullptr : found->second);
  }
  return place;
}

InodePointer SimDisk::Find(std::string_view path) const {
  const Place place = Resolve(path);
  if (place.directory == nullptr || place.name == ".") return place.directory;
  const auto found = place.directory->entries.find(place.name);
  return found == place.directory->entries.end() ? nullptr : found->second;
}

int SimDisk::Create(const std::string& path, InodePointer* made, bool directory) {
  if (!Tick()) return EIO;
  const Place place = Resolve(path);
  if (place.directory == nullptr || !place.directory->directory) return ENOENT;
  if (free_bytes() == 0) return ENOSPC;
  auto inode = std::make_shared<Inode>();
  inode->directory = directory;
  inode->number = next_inode_++;
  files_.push_back(inode);
  place.directory->entries[place.name] = inode;
  changes_.push_back({ChangeKind::link, place.directory, place.name, inode, nullptr, {}});
  SetName(inode, place.directory);
  *made = inode;
  return 0;
}

int SimDisk::Rename(const std::string& from, const std::string& to) {
  if (!Tick()) return EIO;
  const Place source = Resolve(from);
  const Place target = Resolve(to);
  const InodePointer inode = Find(from);
  if (inode == nullptr || target.directory == nullptr) return ENOENT;
  if (const InodePointer replaced = Find(to)) {
    used_bytes_ -= replaced->now.size();
    SetName(replaced, nullptr);
  }
  source.directory->entries.erase(source.name);
  target.directory->entries[target.name] = inode;
  SetName(inode, target.directory);
  changes_.push_back(
      {ChangeKind::rename, source.directory, source.name, inode, target.directory, target.name});
  return 0;
}

int SimDisk::Remove(const std::string& path) {
  if (!Tick()) return EIO;
  const Place place = Resolve(path);
  const InodePointer inode = Find(path);
  if (inode == nullptr) return ENOENT;
  if (!inode->entries.empty()) return ENOTEMPTY;
  used_bytes_ -= inode->now.size();
  place.directory->entries.erase(place.name);
  SetName(inode, nullptr);
  changes_.push_back({ChangeKind::unlink, place.directory, place.name, inode, nullptr, {}});
  return 0;
}

void SimDisk::Apply(const Change& change) {
  auto& entries = change.directory->medium_entries;
  const auto found = entries.find(change.name);
  const bool there = found != entries.end() && found->second == change.target;
  switch (change.kind) {
    case ChangeKind::link:
      entries[change.name] = change.target;
      break;
    case ChangeKind::unlink:
      if (there) entries.erase(found);
      break;
    case ChangeKind::rename:
      if (there) entries.erase(found);
      change.to_directory->medium_entries[change.to_name] = change.target;
      break;
  }
}

int SimDisk::FlushDirectory(const std::string& path) {
  if (!Tick()) return EIO;
  const InodePointer directory = Find(path);
  if (directory == nullptr) return ENOENT;
  if (Strikes(Fault::Kind::flush)) return EIO;
  // What has happened to the same file before goes along: no file gets a name back that it had
  // before it was renamed.
  std::set<InodePointer> targets;
  for (const Change& change : changes_) {
    const bool concerned = profile_.ordered_metadata || change.directory == directory ||
                           change.to_directory == directory;
    if (concerned) targets.insert(change.target);
  }
  std::erase_if(changes_, [&](const Change& change) {
    const bool concerned = targets.contains(change.target);
    if (concerned) Apply(change);
    return concerned;
  });
  return 0;
}

int SimDisk::FlushAll() {
  if (!Tick()) return EIO;
  if (Strikes(Fault::Kind::flush)) return EIO;
  for (const Change& change : changes_) Apply(change);
  changes_.clear();
  ForEachFile([this](Inode& file) { FlushPages(file, true); });
  return 0;
}

// --- Files ---------------------------------------------------------------------------------------

int SimDisk::Read(Inode& file, uint64_t offset, base::MutableByteSpan into, size_t* read) {
  *read = 0;
  if (dead()) return EIO;
  if (Strikes(Fault::Kind::read)) return EIO;
  if (offset >= file.now.size()) return 0;
  *read = std::min<size_t>(into.size(), file.now.size() - offset);
  std::memcpy(into.data(), file.now.data() + offset, *read);
  MaybeSpoilRead(file, offset, into.first(*read));
  return 0;
}

void SimDisk::Resize(Inode& file, uint64_t size) {
  used_bytes_ += size - file.now.size();
  if (size < file.now.size()) {
    file.least_size = std::min(file.least_size, size);
    std::erase_if(file.dirty, [&](uint64_t page) { return page >= PagesOf(size); });
    std::erase_if(file.lost, [&](uint64_t page) { return page >= PagesOf(size); });
    if (size % kPageBytes != 0) file.dirty.insert(size / kPageBytes);
  }
  file.now.resize(size);
  Charge(file);
}

void SimDisk::WriteNow(Inode& file, uint64_t offset, base::ByteSpan bytes) {
  if (bytes.empty()) return;
  if (offset + bytes.size() > file.now.size()) {
    if (file.now.size() % kPageBytes != 0) file.dirty.insert(file.now.size() / kPageBytes);
    Resize(file, offset + bytes.size());
  }
  std::memcpy(file.now.data() + offset, bytes.data(), bytes.size());
  for (uint64_t page = offset / kPageBytes; page < PagesOf(offset + bytes.size()); ++page) {
    file.dirty.insert(page);
    file.lost.erase(page);
  }
}

void SimDisk::WriteInPart(Inode& file, uint64_t offset, base::ByteSpan bytes) {
  const uint64_t unit = profile_.sector_bytes;
  const bool prefix_only = random_.OneIn(2);
  uint64_t at = 0;
  while (at < bytes.size()) {
    const uint64_t next =
        std::min<uint64_t>(bytes.size(), (offset + at) / unit * unit + unit - offset);
    if (random_.OneIn(4)) {
      if (prefix_only) return;
    } else {
      WriteNow(file, offset + at, bytes.subspan(at, next - at));
    }
    at = next;
  }
}

int SimDisk::Write(Inode& file, uint64_t offset, base::ByteSpan bytes, bool durable, bool direct) {
  const bool was_dead = dead();
  if (!Tick()) {
    if (!was_dead) WriteInPart(file, offset, bytes);
    return EIO;
  }
  const uint64_t end = offset + bytes.size();
  if (end > file.now.size() && end - file.now.size() > free_bytes()) {
    WriteNow(file, offset, bytes.first(std::min<uint64_t>(bytes.size(), free_bytes() / 2)));
    ++trouble_["full disks"];
    return ENOSPC;
  }
  if (Strikes(Fault::Kind::write)) {
    WriteInPart(file, offset, bytes);
    if (durable && !direct) LosePages(file);
    return EIO;
  }
  WriteNow(file, offset, bytes);
  if (!durable) return 0;
  if (Strikes(Fault::Kind::flush)) {
    if (!direct) LosePages(file);
    return EIO;
  }
  if (file.least_size != UINT64_MAX) {
    FlushPages(file, true);
    return 0;
  }
  for (uint64_t page = offset / kPageBytes; page < PagesOf(end); ++page) {
    if (file.dirty.erase(page) > 0) WritePage(file, page);
  }
  return 0;
}

// Brings a page to the medium, and with it what size it needs.
void SimDisk::WritePage(Inode& file, uint64_t page) const {
  const uint64_t begin = page * kPageBytes;
  if (begin >= file.now.size()) return;
  const uint64_t end = std::min<uint64_t>(begin + kPageBytes, file.now.size());
  if (profile_.remembers && begin < file.medium.size()) {
    const auto from = file.medium.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto bytes = std::min<uint64_t>(kPageBytes, file.medium.size() - begin);
    file.older[page].assign(from, from + static_cast<std::ptrdiff_t>(bytes));
  }
  if (file.medium.size() < end) file.medium.resize(end);
  std::memcpy(file.medium.data() + begin, file.now.data() + begin, end - begin);
}

void SimDisk::FlushPages(Inode& file, bool all) {
  if (all) {
    if (file.least_size < file.medium.size()) file.medium.resize(file.least_size);
    file.medium.resize(file.now.size());
    file.least_size = UINT64_MAX;
  }
  for (const uint64_t page : file.dirty) WritePage(file, page);
  file.dirty.clear();
}

// A flush has failed: each page was written or is given up, and a later flush finds nothing to do.
void SimDisk::LosePages(Inode& file) {
  for (const uint64_t page : std::exchange(file.dirty, {})) {
    if (random_.OneIn(2)) {
      WritePage(file, page);
    } else {
      file.lost.insert(page);
    }
  }
}

int SimDisk::Flush(Inode& file, bool direct) {
  if (!Tick()) return EIO;
  if (Strikes(Fault::Kind::flush)) {
    if (!direct) LosePages(file);
    return EIO;
  }
  FlushPages(file, true);
  return 0;
}

int SimDisk::Truncate(Inode& file, uint64_t size) {
  if (!Tick()) return EIO;
  Resize(file, size);
  return 0;
}

int SimDisk::Allocate(Inode& file, uint64_t end) {
  if (!Tick()) return EIO;
  if (end <= file.now.size()) return 0;
  if (end - file.now.size() > free_bytes()) return ENOSPC;
  Resize(file, end);
  return 0;
}

}  // namespace tidemark::sim
