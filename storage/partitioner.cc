#include "storage/partitioner.h"

#include "base/bytes.h"
#include "base/check.h"

namespace tidemark::storage {

// MurmurHash2 by Austin Appleby (public domain) with the seed of Kafka's Utils.murmur2. Words are
// read little-endian, bytes of the rest are not sign-extended.
int32_t Murmur2(std::string_view key) {
  constexpr uint32_t kSeed = 0x9747b28c;
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr int kShift = 24;

  uint32_t hash = kSeed ^ static_cast<uint32_t>(key.size());
  const char* from = key.data();
  size_t left = key.size();
  for (; left >= sizeof(uint32_t); from += sizeof(uint32_t), left -= sizeof(uint32_t)) {
    auto word = base::LoadLittle<uint32_t>(from);
    word *= kMultiplier;
    word ^= word >> kShift;
    word *= kMultiplier;
    hash *= kMultiplier;
    hash ^= word;
  }
  if (left != 0) {
    uint32_t rest = 0;
    for (size_t i = left; i > 0; --i) rest = rest << 8 | static_cast<uint8_t>(from[i - 1]);
    hash ^= rest;
    hash *= kMultiplier;
  }
  hash ^= hash >> 13;
  hash *= kMultiplier;
  hash ^= hash >> 15;
  return static_cast<int32_t>(hash);
}

int32_t PartitionForKey(std::string_view key, int32_t partitions) {
  TIDEMARK_CHECK(partitions > 0);
  constexpr int32_t kPositive = 0x7fffffff;  // Kafka's toPositive() drops the sign bit, no abs()
  return (Murmur2(key) & kPositive) % partitions;
}

}  // namespace tidemark::storage
