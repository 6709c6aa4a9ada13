// The last offset of each key, in a fixed allocation: what a compaction pass goes by.
//
// A key is known by its XXH3-128 alone. The seed is another one for each pass, so that nobody who
// chooses keys can choose two with one hash. Pure; belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/hash.h"
#include "tidemark/record.h"

namespace tidemark::storage {

class KeyMap {
 public:
  // Holds as many keys as fit into `memory_bytes`, one at least.
  KeyMap(uint64_t memory_bytes, uint64_t seed);

  // The key's last record so far has `offset`; a greater one that is known already stays. False:
  // the key is new, and the map is full; nothing is changed.
  bool Put(tidemark::Bytes key, int64_t offset);
  // nullopt: the key was never put.
  std::optional<int64_t> Find(tidemark::Bytes key) const;

  uint64_t size() const { return size_; }
  uint64_t capacity() const { return capacity_; }
  uint64_t memory_bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    base::Hash128 hash;
    int64_t offset = kFree;
  };
  static constexpr int64_t kFree = -1;

  // The slot that holds the hash, or the free one where it belongs.
  size_t SlotOf(const base::Hash128& hash) const;

  uint64_t seed_;
  std::vector<Slot> slots_;
  uint64_t capacity_;
  uint64_t size_ = 0;
};

}  // namespace tidemark::storage
