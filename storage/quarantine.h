// The quarantine: copies of what was found damaged, each with a note, so that nothing is
// overwritten or cut before somebody could look at it. Best effort where the disk is full; never
// deletes. Blocks.
#pragma once

#include <cstdint>
#include <string>

#include "io/environment.h"
#include "tidemark/error.h"

namespace tidemark::storage {

class Quarantine {
 public:
  Quarantine(const io::Environment& environment, std::string data_dir);

  // Copies [from, to) of `file` (to its end, if that is nearer) to quarantine/NAME and writes
  // `note` to quarantine/NAME.txt; both are flushed.
  Status Copy(io::File& file, uint64_t from, uint64_t to, const std::string& name,
              const std::string& note);
  // Moves a file there.
  Status Move(const std::string& path, const std::string& name, const std::string& note);
  // Moves the logs of all segments of a partition folder there, and removes their indexes.
  Status MoveSegments(const std::string& folder, const std::string& cause);

 private:
  Result<std::string> PathFor(const std::string& name);
  Status WriteNote(const std::string& path, const std::string& note);

  io::Environment environment_;
  std::string data_dir_;
};

}  // namespace tidemark::storage
