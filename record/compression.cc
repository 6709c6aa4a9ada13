#include <zstd_errors.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <zstd.h>

#include "record/batch.h"
#include "record/foreign_codecs.h"

namespace tidemark::record {
namespace {

// A context or buffer that one unusual batch blew up beyond this is not kept for the next.
constexpr size_t kMaxKeptBytes = size_t{8} << 20;

// Room to begin with where a frame does not say how much it holds: readings seldom shrink more.
constexpr size_t kExpectedRatio = 8;
constexpr size_t kMinFirstRoom = size_t{16} << 10;
// A claim up to this ratio is believed at once; beyond it room grows with what was really there.
constexpr size_t kBelievedRatio = 64;
constexpr size_t kGrowth = 4;

// zstd's frame format since 0.8 and its skippable frames. libzstd may read the experimental formats
// before it too; they are of no use here and their decoders see little testing.
constexpr uint32_t kFrameMagic = 0xFD2FB528;
constexpr uint32_t kSkippableMagic = 0x184D2A50;
constexpr uint32_t kSkippableMask = 0xFFFFFFF0;

Error NotWritten(Codec codec) {
  return Error(ErrorCode::unsupported,
               "batch: codec " + std::string(CodecName(codec)) + " is read, not written");
}

Error CorruptZstd(const std::string& what) {
  return Error(ErrorCode::corrupt, "batch: zstd: " + what);
}

// Walks over the frames by their headers: nothing but frames may stand there. Returns how many
// bytes they claim to hold; 0 where one does not say, or where the sum is absurd.
Result<uint64_t> ClaimedBytes(base::ByteSpan input) {
  uint64_t claimed = 0;
  bool known = true;
  while (!input.empty()) {
    const uint32_t magic =
        input.size() < sizeof(uint32_t) ? 0 : base::LoadLittle<uint32_t>(input.data());
    if (magic != kFrameMagic && (magic & kSkippableMask) != kSkippableMagic) {
      return CorruptZstd("no frame begins where one must");
    }
    const size_t frame_bytes = ZSTD_findFrameCompressedSize(input.data(), input.size());
    if (ZSTD_isError(frame_bytes) || frame_bytes > input.size()) {
      return CorruptZstd("a frame is damaged or cut off");
    }
    const unsigned long long content = ZSTD_getFrameContentSize(input.data(), input.size());
    known = known && content < ZSTD_CONTENTSIZE_ERROR &&
            !__builtin_add_overflow(claimed, content, &claimed);
    input = input.subspan(frame_bytes);
  }
  return known ? claimed : 0;
}

// How much room to try first. A claim is taken at its word only while the input makes it plausible.
size_t FirstRoom(size_t input_bytes, uint64_t claimed_bytes) {
  const size_t believable = std::max(input_bytes * kBelievedRatio, kMinFirstRoom);
  if (claimed_bytes != 0 && claimed_bytes <= believable) return static_cast<size_t>(claimed_bytes);
  return std::max(input_bytes * kExpectedRatio, kMinFirstRoom);
}

// Makes `buffer` hold `size` bytes of any content; what it held is given up first.
void Renew(size_t size, std::vector<std::byte>* buffer) {
  buffer->clear();
  if (size > buffer->capacity()) *buffer = {};
  buffer->resize(size);
}

// Gives memory back that an earlier, far larger batch needed.
void ShrinkIfHuge(std::vector<std::byte>* buffer) {
  if (buffer->capacity() > kMaxKeptBytes && buffer->size() < buffer->capacity() / kGrowth) {
    buffer->shrink_to_fit();
  }
}

}  // namespace

struct Compressor::State {
  struct FreeZstd {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, FreeZstd> compress;
  std::unique_ptr<ZSTD_DCtx, FreeZstd> decompress;

