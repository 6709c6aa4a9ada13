// The two kinds of loop, for MakeLoop() to choose from.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "io/loop.h"

namespace tidemark::io {

// What the kernel would not do: "io_uring_setup", EPERM, and what may be behind it.
struct RingRefusal {
  std::string what;
  int system_errno = 0;
  std::string hint;

  // "io_uring_setup: Operation not permitted; kernel.io_uring_disabled is 2"
  std::string ToString() const;
};

std::variant<std::unique_ptr<Loop>, RingRefusal> MakeRingLoop();

// `reason`: why it is not io_uring, for the description; may be empty.
Result<std::unique_ptr<Loop>> MakeSyscallLoop(const std::string& reason);

}  // namespace tidemark::io
