#include "tools/text.h"

#include <array>
#include <charconv>
#include <utility>

#include "base/utf8.h"

namespace tidemark::tools {
namespace {

constexpr std::array<std::pair<std::string_view, uint64_t>, 10> kUnits = {{
    {"", 1},
    {"B", 1},
    {"KiB", uint64_t{1} << 10},
    {"MiB", uint64_t{1} << 20},
    {"GiB", uint64_t{1} << 30},
    {"TiB", uint64_t{1} << 40},
    {"kB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
}};

Error Invalid(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message));
}

std::string Quoted(std::string_view text) { return "'" + OneLine(text) + "'"; }

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc::result_out_of_range) return Invalid(Quoted(text) + " is too large");
  if (parsed.ec != std::errc()) return Invalid(Quoted(text) + " is not a size");
  std::string_view unit(parsed.ptr, static_cast<size_t>(end - parsed.ptr));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, factor] : kUnits) {
    if (unit != name) continue;
    if (number > UINT64_MAX / factor) return Invalid(Quoted(text) + " is too large");
    return number * factor;
  }
  return Invalid(Quoted(text) + " is not a size: the unit must be one of KiB, MiB, GiB, TiB, " +
                 "kB, MB, GB, TB or none");
}

Result<int64_t> ParseInteger(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return Invalid(Quoted(text) + " is not a whole number of 64 bits");
  }
  return number;
}

Result<StartOffset> ParseStartOffset(std::string_view text) {
  using Kind = StartOffset::Kind;
  if (text == "beginning" || text == "earliest") return StartOffset{Kind::beginning, 0};
  if (text == "end" || text == "latest") return StartOffset{Kind::end, 0};
  const bool is_time = text.starts_with("s@");
  const auto number = ParseInteger(is_time ? text.substr(2) : text);
  if (!number.ok()) {
    return Invalid(Quoted(text) +
                   " is not an offset: beginning, end, N, -N (before the end) or s@MILLISECONDS");
  }
  if (is_time) return StartOffset{Kind::timestamp, *number};
  if (*number >= 0 && text.front() != '-') return StartOffset{Kind::absolute, *number};
  if (*number == INT64_MIN) return Invalid(Quoted(text) + " is too far before the end");
  return StartOffset{Kind::from_end, -*number};
}

Result<Setting> ParseSetting(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Invalid(Quoted(text) + " is not KEY=VALUE");
  }
  return Setting{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

std::string NormalizeSettingValue(std::string_view key, std::string_view value) {
  // Not "-1", and not what is no size at all: the engine's own message names the key and its range.
  if (!key.ends_with("bytes") || ParseInteger(value).ok()) return std::string(value);
  const auto size = ParseSize(value);
  return size.ok() ? std::to_string(*size) : std::string(value);
}

std::string Base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t left = bytes.size() - i;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < left ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= left ? kDigits[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

bool IsUtf8(std::string_view bytes) { return base::IsUtf8(bytes); }

std::string OneLine(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\t') {
      line += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      line += "\\x";
      line += kHex[byte >> 4];
      line += kHex[byte & 15];
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace tidemark::tools
