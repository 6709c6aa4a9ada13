// Reads and writes as the kernel does them: in pieces of its choosing. The rules by which the
// pieces make a whole are here once, for the blocking calls, the I/O threads and the ring.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "io/file_system.h"

namespace tidemark::io {

enum class Direction : bool { read, write };

// The most that one system call is asked for; the kernel's own limit is just below 2 GiB, and the
// ring's length field has 32 bits.
inline constexpr uint64_t kMaxPieceBytes = uint64_t{1} << 30;

// A transfer under way. `unit_bytes` is the file's block for direct files, otherwise 1: where a
// direct transfer is resumed must be aligned.
struct TransferProgress {
  Direction direction = Direction::read;
  uint32_t unit_bytes = 1;
  uint64_t length = 0;
  uint64_t transferred = 0;

  uint64_t NextPieceBytes() const {
    const uint64_t left = length - transferred;
    return left < kMaxPieceBytes ? left : kMaxPieceBytes;
  }
};

// Takes note of what the kernel answered to one piece (bytes, or -errno). Returns the result of the
// whole once it has ended: bytes or -errno. Otherwise the next piece is to be started.
std::optional<int64_t> Advance(TransferProgress* progress, int64_t answer);

// The whole transfer, blocking; bytes or -errno. Reads fewer bytes than asked only at the file's
// end.
int64_t ReadFully(int descriptor, uint32_t unit_bytes, uint64_t offset, base::MutableByteSpan into);
int64_t WriteFully(int descriptor, uint32_t unit_bytes, uint64_t offset, base::ByteSpan bytes,
                   Durable durable);

}  // namespace tidemark::io
