// Reads of a file that may be damaged and may be direct: any range, and never a failure for a block
// that the device gives up on.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/file_system.h"
#include "tidemark/error.h"

namespace tidemark::storage {

// Reads ahead (or back, when going backwards), so that walking over small structures costs few
// calls; what was read is not read again for as long as calls stay in that window.
class BlockReader {
 public:
  static constexpr uint64_t kWindowBytes = uint64_t{1} << 20;  // enough for a device's full speed
  // The first one: many look at a header and no further.
  static constexpr uint64_t kFirstWindowBytes = uint64_t{64} << 10;

  // Fails when the file cannot even say how large it is. `window_bytes`: a multiple of the block.
  static Result<BlockReader> Open(io::File& file, uint64_t window_bytes = kWindowBytes);

  // The bytes of [position, position + length), with zeros where a block is unreadable and behind
  // the file's end: no structure of the journal is made of zeros, so that they count as damage to
  // what stood there. Valid until the next call. The caller bounds `length`: that much is
  // allocated.
  base::ByteSpan Read(uint64_t position, uint64_t length);

  // How many bytes from `position` on a Read() needs no call for.
  uint64_t LoadedFrom(uint64_t position) const {
    const uint64_t window_end = window_begin_ + window_bytes_;
    return position >= window_begin_ && position < window_end ? window_end - position : 0;
  }

  uint64_t file_bytes() const { return file_bytes_; }
  // Whether what the last Read() returned has an unreadable block in it.
  bool met_error() const { return met_error_; }
  // Of all calls: whether any block was read, and the last error.
  bool ever_read() const { return ever_read_; }
  const std::optional<Error>& last_error() const { return last_error_; }

 private:
  BlockReader(io::File& file, uint64_t file_bytes, uint64_t most_window_bytes)
      : file_(&file), file_bytes_(file_bytes), most_window_bytes_(most_window_bytes) {}
  void LoadWindow(uint64_t position, uint64_t length);
  bool TryRead(uint64_t position, base::MutableByteSpan into);

  io::File* file_;
  uint64_t file_bytes_;
  uint64_t most_window_bytes_;
  io::AlignedBuffer buffer_;
  size_t buffer_bytes_ = 0;
  // The window: its place in the file, its length, and the blocks in it that cannot be read.
  uint64_t window_begin_ = 0;
  uint64_t window_bytes_ = 0;
  std::vector<uint64_t> unreadable_;
  bool met_error_ = false;
  bool ever_read_ = false;
  std::optional<Error> last_error_;
};

}  // namespace tidemark::storage
