// Kafka's variable-length integers: zigzag, seven bits a byte, low bits first (as Protocol Buffers'
// sint32 and sint64). Source: Kafka's ByteUtils.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace tidemark::base {

inline constexpr size_t kMaxVarintBytes = 5;
inline constexpr size_t kMaxVarlongBytes = 10;

constexpr uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Bytes that `value` takes when encoded without zigzag: one for every seven bits begun. Without a
// loop, since it is called several times for every record; the quotient is exact for 1 to 64 bits.
constexpr size_t UnsignedVarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) * 9 + 64) / 64;
}
static_assert(UnsignedVarintSize(0) == 1 && UnsignedVarintSize(0x7f) == 1 &&
              UnsignedVarintSize(0x80) == 2 && UnsignedVarintSize(UINT64_MAX) == kMaxVarlongBytes);
constexpr size_t VarintSize(int64_t value) { return UnsignedVarintSize(ZigZag(value)); }

// Write at `to`, which has room for kMaxVarlongBytes, and return the byte behind.
inline std::byte* PutUnsignedVarint(std::byte* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<std::byte>(value);
  return to;
}
inline std::byte* PutVarint(std::byte* to, int64_t value) {
  return PutUnsignedVarint(to, ZigZag(value));
}

// Numbers of any length; what GetUnsignedVarint() leaves to it.
const std::byte* GetLongUnsignedVarint(const std::byte* from, const std::byte* end,
                                       uint64_t* value);

// Read from [from, end) into `value` and return the byte behind, or nullptr when the bytes end
// first or the number is longer than 64 bits. Never reads at or behind `end`. Lengths and deltas of
// a record are one or two bytes as a rule, and reading a log decodes little else.
inline const std::byte* GetUnsignedVarint(const std::byte* from, const std::byte* end,
                                          uint64_t* value) {
  if (end - from >= 2) {
    const auto first = static_cast<uint64_t>(from[0]);
    if (first < 0x80) {
      *value = first;
      return from + 1;
    }
    const auto second = static_cast<uint64_t>(from[1]);
    if (second < 0x80) {
      *value = (first & 0x7f) | second << 7;
      return from + 2;
    }
  }
  return GetLongUnsignedVarint(from, end, value);
}

inline const std::byte* GetVarlong(const std::byte* from, const std::byte* end, int64_t* value) {
  uint64_t raw = 0;
  from = GetUnsignedVarint(from, end, &raw);
  *value = UnZigZag(raw);
  return from;
}

// As GetVarlong, and nullptr too when the number does not fit int32.
inline const std::byte* GetVarint(const std::byte* from, const std::byte* end, int32_t* value) {
  int64_t wide = 0;
  from = GetVarlong(from, end, &wide);
  if (wide < INT32_MIN || wide > INT32_MAX) return nullptr;
  *value = static_cast<int32_t>(wide);
  return from;
}

}  // namespace tidemark::base
