// Reading and writing integers at unaligned addresses. Kafka's formats are big-endian, Tidemark's
// own (journal, checkpoint) little-endian; the name of the function says which one a line speaks.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tidemark::base {

static_assert(std::endian::native == std::endian::little,
              "byte order conversions assume little-endian");

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

inline uint16_t ByteSwap(uint16_t value) { return __builtin_bswap16(value); }
inline uint32_t ByteSwap(uint32_t value) { return __builtin_bswap32(value); }
inline uint64_t ByteSwap(uint64_t value) { return __builtin_bswap64(value); }

template <typename T>
T LoadLittle(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void StoreLittle(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

template <typename T>
T LoadBig(const void* from) {
  using Unsigned = std::make_unsigned_t<T>;
  if constexpr (sizeof(T) == 1) {
    return LoadLittle<T>(from);
  } else {
    return static_cast<T>(ByteSwap(LoadLittle<Unsigned>(from)));
  }
}

template <typename T>
void StoreBig(void* to, T value) {
  using Unsigned = std::make_unsigned_t<T>;
  if constexpr (sizeof(T) == 1) {
    StoreLittle(to, value);
  } else {
    StoreLittle(to, ByteSwap(static_cast<Unsigned>(value)));
  }
}

inline ByteSpan AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string_view AsText(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// `value` rounded up to a multiple of `unit`, a power of two.
constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}

}  // namespace tidemark::base
