// Finding batches in a .log: along their headers, behind damage, and with every checksum read.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/crc32c.h"
#include "storage/offset_chain.h"
#include "storage/segment.h"

namespace tidemark::storage {
namespace {

// One page: the headers of small batches come many at a time, those of large ones cost one page
// each.
constexpr size_t kHeaderWindowBytes = 4096;
// What checksums and searches hold in memory, whatever the size of a batch.
constexpr size_t kScanWindowBytes = size_t{128} << 10;
constexpr size_t kMagicAt = 16;
static_assert(kHeaderWindowBytes >= record::kBatchHeaderBytes);

// Bytes of a file, which may be a direct one, read a window at a time.
class Window {
 public:
  Window(io::File& file, uint64_t end_position, size_t window_bytes)
      : file_(file),
        end_position_(end_position),
        unit_(file.direct() ? file.block_bytes() : 1),
        buffer_bytes_(base::RoundUp(window_bytes, unit_) + (unit_ > 1 ? unit_ : 0)),
        buffer_(io::AllocateAligned(buffer_bytes_, unit_)) {}

  // At least `least_bytes` from `position` on, fewer only where the range or the file ends. Lives
  // until the next call.
  Result<base::ByteSpan> At(uint64_t position, size_t least_bytes) {
    if (position < position_ || position + least_bytes > position_ + valid_bytes_) {
      position_ = position / unit_ * unit_;
      valid_bytes_ = 0;
      const uint64_t left = position < end_position_ ? end_position_ - position_ : 0;
      const size_t wanted = std::min<uint64_t>(buffer_bytes_, base::RoundUp(left, unit_));
      const auto read = file_.ReadAt(position_, base::MutableByteSpan(buffer_.get(), wanted));
      if (!read) return read.error();
      valid_bytes_ = std::min<uint64_t>(*read, left);
    }
    const auto skipped = std::min(static_cast<size_t>(position - position_), valid_bytes_);
    return base::ByteSpan(buffer_.get() + skipped, valid_bytes_ - skipped);
  }

 private:
  io::File& file_;
  uint64_t end_position_;
  uint64_t unit_;
  size_t buffer_bytes_;
  io::AlignedBuffer buffer_;
  uint64_t position_ = 0;
  size_t valid_bytes_ = 0;
};

Error NoBatchAt(const io::File& log, uint64_t position, const std::string& why) {
  return Error(ErrorCode::corrupt,
               log.path() + " at " + std::to_string(position) + ": no batch stands there: " + why);
}

// Whether the batch with `header` at `position` has the CRC that its header claims.
Result<bool> HasItsCrc(Window& window, uint64_t position, const record::BatchHeader& header) {
  uint64_t from = position + record::kCrcCoversFrom;
  const uint64_t end = position + header.total_bytes();
  uint32_t crc = 0;
  while (from < end) {
    const auto bytes = window.At(from, 1);
    if (!bytes) return bytes.error();
    if (bytes->empty()) return false;  // the file is shorter than it was
    const size_t count = std::min<uint64_t>(bytes->size(), end - from);
    crc = base::Crc32c(bytes->first(count), crc);
    from += count;
  }
  return crc == header.crc;
}

// Searches a range for intact batches, candidate by candidate.
class BatchSearch {
 public:
  BatchSearch(io::File& log, uint64_t end_position, int64_t min_offset)
      : window_(log, end_position, kScanWindowBytes),
        batch_window_(log, end_position, kScanWindowBytes),
        end_position_(end_position),
        min_offset_(min_offset) {}

  Result<std::optional<BatchAt>> From(uint64_t position, uint64_t before_position) {
    while (position < before_position && position + record::kBatchHeaderBytes <= end_position_) {
      const auto bytes = window_.At(position, record::kBatchHeaderBytes);
      if (!bytes) return bytes.error();
      if (bytes->size() < record::kBatchHeaderBytes) break;
      const size_t candidate = FirstCandidate(*bytes);
      position += candidate;
      if (candidate + record::kBatchHeaderBytes > bytes->size()) continue;
      auto found = Check(position, bytes->subspan(candidate));
      if (!found || *found) return found;
      ++position;
    }
    return std::optional<BatchAt>();
  }

 private:
  // Where the first magic byte stands that has a whole header around it in `bytes`; otherwise how
  // many bytes hold none.
  static size_t FirstCandidate(base::ByteSpan bytes) {
    const size_t starts = bytes.size() - record::kBatchHeaderBytes + 1;
    const void* const magic = std::memchr(bytes.data() + kMagicAt, record::kMagic, starts);
    if (magic == nullptr) return starts;
    return static_cast<size_t>(static_cast<const std::byte*>(magic) - bytes.data()) - kMagicAt;
  }

  Result<std::optional<BatchAt>> Check(uint64_t position, base::ByteSpan bytes) {
    // What is cheap to see first: nearly every candidate is no batch, and an Error costs a
    // sentence.
    const auto base_offset = base::LoadBig<int64_t>(bytes.data());
    const auto batch_length = base::LoadBig<int32_t>(bytes.data() + sizeof(int64_t));
    if (base_offset < min_offset_ || batch_length < 0) return std::optional<BatchAt>();
    const uint64_t total_bytes = record::kBatchLengthOverhead + static_cast<uint64_t>(batch_length);
    if (total_bytes > end_position_ - position) return std::optional<BatchAt>();
    const auto header = record::DecodeBatchHeader(bytes);
    if (!header) return std::optional<BatchAt>();
    const auto intact = HasItsCrc(batch_window_, position, *header);
    if (!intact) return intact.error();
    if (!*intact) return std::optional<BatchAt>();
    return std::optional<BatchAt>(BatchAt{position, *header});
  }

