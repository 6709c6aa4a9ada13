// The quarantine: copies of what was found damaged, each with a note, so that nothing is
// overwritten or cut before somebody could look at it. Best effort where the disk is full. Nothing
// there is deleted but for what KeepNewest() is asked for. Blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/environment.h"
#include "tidemark/error.h"

namespace tidemark::storage {

class Quarantine {
 public:
  Quarantine(io::Environment environment, std::string data_dir);

  // Copies [from, to) of `file` (to its end, if that is nearer) to quarantine/NAME and writes
  // `note` to quarantine/NAME.txt; both are flushed. One of the same bytes under that name, whole
  // or cut off on its way, becomes this copy.
  Status Copy(io::File& file, uint64_t from, uint64_t to, const std::string& name,
              const std::string& note);
  // Of what was copied under names that end with KIND and a number, those of the greatest numbers
  // stay, `most` of them.
  Status KeepNewest(const std::string& kind, size_t most);
  // Moves a file there.
  Status Move(const std::string& path, const std::string& name, const std::string& note);
  // Moves a segment's files there, as FOLDER-FILE; the folder is to be flushed by the caller.
  Status MoveSegment(const std::string& folder, int64_t base_offset, const std::string& cause);
  // All segments of a partition folder. Whether there were any.
  Result<bool> MoveSegments(const std::string& folder, const std::string& cause);

  // What a file of the store is called there, after the time: "t-0/5.log" becomes "t-0-5.log".
  std::string NameFor(const std::string& path) const;

 private:
  std::string Folder() const { return io::JoinPath(data_dir_, "quarantine"); }
  struct Found {
    std::string path;
    bool has_note = false;
  };
  Result<std::optional<Found>> FindCopy(io::File& file, uint64_t from, uint64_t to,
                                        const std::string& name);
  Result<std::string> PathFor(const std::string& name);
  Status FlushFolders();
  Status WriteNote(const std::string& path, const std::string& note);

  io::Environment environment_;
  std::string data_dir_;
};

}  // namespace tidemark::storage
