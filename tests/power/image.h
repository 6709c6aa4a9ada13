// What the medium holds, as a folder: so that a disk survives its process, and a person can look at
// what a cut has left.
#pragma once

#include <string>

#include "tests/power/power_disk.h"

namespace tidemark::power {

// Fills a new disk. False, with errno: the folder cannot be read.
bool LoadImage(const std::string& folder, PowerDisk* disk);

// Replaces the folder by what a disk that was cut still has. False, with errno: not possible.
bool SaveImage(const PowerDisk& disk, const std::string& folder);

}  // namespace tidemark::power
