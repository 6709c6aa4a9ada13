// Damage done to a store at rest, and what it may cost: found from the bytes that stood there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/sim_disk.h"

namespace tidemark::sim {

// Offsets of a partition: of which the records stood in damaged bytes, or are searched by way of
// damage.
struct OffsetsAtRisk {
  std::string topic;     // its name, or empty
  std::string topic_id;  // its id, or empty
  int32_t partition = 0;
  int64_t first_offset = 0;
  int64_t end_offset = 0;
};

struct DamageDone {
  std::string path;
  std::string text;  // for the history
  std::vector<OffsetsAtRisk> at_risk;
  std::optional<OffsetsAtRisk> misled;  // who reads from there on begins where a forged entry leads
  // A commit that counts is hit: if its directory's copy is gone, too, what it held is unknown.
  bool commit = false;
  // It is the newest one: nothing proves that it was ever complete.
  bool newest_commit = false;
};

// Damages one place of one file of the store in `folder`. nullopt: chance found nothing to change.
// `superblock`: the only copy of it that may be hit.
std::optional<DamageDone> DamageStore(SimDisk& disk, const std::string& folder, size_t superblock,
                                      Random& random);
// Makes one entry of one index lead to another batch of its log than it names, in order with the
// entries around it, as an index would have it that is stale or somebody else's. nullopt: no index
// has such an entry.
std::optional<DamageDone> ForgeIndexEntry(SimDisk& disk, const std::string& folder, Random& random);

}  // namespace tidemark::sim
