// What a block device says that it was told to write, and the raw limit of making things durable on
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tidemark::bench {

// The device under a folder. Its counters count everybody's writes.
class BlockDevice {
 public:
  explicit BlockDevice(const std::string& folder);
  // Why there are no counters ("" when there are): a file system without a device of its own.
  const std::string& missing() const { return missing_; }
  const std::string& name() const { return name_; }
  // 0 without counters.
  uint64_t BytesWritten() const;
  // Bytes a second that were written while we did nothing.
  double IdleBytesPerSecond(double seconds) const;

 private:
  std::string folder_;  // in /sys
  std::string name_;
  std::string missing_;
};

// Plain pwrite() and fdatasync() of one block after the other into a file that was zero-filled and
// flushed before; from its end it goes on at its start. As close to what a journal has to do as
// plain system calls come.
class RawCommits {
 public:
  static constexpr size_t kBlockBytes = 4096;
  RawCommits(const std::string& path, uint64_t file_bytes);
  ~RawCommits();
  RawCommits(const RawCommits&) = delete;
  RawCommits& operator=(const RawCommits&) = delete;
  // Writes and flushes for so long; returns how often.
  uint64_t Run(double seconds);

 private:
  void Fill() const;
  int descriptor_;
  uint64_t file_bytes_;
  uint64_t position_ = 0;
  uint64_t written_ = 0;
  std::unique_ptr<char[]> block_;
};

}  // namespace tidemark::bench
