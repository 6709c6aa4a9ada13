#include "storage/block_reader.h"

#include <algorithm>
#include <cstddef>

namespace tidemark::storage {

Result<BlockReader> BlockReader::Open(io::File& file, uint64_t window_bytes) {
  const Result<uint64_t> size = file.Size();
  if (!size) return size.error();
  return BlockReader(file, *size, window_bytes);
}

base::ByteSpan BlockReader::Read(uint64_t position, uint64_t length) {
  const bool loaded = position >= window_begin_ && position - window_begin_ <= window_bytes_ &&
                      length <= window_bytes_ - (position - window_begin_);
  if (!loaded) LoadWindow(position, length);
  met_error_ = std::any_of(unreadable_.begin(), unreadable_.end(), [&](uint64_t block) {
    return block < position + length && position < block + file_->block_bytes();
  });
  return {buffer_.get() + (position - window_begin_), length};
}

void BlockReader::LoadWindow(uint64_t position, uint64_t length) {
  const uint64_t unit = file_->block_bytes();
  const uint64_t end = position + length;
  // Going backwards, what is wanted next stands before.
  const bool backwards = position < window_begin_ && length < most_window_bytes_;
  const uint64_t ahead =
      window_bytes_ > 0 ? most_window_bytes_ : std::min(most_window_bytes_, kFirstWindowBytes);
  if (backwards) position = end > most_window_bytes_ ? end - most_window_bytes_ : 0;
  window_begin_ = position / unit * unit;
  const uint64_t needed = end - window_begin_;
  const uint64_t left = file_bytes_ > window_begin_ ? file_bytes_ - window_begin_ : 0;
  window_bytes_ = base::RoundUp(std::max(needed, std::min(ahead, left)), unit);
  if (window_bytes_ > buffer_bytes_) {
    buffer_ = io::AllocateAligned(window_bytes_, unit);
    buffer_bytes_ = window_bytes_;
  }
  unreadable_.clear();
  const base::MutableByteSpan window(buffer_.get(), window_bytes_);
  if (TryRead(window_begin_, window)) return;
  // Somewhere in there: block by block, to lose no more than what is unreadable.
  for (uint64_t at = 0; at < window_bytes_; at += unit) {
    const uint64_t block = window_begin_ + at;
    if (!TryRead(block, window.subspan(at, unit))) unreadable_.push_back(block);
  }
}

bool BlockReader::TryRead(uint64_t position, base::MutableByteSpan into) {
  const Result<size_t> read = position < file_bytes_ ? file_->ReadAt(position, into) : size_t{0};
  const size_t valid = read.ok() ? *read : 0;
  std::fill(into.begin() + static_cast<std::ptrdiff_t>(valid), into.end(), std::byte{0});
  if (!read) last_error_ = read.error();
  ever_read_ = ever_read_ || (read.ok() && valid > 0);
  return read.ok();
}

}  // namespace tidemark::storage
