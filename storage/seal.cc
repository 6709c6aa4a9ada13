#include "storage/seal.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "storage/segment_index.h"
#include "storage/verify_segment.h"

namespace tidemark::storage {
namespace {

// The reading of a log that is to be sealed, on the worker, between pieces of other work.
constexpr uint64_t kReadWindowBytes = uint64_t{256} << 10;

std::string PathOf(const std::string& folder, int64_t base_offset) {
  return SegmentPath(folder, base_offset, SegmentFile::seal);
}

bool AddIndexes(io::FileSystem& files, const std::string& folder, Seal* seal) {
  for (const auto& [kind, sum] : {std::pair(SegmentFile::offset_index, &seal->offset_index),
                                  std::pair(SegmentFile::time_index, &seal->time_index)}) {
    const auto bytes =
        ReadIndexFile(files, SegmentPath(folder, seal->base_offset, kind), UINT64_MAX);
    if (!bytes) return false;
    *sum = {bytes->size(), base::Xxh3(*bytes)};
  }
  return true;
}

}  // namespace

Result<Seal> ReadSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  const std::string path = PathOf(folder, base_offset);
  const auto bytes = ReadIndexFile(files, path, kMaxSealBytes + 1);
  if (!bytes) return bytes.error();
  auto seal = DecodeSeal(*bytes);
  if (!seal) return Error(seal.error().code(), path + ": " + seal.error().message());
  if (seal->base_offset != base_offset) {
    return Error(ErrorCode::corrupt, path + ": seal: it is that of a segment which begins at " +
                                         std::to_string(seal->base_offset));
  }
  return seal;
}

Result<uint64_t> WriteSeal(io::FileSystem& files, const std::string& folder, const Seal& seal) {
  const std::vector<std::byte> bytes = EncodeSeal(seal);
  const auto write = [&]() -> Status {
    auto file = files.Open(PathOf(folder, seal.base_offset),
                           {.write = true, .create = true, .truncate = true});
    if (!file) return file.error();
    if (Status written = (*file)->WriteAt(0, bytes, io::Durable::no); !written.ok()) return written;
    return (*file)->Flush();
  };
  const Status written = write();
  if (written.ok()) return uint64_t{bytes.size()};
  if (written.error().code() != ErrorCode::disk_full) return written.error();
  const auto removed = RemoveSeal(files, folder, seal.base_offset);
  return removed ? Result<uint64_t>(uint64_t{0}) : removed.error();
}

Result<bool> RemoveSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset) {
  const std::string path = PathOf(folder, base_offset);
  auto exists = files.Exists(path);
  if (!exists || !*exists) return exists;
  if (Status removed = files.Remove(path); !removed.ok()) return removed.error();
  return true;
}

std::optional<LogDigest> DigestLog(io::FileSystem& files, const std::string& folder,
                                   int64_t base_offset, SegmentEnd end) {
  SegmentSurveyor surveyor(files, folder, base_offset, end,
                           {.digest = true, .window_bytes = kReadWindowBytes});
  while (!surveyor.done()) surveyor.Step(kReadWindowBytes, [](const SurveyedBatch&) {});
  return surveyor.TakeDigest();
}

std::optional<Seal> MakeSeal(io::FileSystem& files, const std::string& folder, int64_t base_offset,
                             const LogDigest& digest, const SegmentOwner& owner,
                             const AppendTimes& appended) {
  Seal seal = digest.ToSeal();
  seal.base_offset = base_offset;
  seal.owner = owner;
  seal.appended = appended;
  if (!AddIndexes(files, folder, &seal) || !IsSound(seal)) return std::nullopt;
  return seal;
}

// --- Sealer --------------------------------------------------------------------------------------

Sealer::Sealer(io::FileSystem& files, std::string folder, const SegmentOwner& owner)
    : files_(files), folder_(std::move(folder)), owner_(owner) {}

void Sealer::Begin(int64_t base_offset, uint64_t log_bytes) {
  base_offset_ = base_offset;
  log_bytes_ = log_bytes;
  appended_.reset();
  digest_.reset();
  if (log_bytes == 0) digest_.emplace();
}

void Sealer::Append(const record::BatchHeader& header, base::ByteSpan batch,
                    const AppendTimes& times) {
  // Without a digest the log is going to be read anyhow.
  if (digest_) {
    digest_->AddBytes(batch);
    digest_->AddBatch(header);
  }
  log_bytes_ += batch.size();
  if (!appended_) appended_ = times;
  appended_->last_ms = std::max(appended_->last_ms, times.last_ms);
}

// What stood there before this writer was appended before anything that follows it.
Result<uint64_t> Sealer::Finish(int64_t next_offset, int64_t next_append_ms) {
  if (log_bytes_ == 0) return uint64_t{0};
  if (!digest_) digest_ = DigestLog(files_, folder_, base_offset_, {log_bytes_, next_offset});
  if (!digest_) return uint64_t{0};
  TIDEMARK_CHECK(digest_->log_bytes() == log_bytes_);
  const AppendTimes appended = appended_.value_or(AppendTimes{next_append_ms, next_append_ms});
  const auto seal = MakeSeal(files_, folder_, base_offset_, *digest_, owner_, appended);
  if (!seal) return uint64_t{0};
  return WriteSeal(files_, folder_, *seal);
}

}  // namespace tidemark::storage
