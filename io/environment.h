// The world as the engine sees it. The simulator makes one of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "io/file_system.h"
#include "io/loop.h"
#include "io/worker.h"

namespace tidemark::io {

struct Environment {
  FileSystem& files;
  Loop& loop;
  Worker& worker;
  base::Clock& clock;
  uint64_t (*random64)();  // for identities
  int64_t process_id = 0;  // named to a second process that finds the data folder locked
};

// From getrandom(2).
uint64_t SystemRandom64();
int64_t CurrentProcessId();

}  // namespace tidemark::io
