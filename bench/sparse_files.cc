#include "bench/sparse_files.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::bench {
namespace {

constexpr uint64_t kBlockBytes = 4096;

bool IsZero(base::ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{}; });
}

class SparseFile final : public io::File {
 public:
  explicit SparseFile(std::unique_ptr<io::File> file)
      : File(file->path(), file->direct(), file->block_bytes()), file_(std::move(file)) {}

  Result<uint64_t> Size() override { return file_->Size(); }
  Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override {
    return file_->ReadAt(offset, into);
  }
  // Only behind the end: elsewhere a hole would not be what was written.
  Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable /*durable*/) override {
    const auto size = file_->Size();
    if (!size) return size.error();
    if (offset < *size) return file_->WriteAt(offset, bytes, io::Durable::no);
    const uint64_t end = offset + bytes.size();
    while (!bytes.empty()) {
      const base::ByteSpan piece = NextPiece(offset, bytes);
      const bool hole = piece.size() == kBlockBytes && IsZero(piece);
      if (!hole) {
        Status written = file_->WriteAt(offset, piece, io::Durable::no);
        if (!written.ok()) return written;
      }
      offset += piece.size();
      bytes = bytes.subspan(piece.size());
    }
    return file_->Truncate(end);
  }
  Status Flush() override { return {}; }
  Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  Status Allocate(uint64_t offset, uint64_t length) override {
    return file_->Allocate(offset, length);
  }
  Status Lock() override { return file_->Lock(); }

 private:
  // Up to the next boundary of a block.
  static base::ByteSpan NextPiece(uint64_t offset, base::ByteSpan bytes) {
    const uint64_t most = kBlockBytes - offset % kBlockBytes;
    return bytes.first(std::min<uint64_t>(most, bytes.size()));
  }

  std::unique_ptr<io::File> file_;
};

class SparseFileSystem final : public io::FileSystem {
 public:
  // The journal, which the loop writes past the page cache, stays what it is; so do files that are
  // only read.
  Result<std::unique_ptr<io::File>> Open(const std::string& path,
                                         io::OpenOptions options) override {
    auto file = files_.Open(path, options);
    if (!file || !options.write || options.direct || path.ends_with("/journal")) return file;
    return std::unique_ptr<io::File>(std::make_unique<SparseFile>(*std::move(file)));
  }
  Result<bool> Exists(const std::string& path) override { return files_.Exists(path); }
  Result<std::vector<io::DirectoryEntry>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  Status MakeDirectory(const std::string& path) override { return files_.MakeDirectory(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return files_.Rename(from, to);
  }
  Status Remove(const std::string& path) override { return files_.Remove(path); }
  Status FlushDirectory(const std::string& /*directory*/) override { return {}; }
  Status FlushAll(const std::string& /*directory*/) override { return {}; }
  Result<io::DiskSpace> Space(const std::string& directory) override {
    return files_.Space(directory);
  }

 private:
  io::FileSystem& files_ = io::SystemFiles();
};

}  // namespace

io::FileSystem& SparseFiles() {
  static SparseFileSystem files;
  return files;
}

}  // namespace tidemark::bench
