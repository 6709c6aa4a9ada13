// What damage does to the batches of a log, and which damage no reader could tell, because Kafka's
// format has nothing that would (docs/simulator.md).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "record/batch.h"
#include "tests/sim/sim_disk.h"

namespace tidemark::sim {

// Those of a log that are intact, one behind the other, or found byte by byte behind damage.
struct IntactBatch {
  record::BatchHeader header;
  uint64_t begin = 0;
};
std::vector<IntactBatch> IntactBatches(base::ByteSpan log);

// Whether a whole batch has come of which nothing tells that it does not belong there: one of the
// same log, or to where another began, with its offset, or there or into the middle of a larger one
// with higher ones up to those of its follower.
bool BringsFittingBatch(base::ByteSpan before, base::ByteSpan after, DamagedBytes hit,
                        bool of_same_log);

// Whether a batch's base offset, which no CRC covers, is another one now that gaps beside it leave
// room for: it fits between its neighbours, or it contradicts the batch behind it, and gaps around
// both leave open which of the two is wrong. `log_base`: of the segment. `limit`: what follows it
// has no offset below; nullopt: nothing follows it.
bool MovesAmongGaps(base::ByteSpan before, base::ByteSpan after, DamagedBytes hit, int64_t log_base,
                    std::optional<int64_t> limit);

}  // namespace tidemark::sim
