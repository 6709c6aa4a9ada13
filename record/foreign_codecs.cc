#include "record/foreign_codecs.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

// zlib's own way to have its input const.
#define ZLIB_CONST
#include <zlib.h>

#include <lz4frame.h>
#include <snappy.h>

namespace tidemark::record {
namespace {

Error Corrupt(const char* codec, const std::string& what) {
  return Error(ErrorCode::corrupt, "batch: " + std::string(codec) + ": " + what);
}

Error TooMuch(const char* codec, size_t limit_bytes) {
  return Corrupt(codec, "more than " + std::to_string(limit_bytes) + " bytes");
}

Error CutOff(const char* codec) { return Corrupt(codec, "it is cut off"); }

// What a stream is decompressed into: room for one byte more than is allowed, so that the byte that
// is too much is seen.
class Output {
 public:
  Output(size_t input_bytes, size_t limit_bytes, std::vector<std::byte>* bytes)
      : bytes_(*bytes), limit_bytes_(limit_bytes) {
    bytes_.clear();
    Resize(std::max(input_bytes * kFirstRoomRatio, kLeastRoomBytes));
  }

  // Never empty, unless there is too much already.
  base::MutableByteSpan Room() {
    if (filled_ == bytes_.size()) Resize(bytes_.size() * kRoomGrowth);
    return base::MutableByteSpan(bytes_).subspan(filled_);
  }
  void Take(size_t count) { filled_ += count; }
  bool exceeds_limit() const { return filled_ > limit_bytes_; }
  void Finish() { bytes_.resize(filled_); }

 private:
  static constexpr size_t kLeastRoomBytes = size_t{16} << 10;
  static constexpr size_t kFirstRoomRatio = 8;
  static constexpr size_t kRoomGrowth = 4;

  void Resize(size_t size) {
    size = std::min(size, limit_bytes_ + 1);
    bytes_.reserve(size);  // exactly: resize() alone would double what was there
    bytes_.resize(size);
  }

  std::vector<std::byte>& bytes_;
  size_t limit_bytes_;
  size_t filled_ = 0;
};

}  // namespace

// --- gzip ----------------------------------------------------------------------------------------

Status DecompressGzip(base::ByteSpan input, size_t limit_bytes, std::vector<std::byte>* output) {
  constexpr const char* kName = "gzip";
  constexpr int kWindowBits = 15;  // the largest there is
  constexpr int kOnlyGzip = 16;    // neither a zlib header nor none
  z_stream stream{};
  if (inflateInit2(&stream, kWindowBits + kOnlyGzip) != Z_OK)
    return Error(ErrorCode::busy, "no memory for zlib");
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> end_stream(&stream, &inflateEnd);
  stream.next_in = reinterpret_cast<const Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  Output out(input.size(), limit_bytes, output);
  while (true) {
    const base::MutableByteSpan room = out.Room();
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    out.Take(room.size() - stream.avail_out);
    if (out.exceeds_limit()) return TooMuch(kName, limit_bytes);
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0) break;
      // Another member must follow: what does not begin as one is refused by the next turn.
      if (inflateReset(&stream) != Z_OK) return Corrupt(kName, "it cannot go on");
      continue;
    }
    if (result == Z_MEM_ERROR) return Error(ErrorCode::busy, "no memory for zlib");
    if (result != Z_OK && result != Z_BUF_ERROR)
      return Corrupt(kName, stream.msg != nullptr ? stream.msg : "it is damaged");
    if (stream.avail_out > 0) return CutOff(kName);
  }
  out.Finish();
  return {};
}

// --- snappy --------------------------------------------------------------------------------------

