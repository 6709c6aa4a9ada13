// The disk while the power is on.
#include "tests/power/power_disk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <thread>

namespace tidemark::power {
namespace {

// A kernel writes pages and names back when it likes: at about one change in so many.
constexpr uint64_t kWriteBackOneIn = 16;

uint64_t PagesOf(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

}  // namespace

PowerDisk::PowerDisk(uint64_t seed, std::chrono::microseconds latency)
    : random_(seed), latency_(latency), root_(std::make_shared<Node>()) {
  root_->number = 1;
  root_->mode = S_IFDIR | 0755;
  root_->links = 1;
  nodes_[root_->number] = root_;
}

NodePointer PowerDisk::Put(Node& directory, const std::string& name, mode_t mode,
                           const Content& content) {
  const std::lock_guard guard(lock_);
  auto node = std::make_shared<Node>();
  node->number = next_number_++;
  node->mode = mode;
  node->name = name;
  node->links = 1;
  node->now = content;
  node->medium = content;
  nodes_[node->number] = node;
  directory.entries[name] = node;
  directory.medium_entries[name] = node;
  return node;
}

// --- Names ---------------------------------------------------------------------------------------

NodePointer PowerDisk::Find(uint64_t number) {
  const std::lock_guard guard(lock_);
  const auto found = nodes_.find(number);
  return found == nodes_.end() ? nullptr : found->second;
}

int PowerDisk::LookUp(Node& directory, const std::string& name, NodePointer* found) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  const auto entry = directory.entries.find(name);
  if (entry == directory.entries.end()) return ENOENT;
  *found = entry->second;
  ++(*found)->looked_up;
  return 0;
}

int PowerDisk::Make(Node& directory, const std::string& name, mode_t mode, NodePointer* made) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  if (directory.links == 0) return ENOENT;
  if (directory.entries.contains(name)) return EEXIST;
  WriteBackByChance();
  auto node = std::make_shared<Node>();
  node->number = next_number_++;
  node->mode = mode;
  node->name = name;
  node->links = 1;
  node->looked_up = 1;
  nodes_[node->number] = node;
  directory.entries[name] = node;
  changes_.push_back({ChangeKind::link, nodes_[directory.number], name, node, nullptr, {}});
  *made = std::move(node);
  return 0;
}

int PowerDisk::Rename(Node& from, const std::string& name, Node& to, const std::string& new_name,
                      bool replace) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  const auto source = from.entries.find(name);
  if (source == from.entries.end()) return ENOENT;
  const NodePointer node = source->second;
  const auto target = to.entries.find(new_name);
  if (target != to.entries.end()) {
    if (!replace) return EEXIST;
    if (target->second == node) return 0;
    if (!target->second->entries.empty()) return ENOTEMPTY;
    target->second->links = 0;
  }
  WriteBackByChance();
  from.entries.erase(source);
  to.entries[new_name] = node;
  node->name = new_name;
  changes_.push_back(
      {ChangeKind::rename, nodes_[from.number], name, node, nodes_[to.number], new_name});
  return 0;
}

int PowerDisk::Remove(Node& directory, const std::string& name, bool is_directory) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  const auto entry = directory.entries.find(name);
  if (entry == directory.entries.end()) return ENOENT;
  const NodePointer node = entry->second;
  if (S_ISDIR(node->mode) != is_directory) return is_directory ? ENOTDIR : EISDIR;
  if (!node->entries.empty()) return ENOTEMPTY;
  WriteBackByChance();
  node->links = 0;
  directory.entries.erase(entry);
  changes_.push_back({ChangeKind::unlink, nodes_[directory.number], name, node, nullptr, {}});
  return 0;
}

int PowerDisk::List(Node& directory, std::vector<std::pair<std::string, Attributes>>* entries) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  for (const auto& [name, node] : directory.entries) {
    entries->push_back({name, {node->number, node->mode, node->now.size(), node->links}});
  }
  return 0;
}

void PowerDisk::Apply(const Change& change) {
  Entries& entries = change.directory->medium_entries;
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

int PowerDisk::FlushDirectory(Node& directory) {
  ++directory_flushes_;
  WaitForTheDevice();
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  if (FlushFails(directory)) return EIO;
  std::erase_if(changes_, [&](const Change& change) {
    const bool concerned =
        change.directory.get() == &directory || change.to_directory.get() == &directory;
    if (concerned) Apply(change);
    return concerned;
  });
  return 0;
}

void PowerDisk::Forget(uint64_t number, uint64_t times) {
  const std::lock_guard guard(lock_);
  const auto found = nodes_.find(number);
  if (found == nodes_.end()) return;
  Node& node = *found->second;
  node.looked_up -= std::min(times, node.looked_up);
  if (node.looked_up > 0 || node.links > 0) return;
  // Whatever name the medium still has for it leads to what the medium has of it.
  dirty_files_.erase(number);
  nodes_.erase(found);
}

// --- Files ---------------------------------------------------------------------------------------

int PowerDisk::Describe(Node& node, Attributes* attributes) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  *attributes = {node.number, node.mode, node.now.size(), node.links};
  return 0;
}

