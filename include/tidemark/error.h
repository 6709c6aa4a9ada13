// How every call of Tidemark says that it failed.
//
// A call returns Result<T> (or Status, which is Result<void>): either a value or an Error.
// Exceptions are not part of the API. An Error carries a code to branch on, errno where the kernel
// said no, and a sentence for a person that names the file or offset, the cause and what to do.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tidemark {

enum class ErrorCode {
  invalid_argument,     // the call itself is wrong; nothing was changed
  unknown_topic,        // no topic or partition of that name
  topic_exists,         // CreateTopic: the name is taken
  record_too_large,     // larger than the topic's max.message.bytes
  offset_out_of_range,  // below the log start offset or above the end offset
  busy,                 // the journal or the memory option is nearly full; try again after Poll()
  disk_full,            // the disk or the byte budget has no room for this record; try again later
  io_error,             // the kernel refused a read or a write
  corrupt,              // bytes on the disk or the wire are not what was written
  unsupported,          // a newer format version, an unknown codec, a setting that is not honoured
  locked,               // another process has the data folder open for writing
  stopped,              // a write or flush failed earlier: nothing more is accepted until a restart
};

// The field's name of a code, for logs and the wire: "offset_out_of_range".
std::string_view ErrorCodeName(ErrorCode code);

class [[nodiscard]] Error {
 public:
  explicit Error(ErrorCode code, std::string message = {}, int system_errno = 0)
      : code_(code), system_errno_(system_errno), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  // errno of the failed call, 0 when no call to the kernel was behind it.
  int system_errno() const { return system_errno_; }
  const std::string& message() const { return message_; }
  // "io_error: data/journal at 8192: ... (No space left on device)"
  std::string ToString() const;

 private:
  ErrorCode code_;
  int system_errno_;
  std::string message_;
};

namespace internal {
[[noreturn]] inline void BadResultAccess(const char* what) {
  std::fprintf(stderr, "tidemark: %s\n", what);
  std::abort();
}
}  // namespace internal

// Either a T or an Error. Asking for the one that is not there aborts, also in release.
template <typename T>
class [[nodiscard]] Result {
 public:
  // Both implicit, so that a function can return either.
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    Require();
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    Require();
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    Require();
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    if (ok()) internal::BadResultAccess("error() of a Result that holds a value");
    return *std::get_if<1>(&state_);
  }

 private:
  void Require() const {
    if (!ok()) internal::BadResultAccess("value() of a Result that holds an error");
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): as above
  Result(Error error) : state_(std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    if (ok()) internal::BadResultAccess("error() of a Status that is ok");
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<std::monostate, Error> state_;
};

using Status = Result<void>;

}  // namespace tidemark
