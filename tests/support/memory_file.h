// A file in memory: for tests of what reads files, with blocks that cannot be read.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "io/file_system.h"

namespace tidemark::test_support {

// Holds every caller to the rules of direct I/O.
class MemoryFile final : public io::File {
 public:
  explicit MemoryFile(std::vector<std::byte> bytes, uint32_t block_bytes = 4096)
      : File("memory", /*direct=*/true, block_bytes), bytes_(std::move(bytes)) {}

  std::vector<std::byte>& bytes() { return bytes_; }
  // From now on, reading the block that holds `position` fails with EIO.
  void MakeUnreadable(uint64_t position) { unreadable_.insert(position / block_bytes()); }
  uint64_t reads() const { return reads_; }

  Result<uint64_t> Size() override { return bytes_.size(); }

  Result<size_t> ReadAt(uint64_t offset, base::MutableByteSpan into) override {
    CheckAligned(offset, into);
    ++reads_;
    const auto bad = unreadable_.lower_bound(offset / block_bytes());
    if (bad != unreadable_.end() && *bad * block_bytes() < offset + into.size()) {
      return Error(ErrorCode::io_error, path() + ": read failed", EIO);
    }
    if (offset >= bytes_.size()) return size_t{0};
    const size_t length = std::min(into.size(), bytes_.size() - static_cast<size_t>(offset));
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), length, into.begin());
    return length;
  }

  Status WriteAt(uint64_t offset, base::ByteSpan bytes, io::Durable /*durable*/) override {
    CheckAligned(offset, bytes);
    if (offset + bytes.size() > bytes_.size()) bytes_.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }

  Status Flush() override { return {}; }
  Status Truncate(uint64_t size) override {
    bytes_.resize(size);
    return {};
  }
  Status Allocate(uint64_t offset, uint64_t length) override {
    bytes_.resize(std::max<uint64_t>(bytes_.size(), offset + length));
    return {};
  }
  Status Lock() override { return {}; }

 private:
  void CheckAligned(uint64_t offset, base::ByteSpan memory) const {
    TIDEMARK_CHECK(offset % block_bytes() == 0);
    TIDEMARK_CHECK(memory.size() % block_bytes() == 0);
    TIDEMARK_CHECK(reinterpret_cast<uintptr_t>(memory.data()) % block_bytes() == 0);
  }

  std::vector<std::byte> bytes_;
  std::set<uint64_t> unreadable_;
  uint64_t reads_ = 0;
};

}  // namespace tidemark::test_support