int PowerDisk::ChangeMode(Node& node, mode_t permissions) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  constexpr mode_t kPermissions = 07777;
  node.mode = (node.mode & ~kPermissions) | (permissions & kPermissions);
  return 0;
}

void PowerDisk::MarkDirty(Node& file, uint64_t begin, uint64_t end) {
  for (uint64_t page = begin / kPageBytes; page < PagesOf(end); ++page) file.dirty.insert(page);
  const auto known = nodes_.find(file.number);
  if (known != nodes_.end()) dirty_files_[file.number] = known->second;
}

int PowerDisk::Resize(Node& file, uint64_t size) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  WriteBackByChance();
  const uint64_t before = file.now.size();
  file.now.Resize(size);
  // What was cut off reads as zeros if the file grows again.
  MarkDirty(file, std::min(size, before), std::max(size, before));
  return 0;
}

int PowerDisk::Allocate(Node& file, uint64_t end) {
  Attributes attributes;
  const int failure = Describe(file, &attributes);
  if (failure != 0 || attributes.size >= end) return failure;
  return Resize(file, end);
}

int PowerDisk::Read(Node& file, uint64_t offset, base::MutableByteSpan into, size_t* read) {
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  *read = file.now.Read(offset, into);
  return 0;
}

int PowerDisk::Write(Node& file, uint64_t offset, base::ByteSpan bytes, Durable durable,
                     Access access) {
  const uint64_t end = offset + bytes.size();
  {
    const std::lock_guard guard(lock_);
    if (cut_) return EIO;
    WriteBackByChance();
    const uint64_t before = file.now.size();
    file.now.Write(offset, bytes);
    MarkDirty(file, std::min(offset, before), end);
  }
  if (durable == Durable::no) return 0;
  ++durable_writes_;
  return FlushRange(file, offset, end, access);
}

int PowerDisk::Flush(Node& file, Access access) {
  ++flushes_;
  return FlushRange(file, 0, UINT64_MAX, access);
}

int PowerDisk::FlushRange(Node& file, uint64_t begin, uint64_t end, Access access) {
  const std::lock_guard one_at_a_time(file.flushing);
  PagesInFlight in_flight;
  uint64_t medium_size = 0;
  {
    const std::lock_guard guard(lock_);
    if (cut_) return EIO;
    const auto first = file.dirty.lower_bound(begin / kPageBytes);
    for (auto page = first; page != file.dirty.end() && *page * kPageBytes < end; ++page) {
      in_flight.emplace_back(*page, file.now.page(*page));
    }
    medium_size = end == UINT64_MAX ? file.now.size()
                                    : std::max(file.medium.size(), std::min(end, file.now.size()));
  }
  WaitForTheDevice();
  const std::lock_guard guard(lock_);
  if (cut_) return EIO;
  if (FlushFails(file)) {
    Drop(file, in_flight, access);
    return EIO;
  }
  Complete(file, in_flight, medium_size);
  return 0;
}

void PowerDisk::Complete(Node& file, const PagesInFlight& in_flight, uint64_t medium_size) {
  file.medium.Resize(medium_size);
  for (const auto& [page, content] : in_flight) {
    file.medium.SetPage(page, content);
    // Otherwise it was written to meanwhile, and has to be flushed again.
    if (file.now.page(page) == content) file.dirty.erase(page);
  }
  if (file.dirty.empty()) dirty_files_.erase(file.number);
}

void PowerDisk::WaitForTheDevice() {
  uint64_t wait_us = 0;
  {
    const std::lock_guard guard(lock_);
    wait_us = random_.Below(2 * static_cast<uint64_t>(latency_.count()) + 1);
  }
  std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
}

// Some page, and the oldest directory change, reach the medium without anybody asking.
void PowerDisk::WriteBackByChance() {
  if (!random_.OneIn(kWriteBackOneIn)) return;
  if (random_.OneIn(4) && !changes_.empty()) {
    Apply(changes_.front());
    changes_.erase(changes_.begin());
  }
  if (dirty_files_.empty()) return;
  auto file = dirty_files_.begin();
  std::advance(file, random_.Below(dirty_files_.size()));
  const std::set<uint64_t>& pages = file->second->dirty;
  if (pages.empty()) return;
  auto page = pages.begin();
  std::advance(page, random_.Below(pages.size()));
  WriteBack(*file->second, *page);
}

void PowerDisk::WriteBack(Node& file, uint64_t page) {
  const uint64_t end = std::min((page + 1) * kPageBytes, file.now.size());
  if (end > file.medium.size()) file.medium.Resize(end);
  file.medium.SetPage(page, file.now.page(page));
  file.dirty.erase(page);
}

}  // namespace tidemark::power
