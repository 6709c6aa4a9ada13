// Random identities of journals, stores and topics (RFC 9562, version 4).
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tidemark::base {

struct Uuid {
  std::array<std::byte, 16> bytes{};

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison with 0 for its own
  auto operator<=>(const Uuid&) const = default;
  bool is_nil() const { return *this == Uuid{}; }

  // Version 4 from 128 bits of the caller's randomness, so that a simulator can choose them.
  static Uuid FromRandom(uint64_t high, uint64_t low);
  // Kafka's text form: 22 characters of base64url without padding (partition.metadata's topic_id).
  std::string ToBase64() const;
  static std::optional<Uuid> FromBase64(std::string_view text);
};

}  // namespace tidemark::base

template <>
struct std::hash<tidemark::base::Uuid> {
  size_t operator()(const tidemark::base::Uuid& id) const noexcept;
};
