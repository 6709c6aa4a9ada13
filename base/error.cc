#include "tidemark/error.h"

#include <system_error>

namespace tidemark {

std::string_view ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::unknown_topic:
      return "unknown_topic";
    case ErrorCode::topic_exists:
      return "topic_exists";
    case ErrorCode::record_too_large:
      return "record_too_large";
    case ErrorCode::offset_out_of_range:
      return "offset_out_of_range";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::disk_full:
      return "disk_full";
    case ErrorCode::io_error:
      return "io_error";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::locked:
      return "locked";
    case ErrorCode::stopped:
      return "stopped";
  }
  return "unknown";  // a number that was cast: still no reason to abort while reporting an error
}

std::string Error::ToString() const {
  std::string text(ErrorCodeName(code_));
  if (!message_.empty()) {
    text += ": ";
    text += message_;
  }
  if (system_errno_ != 0) {
    text += " (";
    text += std::system_category().message(system_errno_);  // thread-safe, unlike strerror
    text += ')';
  }
  return text;
}

}  // namespace tidemark
