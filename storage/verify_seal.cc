#include "storage/verify_seal.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "storage/verify.h"

namespace tidemark::storage {
namespace {

// Blocks of the log that are others, neighbours told as one.
void CompareBlocks(const Seal& seal, const Seal& found, std::vector<Contradiction>* told) {
  const size_t count = seal.block_checksums.size();
  const auto differs = [&](size_t block) {
    return block < count && seal.block_checksums[block] != found.block_checksums[block];
  };
  for (size_t block = 0; block < count; ++block) {
    if (!differs(block)) continue;
    const uint64_t begin = block * uint64_t{kSealBlockBytes};
    while (differs(block + 1)) ++block;
    const uint64_t end = std::min((block + 1) * uint64_t{kSealBlockBytes}, seal.log_bytes);
    told->push_back({SegmentFile::log, begin,
                     "the bytes from here to " + std::to_string(end - 1) +
                         " are not those that were sealed, though every batch has its CRC: "
                         "something has changed that the CRC does not cover"});
  }
}

bool SameBatches(const Seal& seal, const Seal& found) {
  return seal.end_offset == found.end_offset && seal.batch_count == found.batch_count &&
         seal.record_count == found.record_count &&
         seal.least_base_timestamp_ms == found.least_base_timestamp_ms &&
         seal.max_timestamp_ms == found.max_timestamp_ms;
}

}  // namespace

FoundSeal FindSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                   const SegmentOwner& owner) {
  FoundSeal found;
  auto seal = ReadSeal(files, folder, base_offset);
  if (!seal) {
    found.newer = seal.error().code() == ErrorCode::unsupported;
    found.unreadable = seal.error().code() == ErrorCode::io_error;
    const bool missing = seal.error().system_errno() == ENOENT;
    if (!missing)
      found.fault =
          WithoutPath(CauseText(seal.error()), SegmentPath(folder, base_offset, SegmentFile::seal));
    return found;
  }
  if (seal->owner == owner) {
    found.seal = *std::move(seal);
  } else {
    found.fault = "seal: it is that of another partition's segment";
  }
  return found;
}

std::vector<Contradiction> HoldAgainst(const Seal& seal, const LogDigest& log,
                                       const std::optional<FileSum>& offset_index,
                                       const std::optional<FileSum>& time_index) {
  std::vector<Contradiction> told;
  const Seal found = log.ToSeal();
  if (seal.log_bytes != found.log_bytes) {
    told.push_back({SegmentFile::log, std::nullopt,
                    "it has " + std::to_string(found.log_bytes) + " bytes, " +
                        std::to_string(seal.log_bytes) + " were sealed"});
    return told;
  }
  CompareBlocks(seal, found, &told);
  if (!told.empty()) return told;
  if (!SameBatches(seal, found)) {
    told.push_back({SegmentFile::seal, std::nullopt, "seal: it says otherwise than its log"});
  }
  const auto compare = [&](SegmentFile kind, const FileSum& sealed,
                           const std::optional<FileSum>& present) {
    if (!present || *present == sealed) return;
    told.push_back(
        {kind, std::nullopt, "it is not what was sealed, though each of its entries is right"});
  };
  compare(SegmentFile::offset_index, seal.offset_index, offset_index);
  compare(SegmentFile::time_index, seal.time_index, time_index);
  return told;
}

}  // namespace tidemark::storage
