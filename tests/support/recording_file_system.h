// A file system that writes down what is asked of it and can be told to fail: for tests of what is
// flushed when, and of what happens when the disk says no.
#pragma once

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/file_system.h"

namespace tidemark::test_support {

// Passes everything on to the machine's file system, but for flushes: no test pulls the plug.
class RecordingFileSystem final : public io::FileSystem {
 public:
  // "write", "flush", "truncate", "flush-directory", "create", "remove", with the last part of the
  // path: "flush 00000000000000000000.log".
  std::vector<std::string> log;
  uint64_t bytes_read = 0;
  std::vector<std::pair<uint64_t, uint64_t>> writebacks;  // offset and length
  // Asked before each operation of the log: whether it fails, with `failure_errno`.
  std::function<bool(const std::string& operation)> fails = [](const std::string&) {
    return false;
  };
  int failure_errno = EIO;

  Result<std::unique_ptr<io::File>> Open(const std::string& path,
                                         io::OpenOptions options) override {
    const auto existed = real_.Exists(path);
    if (options.create && existed.ok() && !*existed) {
      if (Status status = Note("create", path); !status.ok()) return status.error();
    }
    auto file = real_.Open(path, options);
    if (!file) return file.error();
    return std::unique_ptr<io::File>(new RecordingFile(*this, *std::move(file)));
  }
  Result<bool> Exists(const std::string& path) override { return real_.Exists(path); }
  Result<std::vector<io::DirectoryEntry>> List(const std::string& directory) override {
    return real_.List(directory);
  }
  Status MakeDirectory(const std::string& path) override { return real_.MakeDirectory(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    if (Status status = Note("rename", to); !status.ok()) return status;
    return real_.Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    if (Status status = Note("remove", path); !status.ok()) return status;
    return real_.Remove(path);
  }
  Status FlushDirectory(const std::string& directory) override {
    return Note("flush-directory", directory);
  }
  Status FlushAll(const std::string& directory) override { return Note("flush-all", directory); }
  Result<io::DiskSpace> Space(const std::string& directory) override {
    return real_.Space(directory);
  }

 private:
  class RecordingFile final : public io::File {
   public:
    RecordingFile(RecordingFileSystem& files, std::unique_ptr<io::File> real)
        : File(real->path(), real->direct(), real->block_bytes()),
          files_(files),
          real_(std::move(real)) {}

    Result<uint64_t> Size() override { return real_->Size(); }
    Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override {
      auto read = real_->ReadAt(offset, into);
      if (read.ok()) files_.bytes_read += *read;
      return read;
    }
    Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable durable) override {
      if (Status status = files_.Note("write", path()); !status.ok()) return status;
      return real_->WriteAt(offset, bytes, durable);
    }
    void StartWriteback(uint64_t offset, uint64_t length) override {
      files_.writebacks.emplace_back(offset, length);
    }
    Status Flush() override { return files_.Note("flush", path()); }
    Status Truncate(uint64_t size) override {
      if (Status status = files_.Note("truncate", path()); !status.ok()) return status;
      return real_->Truncate(size);
    }
    Status Allocate(uint64_t offset, uint64_t length) override {
      return real_->Allocate(offset, length);
    }
    Status Lock() override { return real_->Lock(); }

   private:
    RecordingFileSystem& files_;
    std::unique_ptr<io::File> real_;
  };

  Status Note(std::string_view what, const std::string& path) {
    log.push_back(std::string(what) + " " + path.substr(path.rfind('/') + 1));
    if (!fails(log.back())) return {};
    const ErrorCode code = failure_errno == ENOSPC ? ErrorCode::disk_full : ErrorCode::io_error;
    return Error(code, path + ": " + std::string(what) + " failed", failure_errno);
  }

  io::FileSystem& real_ = io::SystemFiles();
};

}  // namespace tidemark::test_support
