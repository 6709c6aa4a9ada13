// Small texts that people type or read: sizes, offsets, bytes in JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tidemark/error.h"

namespace tidemark::tools {

// "67108864", "64MiB", "64 MiB", "1GB": bytes, with the units of 1,024 (KiB to TiB) and of 1,000
// (kB, MB, GB, TB).
Result<uint64_t> ParseSize(std::string_view text);

// A whole decimal number, nothing before or behind it, that fits 64 bits.
Result<int64_t> ParseInteger(std::string_view text);

// Where a consumer begins, as kcat's -o says it.
struct StartOffset {
  enum class Kind {
    beginning,
    end,
    absolute,   // value: the offset
    from_end,   // value: so many records before the end
    timestamp,  // value: the first record at or after so many milliseconds since 1970
  };
  Kind kind = Kind::beginning;
  int64_t value = 0;
  bool operator==(const StartOffset&) const = default;
};
// "beginning", "end", "17", "-5", "s@1732272000000".
Result<StartOffset> ParseStartOffset(std::string_view text);

// "KEY=VALUE"
struct Setting {
  std::string key;
  std::string value;
  bool operator==(const Setting&) const = default;
};
Result<Setting> ParseSetting(std::string_view text);
// The value as TopicConfig::Set() wants it: for keys that count bytes ("segment.bytes"), "16MiB"
// becomes "16777216"; everything else stays.
std::string NormalizeSettingValue(std::string_view key, std::string_view value);

// RFC 4648, with padding.
std::string Base64(std::string_view bytes);
// Whether JSON can hold the bytes as a string: well-formed UTF-8 (RFC 3629).
bool IsUtf8(std::string_view bytes);

// `text` with everything that would break a line or a terminal written as \n, \t or \xHH.
std::string OneLine(std::string_view text);

}  // namespace tidemark::tools
