// What statfs says about a file system, in words that a log line can use.
#pragma once

#include <string>

#include "io/file_system.h"

namespace tidemark::io {

Result<DiskSpace> ReadDiskSpace(const std::string& directory);

// The upper directory that the options of an overlay mount name ("rw,lowerdir=/l,upperdir=/u,..."),
// or empty. Colons and commas in it are escaped with backslashes there.
std::string OverlayUpperDirectory(std::string_view mount_options);

}  // namespace tidemark::io
