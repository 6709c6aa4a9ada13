// UTF-8 as RFC 3629 has it: no surrogates, no longer form than needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tidemark::base {

// The code point that begins at text[*at], which then names the byte behind it. nullopt: what
// stands there is not well-formed, and `at` stays. `*at` must lie below text.size().
std::optional<uint32_t> NextCodePoint(std::string_view text, size_t* at);

bool IsUtf8(std::string_view text);

}  // namespace tidemark::base