  Status CompressZstd(int level, base::ByteSpan input, std::vector<std::byte>* output);
  Status DecompressZstd(base::ByteSpan input, size_t limit, std::vector<std::byte>* output);
  Status Decompress(Codec codec, base::ByteSpan input, size_t limit,
                    std::vector<std::byte>* output);
};

Status Compressor::State::CompressZstd(int level, base::ByteSpan input,
                                       std::vector<std::byte>* output) {
  if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) {
    return Error(ErrorCode::invalid_argument, "zstd has no level " + std::to_string(level) +
                                                  ", only " + std::to_string(ZSTD_minCLevel()) +
                                                  " to " + std::to_string(ZSTD_maxCLevel()));
  }
  if (!compress) compress.reset(ZSTD_createCCtx());
  if (!compress) return Error(ErrorCode::busy, "no memory for zstd");
  const size_t start = output->size();
  output->resize(start + ZSTD_compressBound(input.size()));
  const size_t written =
      ZSTD_compressCCtx(compress.get(), output->data() + start, output->size() - start,
                        input.data(), input.size(), level);
  if (ZSTD_sizeof_CCtx(compress.get()) > kMaxKeptBytes) compress.reset();
  if (ZSTD_isError(written)) {
    output->resize(start);
    return Error(ErrorCode::busy, std::string("zstd: ") + ZSTD_getErrorName(written));
  }
  output->resize(start + written);
  return {};
}

// Decompresses in one pass straight into `output`, so that no window is kept: a frame's header may
// claim one of 128 MiB. Where the room was too little, that much was really there, so that a retry
// with kGrowth times as much keeps memory in proportion to what the input holds.
Status Compressor::State::DecompressZstd(base::ByteSpan input, size_t limit,
                                         std::vector<std::byte>* output) {
  const Result<uint64_t> claimed = ClaimedBytes(input);
  if (!claimed.ok()) return claimed.error();
  if (!decompress) decompress.reset(ZSTD_createDCtx());
  if (!decompress) return Error(ErrorCode::busy, "no memory for zstd");
  size_t room = FirstRoom(input.size(), *claimed);
  while (true) {
    room = std::min(room, limit);
    Renew(std::max(room, size_t{1}), output);  // zstd is not given a null pointer
    const size_t produced =
        ZSTD_decompressDCtx(decompress.get(), output->data(), room, input.data(), input.size());
    if (!ZSTD_isError(produced)) {
      output->resize(produced);
      return {};
    }
    if (ZSTD_getErrorCode(produced) != ZSTD_error_dstSize_tooSmall) {
      return CorruptZstd(ZSTD_getErrorName(produced));
    }
    if (room == limit) return CorruptZstd("more than " + std::to_string(limit) + " bytes");
    room = room > limit / kGrowth ? limit : room * kGrowth;
  }
}

Compressor::Compressor() : state_(std::make_unique<State>()) {}
Compressor::~Compressor() = default;

Status Compressor::Compress(Codec codec, int level, base::ByteSpan input,
                            std::vector<std::byte>* output) {
  switch (codec) {
    case Codec::none:
      output->insert(output->end(), input.begin(), input.end());
      return {};
    case Codec::zstd:
      return state_->CompressZstd(level, input, output);
    default:
      return NotWritten(codec);
  }
}

Status Compressor::State::Decompress(Codec codec, base::ByteSpan input, size_t limit,
                                     std::vector<std::byte>* output) {
  switch (codec) {
    case Codec::none:
      if (input.size() > limit) {
        return Error(ErrorCode::corrupt, "batch: more than " + std::to_string(limit) + " bytes");
      }
      output->assign(input.begin(), input.end());
      return {};
    case Codec::gzip:
      return DecompressGzip(input, limit, output);
    case Codec::snappy:
      return DecompressSnappy(input, limit, output);
    case Codec::lz4:
      return DecompressLz4(input, limit, output);
    case Codec::zstd:
      return DecompressZstd(input, limit, output);
  }
  return Error(ErrorCode::corrupt, "batch: its codec does not exist");
}

Status Compressor::Decompress(Codec codec, base::ByteSpan input, size_t limit_bytes,
                              std::vector<std::byte>* output) {
  Status status = state_->Decompress(codec, input, limit_bytes, output);
  if (!status.ok()) output->clear();
  ShrinkIfHuge(output);
  return status;
}

}  // namespace tidemark::record
