// Between verify*.cc, repair*.cc and the scrub: the seal of a finished segment held against its
// files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "storage/seal.h"

namespace tidemark::storage {

// A seal as it was found.
struct FoundSeal {
  std::optional<Seal> seal;  // that can be believed
  std::string fault;         // what is wrong with the file by itself; empty: nothing
  bool newer = false;        // a newer program has written it
  bool unreadable = false;   // reading it failed: what it says is not known
};
// A missing one is no fault.
FoundSeal FindSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                   const SegmentOwner& owner);

// What a seal says otherwise than the files of which everything else is right.
struct Contradiction {
  SegmentFile file = SegmentFile::log;
  std::optional<uint64_t> position;
  std::string what;
};
// `log`: what a seal would say of the log now. An index that is not given is not looked at.
std::vector<Contradiction> HoldAgainst(const Seal& seal, const LogDigest& log,
                                       const std::optional<FileSum>& offset_index,
                                       const std::optional<FileSum>& time_index);

}  // namespace tidemark::storage
