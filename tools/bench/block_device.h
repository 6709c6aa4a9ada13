// What a block device says that it was told to write.
#pragma once

#include <cstdint>
#include <string>

namespace tidemark::tools {

// The device under a folder. Its counters count everybody's writes.
class BlockDevice {
 public:
  explicit BlockDevice(const std::string& folder);
  // Why there are no counters ("" when there are): a file system without a device of its own.
  const std::string& missing() const { return missing_; }
  const std::string& name() const { return name_; }
  // 0 without counters.
  uint64_t BytesWritten() const;

 private:
  std::string folder_;  // in /sys
  std::string name_;
  std::string missing_;
};

}  // namespace tidemark::tools