namespace {

constexpr const char* kSnappy = "snappy";

// snappy-java's stream: this, its version and the oldest version that reads it, then blocks, each
// behind its length. All numbers are big-endian.
constexpr std::string_view kSnappyJavaMagic("\x82SNAPPY\0", 8);
constexpr size_t kSnappyJavaHeaderBytes = kSnappyJavaMagic.size() + 2 * sizeof(int32_t);
constexpr int32_t kSnappyJavaVersion = 1;

// A block's densest element makes 64 bytes of 3.
constexpr size_t kMaxSnappyRatio = 22;

const char* Chars(base::ByteSpan bytes) { return base::AsText(bytes).data(); }

// Takes the next block off the stream.
Result<base::ByteSpan> NextBlock(base::ByteSpan* stream) {
  if (stream->size() < sizeof(int32_t)) return CutOff(kSnappy);
  const auto length = base::LoadBig<int32_t>(stream->data());
  *stream = stream->subspan(sizeof(int32_t));
  if (length < 0) return Corrupt(kSnappy, "a block's length is impossible");
  if (static_cast<size_t>(length) > stream->size()) return CutOff(kSnappy);
  const base::ByteSpan block = stream->first(static_cast<size_t>(length));
  *stream = stream->subspan(block.size());
  return block;
}

Result<size_t> BlockSize(base::ByteSpan block) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(Chars(block), block.size(), &size) ||
      size > block.size() * kMaxSnappyRatio)
    return Corrupt(kSnappy, "a block says that it holds what it cannot");
  return size;
}

Result<std::vector<base::ByteSpan>> SnappyBlocks(base::ByteSpan input) {
  if (!base::AsText(input).starts_with(kSnappyJavaMagic)) return std::vector{input};
  if (input.size() < kSnappyJavaHeaderBytes) return CutOff(kSnappy);
  const auto oldest_reader =
      base::LoadBig<int32_t>(input.data() + kSnappyJavaHeaderBytes - sizeof(int32_t));
  if (oldest_reader > kSnappyJavaVersion)
    return Corrupt(kSnappy, "version " + std::to_string(oldest_reader) + " does not exist");
  std::vector<base::ByteSpan> blocks;
  input = input.subspan(kSnappyJavaHeaderBytes);
  while (!input.empty()) {
    const auto block = NextBlock(&input);
    if (!block) return block.error();
    blocks.push_back(*block);
  }
  return blocks;
}

}  // namespace

Status DecompressSnappy(base::ByteSpan input, size_t limit_bytes, std::vector<std::byte>* output) {
  const auto blocks = SnappyBlocks(input);
  if (!blocks) return blocks.error();
  size_t total = 0;
  for (const base::ByteSpan block : *blocks) {
    const auto size = BlockSize(block);
    if (!size) return size.error();
    total += *size;
    if (total > limit_bytes) return TooMuch(kSnappy, limit_bytes);
  }
  output->clear();
  output->reserve(total);
  output->resize(total);
  std::byte* to = output->data();
  for (const base::ByteSpan block : *blocks) {
    const auto size = BlockSize(block);
    if (*size > 0 &&
        !snappy::RawUncompress(Chars(block), block.size(), reinterpret_cast<char*>(to)))
      return Corrupt(kSnappy, "a block is damaged");
    to += *size;
  }
  return {};
}

// --- lz4 -----------------------------------------------------------------------------------------

Status DecompressLz4(base::ByteSpan input, size_t limit_bytes, std::vector<std::byte>* output) {
  constexpr const char* kName = "lz4";
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)) != 0)
    return Error(ErrorCode::busy, "no memory for lz4");
  const std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> context(
      made, &LZ4F_freeDecompressionContext);
  Output out(input.size(), limit_bytes, output);
  while (true) {
    const base::MutableByteSpan room = out.Room();
    size_t produced = room.size();
    size_t consumed = input.size();
    const size_t wants = LZ4F_decompress(context.get(), room.data(), &produced, input.data(),
                                         &consumed, /*options=*/nullptr);
    if (LZ4F_isError(wants) != 0) return Corrupt(kName, LZ4F_getErrorName(wants));
    input = input.subspan(consumed);
    out.Take(produced);
    if (out.exceeds_limit()) return TooMuch(kName, limit_bytes);
    if (wants == 0) break;
    if (input.empty() && produced < room.size()) return CutOff(kName);
  }
  if (!input.empty()) return Corrupt(kName, "something stands behind the frame");
  out.Finish();
  return {};
}

}  // namespace tidemark::record
