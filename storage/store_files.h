// Finding a store in a folder: its journal, its manifest, and whether they belong together. Blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/context.h"
#include "storage/journal.h"
#include "storage/manifest.h"

namespace tidemark::storage {

struct StoreFiles {
  std::unique_ptr<Journal> journal;  // open and locked
  Manifest manifest;
  bool created = false;  // there was nothing before
  // The journal was missing, foreign or unreadable beside existing data: it is new, what the old
  // one held is lost, and every partition has to go on far above its last known end.
  bool journal_lost = false;
};

// Says which process has the folder open for writing.
Error LockedError(io::FileSystem& files, const std::string& data_dir, int system_errno);

// Opens or makes the store of `context.options.data_dir`. Refuses a newer format (unsupported), a
// folder that another process has open (locked), and one whose identity is unreadable in every copy
// (corrupt).
Result<StoreFiles> OpenStoreFiles(Context& context);

// What all files in some folders, and in the folders there, take on the disk, by their sizes.
// Blocks.
Result<uint64_t> BytesBelow(io::FileSystem& files, std::vector<std::string> folders);
// What a store, or a topic, of which `used_bytes` are taken may grow by; below 0: it is larger than
// it may be.
int64_t RoomInBudget(uint64_t budget_bytes, uint64_t used_bytes);

}  // namespace tidemark::storage
