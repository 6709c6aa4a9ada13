// XXH3-64, the checksum of Tidemark's own formats, and XXH3-128, by which keys are told apart.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"

struct XXH3_state_s;

namespace tidemark::base {

uint64_t Xxh3(ByteSpan bytes, uint64_t seed = 0);
// Sixteen hex digits, as `xxhsum -H3` prints them.
std::string ChecksumText(uint64_t checksum);

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};
Hash128 Xxh3Of128Bits(ByteSpan bytes, uint64_t seed);

// The same of bytes that come piece by piece, with seed 0.
class Xxh3Stream {
 public:
  Xxh3Stream();
  void Add(ByteSpan bytes);
  // Of all that was added since the beginning or the last Clear().
  uint64_t Sum() const;
  void Clear();

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace tidemark::base
