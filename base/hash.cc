#include "base/hash.h"

#include <cstdio>

#include <xxhash.h>
// The library's own choice between SSE2, AVX2 and AVX-512 while it runs: where it was built with
// it, this header puts it in the place of the functions below.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

#include "base/check.h"

namespace tidemark::base {

uint64_t Xxh3(ByteSpan bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::string ChecksumText(uint64_t checksum) {
  constexpr size_t kDigits = 16;
  char text[kDigits + 1];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(checksum));
  return text;
}

Hash128 Xxh3Of128Bits(ByteSpan bytes, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {hash.low64, hash.high64};
}

Xxh3Stream::Xxh3Stream() : state_(XXH3_createState()) {
  TIDEMARK_CHECK(state_ != nullptr);
  Clear();
}

void Xxh3Stream::Add(ByteSpan bytes) {
  TIDEMARK_CHECK(XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()) == XXH_OK);
}

uint64_t Xxh3Stream::Sum() const { return XXH3_64bits_digest(state_.get()); }

void Xxh3Stream::Clear() { TIDEMARK_CHECK(XXH3_64bits_reset(state_.get()) == XXH_OK); }

void Xxh3Stream::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

}  // namespace tidemark::base
