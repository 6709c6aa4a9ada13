#include "tests/sim/simulation.h"

#include <numeric>

#include "storage/open.h"

namespace tidemark::sim {
namespace {

constexpr const char* kFolder = "store";
// Crashes during recovery, one after the other, before it is let through.
constexpr int kMostFailedOpenings = 4;
// One seed in so many has damage, too. The others are what they are without it.
constexpr uint64_t kDamageOneIn = 3;

bool HasDamage(uint64_t seed) { return Random(DeriveSeed(seed, 4)).OneIn(kDamageOneIn); }

DiskProfile PlanDisk(uint64_t seed) {
  Random random(DeriveSeed(seed, 2));
  DiskProfile profile;
  profile.sector_bytes = random.OneIn(2) ? 512 : kPageBytes;
  profile.direct_refused = random.OneIn(6);
  profile.ordered_metadata = random.OneIn(3);
  profile.remembers = HasDamage(seed);
  return profile;
}

}  // namespace

Simulation::Simulation(uint64_t seed, bool keep_history)
    : seed_(seed), keep_history_(keep_history), world_(PlanDisk(seed), seed) {
  options_.data_dir = kFolder;
  options_.journal_bytes = kMinJournalBytes;
  options_.memory_bytes = kMinMemoryBytes;
  // Its timer would end waits that nothing else ends, so that most worlds go without.
  options_.scrub_bytes_per_second = 0;
  damage_allowed_ = HasDamage(seed);
  fills_disk_ = Random(DeriveSeed(seed, 6)).OneIn(6);
  gives_up_ = Random(DeriveSeed(seed, 9)).OneIn(2);
  compacts_ = Random(DeriveSeed(seed, 10)).OneIn(3);
  many_partitions_ = damage_allowed_ && Random(DeriveSeed(seed, 8)).OneIn(3);
  // Not where there is damage: what it takes of the internal topic would have to be modelled.
  commits_cursors_ = !damage_allowed_ && Random(DeriveSeed(seed, 12)).OneIn(3);
  trouble_ = Random(DeriveSeed(seed, 5));
  // So fast that a pass is through before the next crash.
  if (compacts_) options_.compaction_bytes_per_second = uint64_t{64} << 20;
  if (compacts_ && Random(DeriveSeed(seed, 11)).OneIn(2)) options_.compaction_memory_bytes = 100;
  if (keep_history) world_.disk.tell = [this](const std::string& text) { Tell(text); };
  PlanWorld();
  PlanBudget();
  world_.disk.on_growth = [this] { CheckBudgets(); };
  Reopen();
}

Simulation::~Simulation() {
  world_.disk.on_growth = [] {};
  followers_.clear();
  engine_.reset();
}

void Simulation::PlanWorld() {
  Random random(DeriveSeed(seed_, 3));
  constexpr uint64_t kMostSegmentBytes[] = {4 << 10, 32 << 10, 256 << 10, 4 << 20};
  faults_allowed_ = random.OneIn(2);
  disk_may_fill_ = random.OneIn(4);
  large_records_ = random.OneIn(3);
  most_segment_bytes_ = kMostSegmentBytes[random.Below(4)];
  world_.worker.set_prompt(random.OneIn(4));
  if (random.OneIn(6)) options_.store_bytes = uint64_t{48} << 20;
  // Not `random`, so that others keep their worlds; and not where reads may be wrong: what the
  // scrub tells of one would have to be modelled.
  if (!damage_allowed_ && Random(DeriveSeed(seed_, 7)).OneIn(4)) {
    options_.scrub_bytes_per_second = uint64_t{64} << 20;
    options_.scrub_interval_hours = 0;
  }
  const DiskProfile& disk = world_.disk.profile();
  Tell("a disk with sectors of " + std::to_string(disk.sector_bytes) +
       (disk.direct_refused ? ", no direct I/O" : "") +
       (disk.ordered_metadata ? ", ordered metadata" : "") + (faults_allowed_ ? ", faults" : "") +
       (disk_may_fill_ ? ", may fill up" : "") +
       (options_.scrub_bytes_per_second > 0 ? ", scrubbed" : "") +
       (gives_up_ ? ", old records given up" : "") + (compacts_ ? ", compacted" : "") +
       (commits_cursors_ ? ", cursors" : "") + (damage_allowed_ ? ", damage" : "") +
       (many_partitions_ ? ", many partitions" : ""));
}

void Simulation::Tell(const std::string& text) {
  if (keep_history_) outcome_.history.push_back("step " + std::to_string(step_) + ": " + text);
}

bool Simulation::Fail(const std::string& text) {
  if (failed()) return false;
  outcome_.failure = text;
  outcome_.failed_step = step_;
  Tell("BROKEN: " + text);
  return false;
}

// So little room that the engine may have to wait for some.
bool Simulation::tight() const {
  return options_.store_bytes != 0 || world_.disk.free_bytes() < (uint64_t{16} << 20);
}

bool Simulation::Step(uint64_t number) {
  step_ = number;
  world_.Reseed(DeriveSeed(seed_, 1000 + number));
  trouble_ = Random(DeriveSeed(seed_, 1'000'000 + number));
  Random bulk(DeriveSeed(seed_, 4'000'000 + number));
  if (damage_allowed_ && trouble_.OneIn(8))
    world_.disk.ArmWrongRead(trouble_.Skewed(10), trouble_.Next());
  if (commits_cursors_) {
    cursor_random_ = Random(DeriveSeed(seed_, 2'000'000 + number));
    if (cursor_random_.OneIn(3)) UseCursors();
  }
  if (!serves()) {
    // There is nothing left to do with it.
  } else if (fills_disk_ && trouble_.OneIn(24)) {
    FillDisk();
  } else if (gives_up_ && trouble_.OneIn(16)) {
    DeleteRecords();
  } else if ((gives_up_ || options_.store_bytes != 0) &&
             Random(DeriveSeed(seed_, 3'000'000 + number)).OneIn(32)) {
    FillBudget();
  } else if (bulk.OneIn(24)) {
    AppendInBulk(bulk);
  } else if (gives_up_ && trouble_.OneIn(48)) {
    AddPartitions();
  } else if (compacts_ && trouble_.OneIn(8)) {
    LetCompact();
  } else {
    DoSomething();
  }
  if (dead() && !failed()) {
    Crash(Death::none);
    Reopen();
  } else if (engine_ != nullptr && !engine_->health().ok() && !failed()) {
    CheckStopped();
    Crash(world_.random.OneIn(2) ? Death::kill : Death::power_cut);
    Reopen();
  }
  if (world_.loop.stuck()) Fail("a wait has no end: nothing is in flight that could end it");
  return !failed();
}

// What is packed is compacted in some seconds, which other steps seldom give it; and may be cut off
// in the middle of it.
void Simulation::LetCompact() {
  constexpr int64_t kEnoughUs = 4'000'000;
  constexpr int64_t kPauseUs = 200'000;
  CloseCleanly();
  if (!serves()) return;
  AppendSome(20, 600);
  if (!serves()) return;
  Tell("let it compact");
  const uint64_t operations = 1 + trouble_.Skewed(300);
  if (trouble_.OneIn(2))
    world_.disk.DieIn(operations, trouble_.OneIn(3) ? Death::kill : Death::power_cut);
  const int64_t until_us = world_.clock.MonotonicUs() + kEnoughUs;
  while (serves() && world_.clock.MonotonicUs() < until_us) PollOnce(kPauseUs);
}

bool Simulation::End() {
  if (failed()) return false;
  Tell("the end");
  Crash(Death::power_cut);
  Reopen();
  if (!failed()) CloseCleanly();
  followers_.clear();
  engine_.reset();
  outcome_.trouble = world_.disk.trouble();
  return !failed();
}

// `death`: of what, if the world has not ended already.
void Simulation::Crash(Death death) {
  world_.disk.DisarmWrongRead();
  if (death != Death::none) world_.disk.DieNow(death);
  const bool served = engine_ != nullptr;
  const bool power_cut = world_.disk.death() == Death::power_cut;
  if (engine_ != nullptr) {
    outcome_.checkpoints += engine_->stats().checkpoints;
    outcome_.segments_removed += engine_->stats().segments_removed;
    outcome_.segments_compacted += engine_->stats().segments_compacted;
    outcome_.scrubbed_bytes += engine_->stats().scrubbed_bytes;
    outcome_.around_journal_bytes += engine_->stats().around_journal_bytes;
  }
  followers_.clear();
  cursor_commits_.clear();
  engine_.reset();
  world_.disk.Restart();
  if (power_cut) world_.clock.Restart();
  if (world_.random.OneIn(4)) JumpClock();
  ++outcome_.crash_points;
  closed_cleanly_ = false;
  if (damage_allowed_ && served && power_cut) MaybeDamage();
}

void Simulation::Reopen() {
  for (int attempt = 0; attempt < kMostFailedOpenings && !failed(); ++attempt) {
    if (world_.random.OneIn(3)) {
      world_.disk.DieIn(world_.random.Skewed(60) + 1,
                        world_.random.OneIn(3) ? Death::kill : Death::power_cut);
    } else if (faults_allowed_ && world_.random.OneIn(6)) {
      world_.disk.Arm({world_.random.OneIn(2) ? Fault::Kind::write : Fault::Kind::flush,
                       world_.random.Skewed(20)});
    } else if (damage_allowed_ && trouble_.OneIn(4)) {
      const Fault fault{Fault::Kind::read, trouble_.Skewed(30)};
      // One trouble at a time: of what is kept twice the other copy must be readable.
      if (!one_copy_left_) world_.disk.Arm(fault);
    }
    if (attempt > 0) verified_lost_.reset();  // what was cut off may have changed something
    if (TryOpen()) break;
    if (failed()) return;
    if (dead()) {
      Crash(Death::none);
    } else {
      Crash(world_.random.OneIn(2) ? Death::kill : Death::power_cut);
    }
  }
  if (engine_ == nullptr && !failed()) {
    verified_lost_.reset();
    TryOpen();
  }
  if (!failed() && engine_ == nullptr) Fail("it does not start");
  world_.disk.DieIn(0, Death::none);
  world_.disk.Arm({});
  if (failed()) return;
  created_ = true;
  one_copy_left_ = false;  // every opening mends it
  CheckReopened();
}

bool Simulation::TryOpen() {
  faults_at_opening_ = world_.disk.faults_struck();
  auto engine = storage::OpenEngine(world_.environment(), options_);
  ++outcome_.openings;
  if (dead()) {
    if (engine.ok()) engine->reset();
    return false;
  }
  if (engine.ok()) {
    engine_ = std::move(*engine);
    world_.disk.DieIn(0, Death::none);
    // Of the manifest it may have read the older copy, and verification the other one.
    if (world_.disk.faults_struck() != faults_at_opening_) verified_lost_.reset();
    return true;
  }
  Tell("opening fails: " + engine.error().ToString());
  CheckRefusal(engine.error());
  if (world_.disk.faults_struck() == faults_at_opening_)
    Fail("it always starts, but: " + engine.error().ToString());
  return false;
}

// After a failed write or flush: nothing is accepted, and reads go on.
void Simulation::CheckStopped() {
  Tell("the engine has stopped: " + engine_->health().error().message());
  if (world_.disk.faults_struck() == 0) {
    Fail("it stopped without a fault: " + engine_->health().error().message());
    return;
  }
  const auto target = Pick();
  if (target) {
    // A commit that was in flight when something else failed may still be complete.
    for (int i = 0; i < 10; ++i) PollOnce(1'000'000);
    const int64_t durable = target->partition->durable_end_offset();
    const auto appended = target->partition->Append(Record(), Durability::durable);
    if (appended.ok() || appended.error().code() != ErrorCode::stopped) {
      Fail("after a failed flush an append is still accepted");
      return;
    }
    for (int i = 0; i < 10; ++i) PollOnce(1'000'000);
    if (target->partition->durable_end_offset() != durable)
      Fail("after a failed flush the durable end has moved");
  }
  CheckAll();
}

Outcome SimulateOnly(uint64_t seed, const std::vector<uint64_t>& only, bool keep_history) {
  Simulation simulation(seed, keep_history);
  bool good = !simulation.outcome().failure;
  for (const uint64_t step : only) good = good && simulation.Step(step);
  if (good) simulation.End();
  return std::move(simulation.outcome());
}

Outcome Simulate(uint64_t seed, uint64_t steps, bool keep_history) {
  std::vector<uint64_t> all(steps);
  std::iota(all.begin(), all.end(), uint64_t{0});
  return SimulateOnly(seed, all, keep_history);
}

}  // namespace tidemark::sim
