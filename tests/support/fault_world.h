// A world in which calls fail on demand: real files behind a seam that asks a plan first, a loop
// that does its work in RunOnce(), and a worker that does it at once. Deterministic, one thread.
#pragma once

#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/environment.h"

namespace tidemark::testing {

enum class Call { open, read, write, flush, truncate, remove, list, flush_directory, flush_all };

class FaultWorld {
 public:
  // Asked before each call; an errno other than 0 makes it fail without being done.
  std::function<int(Call call, const std::string& path)> plan = [](Call, const std::string&) {
    return 0;
  };

  // Asked for each write, too: true makes it fail.
  std::function<bool(const std::string& path, base::ByteSpan bytes)> fail_write =
      [](const std::string&, base::ByteSpan) { return false; };

  // Which boot of the machine this is; empty: not known.
  std::string boot;

  // What the disk says is left, if not the truth.
  std::optional<uint64_t> free_bytes;

  // What the file system says of itself, if not the truth.
  std::optional<bool> flush_all_counts;

  explicit FaultWorld(io::FileSystem& real = io::SystemFiles())
      : files_(*this, real), worker_(io::MakeInlineWorker(loop_)) {}
  io::Environment environment(base::Clock& clock = base::SystemClock()) {
    return {files_, loop_, *worker_, clock, &io::SystemRandom64, 1, boot};
  }
  io::FileSystem& files() { return files_; }

 private:
  Status Ask(Call call, const std::string& path) const {
    const int error = plan(call, path);
    if (error == 0) return {};
    return Error(error == ENOSPC ? ErrorCode::disk_full : ErrorCode::io_error, path + ": fault",
                 error);
  }

  class FaultFile : public io::File {
   public:
    FaultFile(FaultWorld& world, std::unique_ptr<io::File> file)
        : File(file->path(), file->direct(), file->block_bytes()),
          world_(world),
          file_(std::move(file)) {}
    Result<uint64_t> Size() override { return file_->Size(); }
    Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override {
      if (Status asked = world_.Ask(Call::read, path()); !asked.ok()) return asked.error();
      return file_->ReadAt(offset, into);
    }
    Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable durable) override {
      if (Status asked = world_.Ask(Call::write, path()); !asked.ok()) return asked;
      if (world_.fail_write(path(), bytes)) {
        return Error(ErrorCode::io_error, path() + ": fault", EIO);
      }
      return file_->WriteAt(offset, bytes, durable);
    }
    Status Flush() override {
      if (Status asked = world_.Ask(Call::flush, path()); !asked.ok()) return asked;
      return file_->Flush();
    }
    Status Truncate(uint64_t size) override {
      if (Status asked = world_.Ask(Call::truncate, path()); !asked.ok()) return asked;
      return file_->Truncate(size);
    }
    Status Allocate(uint64_t offset, uint64_t length) override {
      return file_->Allocate(offset, length);
    }
    Status Lock() override { return file_->Lock(); }

   private:
    FaultWorld& world_;
    std::unique_ptr<io::File> file_;
  };

  class FaultFiles : public io::FileSystem {
   public:
    FaultFiles(FaultWorld& world, io::FileSystem& real) : world_(world), real_(real) {}
    Result<std::unique_ptr<io::File>> Open(const std::string& path,
                                           io::OpenOptions options) override {
      if (Status asked = world_.Ask(Call::open, path); !asked.ok()) return asked.error();
      auto file = real_.Open(path, options);
      if (!file) return file.error();
      return std::unique_ptr<io::File>(new FaultFile(world_, std::move(*file)));
    }
    Result<bool> Exists(const std::string& path) override { return real_.Exists(path); }
    Result<std::vector<io::DirectoryEntry>> List(const std::string& directory) override {
      if (Status asked = world_.Ask(Call::list, directory); !asked.ok()) return asked.error();
      return real_.List(directory);
    }
    Status MakeDirectory(const std::string& path) override { return real_.MakeDirectory(path); }
    Status Rename(const std::string& from, const std::string& to) override {
      return real_.Rename(from, to);
    }
    Status Remove(const std::string& path) override {
      if (Status asked = world_.Ask(Call::remove, path); !asked.ok()) return asked;
      return real_.Remove(path);
    }
    Status FlushDirectory(const std::string& directory) override {
      if (Status asked = world_.Ask(Call::flush_directory, directory); !asked.ok()) return asked;
      return real_.FlushDirectory(directory);
    }
    Status FlushAll(const std::string& directory) override {
      if (Status asked = world_.Ask(Call::flush_all, directory); !asked.ok()) return asked;
      return real_.FlushAll(directory);
    }
    Result<io::DiskSpace> Space(const std::string& directory) override {
      auto space = real_.Space(directory);
      if (space && world_.free_bytes) space->free_bytes = *world_.free_bytes;
      if (space && world_.flush_all_counts) space->flush_all_counts = *world_.flush_all_counts;
      return space;
    }

   private:
    FaultWorld& world_;
    io::FileSystem& real_;
  };

  class InlineLoop : public io::Loop {
   public:
    void Read(io::File& file, uint64_t offset, base::MutableByteSpan into,
              io::Operation* operation) override {
      auto read = file.ReadAt(offset, into);
      End(operation, read ? static_cast<int64_t>(*read) : -read.error().system_errno());
    }
    void Write(io::File& file, uint64_t offset, base::ByteSpan bytes, io::Durable durable,
               io::Operation* operation) override {
      const Status written = file.WriteAt(offset, bytes, durable);
      End(operation,
          written.ok() ? static_cast<int64_t>(bytes.size()) : -written.error().system_errno());
    }
    void Watch(int, io::Readiness, io::Operation* operation) override { End(operation, -ENOTSUP); }
    void Cancel(io::Operation*) override {}
    size_t RunOnce(int64_t max_wait_us) override {
      // One thread is all there is: what nothing has woken by now would never be woken.
      if (max_wait_us < 0 && ended_.empty() && !woken_) ADD_FAILURE() << "this wait has no end";
      woken_ = false;
      std::deque<io::Operation*> ended;
      ended.swap(ended_);
      for (io::Operation* operation : ended) operation->done(operation);
      return ended.size();
    }
    void Wake() override { woken_ = true; }
    const io::LoopDescription& description() const override { return description_; }
    size_t in_flight() const override { return ended_.size(); }

   private:
    void End(io::Operation* operation, int64_t result) {
      operation->result = result;
      ended_.push_back(operation);
    }
    io::LoopDescription description_{false, "inline, for tests"};
    std::deque<io::Operation*> ended_;
    bool woken_ = false;
  };

  FaultFiles files_;
  InlineLoop loop_;
  std::unique_ptr<io::Worker> worker_;
};

}  // namespace tidemark::testing
