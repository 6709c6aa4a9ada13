#include "base/uuid.h"

#include "base/bytes.h"

namespace tidemark::base {
namespace {

constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kTextLength = 22;  // 128 bits in characters of 6, the last one holding 2
constexpr unsigned kLastCharacterSpareBits = 4;
static_assert(kBase64Url.size() == 64);
static_assert(kTextLength * 6 == 128 + kLastCharacterSpareBits);

}  // namespace

Uuid Uuid::FromRandom(uint64_t high, uint64_t low) {
  constexpr uint64_t kVersion = 0x4000;                 // version 4 in bits 48 to 51
  constexpr uint64_t kVariant = 0x8000'0000'0000'0000;  // variant 10 in bits 64 and 65
  high = (high & ~uint64_t{0xf000}) | kVersion;
  low = (low & ~(uint64_t{3} << 62)) | kVariant;
  // Kafka makes no id whose text starts with '-' (62): on a command line it would be an option.
  if (high >> 58 == 62) high &= ~(uint64_t{1} << 63);
  Uuid id;
  StoreBig(id.bytes.data(), high);
  StoreBig(id.bytes.data() + 8, low);
  return id;
}

std::string Uuid::ToBase64() const {
  std::string text;
  text.reserve(kTextLength);
  uint32_t bits = 0;
  unsigned held = 0;
  for (const std::byte byte : bytes) {
    bits = (bits << 8) | static_cast<uint32_t>(byte);
    held += 8;
    while (held >= 6) {
      held -= 6;
      text += kBase64Url[(bits >> held) & 63];
    }
  }
  text += kBase64Url[(bits << kLastCharacterSpareBits) & 63];
  return text;
}

std::optional<Uuid> Uuid::FromBase64(std::string_view text) {
  if (text.size() != kTextLength) return std::nullopt;
  Uuid id;
  size_t filled = 0;
  uint32_t bits = 0;
  unsigned held = 0;
  for (const char character : text) {
    const size_t value = kBase64Url.find(character);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      id.bytes[filled++] = static_cast<std::byte>((bits >> held) & 0xff);
    }
  }
  // Spare bits that are set would give one id two texts.
  if ((bits & ((1u << kLastCharacterSpareBits) - 1)) != 0) return std::nullopt;
  return id;
}

}  // namespace tidemark::base

size_t std::hash<tidemark::base::Uuid>::operator()(const tidemark::base::Uuid& id) const noexcept {
  // The bytes are random already, apart from the six that version and variant fix.
  return tidemark::base::LoadLittle<uint64_t>(id.bytes.data()) ^
         tidemark::base::LoadLittle<uint64_t>(id.bytes.data() + 8);
}
