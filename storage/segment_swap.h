// A compacted segment takes the place of its sources, so that a crash at any point leaves either
// them or it, and never both or neither.
//
//   BASE.log.cleaned, .index.cleaned, .timeindex.cleaned, .seal.cleaned     written and flushed
//   BASE.seal.swap     the seal under this name, the folder flushed: from now on it is decided
//
// What is decided is done by opening the store, too, from the beginning and as often as need be;
// without a .seal.swap the .cleaned files are thrown away. All of this blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/segment.h"

namespace tidemark::storage {

// "FOLDER/00000000000000000042.log.cleaned"
std::string CleanedPath(const std::string& folder, int64_t base_offset, SegmentFile kind);
// "FOLDER/00000000000000000042.seal.swap"
std::string SwapPath(const std::string& folder, int64_t base_offset);

struct SwapResult {
  Status status;
  // A failure before this is that of a draft. After it, only the next opening can finish the work.
  bool decided = false;
  // After such a failure: BASE.log is the successor's, so that this is what readers find.
  bool log_in_place = false;
};
// The finished CleanedSegment of `base_offset` replaces all segments in [base_offset, end_offset).
SwapResult SwapSegments(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                        int64_t end_offset);

// The seal of a segment of which nothing else changes is replaced by its BASE.seal.cleaned.
Status ReplaceSeal(io::FileSystem& files, const std::string& folder, const Seal& seal);

// Removes the .cleaned files of a folder; whether there were any.
Result<bool> RemoveCleaned(io::FileSystem& files, const std::string& folder);
// What opening does before it looks at a folder's segments: swaps that were decided are done, the
// rest is thrown away.
Status SettleSwaps(io::FileSystem& files, const std::string& folder);
// Whether that would find anything to do, by what List() has said of the folder.
bool HasSwaps(const std::vector<io::DirectoryEntry>& entries);

// A swap that is decided and perhaps not done, as one finds it who changes nothing.
struct FoundSwap {
  int64_t base_offset = 0;
  int64_t end_offset = 0;     // behind what the successor takes up
  bool log_in_place = false;  // the successor's log has its name
  bool counts = false;  // the successor does; else its sources do, and the next opening removes it
};
Result<std::vector<FoundSwap>> FindSwaps(io::FileSystem& files, const std::string& folder);

}  // namespace tidemark::storage
