#include "tests/power/image.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

namespace tidemark::power {
namespace {

namespace fs = std::filesystem;

bool ReadContent(const fs::path& path, Content* content) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(256 * kPageBytes);
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto length = static_cast<size_t>(file.gcount());
    content->Write(content->size(), std::as_bytes(std::span(piece.data(), length)));
  }
  return file.eof();
}

bool WriteContent(const Content& content, const fs::path& path) {
  std::ofstream file(path, std::ios::binary);
  std::vector<char> piece(256 * kPageBytes);
  for (uint64_t at = 0; at < content.size();) {
    const size_t length = content.Read(at, std::as_writable_bytes(std::span(piece)));
    file.write(piece.data(), static_cast<std::streamsize>(length));
    at += length;
  }
  file.close();
  return file.good();
}

bool LoadFolder(const fs::path& folder, PowerDisk* disk, Node& into) {
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    struct stat about {};
    if (lstat(entry->path().c_str(), &about) != 0) return false;
    Content content;
    if (S_ISREG(about.st_mode) && !ReadContent(entry->path(), &content)) return false;
    const NodePointer node =
        disk->Put(into, entry->path().filename().string(), about.st_mode, content);
    if (S_ISDIR(about.st_mode) && !LoadFolder(entry->path(), disk, *node)) return false;
  }
  errno = failure.value();
  return !failure;
}

bool SaveFolder(const Node& directory, const fs::path& folder) {
  if (mkdir(folder.c_str(), directory.mode) != 0) return false;
  for (const auto& [name, node] : directory.medium_entries) {
    const fs::path path = folder / name;
    if (S_ISDIR(node->mode)) {
      if (!SaveFolder(*node, path)) return false;
    } else if (S_ISREG(node->mode)) {
      if (!WriteContent(node->medium, path) || chmod(path.c_str(), node->mode) != 0) return false;
    } else if (mknod(path.c_str(), node->mode, 0) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool LoadImage(const std::string& folder, PowerDisk* disk) {
  return LoadFolder(folder, disk, *disk->root());
}

bool SaveImage(const PowerDisk& disk, const std::string& folder) {
  const std::string fresh = folder + ".new";
  std::error_code failure;
  fs::remove_all(fresh, failure);
  if (!failure && !SaveFolder(*disk.root(), fresh)) return false;
  if (!failure) fs::remove_all(folder, failure);
  if (!failure) fs::rename(fresh, folder, failure);
  errno = failure.value();
  return !failure;
}

}  // namespace tidemark::power
