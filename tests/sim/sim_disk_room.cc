// What the files of a SimDisk take of it, in whole blocks.
#include <utility>

#include "tests/sim/sim_disk.h"

namespace tidemark::sim {

void SimDisk::Charge(Inode& file) {
  const uint64_t size = file.directory ? kPageBytes : file.now.size() + file.unkept_bytes;
  const uint64_t blocks = (size + kPageBytes - 1) / kPageBytes;
  const uint64_t bytes = file.named || file.opened > 0 ? blocks * kPageBytes : 0;
  const uint64_t before = std::exchange(file.charged_bytes, bytes);
  block_bytes_ += bytes - before;
  if (const InodePointer folder = file.folder.lock()) folder->bytes_in_folder += bytes - before;
  if (bytes > before) on_growth();
}

// `folder`: nullptr: it has no name any more.
void SimDisk::SetName(const InodePointer& inode, const InodePointer& folder) {
  inode->named = folder != nullptr;
  if (folder != nullptr) {
    if (const InodePointer old = inode->folder.lock()) old->bytes_in_folder -= inode->charged_bytes;
    inode->folder = folder;
    folder->bytes_in_folder += inode->charged_bytes;
  }
  Charge(*inode);
}

void SimDisk::NoteOpened(Inode& file, bool opened) {
  file.opened += opened ? 1 : -1;
  Charge(file);
}

uint64_t SimDisk::BytesInFolder(std::string_view path) const {
  const InodePointer folder = Find(path);
  return folder == nullptr ? 0 : folder->bytes_in_folder;
}

void SimDisk::PutForeignFile(const std::string& folder, const std::string& name, uint64_t bytes) {
  const auto put = [this](const InodePointer& into, const std::string& entry, bool directory) {
    auto inode = std::make_shared<Inode>();
    inode->directory = directory;
    inode->number = next_inode_++;
    files_.push_back(inode);
    into->entries[entry] = into->medium_entries[entry] = inode;
    SetName(inode, into);
    return inode;
  };
  InodePointer into = Find(folder);
  if (into == nullptr) into = put(root_, folder, /*directory=*/true);
  const InodePointer file = put(into, name, /*directory=*/false);
  file->unkept_bytes = bytes;
  Charge(*file);
}

}  // namespace tidemark::sim
