// The partition of a key, as Kafka's clients choose it, so that a key keeps its partition whoever
// writes.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidemark::storage {

// Kafka's variant of MurmurHash2 (32 bits, its own seed), as Java's int.
int32_t Murmur2(std::string_view key);

// 0 to `partitions` - 1; `partitions` must be positive.
int32_t PartitionForKey(std::string_view key, int32_t partitions);

}  // namespace tidemark::storage
