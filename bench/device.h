// The raw limit of making things durable on a device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "tools/bench/block_device.h"

namespace tidemark::bench {

using tools::BlockDevice;

// Bytes a second that were written to a device while we did nothing.
double IdleBytesPerSecond(const BlockDevice& device, double seconds);

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
