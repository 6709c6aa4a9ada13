// CRC-32C (Castagnoli), as record batch v2 uses it: RFC 3720, appendix B.4 has its test vectors.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tidemark::base {

// The checksum of `bytes` behind bytes whose checksum is `seed` (0: none). Uses the processor's
// instruction where there is one. Thread-safe.
uint32_t Crc32c(ByteSpan bytes, uint32_t seed = 0);

// The same by tables alone: for processors without the instruction, and to test the other against.
uint32_t Crc32cPortable(ByteSpan bytes, uint32_t seed = 0);

}  // namespace tidemark::base
