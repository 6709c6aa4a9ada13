// The local protocol's bytes: requests and responses as commands and `serve` exchange them over the
// socket in the data folder. docs/local-socket.md is its description; no I/O here.
//
// A message is one line of JSON, and behind it as many bytes as its field "bytes" says (none
// without the field). A command that opens the folder by itself sends the same messages to its own
// engine.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "tidemark/error.h"

namespace tidemark::tools {

using Json = nlohmann::ordered_json;

inline constexpr int kProtocolVersion = 1;
inline constexpr std::string_view kSocketName = "tidemark.sock";

// Bounds of a request: a gateway must not be filled by one connection.
inline constexpr size_t kMaxRequestLineBytes = size_t{256} << 10;
inline constexpr size_t kMaxRequestBodyBytes = size_t{4} << 20;
// Bounds of a response: a list of topics, or one batch of any size plus what was asked for.
inline constexpr size_t kMaxResponseLineBytes = size_t{64} << 20;
inline constexpr size_t kMaxResponseBodyBytes = size_t{256} << 20;
// What a fetch may ask for, and asks for when it does not say.
inline constexpr uint64_t kMaxFetchBytes = uint64_t{4} << 20;
inline constexpr uint64_t kDefaultFetchBytes = uint64_t{1} << 20;

// On one line, or indented by so many spaces. Bytes that are not UTF-8, as a damaged file's name
// may have them, become U+FFFD.
std::string JsonText(const Json& json, int indent = -1);

struct Message {
  Json head;
  std::string body;
};

// Appends the message's bytes to `to`. "bytes" is added to the line when there is a body.
void AppendMessage(Json head, std::string_view body, std::string* to);

// Cuts a stream into messages. Memory is bounded by the limits and by what was given to Append().
class MessageParser {
 public:
  struct Limits {
    size_t line_bytes = 0;
    size_t body_bytes = 0;
  };
  static constexpr Limits kRequestLimits = {kMaxRequestLineBytes, kMaxRequestBodyBytes};
  static constexpr Limits kResponseLimits = {kMaxResponseLineBytes, kMaxResponseBodyBytes};

  explicit MessageParser(Limits limits) : limits_(limits) {}

  void Append(std::string_view bytes) { buffer_ += bytes; }
  // The next whole message; nullopt: more bytes are needed. After an error (corrupt: not JSON, too
  // long) nothing further can be made sense of.
  Result<std::optional<Message>> Next();
  size_t buffered_bytes() const { return buffer_.size() - consumed_; }

 private:
  Result<bool> ParseLine();
  void Compact();

  Limits limits_;
  std::string buffer_;
  size_t consumed_ = 0;       // bytes of buffer_ that are done with
  size_t searched_ = 0;       // bytes behind consumed_ that hold no line's end
  std::optional<Json> head_;  // a line whose body is awaited
  size_t body_bytes_ = 0;
};

// Fields of an object, with errors that name the field. Missing is nullopt; null counts as missing.
Result<std::optional<int64_t>> OptionalInteger(const Json& object, const char* field);
Result<std::optional<std::string>> OptionalText(const Json& object, const char* field);
Result<std::optional<bool>> OptionalBool(const Json& object, const char* field);
Result<int64_t> RequiredInteger(const Json& object, const char* field);
Result<std::string> RequiredText(const Json& object, const char* field);
// Refuses fields that are not named: a typing error must not pass silently.
Status CheckFields(const Json& object, std::initializer_list<std::string_view> known);

// {"ok":false,"error":"unknown_topic","message":"...","errno":2}
Json ErrorResponse(const Error& error);
// The Error of such a response; ok for {"ok":true,...}; corrupt for anything else.
Status CheckResponse(const Json& head);
// {"error":...,"message":...,"errno":...} as a part of something larger.
void AddError(const Error& error, Json* to);
Error ReadError(const Json& from);

}  // namespace tidemark::tools
