#include "io/system_error.h"

#include <cerrno>
#include <utility>

namespace tidemark::io {

Error SystemError(int system_errno, std::string message) {
  const bool full = system_errno == ENOSPC || system_errno == EDQUOT;
  return Error(full ? ErrorCode::disk_full : ErrorCode::io_error, std::move(message), system_errno);
}

}  // namespace tidemark::io
