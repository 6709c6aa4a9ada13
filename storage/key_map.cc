#include "storage/key_map.h"

#include <algorithm>

#include "base/check.h"

namespace tidemark::storage {
namespace {

// Of four slots three are used: a search for what is not there then takes some eight steps, and the
// last quarter would buy a third more keys for ten times as many.
constexpr uint64_t kSlotsInShare = 4;
constexpr uint64_t kUsedInShare = 3;
constexpr uint64_t kLeastSlots = 2;

}  // namespace

KeyMap::KeyMap(uint64_t memory_bytes, uint64_t seed)
    : seed_(seed),
      slots_(std::max(kLeastSlots, memory_bytes / sizeof(Slot))),
      capacity_(std::max<uint64_t>(1, slots_.size() / kSlotsInShare * kUsedInShare)) {}

size_t KeyMap::SlotOf(const base::Hash128& hash) const {
  auto at = static_cast<size_t>(hash.low % slots_.size());
  while (slots_[at].offset != kFree && slots_[at].hash != hash) {
    if (++at == slots_.size()) at = 0;
  }
  return at;
}

bool KeyMap::Put(Bytes key, int64_t offset) {
  TIDEMARK_CHECK(offset >= 0);
  const base::Hash128 hash = base::Xxh3Of128Bits(base::AsBytes(key), seed_);
  Slot& slot = slots_[SlotOf(hash)];
  if (slot.offset == kFree) {
    if (size_ == capacity_) return false;
    ++size_;
    slot.hash = hash;
  }
  slot.offset = std::max(slot.offset, offset);
  return true;
}

std::optional<int64_t> KeyMap::Find(Bytes key) const {
  const Slot& slot = slots_[SlotOf(base::Xxh3Of128Bits(base::AsBytes(key), seed_))];
  if (slot.offset == kFree) return std::nullopt;
  return slot.offset;
}

}  // namespace tidemark::storage
