// A record as text: by a format string as kcat's -f has them, or as one JSON object.
//
//   %t topic      %p partition  %o offset   %T timestamp in ms   %k key   %s value
//   %K key's length, %S value's length (-1: null)   %h headers "name=value,name=value"
//   %% a percent sign; \n \r \t \\ \0 \xHH
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "tidemark/error.h"
#include "tidemark/record.h"

namespace tidemark::tools {

using Json = nlohmann::ordered_json;

class RecordFormat {
 public:
  // invalid_argument names the token that is not known.
  static Result<RecordFormat> Parse(std::string_view format);

  // Appends the record's text to `to`.
  void Append(std::string_view topic, int32_t partition, const RecordView& record,
              std::string* to) const;

 private:
  struct Piece {
    char token = 0;  // 0: `text` as it is
    std::string text;
  };
  void AddLiteral(char byte);
  static Result<char> ParseEscape(std::string_view format, size_t* position);
  std::vector<Piece> pieces_;
};

// Adds offset, timestamp, key, value, headers. Bytes that are not UTF-8 stand as base64 under
// key_base64, value_base64; null is null.
void AddRecord(const RecordView& record, Json* to);
// A line of JSON, "\n" included: topic and partition, too.
void AppendRecordJson(std::string_view topic, int32_t partition, const RecordView& record,
                      std::string* to);

}  // namespace tidemark::tools
