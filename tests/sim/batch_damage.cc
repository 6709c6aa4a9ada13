#include "tests/sim/batch_damage.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace tidemark::sim {
namespace {

// The header of the intact batch at `at`; nullopt: none is there.
std::optional<record::BatchHeader> IntactBatchAt(base::ByteSpan log, uint64_t at) {
  const auto header = record::DecodeBatchHeader(log.subspan(at));
  const bool intact = header && header->total_bytes() <= log.size() - at &&
                      record::CheckBatch(log.subspan(at, header->total_bytes()));
  return intact ? std::optional(*header) : std::nullopt;
}

// The intact batch in whose middle `at` is; nullopt: there is none.
std::optional<record::BatchHeader> BatchAround(base::ByteSpan log, uint64_t at) {
  for (const IntactBatch& batch : IntactBatches(log)) {
    if (batch.begin < at && at < batch.begin + batch.header.total_bytes()) return batch.header;
  }
  return std::nullopt;
}

// Where the offsets begin of what stands at or behind `from`.
int64_t FirstOffsetFrom(base::ByteSpan log, uint64_t from) {
  for (uint64_t at = from; at + record::kBatchHeaderBytes <= log.size(); ++at) {
    if (const auto batch = IntactBatchAt(log, at)) return batch->base_offset;
  }
  return INT64_MAX;
}

// Where the offsets of what follows a batch seem to begin: by the header that came along, or else
// by what stood there.
int64_t FollowerOf(base::ByteSpan before, base::ByteSpan after, uint64_t end, DamagedBytes hit) {
  if (end < hit.end) {
    if (const auto header = record::DecodeBatchHeader(after.subspan(end)))
      return header->base_offset;
  }
  return FirstOffsetFrom(before, hit.end);
}

}  // namespace

std::vector<IntactBatch> IntactBatches(base::ByteSpan log) {
  std::vector<IntactBatch> batches;
  for (uint64_t at = 0; at + record::kBatchHeaderBytes <= log.size();) {
    const auto batch = IntactBatchAt(log, at);
    if (batch) batches.push_back({*batch, at});
    at += batch ? batch->total_bytes() : 1;
  }
  return batches;
}

bool BringsFittingBatch(base::ByteSpan before, base::ByteSpan after, DamagedBytes hit,
                        bool of_same_log) {
  for (uint64_t at = hit.begin; at + record::kBatchHeaderBytes <= after.size() && at < hit.end;
       ++at) {
    const auto brought = IntactBatchAt(after, at);
    if (!brought) continue;
    const size_t bytes = brought->total_bytes();
    const bool is_new = at + bytes > before.size() ||
                        !std::equal(after.begin() + static_cast<std::ptrdiff_t>(at),
                                    after.begin() + static_cast<std::ptrdiff_t>(at + bytes),
                                    before.begin() + static_cast<std::ptrdiff_t>(at));
    if (!is_new) continue;
    const auto batch = IntactBatchAt(before, at);
    if (of_same_log) return true;
    const auto there = batch ? batch : BatchAround(before, at);
    if (!there || brought->base_offset < there->base_offset) continue;
    const bool same_offset = batch && brought->base_offset == batch->base_offset;
    if (same_offset || brought->next_offset() <= FollowerOf(before, after, at + bytes, hit))
      return true;
  }
  return false;
}

bool MovesAmongGaps(base::ByteSpan before, base::ByteSpan after, DamagedBytes hit, int64_t log_base,
                    std::optional<int64_t> limit) {
  const std::vector<IntactBatch> batches = IntactBatches(before);
  const auto begin_of = [&](size_t i) {
    if (i < batches.size()) return batches[i].header.base_offset;
    return limit.value_or(batches.back().header.next_offset());
  };
  int64_t least = log_base;
  for (size_t i = 0; i < batches.size() && batches[i].begin < hit.end; ++i) {
    const record::BatchHeader& batch = batches[i].header;
    const int64_t before_it = std::exchange(least, batch.next_offset());
    const auto moved = IntactBatchAt(after, batches[i].begin);
    if (!moved || moved->base_offset == batch.base_offset) continue;
    if (moved->base_offset < before_it || moved->next_offset() > begin_of(batches.size())) continue;
    if (moved->next_offset() <= begin_of(i + 1)) return true;
    const bool gap_beside = batch.base_offset > before_it || begin_of(i + 1) > batch.next_offset();
    const bool gap_behind_both =
        i + 1 < batches.size() && begin_of(i + 2) > batches[i + 1].header.next_offset();
    if (gap_beside && gap_behind_both) return true;
  }
  return false;
}

}  // namespace tidemark::sim
