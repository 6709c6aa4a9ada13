// Setting up a ring as good as the kernel gives it, and saying why when it gives none.
#pragma once

#include <optional>

#include <liburing.h>

#include "io/loop_kinds.h"

namespace tidemark::io {

// Makes `ring` (to be ended by io_uring_queue_exit), or says why there is none.
std::optional<RingRefusal> SetUpRing(io_uring* ring);

}  // namespace tidemark::io
