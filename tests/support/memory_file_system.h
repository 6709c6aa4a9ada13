// A file system in memory, for tests that open a store thousands of times. What it holds can be
// copied at little cost: copies share their pages until one of them is written to.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/file_system.h"

namespace tidemark::testing {

// The bytes of a file.
class MemoryContent {
 public:
  MemoryContent() = default;
  explicit MemoryContent(base::ByteSpan bytes) { Write(0, bytes); }

  uint64_t size() const { return size_; }
  std::vector<std::byte> Bytes() const {
    std::vector<std::byte> bytes(size_);
    Read(0, bytes);
    return bytes;
  }
  size_t Read(uint64_t offset, base::MutableByteSpan into) const {
    const uint64_t length = offset < size_ ? std::min<uint64_t>(into.size(), size_ - offset) : 0;
    ForEachPiece(offset, length, [&](size_t page, uint64_t at, uint64_t bytes, uint64_t done) {
      std::memcpy(into.data() + done, pages_[page]->data() + at, bytes);
    });
    return length;
  }
  void Write(uint64_t offset, base::ByteSpan bytes) {
    Resize(std::max<uint64_t>(size_, offset + bytes.size()));
    ForEachPiece(offset, bytes.size(),
                 [&](size_t page, uint64_t at, uint64_t length, uint64_t done) {
                   std::memcpy(Unshared(page) + at, bytes.data() + done, length);
                 });
  }
  // What it grows by is zero.
  void Resize(uint64_t size) {
    if (size < size_ && size % kPageBytes != 0) {
      const uint64_t at = size % kPageBytes;
      std::memset(Unshared(size / kPageBytes) + at, 0, kPageBytes - at);
    }
    const size_t pages = (size + kPageBytes - 1) / kPageBytes;
    while (pages_.size() < pages) pages_.push_back(std::make_shared<Page>());
    pages_.resize(pages);
    size_ = size;
  }

 private:
  static constexpr uint64_t kPageBytes = 16384;
  using Page = std::array<std::byte, kPageBytes>;

  template <typename Visit>
  static void ForEachPiece(uint64_t offset, uint64_t length, const Visit& visit) {
    for (uint64_t done = 0; done < length;) {
      const uint64_t at = (offset + done) % kPageBytes;
      const uint64_t bytes = std::min(length - done, kPageBytes - at);
      visit((offset + done) / kPageBytes, at, bytes, done);
      done += bytes;
    }
  }
  std::byte* Unshared(size_t page) {
    if (pages_[page].use_count() > 1) pages_[page] = std::make_shared<Page>(*pages_[page]);
    return pages_[page]->data();
  }

  uint64_t size_ = 0;
  std::vector<std::shared_ptr<Page>> pages_;
};

class MemoryFileSystem final : public io::FileSystem {
 public:
  // What is on the disk: to be kept, changed and put back.
  struct Image {
    std::map<std::string, MemoryContent> files;
    std::set<std::string> folders;
  };
  Image image() const {
    Image image;
    image.folders = folders_;
    for (const auto& [path, content] : files_) image.files[path] = *content;
    return image;
  }
  void SetImage(const Image& image) {
    folders_ = image.folders;
    files_.clear();
    for (const auto& [path, content] : image.files)
      files_[path] = std::make_shared<MemoryContent>(content);
  }

  Result<std::unique_ptr<io::File>> Open(const std::string& path,
                                         io::OpenOptions options) override {
    if (options.direct) return Error(ErrorCode::unsupported, path + ": no direct I/O in memory");
    if (!files_.contains(path)) {
      if (!options.create || !folders_.contains(ParentOf(path))) return Missing(path);
      files_[path] = std::make_shared<MemoryContent>();
    }
    if (options.truncate) files_[path]->Resize(0);
    return std::unique_ptr<io::File>(new MemoryFile(path, files_[path]));
  }
  Result<bool> Exists(const std::string& path) override {
    return files_.contains(path) || folders_.contains(path);
  }
  Result<std::vector<io::DirectoryEntry>> List(const std::string& directory) override {
    if (!folders_.contains(directory)) return Missing(directory);
    std::map<std::string, bool> names;
    for (const auto& [path, content] : files_) {
      if (ParentOf(path) == directory) names[NameOf(path)] = false;
    }
    for (const std::string& path : folders_) {
      if (ParentOf(path) == directory) names[NameOf(path)] = true;
    }
    std::vector<io::DirectoryEntry> entries;
    for (const auto& [name, is_directory] : names) entries.push_back({name, is_directory});
    return entries;
  }
  Status MakeDirectory(const std::string& path) override {
    folders_.insert(path);
    return {};
  }
  Status Rename(const std::string& from, const std::string& to) override {
    const auto found = files_.find(from);
    if (found == files_.end()) return Missing(from);
    files_[to] = found->second;
    files_.erase(from);
    return {};
  }
  Status Remove(const std::string& path) override {
    if (files_.erase(path) + folders_.erase(path) == 0) return Missing(path);
    return {};
  }
  Status FlushDirectory(const std::string&) override { return {}; }
  Status FlushAll(const std::string&) override { return {}; }
  Result<io::DiskSpace> Space(const std::string&) override {
    return io::DiskSpace{uint64_t{1} << 40, uint64_t{1} << 40, false, "memory"};
  }

 private:
  using Content = std::shared_ptr<MemoryContent>;
  class MemoryFile final : public io::File {
   public:
    MemoryFile(const std::string& path, Content content)
        : File(path, /*direct=*/false, /*block_bytes=*/4096), content_(std::move(content)) {}
    Result<uint64_t> Size() override { return content_->size(); }
    Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override {
      return content_->Read(offset, into);
    }
    Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable) override {
      content_->Write(offset, bytes);
      return {};
    }
    Status Flush() override { return {}; }
    Status Truncate(uint64_t size) override {
      content_->Resize(size);
      return {};
    }
    Status Allocate(uint64_t offset, uint64_t length) override {
      content_->Resize(std::max(content_->size(), offset + length));
      return {};
    }
    Status Lock() override { return {}; }

   private:
    Content content_;
  };

  static Error Missing(const std::string& path) {
    return Error(ErrorCode::io_error, path + ": no such file", ENOENT);
  }
  static std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }
  static std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  std::map<std::string, Content> files_;
  std::set<std::string> folders_;
};

}  // namespace tidemark::testing
