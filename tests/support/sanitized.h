// Whether a sanitizer is built in: it needs descriptors and memory of its own, and takes several
// times as long.
#pragma once

namespace tidemark {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace tidemark
