// A file system for stores that are made to be measured afterwards: nothing is flushed, so that a
// hundred thousand segments take seconds, and where whole blocks of zeros are written to a .log it
// gets holes, so that a log of 100 GB fits on a small disk. Every file reads as it would otherwise.
// Who has made a store calls sync(2) before a power cut matters.
#pragma once

#include "io/file_system.h"

namespace tidemark::bench {

io::FileSystem& SparseFiles();

}  // namespace tidemark::bench
