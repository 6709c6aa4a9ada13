// From errno to Error, in one place, so that every caller branches on the same codes.
#pragma once

#include <string>

#include "tidemark/error.h"

namespace tidemark::io {

// `message` names the path and what was being done: "data/journal: write of 4096 bytes at 0
// failed". ENOSPC and EDQUOT become disk_full, everything else io_error; Error::ToString() adds
// errno's text.
Error SystemError(int system_errno, std::string message);

}  // namespace tidemark::io
