#include "base/hash.h"

#include <xxhash.h>

namespace tidemark::base {

uint64_t Xxh3(ByteSpan bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace tidemark::base
