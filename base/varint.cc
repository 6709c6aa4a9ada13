#include "base/varint.h"

namespace tidemark::base {

const std::byte* GetLongUnsignedVarint(const std::byte* from, const std::byte* end,
                                       uint64_t* value) {
  uint64_t result = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (from == end) return nullptr;
    const auto byte = static_cast<uint8_t>(*from++);
    if (shift == 63 && byte > 1) return nullptr;  // the tenth byte has room for one bit
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return from;
    }
  }
  return nullptr;
}

}  // namespace tidemark::base
