#include "base/utf8.h"

namespace tidemark::base {
namespace {

constexpr uint32_t kLastCodePoint = 0x10ffff;

// Of the sequence that `lead` begins: its bytes, and the first code point that needs so many.
struct Form {
  size_t length = 0;  // 0: no sequence begins so
  uint32_t least = 0;
};

Form FormOf(uint8_t lead) {
  if (lead < 0x80) return {1, 0};
  if ((lead & 0xe0) == 0xc0) return {2, 0x80};
  if ((lead & 0xf0) == 0xe0) return {3, 0x800};
  if ((lead & 0xf8) == 0xf0) return {4, 0x10000};
  return {};
}

}  // namespace

std::optional<uint32_t> NextCodePoint(std::string_view text, size_t* at) {
  const auto lead = static_cast<uint8_t>(text[*at]);
  const Form form = FormOf(lead);
  if (form.length == 0 || text.size() - *at < form.length) return std::nullopt;
  uint32_t point = form.length == 1 ? lead : lead & (0x7fU >> form.length);
  for (size_t i = 1; i < form.length; ++i) {
    const auto next = static_cast<uint8_t>(text[*at + i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (next & 0x3fU);
  }
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  if (point < form.least || point > kLastCodePoint || surrogate) return std::nullopt;
  *at += form.length;
  return point;
}

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (!NextCodePoint(text, &at)) return false;
  }
  return true;
}

}  // namespace tidemark::base
