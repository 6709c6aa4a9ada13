// XXH3-64, the checksum of Tidemark's own formats.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tidemark::base {

uint64_t Xxh3(ByteSpan bytes, uint64_t seed = 0);

}  // namespace tidemark::base
