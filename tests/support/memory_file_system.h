// A file system in memory, for tests that open a store thousands of times. It can be copied: files
// are shared until they are written to.
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/file_system.h"

namespace tidemark::testing {

class MemoryFileSystem final : public io::FileSystem {
 public:
  using Content = std::shared_ptr<std::vector<std::byte>>;

  // What is on the disk: to be kept, changed and put back.
  struct Image {
    std::map<std::string, Content> files;
    std::set<std::string> folders;
  };
  const Image& image() const { return image_; }
  void SetImage(Image image) { image_ = std::move(image); }

  Result<std::unique_ptr<io::File>> Open(const std::string& path,
                                         io::OpenOptions options) override {
    if (options.direct) return Error(ErrorCode::unsupported, path + ": no direct I/O in memory");
    if (!image_.files.contains(path)) {
      if (!options.create || !image_.folders.contains(ParentOf(path))) return Missing(path);
      image_.files[path] = std::make_shared<std::vector<std::byte>>();
    }
    if (options.write) Unshare(path);
    if (options.truncate) image_.files[path]->clear();
    return std::unique_ptr<io::File>(new MemoryFile(path, image_.files[path]));
  }
  Result<bool> Exists(const std::string& path) override {
    return image_.files.contains(path) || image_.folders.contains(path);
  }
  Result<std::vector<io::DirectoryEntry>> List(const std::string& directory) override {
    if (!image_.folders.contains(directory)) return Missing(directory);
    std::map<std::string, bool> names;
    for (const auto& [path, content] : image_.files) {
      if (ParentOf(path) == directory) names[NameOf(path)] = false;
    }
    for (const std::string& path : image_.folders) {
      if (ParentOf(path) == directory) names[NameOf(path)] = true;
    }
    std::vector<io::DirectoryEntry> entries;
    for (const auto& [name, is_directory] : names) entries.push_back({name, is_directory});
    return entries;
  }
  Status MakeDirectory(const std::string& path) override {
    image_.folders.insert(path);
    return {};
  }
  Status Rename(const std::string& from, const std::string& to) override {
    const auto found = image_.files.find(from);
    if (found == image_.files.end()) return Missing(from);
    image_.files[to] = found->second;
    image_.files.erase(from);
    return {};
  }
  Status Remove(const std::string& path) override {
    if (image_.files.erase(path) + image_.folders.erase(path) == 0) return Missing(path);
    return {};
  }
  Status FlushDirectory(const std::string&) override { return {}; }
  Status FlushAll(const std::string&) override { return {}; }
  Result<io::DiskSpace> Space(const std::string&) override {
    return io::DiskSpace{uint64_t{1} << 40, uint64_t{1} << 40, false, "memory"};
  }

 private:
  class MemoryFile final : public io::File {
   public:
    MemoryFile(const std::string& path, Content content)
        : File(path, /*direct=*/false, /*block_bytes=*/4096), content_(std::move(content)) {}
    Result<uint64_t> Size() override { return content_->size(); }
    Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override {
      if (offset >= content_->size()) return size_t{0};
      const size_t length = std::min<size_t>(into.size(), content_->size() - offset);
      std::copy_n(content_->begin() + static_cast<std::ptrdiff_t>(offset), length, into.begin());
      return length;
    }
    Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable) override {
      if (offset + bytes.size() > content_->size()) content_->resize(offset + bytes.size());
      std::copy(bytes.begin(), bytes.end(),
                content_->begin() + static_cast<std::ptrdiff_t>(offset));
      return {};
    }
    Status Flush() override { return {}; }
    Status Truncate(uint64_t size) override {
      content_->resize(size);
      return {};
    }
    Status Allocate(uint64_t offset, uint64_t length) override {
      content_->resize(std::max<uint64_t>(content_->size(), offset + length));
      return {};
    }
    Status Lock() override { return {}; }

   private:
    Content content_;
  };

  void Unshare(const std::string& path) {
    Content& content = image_.files[path];
    if (content.use_count() > 1) content = std::make_shared<std::vector<std::byte>>(*content);
  }
  static Error Missing(const std::string& path) {
    return Error(ErrorCode::io_error, path + ": no such file", ENOENT);
  }
  static std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }
  static std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  Image image_;
};

}  // namespace tidemark::testing
