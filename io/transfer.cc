#include "io/transfer.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace tidemark::io {
namespace {

int64_t OrErrno(ssize_t result) { return result >= 0 ? int64_t{result} : -int64_t{errno}; }

// Kernels before 4.7 know no RWF_DSYNC, a few file systems and devices refuse it.
bool RefusesDsync(int64_t answer) { return answer == -EOPNOTSUPP || answer == -ENOSYS; }

int64_t WritePiece(int descriptor, const std::byte* data, uint64_t length, uint64_t offset,
                   bool dsync) {
  const auto position = static_cast<off_t>(offset);
  if (!dsync) return OrErrno(pwrite(descriptor, data, length, position));
  iovec piece{};
  piece.iov_base = const_cast<std::byte*>(data);  // the kernel only reads it
  piece.iov_len = length;
  return OrErrno(pwritev2(descriptor, &piece, 1, position, RWF_DSYNC));
}

int64_t FlushData(int descriptor) { return OrErrno(fdatasync(descriptor)); }

}  // namespace

std::optional<int64_t> Advance(TransferProgress* progress, int64_t answer) {
  if (answer == -EINTR || answer == -EAGAIN) return std::nullopt;
  if (answer < 0) return answer;
  const bool reading = progress->direction == Direction::read;
  const uint64_t before = progress->transferred;
  progress->transferred += static_cast<uint64_t>(answer);
  TIDEMARK_CHECK(progress->transferred <= progress->length);
  if (progress->transferred == progress->length) return static_cast<int64_t>(progress->length);
  const uint64_t past_unit = progress->transferred % progress->unit_bytes;
  if (reading) {
    // Nothing more, or a direct read that stopped inside a block: the file ends here.
    if (answer == 0 || past_unit != 0) return static_cast<int64_t>(progress->transferred);
    return std::nullopt;
  }
  progress->transferred -=
      past_unit;  // a direct write goes on at a whole block, writing some twice
  if (progress->transferred <= before) return -EIO;  // no progress and no reason given
  return std::nullopt;
}

int64_t ReadFully(int descriptor, uint32_t unit_bytes, uint64_t offset,
                  base::MutableByteSpan into) {
  TransferProgress progress{Direction::read, unit_bytes, into.size(), 0};
  for (;;) {
    const int64_t answer =
        OrErrno(pread(descriptor, into.data() + progress.transferred, progress.NextPieceBytes(),
                      static_cast<off_t>(offset + progress.transferred)));
    if (const auto result = Advance(&progress, answer)) return *result;
  }
}

int64_t WriteFully(int descriptor, uint32_t unit_bytes, uint64_t offset, base::ByteSpan bytes,
                   Durable durable) {
  TransferProgress progress{Direction::write, unit_bytes, bytes.size(), 0};
  bool dsync = durable == Durable::yes;
  bool flush_behind = false;
  for (;;) {
    const int64_t answer =
        WritePiece(descriptor, bytes.data() + progress.transferred, progress.NextPieceBytes(),
                   offset + progress.transferred, dsync);
    if (dsync && RefusesDsync(answer)) {
      dsync = false;
      flush_behind = true;
      continue;
    }
    const auto result = Advance(&progress, answer);
    if (!result) continue;
    if (*result < 0 || !flush_behind) return *result;
    const int64_t flushed = FlushData(descriptor);
    return flushed < 0 ? flushed : *result;
  }
}

}  // namespace tidemark::io
