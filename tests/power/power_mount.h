// What the kernel asks of a mounted PowerDisk: one function for each call, all of them thin.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <string>

#include "tests/power/power_disk.h"

namespace tidemark::power {

// What a session's user data points to.
struct Mounted {
  PowerDisk& disk;
  std::string image_folder;
  bool direct;  // O_DIRECT is not refused
};

fuse_lowlevel_ops MountOperations();

}  // namespace tidemark::power
