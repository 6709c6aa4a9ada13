#include "tests/power/content.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tidemark::power {

void Content::Resize(uint64_t size) {
  // No byte behind the end may differ from zero: it would show when the file grows again.
  if (size < size_ && size % kPageBytes != 0 && pages_[size / kPageBytes] != nullptr) {
    std::memset(Own(size / kPageBytes) + size % kPageBytes, 0, kPageBytes - size % kPageBytes);
  }
  size_ = size;
  pages_.resize((size + kPageBytes - 1) / kPageBytes);
}

void Content::Write(uint64_t offset, base::ByteSpan bytes) {
  if (bytes.empty()) return;
  Resize(std::max<uint64_t>(size_, offset + bytes.size()));
  while (!bytes.empty()) {
    const uint64_t in_page = offset % kPageBytes;
    const size_t piece = std::min<size_t>(bytes.size(), kPageBytes - in_page);
    std::memcpy(Own(offset / kPageBytes) + in_page, bytes.data(), piece);
    offset += piece;
    bytes = bytes.subspan(piece);
  }
}

size_t Content::Read(uint64_t offset, base::MutableByteSpan into) const {
  if (offset >= size_) return 0;
  const size_t length = std::min<size_t>(into.size(), size_ - offset);
  for (size_t done = 0; done < length;) {
    const uint64_t in_page = (offset + done) % kPageBytes;
    const size_t piece = std::min<size_t>(length - done, kPageBytes - in_page);
    const PagePointer& page = pages_[(offset + done) / kPageBytes];
    if (page == nullptr) {
      std::memset(into.data() + done, 0, piece);
    } else {
      std::memcpy(into.data() + done, page->data() + in_page, piece);
    }
    done += piece;
  }
  return length;
}

PagePointer Content::page(uint64_t index) const {
  return index < pages_.size() ? pages_[index] : nullptr;
}

void Content::SetPage(uint64_t index, PagePointer page) {
  if (index >= pages_.size()) return;
  pages_[index] = std::move(page);
  const uint64_t used = size_ - index * kPageBytes;
  if (used >= kPageBytes || pages_[index] == nullptr) return;
  std::memset(Own(index) + used, 0, kPageBytes - used);
}

std::byte* Content::Own(uint64_t index) {
  PagePointer& page = pages_[index];
  if (page == nullptr) {
    page = std::make_shared<Page>();
  } else if (page.use_count() > 1) {
    page = std::make_shared<Page>(*page);
  }
  return page->data();
}

}  // namespace tidemark::power
