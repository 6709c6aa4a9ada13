#include "tools/record_format.h"

#include <charconv>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "tools/local_protocol.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

constexpr std::string_view kTokens = "tpoTksKSh";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void AppendNumber(int64_t number, std::string* to) {
  char digits[20];  // the longest int64: "-9223372036854775808"
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  to->append(digits, static_cast<size_t>(end - digits));
}

void AppendLength(const std::optional<Bytes>& bytes, std::string* to) {
  AppendNumber(bytes ? static_cast<int64_t>(bytes->size()) : -1, to);
}

void AppendHeaders(const HeaderRange& headers, std::string* to) {
  bool first = true;
  for (const Header& header : headers) {
    if (!first) *to += ',';
    first = false;
    *to += header.key;
    *to += '=';
    if (header.value) *to += *header.value;
  }
}

// {"NAME": text} or {"NAME_base64": text} or {"NAME": null}
void AddBytes(const char* name, const std::optional<Bytes>& bytes, Json* to) {
  if (!bytes) {
    (*to)[name] = nullptr;
  } else if (IsUtf8(*bytes)) {
    (*to)[name] = *bytes;
  } else {
    (*to)[std::string(name) + "_base64"] = Base64(*bytes);
  }
}

}  // namespace

void RecordFormat::AddLiteral(char byte) {
  if (pieces_.empty() || pieces_.back().token != 0) pieces_.emplace_back();
  pieces_.back().text += byte;
}

// `*position` stands behind the backslash, and afterwards behind the escape.
Result<char> RecordFormat::ParseEscape(std::string_view format, size_t* position) {
  const Error bad(ErrorCode::invalid_argument,
                  "format: a backslash must be followed by n, r, t, 0, \\ or xHH");
  if (*position >= format.size()) return bad;
  const char c = format[(*position)++];
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case '0':
      return '\0';
    case '\\':
      return '\\';
    case 'x':
      break;
    default:
      return bad;
  }
  if (format.size() - *position < 2) return bad;
  const int high = HexDigit(format[*position]);
  const int low = HexDigit(format[*position + 1]);
  if (high < 0 || low < 0) return bad;
  *position += 2;
  return static_cast<char>(high << 4 | low);
}

Result<RecordFormat> RecordFormat::Parse(std::string_view format) {
  RecordFormat parsed;
  size_t i = 0;
  while (i < format.size()) {
    const char c = format[i++];
    if (c == '\\') {
      const auto byte = ParseEscape(format, &i);
      if (!byte.ok()) return byte.error();
      parsed.AddLiteral(*byte);
    } else if (c != '%') {
      parsed.AddLiteral(c);
    } else if (i < format.size() && format[i] == '%') {
      parsed.AddLiteral(format[i++]);
    } else if (i < format.size() && kTokens.find(format[i]) != std::string_view::npos) {
      parsed.pieces_.push_back({format[i++], {}});
    } else {
      const std::string token = "%" + std::string(format.substr(i, 1));
      return Error(ErrorCode::invalid_argument,
                   "format: '" + token + "' is not one of %t %p %o " + "%T %k %s %K %S %h %%");
    }
  }
  return parsed;
}

void RecordFormat::Append(std::string_view topic, int32_t partition, const RecordView& record,
                          std::string* to) const {
  for (const Piece& piece : pieces_) {
    switch (piece.token) {
      case 0:
        *to += piece.text;
        break;
      case 't':
        *to += topic;
        break;
      case 'p':
        AppendNumber(partition, to);
        break;
      case 'o':
        AppendNumber(record.offset, to);
        break;
      case 'T':
        AppendNumber(record.timestamp_ms, to);
        break;
      case 'k':
        *to += record.key.value_or(Bytes());
        break;
      case 's':
        *to += record.value.value_or(Bytes());
        break;
      case 'K':
        AppendLength(record.key, to);
        break;
      case 'S':
        AppendLength(record.value, to);
        break;
      case 'h':
        AppendHeaders(record.headers, to);
        break;
      default:
        break;  // Parse() lets no other through
    }
  }
}

void AddRecord(const RecordView& record, Json* to) {
  (*to)["offset"] = record.offset;
  (*to)["timestamp"] = record.timestamp_ms;
  AddBytes("key", record.key, to);
  AddBytes("value", record.value, to);
  Json& headers = (*to)["headers"] = Json::array();
  for (const Header& header : record.headers) {
    Json entry;
    AddBytes("key", header.key, &entry);
    AddBytes("value", header.value, &entry);
    headers.push_back(std::move(entry));
  }
}

void AppendRecordJson(std::string_view topic, int32_t partition, const RecordView& record,
                      std::string* to) {
  Json line;
  line["topic"] = topic;
  line["partition"] = partition;
  AddRecord(record, &line);
  *to += JsonText(line);
  *to += '\n';
}

}  // namespace tidemark::tools
