// Checking a store without changing it: every checksum, every offset, both indexes against the log,
// the journal, its checkpoints, the manifest, and what has no place there. Blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "tidemark/error.h"

namespace tidemark::storage {

struct Finding {
  enum class Kind {
    note,        // worth saying; nothing is wrong
    fault,       // wrong, but nothing is lost: it can be made anew
    loss,        // records are lost: [first_offset, end_offset) of the partition
    unreadable,  // the file system could not read it
  };
  Kind kind = Kind::note;
  std::string path;
  std::string what;
  std::optional<uint64_t> position;  // in the file
  std::string topic;                 // of a loss
  int32_t partition = -1;
  int64_t first_offset = 0;
  int64_t end_offset = 0;
  bool operator==(const Finding&) const = default;
  // A line: "lost: t-0 offsets 5 to 9: FILE at 123: why".
  std::string ToText() const;
};
// An error's text with the system's cause.
std::string CauseText(const Error& error);
// What an error says of a file, without the file's name.
std::string WithoutPath(std::string what, const std::string& path);
// "note", "fault", "lost" or "unreadable".
const char* KindName(Finding::Kind kind);

struct VerifyOptions {
  std::string data_dir;
  bool deep = false;    // decode every record, too
  bool locked = false;  // the caller has the store's lock
  // Segments that are read at the same time, each by a thread of its own; needs a file system that
  // threads may share.
  int threads = 1;
  // Told now and then, from one thread at a time: bytes read so far.
  std::function<void(uint64_t bytes)> progress = [](uint64_t) {};
};

struct VerifyReport {
  std::vector<Finding> findings;
  bool in_use = false;  // somebody has the store open: only what is settled was looked at
  bool clean = false;   // it was stopped cleanly
  uint64_t partitions = 0;
  uint64_t segments = 0;
  uint64_t batches = 0;
  uint64_t records = 0;
  uint64_t commits = 0;
  uint64_t bytes = 0;

  bool Has(Finding::Kind kind) const;
};

// Fails only where there is no store to look at, or one of a newer version.
Result<VerifyReport> VerifyStore(io::FileSystem& files, const VerifyOptions& options);

}  // namespace tidemark::storage
