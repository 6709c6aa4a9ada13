// An open file on a SimDisk.
#pragma once

#include <cstdint>
#include <string>

#include "io/file_system.h"
#include "tests/sim/sim_disk.h"

namespace tidemark::sim {

// Holds every caller to the rules of direct I/O.
class SimFile final : public io::File {
 public:
  SimFile(SimDisk& disk, std::string path, InodePointer inode, bool direct);
  ~SimFile() override;
  SimFile(const SimFile&) = delete;
  SimFile& operator=(const SimFile&) = delete;
  static SimFile& From(io::File& file);

  Result<uint64_t> Size() override;
  Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override;
  Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable durable) override;
  Status Flush() override;
  Status Truncate(uint64_t size) override;
  Status Allocate(uint64_t offset, uint64_t length) override;
  Status Lock() override;

  const InodePointer& inode() const { return inode_; }
  bool locked() const { return locked_; }

 private:
  void CheckAligned(uint64_t offset, base::ByteSpan memory) const;

  SimDisk& disk_;
  InodePointer inode_;
  bool locked_ = false;
};

}  // namespace tidemark::sim
