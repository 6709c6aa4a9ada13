// The bytes of a file, in pages that copies share: what the medium holds of a file costs memory
// only where it differs from what was written since.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace tidemark::power {

inline constexpr uint64_t kPageBytes = 4096;

using Page = std::array<std::byte, kPageBytes>;
// Null: all zeros. Never changed while somebody else holds it, too.
using PagePointer = std::shared_ptr<Page>;

class Content {
 public:
  uint64_t size() const { return size_; }
  uint64_t pages() const { return pages_.size(); }

  // What is new is zeros, also where the file has been longer before.
  void Resize(uint64_t size);
  // Makes it longer if need be.
  void Write(uint64_t offset, base::ByteSpan bytes);
  // How much of it there was to read.
  size_t Read(uint64_t offset, base::MutableByteSpan into) const;

  // Beyond the end: null.
  PagePointer page(uint64_t index) const;
  // Beyond the end: nothing happens.
  void SetPage(uint64_t index, PagePointer page);

 private:
  std::byte* Own(uint64_t index);

  uint64_t size_ = 0;
  std::vector<PagePointer> pages_;
};

}  // namespace tidemark::power
