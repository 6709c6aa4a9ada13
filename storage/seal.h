// Seals in a partition's folder: 00000000000000000042.seal beside a finished segment's three files.
//
// A seal is a hint that can be made anew: a missing or torn one costs a scan and nothing else. It
// counts only for a segment that is finished by the checkpoint, and before a checkpoint says so the
// folder was flushed with the seal of another life removed. All of this blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/file_system.h"
#include "record/batch.h"
#include "storage/log_digest.h"
#include "storage/seal_format.h"
#include "storage/segment.h"
#include "tidemark/error.h"

namespace tidemark::storage {

// The seal of a segment. corrupt: it is damaged, or that of another base offset; unsupported: of a
// newer version; io_error with errno ENOENT: there is none. Whether it is the owner's and fits the
// files is for the caller to see.
Result<Seal> ReadSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset);

// Writes it and flushes the file; the folder is flushed by the caller. Returns the bytes written: 0
// where the disk has no room, which is no failure.
Result<uint64_t> WriteSeal(io::FileSystem& files, const std::string& folder, const Seal& seal);

// Whether there was one. The folder is flushed by the caller.
Result<bool> RemoveSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset);

// Reads a log whole, every CRC is looked at. nullopt: something in it is damaged or unreadable, so
// that nobody may vouch for it.
std::optional<LogDigest> DigestLog(io::FileSystem& files, const std::string& folder,
                                   int64_t base_offset, SegmentEnd end);
// The seal of a segment whose files are final. nullopt: an index cannot be read, or is none.
std::optional<Seal> MakeSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                             const LogDigest& digest, const SegmentOwner& owner,
                             const AppendTimes& appended);

// Seals the segments of one SegmentWriter as they are finished. Nothing is read for that but the
// two index files, unless the segment had bytes before this writer.
class Sealer {
 public:
  Sealer(io::FileSystem& files, std::string folder, const SegmentOwner& owner);

  // A new segment, or one that has `log_bytes` already.
  void Begin(int64_t base_offset, uint64_t log_bytes);
  void Append(const record::BatchHeader& header, base::ByteSpan batch, const AppendTimes& times);
  // The segment's files are final and flushed; what follows it begins at `next_offset` and was
  // appended at `next_append_ms`. Returns the bytes written.
  Result<uint64_t> Finish(int64_t next_offset, int64_t next_append_ms);

 private:
  io::FileSystem& files_;
  std::string folder_;
  SegmentOwner owner_;
  int64_t base_offset_ = -1;
  uint64_t log_bytes_ = 0;
  std::optional<LogDigest> digest_;      // nullopt: it is to be read
  std::optional<AppendTimes> appended_;  // of what this writer has appended
};

}  // namespace tidemark::storage
