// Two ways to the same checksum. The portable one takes eight bytes a step through eight tables
// ("slicing by 8", Kounavis and Berry 2008). The other uses the processor's instruction, which can
// be started every cycle but takes three to answer: so three streams run side by side and are
// joined at the end of a stripe (as in Mark Adler's crc32c.c). Joining needs the register of the
// first stream moved on over as many zero bytes as the second has, which is linear in the register:
// four tables.
#include "base/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define TIDEMARK_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define TIDEMARK_CRC_TARGET
#endif

namespace tidemark::base {
namespace {

constexpr uint32_t kPolynomial = 0x82f6'3b78;  // 0x1edc6f41 with its bits reversed

using Table = std::array<uint32_t, 256>;

// kSlices[k][b]: the register after byte b and k zero bytes.
constexpr std::array<Table, 8> MakeSlices() {
  std::array<Table, 8> slices{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    slices[0][byte] = crc;
  }
  for (size_t k = 1; k < slices.size(); ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t previous = slices[k - 1][byte];
      slices[k][byte] = (previous >> 8) ^ slices[0][previous & 0xff];
    }
  }
  return slices;
}

constexpr std::array<Table, 8> kSlices = MakeSlices();

uint32_t StepPortable(uint32_t crc, uint64_t word) {
  word ^= crc;
  uint32_t next = 0;
  for (size_t k = 0; k < 8; ++k) next ^= kSlices[7 - k][(word >> (8 * k)) & 0xff];
  return next;
}

uint32_t StepPortable(uint32_t crc, std::byte byte) {
  return (crc >> 8) ^ kSlices[0][(crc ^ static_cast<uint32_t>(byte)) & 0xff];
}

#ifdef TIDEMARK_CRC_TARGET

// A register, moved on over a fixed number of zero bytes: a linear map, so a table for each byte.
using ZeroShift = std::array<Table, 4>;

// `bytes`: a power of two, at least one.
constexpr ZeroShift MakeZeroShift(size_t bytes) {
  std::array<uint32_t, 32> map{};  // what each bit of the register becomes
  for (size_t bit = 0; bit < 32; ++bit) {
    const uint32_t crc = uint32_t{1} << bit;
    map[bit] = (crc >> 8) ^ kSlices[0][crc & 0xff];
  }
  for (size_t reached = 1; reached < bytes; reached *= 2) {  // squaring doubles the distance
    std::array<uint32_t, 32> squared{};
    for (size_t bit = 0; bit < 32; ++bit) {
      for (size_t part = 0; part < 32; ++part) {
        if (((map[bit] >> part) & 1) != 0) squared[bit] ^= map[part];
      }
    }
    map = squared;
  }
  ZeroShift shift{};
  for (size_t position = 0; position < 4; ++position) {
    for (size_t value = 0; value < 256; ++value) {
      for (size_t bit = 0; bit < 8; ++bit) {
        if (((value >> bit) & 1) != 0) shift[position][value] ^= map[8 * position + bit];
      }
    }
  }
  return shift;
}

uint32_t Shift(const ZeroShift& shift, uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^ shift[2][(crc >> 16) & 0xff] ^
         shift[3][crc >> 24];
}

// Lengths of one of a stripe's three streams. The long one makes the joining vanish, the short one
// serves batches of a few readings.
constexpr size_t kLongStreamBytes = 4096;
constexpr size_t kShortStreamBytes = 256;
constexpr ZeroShift kLongShift = MakeZeroShift(kLongStreamBytes);
constexpr ZeroShift kShortShift = MakeZeroShift(kShortStreamBytes);
static_assert(kShortStreamBytes % sizeof(uint64_t) == 0);

#if defined(__x86_64__)
TIDEMARK_CRC_TARGET inline uint32_t StepHardware(uint32_t crc, uint64_t word) {
  return static_cast<uint32_t>(_mm_crc32_u64(crc, word));
}
TIDEMARK_CRC_TARGET inline uint32_t StepHardware(uint32_t crc, std::byte byte) {
  return _mm_crc32_u8(crc, static_cast<uint8_t>(byte));
}
bool HasInstruction() { return __builtin_cpu_supports("sse4.2") != 0; }
#else
inline uint32_t StepHardware(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }
inline uint32_t StepHardware(uint32_t crc, std::byte byte) {
  return __crc32cb(crc, static_cast<uint8_t>(byte));
}
bool HasInstruction() { return true; }  // the compiler was told so
#endif

// Takes whole stripes off the front of `bytes`.
template <size_t StreamBytes>
TIDEMARK_CRC_TARGET uint32_t TakeStripes(uint32_t crc, const ZeroShift& shift, ByteSpan* bytes) {
  const std::byte* at = bytes->data();
  size_t left = bytes->size();
  while (left >= 3 * StreamBytes) {
    uint32_t second = 0;
    uint32_t third = 0;
    for (const std::byte* end = at + StreamBytes; at != end; at += sizeof(uint64_t)) {
      crc = StepHardware(crc, LoadLittle<uint64_t>(at));
      second = StepHardware(second, LoadLittle<uint64_t>(at + StreamBytes));
      third = StepHardware(third, LoadLittle<uint64_t>(at + 2 * StreamBytes));
    }
    crc = Shift(shift, Shift(shift, crc) ^ second) ^ third;
    at += 2 * StreamBytes;
    left -= 3 * StreamBytes;
  }
  *bytes = {at, left};
  return crc;
}

TIDEMARK_CRC_TARGET uint32_t Crc32cHardware(ByteSpan bytes, uint32_t seed) {
  uint32_t crc = ~seed;
  crc = TakeStripes<kLongStreamBytes>(crc, kLongShift, &bytes);
  crc = TakeStripes<kShortStreamBytes>(crc, kShortShift, &bytes);
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= sizeof(uint64_t); at += sizeof(uint64_t), left -= sizeof(uint64_t)) {
    crc = StepHardware(crc, LoadLittle<uint64_t>(at));
  }
  for (; left > 0; ++at, --left) crc = StepHardware(crc, *at);
  return ~crc;
}

#endif  // TIDEMARK_CRC_TARGET

}  // namespace

uint32_t Crc32cPortable(ByteSpan bytes, uint32_t seed) {
  uint32_t crc = ~seed;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= sizeof(uint64_t); at += sizeof(uint64_t), left -= sizeof(uint64_t)) {
    crc = StepPortable(crc, LoadLittle<uint64_t>(at));
  }
  for (; left > 0; ++at, --left) crc = StepPortable(crc, *at);
  return ~crc;
}

uint32_t Crc32c(ByteSpan bytes, uint32_t seed) {
#ifdef TIDEMARK_CRC_TARGET
  static const bool kHasInstruction = HasInstruction();
  if (kHasInstruction) return Crc32cHardware(bytes, seed);
#endif
  return Crc32cPortable(bytes, seed);
}

}  // namespace tidemark::base
