#include "tools/local_protocol.h"

#include <algorithm>
#include <utility>

#include "tools/text.h"

namespace tidemark::tools {
namespace {

// Consumed bytes are dropped from the buffer only once they are so many: moving the rest for each
// message would cost the square of the stream.
constexpr size_t kCompactBytes = size_t{256} << 10;

Error Invalid(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message));
}

Error Garbage(std::string message) { return Error(ErrorCode::corrupt, std::move(message)); }

// nullptr when the field is missing or null.
const Json* Find(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Error Missing(const char* field) {
  return Invalid("the field '" + std::string(field) + "' is missing");
}

}  // namespace

std::string JsonText(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void AppendMessage(Json head, std::string_view body, std::string* to) {
  if (!body.empty()) head["bytes"] = body.size();
  *to += JsonText(head);
  *to += '\n';
  *to += body;
}

void MessageParser::Compact() {
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
    // One large message must not hold its memory for the connection's life.
    if (buffer_.capacity() > kCompactBytes) buffer_.shrink_to_fit();
    consumed_ = 0;
  } else if (consumed_ >= kCompactBytes) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
}

// True when a line was taken into head_.
Result<bool> MessageParser::ParseLine() {
  const size_t end = buffer_.find('\n', consumed_ + searched_);
  const size_t line_bytes = (end == std::string::npos ? buffer_.size() : end) - consumed_;
  if (line_bytes > limits_.line_bytes) {
    return Garbage("a line is longer than " + std::to_string(limits_.line_bytes) + " bytes");
  }
  if (end == std::string::npos) {
    searched_ = line_bytes;
    return false;
  }
  const auto* line = buffer_.data() + consumed_;
  Json head = Json::parse(line, line + line_bytes, nullptr, false);
  if (!head.is_object()) return Garbage("a line is not a JSON object");
  const auto bytes = OptionalInteger(head, "bytes");
  if (!bytes.ok()) return Garbage(bytes.error().message());
  const int64_t body_bytes = bytes->value_or(0);
  if (body_bytes < 0 || static_cast<uint64_t>(body_bytes) > limits_.body_bytes) {
    return Garbage("'bytes' must be 0 to " + std::to_string(limits_.body_bytes));
  }
  consumed_ = end + 1;
  searched_ = 0;
  body_bytes_ = static_cast<size_t>(body_bytes);
  head_ = std::move(head);
  return true;
}

Result<std::optional<Message>> MessageParser::Next() {
  if (!head_) {
    const auto found = ParseLine();
    if (!found.ok()) return found.error();
    if (!*found) {
      Compact();
      return std::optional<Message>();
    }
  }
  if (buffered_bytes() < body_bytes_) return std::optional<Message>();
  Message message{std::move(*head_), buffer_.substr(consumed_, body_bytes_)};
  head_.reset();
  consumed_ += body_bytes_;
  Compact();
  return std::optional<Message>(std::move(message));
}

Result<std::optional<int64_t>> OptionalInteger(const Json& object, const char* field) {
  const Json* found = Find(object, field);
  if (found == nullptr) return std::optional<int64_t>();
  const bool fits = found->is_number_integer() &&
                    (!found->is_number_unsigned() || found->get<uint64_t>() <= INT64_MAX);
  if (!fits) return Invalid("the field '" + std::string(field) + "' must be a whole number");
  return std::optional<int64_t>(found->get<int64_t>());
}

Result<std::optional<std::string>> OptionalText(const Json& object, const char* field) {
  const Json* found = Find(object, field);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return Invalid("the field '" + std::string(field) + "' must be a text");
  return std::optional<std::string>(found->get_ref<const std::string&>());
}

Result<std::optional<bool>> OptionalBool(const Json& object, const char* field) {
  const Json* found = Find(object, field);
  if (found == nullptr) return std::optional<bool>();
  if (!found->is_boolean()) {
    return Invalid("the field '" + std::string(field) + "' must be true or false");
  }
  return std::optional<bool>(found->get<bool>());
}

Result<int64_t> RequiredInteger(const Json& object, const char* field) {
  const auto found = OptionalInteger(object, field);
  if (!found.ok()) return found.error();
  if (!*found) return Missing(field);
  return **found;
}

Result<std::string> RequiredText(const Json& object, const char* field) {
  auto found = OptionalText(object, field);
  if (!found.ok()) return found.error();
  if (!*found) return Missing(field);
  return std::move(**found);
}

Status CheckFields(const Json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return Invalid("the field '" + OneLine(key) + "' is not known here");
    }
  }
  return {};
}

void AddError(const Error& error, Json* to) {
  (*to)["error"] = ErrorCodeName(error.code());
  (*to)["message"] = error.message();
  if (error.system_errno() != 0) (*to)["errno"] = error.system_errno();
}

Error ReadError(const Json& from) {
  static constexpr ErrorCode kCodes[] = {
      ErrorCode::invalid_argument,
      ErrorCode::unknown_topic,
      ErrorCode::topic_exists,
      ErrorCode::record_too_large,
      ErrorCode::offset_out_of_range,
      ErrorCode::busy,
      ErrorCode::disk_full,
      ErrorCode::io_error,
      ErrorCode::corrupt,
      ErrorCode::unsupported,
      ErrorCode::locked,
      ErrorCode::stopped,
  };
  const auto name = OptionalText(from, "error");
  const auto message = OptionalText(from, "message");
  const auto system_errno = OptionalInteger(from, "errno");
  if (!name.ok() || !message.ok() || !system_errno.ok() || !*name) {
    return Garbage("the answer is not one of this protocol");
  }
  // A code that a newer server has is still an error with a message.
  ErrorCode code = ErrorCode::unsupported;
  for (const ErrorCode known : kCodes) {
    if (ErrorCodeName(known) == **name) code = known;
  }
  return Error(code, message->value_or(**name), static_cast<int>(system_errno->value_or(0)));
}

Json ErrorResponse(const Error& error) {
  Json response;
  response["ok"] = false;
  AddError(error, &response);
  return response;
}

Status CheckResponse(const Json& head) {
  const auto ok = OptionalBool(head, "ok");
  if (!ok.ok() || !*ok) return Garbage("the answer is not one of this protocol");
  if (**ok) return {};
  return ReadError(head);
}

}  // namespace tidemark::tools
