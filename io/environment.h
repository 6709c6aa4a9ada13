// The world as the engine sees it. The simulator makes one of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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
  // Names the time since the machine was started: what `clock` says to be monotonic can be compared
  // with what another process was told under the same name. Empty: not known.
  std::string boot;
};

// From getrandom(2).
uint64_t SystemRandom64();
int64_t CurrentProcessId();
// The kernel's boot id and this process's time namespace (its monotonic clocks may have an offset
// of their own).
std::string CurrentBoot();

}  // namespace tidemark::io
