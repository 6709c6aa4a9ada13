// Assertions that stay in release builds. They guard against programmer errors, never against
// input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace tidemark::base {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "tidemark: %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace tidemark::base

// A macro, since it needs the text of the condition.
#define TIDEMARK_CHECK(condition)                      \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::tidemark::base::CheckFailed(__FILE__, __LINE__, #condition))