  Window window_;
  Window
      batch_window_;  // of its own, so that checking a candidate does not lose the search's place
  uint64_t end_position_;
  int64_t min_offset_;
};

}  // namespace

Status WalkBatchHeaders(io::File& log, uint64_t from_position, uint64_t end_position,
                        const std::function<bool(const BatchAt&)>& visit, OffsetBounds bounds) {
  Window window(log, end_position, kHeaderWindowBytes);
  OffsetChain chain(bounds.begin);
  BatchAt batch{from_position, {}};
  while (batch.position < end_position) {
    const auto bytes = window.At(batch.position, record::kBatchHeaderBytes);
    if (!bytes) return bytes.error();
    const auto header = record::DecodeBatchHeader(*bytes);
    if (!header) return NoBatchAt(log, batch.position, header.error().message());
    if (header->total_bytes() > end_position - batch.position) {
      return NoBatchAt(log, batch.position,
                       "its " + std::to_string(header->total_bytes()) + " bytes do not fit");
    }
    batch.header = *header;
    const uint64_t next_position = batch.position + header->total_bytes();
    std::optional<int64_t> follower = bounds.end;
    if (next_position < end_position) {
      const auto next_bytes = window.At(next_position, record::kBatchHeaderBytes);
      if (!next_bytes) return next_bytes.error();
      const auto next = record::DecodeBatchHeader(*next_bytes);
      follower = next ? std::optional(next->base_offset) : std::nullopt;
    }
    if (!chain.Believes(batch.header, follower)) {
      return NoBatchAt(log, batch.position,
                       "its base offset " + std::to_string(header->base_offset) +
                           " contradicts the batches around it");
    }
    if (!visit(batch)) return {};
    chain.Take(batch.header);
    batch.position = next_position;
  }
  return {};
}

Result<std::optional<record::BatchHeader>> ReadBatchHeader(io::File& log, uint64_t position,
                                                           uint64_t end_position) {
  Window window(log, end_position, record::kBatchHeaderBytes);
  const auto bytes = window.At(position, record::kBatchHeaderBytes);
  if (!bytes) return bytes.error();
  const auto header = record::DecodeBatchHeader(*bytes);
  if (!header || header->total_bytes() > end_position - position)
    return std::optional<record::BatchHeader>();
  return std::optional<record::BatchHeader>(*header);
}

Result<std::optional<BatchAt>> FindNextIntactBatch(io::File& log, uint64_t from_position,
                                                   uint64_t end_position, int64_t min_offset,
                                                   uint64_t before_position) {
  return BatchSearch(log, end_position, min_offset).From(from_position, before_position);
}

Result<std::optional<BatchAt>> FindBatchBehindDamage(io::File& log, uint64_t position,
                                                     uint64_t end_position, int64_t min_offset) {
  const auto header = ReadBatchHeader(log, position, end_position);
  if (!header) return header.error();
  uint64_t from = position + 1;
  if (*header) {
    Window window(log, end_position, kScanWindowBytes);
    const auto intact = HasItsCrc(window, position, **header);
    if (!intact) return intact.error();
    if (*intact) from = position + (*header)->total_bytes();
  }
  return FindNextIntactBatch(log, from, end_position, min_offset);
}

Result<IntactPrefix> MeasureIntactPrefix(io::FileSystem& files, const std::string& folder,
                                         int64_t base_offset) {
  auto log = files.Open(SegmentPath(folder, base_offset, SegmentFile::log), {});
  if (!log) return log.error();
  const auto size = (*log)->Size();
  if (!size) return size.error();

  IntactPrefix prefix{0, base_offset};
  Window window(**log, *size, kScanWindowBytes);
  Status failed;
  const auto visit = [&](const BatchAt& batch) {
    const auto intact = HasItsCrc(window, batch.position, batch.header);
    if (!intact) failed = intact.error();
    if (!intact || !*intact) return false;
    prefix = {batch.position + batch.header.total_bytes(), batch.header.next_offset()};
    return true;
  };
  const Status walked = WalkBatchHeaders(**log, 0, *size, visit, {.begin = base_offset, .end = {}});
  if (!failed.ok()) return failed.error();
  if (!walked.ok() && walked.error().code() != ErrorCode::corrupt) return walked.error();
  return prefix;
}

Result<int64_t> EndBehindDamage(io::File& log, int64_t base_offset, const IntactPrefix& prefix,
                                uint64_t end_position) {
  uint64_t position = prefix.bytes;
  int64_t next_offset = prefix.next_offset;
  for (;;) {
    const auto batch = FindBatchBehindDamage(log, position, end_position, next_offset);
    if (!batch) return batch.error();
    if (!*batch) return next_offset;
    position = (*batch)->position;
    // A record of the damaged batch may hold a batch of any offset. No segment has more than these.
    const bool of_segment =
        (*batch)->header.last_offset() - base_offset <= std::numeric_limits<int32_t>::max();
    if (of_segment) next_offset = (*batch)->header.next_offset();
  }
}

}  // namespace tidemark::storage
