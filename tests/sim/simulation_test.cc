// Some seeds of the simulator, always the same, and one that is never the same. More:
// docs/simulator.md.
#include "tests/sim/simulation.h"

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/sanitized.h"

namespace tidemark::sim {
namespace {

constexpr uint64_t kSteps = 120;
constexpr uint64_t kSeeds = kSanitized ? 20 : 40;

Outcome ExpectNothingBroken(uint64_t seed) {
  Outcome outcome = Simulate(seed, kSteps, /*keep_history=*/false);
  EXPECT_FALSE(outcome.failure) << *outcome.failure << "\nreplay: prog_simulate --seed " << seed;
  return outcome;
}

TEST(SimulationTest, FixedSeeds) {
  uint64_t scrubbed_bytes = 0;
  uint64_t segments_removed = 0;
  uint64_t segments_compacted = 0;
  uint64_t around_journal_bytes = 0;
  uint64_t cursor_commits = 0;
  uint64_t appends_without_room = 0;
  std::map<std::string, uint64_t> trouble;
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    const Outcome outcome = ExpectNothingBroken(seed);
    scrubbed_bytes += outcome.scrubbed_bytes;
    segments_removed += outcome.segments_removed;
    segments_compacted += outcome.segments_compacted;
    around_journal_bytes += outcome.around_journal_bytes;
    cursor_commits += outcome.cursor_commits;
    appends_without_room += outcome.appends_without_room;
    for (const auto& [kind, times] : outcome.trouble) trouble[kind] += times;
  }
  EXPECT_GT(scrubbed_bytes, 0U);
  EXPECT_GT(segments_removed, 0U);
  EXPECT_GT(segments_compacted, 0U);
  EXPECT_GT(around_journal_bytes, 0U);
  EXPECT_GT(cursor_commits, 0U);
  EXPECT_GT(appends_without_room, 0U);
  EXPECT_GT(trouble["forged entries of sealed indexes"], 0U);
  EXPECT_GT(trouble["forged entries of unsealed indexes"], 0U);
}

TEST(SimulationTest, AFreshSeed) {
  std::random_device device;
  for (int i = 0; i < 2 && !HasFailure(); ++i) {
    const uint64_t seed = device();
    std::cout << "seed " << seed << std::endl;  // at once: a failed check aborts
    ExpectNothingBroken(seed);
  }
}

// A failure can be replayed only if a seed decides everything.
TEST(SimulationTest, ASeedDecidesEverything) {
  const Outcome first = Simulate(7, kSteps, /*keep_history=*/true);
  const Outcome second = Simulate(7, kSteps, /*keep_history=*/true);
  EXPECT_EQ(first.history, second.history);
  EXPECT_GT(first.crash_points, 0U);
}

}  // namespace
}  // namespace tidemark::sim
