// What a step does: every call there is, and the trouble that the disk and the clock make.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tidemark::sim {
namespace {

constexpr int kMostTurns = 2000;  // that anything takes which has to happen in the end
constexpr int64_t kLongTurnUs = 10'000;
// Where the scrub's timer ends most turns early, the time counts, and so many of them are too many.
constexpr int kMostShortTurns = 100 * kMostTurns;

}  // namespace

void Simulation::DoSomething() {
  if (world_.random.OneIn(16)) world_.loop.LandLate();
  const uint64_t what = world_.random.Below(100);
  if (what < 34) {
    AppendSome(world_.random.Skewed(40) + 1, large_records_ ? 40'000 : 600);
  } else if (what < 46) {
    PollOnce(static_cast<int64_t>(world_.random.Skewed(20'000)));
  } else if (what < 50) {
    Settle();
  } else if (what < 56) {
    Follow();
  } else if (what < 60) {
    OpenFollower();
  } else if (what < 65) {
    CreateTopic();
  } else if (what < 67) {
    AlterTopic();
  } else if (what < 69) {
    DeleteTopic();
  } else if (what < 71) {
    CloseCleanly();
  } else if (what < 81) {
    ArmDeath();
  } else if (what < 84) {
    Tell("crash");
    world_.disk.DieNow(world_.random.OneIn(3) ? Death::kill : Death::power_cut);
  } else if (what < 88) {
    PollOnce(1'500'000);
    if (serves()) PollOnce(0);
  } else if (what < 90) {
    JumpClock();
  } else if (what < 93) {
    ArmFault();
  } else if (what < 95) {
    ChangeCapacity();
  } else if (what < 98) {
    AppendSome(30, large_records_ ? 250'000 : 60'000);
  } else {
    Tell("compare");
    CheckAll();
  }
}

std::optional<Simulation::Target> Simulation::TargetOf(const std::string& topic, int32_t index) {
  const auto found = model_.topics.find(topic);
  if (found == model_.topics.end() || found->second.deleting) return std::nullopt;
  Target target;
  target.name = topic + "-" + std::to_string(index);
  target.model = &found->second;
  target.topic = engine_->FindTopic(topic);
  target.index = index;
  // A stopped engine shows no topic that it could not write down, though a restart may find it.
  const bool unknown = !found->second.must_exist && !engine_->health().ok();
  if (target.topic == nullptr && unknown) return std::nullopt;
  if (target.topic == nullptr || target.topic->partition(index) == nullptr) {
    Fail("topic " + topic + " is not there");
    return std::nullopt;
  }
  target.partition = target.topic->partition(index);
  target.expected = &found->second.partitions[static_cast<size_t>(index)];
  return target;
}

std::optional<Simulation::Target> Simulation::Pick() {
  std::vector<std::pair<std::string, int32_t>> choices;
  for (const auto& [name, topic] : model_.topics) {
    for (size_t i = 0; i < topic.partitions.size() && !topic.deleting; ++i)
      choices.emplace_back(name, static_cast<int32_t>(i));
  }
  if (choices.empty()) return std::nullopt;
  const auto& [name, index] = choices[world_.random.Below(choices.size())];
  return TargetOf(name, index);
}

void Simulation::PollOnce(int64_t max_wait_us) {
  engine_->Poll(std::chrono::microseconds(max_wait_us));
  if (dead()) return;
  CheckNotices();
  ObserveEnds();
  NoteDeletions();
}

// Whether something has been waited for that should have come by now.
bool Simulation::IsForEver(int turn, int64_t began_us) {
  const bool long_enough = world_.clock.MonotonicUs() - began_us > kMostTurns * kLongTurnUs;
  return turn > (long_enough ? kMostTurns : kMostShortTurns);
}

// --- Records -------------------------------------------------------------------------------------

int64_t Simulation::RandomTimestamp() {
  const int64_t now = world_.clock.WallMs();
  switch (world_.random.Below(8)) {
    case 0:
      return now - static_cast<int64_t>(world_.random.Below(10'000'000));
    case 1:
      return static_cast<int64_t>(world_.random.Below(3)) - 1;  // around 1970
    case 2:
      return now + static_cast<int64_t>(world_.random.Below(100'000));
    case 3:
      return kTimestampOfArrival;
    default:
      return now;
  }
}

void Simulation::AppendSome(uint64_t count, uint64_t most_bytes) {
  auto target = Pick();
  if (!target) return CreateTopic();
  Tell("append " + std::to_string(count) + " records of up to " + std::to_string(most_bytes) +
       " bytes to " + target->name + " from " + std::to_string(target->expected->end()) + " on");
  for (uint64_t i = 0; i < count && serves() && target; ++i) {
    if (world_.random.OneIn(8) || many_partitions_) target = Pick();
    if (target && !AppendOne(*target, most_bytes)) return;
    if (world_.random.OneIn(6) && serves()) PollOnce(0);
  }
}

bool Simulation::AppendOne(const Target& target, uint64_t most_bytes,
                           std::optional<Durability> wanted) {
  const uint64_t number = model_.next_number++;
  OwnRecord record =
      MakeRecord(world_.random, number, world_.random.Skewed(most_bytes), RandomTimestamp());
  // Few keys, so that most records have a later one; the offset tells them apart.
  if (compacts_) record.key = "key-" + std::to_string(trouble_.Below(7));
  const Durability durability =
      wanted.value_or(world_.random.OneIn(3) ? Durability::buffered : Durability::durable);
  const int64_t began_us = world_.clock.MonotonicUs();
  const bool may_be_full = tight() || target.topic->config().topic_bytes >= 0;
  for (int turn = 0; serves(); ++turn) {
    const int64_t wall_ms = world_.clock.WallMs();
    const auto offset = target.partition->Append(record.view(), durability);
    if (offset.ok()) {
      if (*offset != target.expected->end()) {
        return Fail(target.name + ": record " + std::to_string(number) + " got offset " +
                    std::to_string(*offset) + ", not " + std::to_string(target.expected->end()));
      }
      ModelRecord kept{number, DigestOf(record.view()), record.timestamp_ms,
                       world_.clock.passed_us()};
      kept.key = record.key.value_or("");
      kept.tombstone = !record.value;
      if (kept.timestamp_ms == kTimestampOfArrival) kept.timestamp_ms = wall_ms;
      if (target.topic->config().timestamp_type == TimestampType::log_append_time)
        kept.timestamp_ms.reset();
      target.expected->Append(kept);
      CheckAdmitted(target);
      ++outcome_.records;
      return true;
    }
    const ErrorCode code = offset.error().code();
    if (code == ErrorCode::stopped && world_.disk.faults_struck() > 0) return false;
    if (code == ErrorCode::disk_full) ++outcome_.appends_without_room;
    if (code == ErrorCode::disk_full && may_be_full) return false;
    if (code != ErrorCode::busy && code != ErrorCode::disk_full)
      return Fail("an append fails: " + offset.error().ToString());
    if (turn > kMostTurns && may_be_full) return false;
    if (IsForEver(turn, began_us))
      return Fail(target.name + ": for ever " + offset.error().ToString());
    PollOnce(kLongTurnUs);
  }
  return false;
}

// Run after run of buffered records, no durable one among them nor lately: around the journal.
void Simulation::AppendInBulk(Random random) {
  constexpr int64_t kQuietUs = 10'000'000;
  const auto target = Pick();
  if (!target) return CreateTopic();
  Tell("append in bulk to " + target->name + " from " + std::to_string(target->expected->end()) +
       " on");
  const int64_t until_us = world_.clock.MonotonicUs() + kQuietUs;
  while (serves() && engine_->health().ok() && world_.clock.MonotonicUs() < until_us)
    PollOnce(until_us - world_.clock.MonotonicUs());
  if (serves() && random.OneIn(2))
    world_.disk.DieIn(1 + random.Skewed(300), random.OneIn(3) ? Death::kill : Death::power_cut);
  for (uint64_t left = 1 + random.Below(60); left > 0 && serves(); --left) {
    const bool durable = random.OneIn(40);
    if (!AppendOne(*target, 60'000, durable ? Durability::durable : Durability::buffered)) return;
    if (random.OneIn(4) && serves()) PollOnce(static_cast<int64_t>(random.Skewed(20'000)));
  }
}

// All that was appended becomes durable, if only one waits long enough.
void Simulation::Settle() {
  Tell("wait until all is durable");
  const int64_t began_us = world_.clock.MonotonicUs();
  for (int turn = 0; serves() && engine_->health().ok(); ++turn) {
    bool settled = !engine_->deletions_pending();
    for (auto& [name, topic] : model_.topics) {
      for (size_t i = 0; i < topic.partitions.size() && !topic.deleting; ++i)
        settled = settled && topic.partitions[i].acknowledged == topic.partitions[i].end();
    }
    if (settled) return;
    if (turn > kMostTurns && tight()) return;
    if (IsForEver(turn, began_us)) {
      Fail("what was appended does not become durable");
      return;
    }
    PollOnce(kLongTurnUs);
  }
}

// --- Trouble -------------------------------------------------------------------------------------

// `there_is_room`: nobody but this store has used the disk since it was opened.
void Simulation::CloseCleanly(bool there_is_room) {
  Tell("close");
  followers_.clear();
  const Status closed = engine_->Close();
  if (dead()) return;
  if (!closed.ok()) {
    Tell("closing fails: " + closed.error().ToString());
    const bool excused = world_.disk.faults_struck() > 0 || (tight() && !there_is_room);
    if (!excused) Fail("closing fails: " + closed.error().ToString());
  } else {
    for (auto& [name, topic] : model_.topics) {
      for (ModelPartition& partition : topic.partitions)
        if (!topic.deleting) partition.acknowledged = partition.end();
    }
    ObserveCursors(/*all_durable=*/true);
    SettleBudgets();
    std::erase_if(model_.topics, [](const auto& topic) { return topic.second.deleting; });
    CheckFiles();
  }
  if (failed()) return;
  Crash(world_.random.OneIn(2) ? Death::kill : Death::power_cut);
  closed_cleanly_ = closed.ok();
  Reopen();
}

// What was admitted has its room reserved: however full the disk was when the last record was
// accepted, all of it can be packed (rule 7).
void Simulation::FillDisk() {
  constexpr uint64_t kMarginBytes = uint64_t{1} << 20;  // that the engine leaves free
  constexpr int64_t kRoomIsLookedAtUs = 1'500'000;
  constexpr int kMostRecords = 200;
  CloseCleanly();
  if (!serves() || !closed_cleanly_ || options_.store_bytes != 0) return;
  const uint64_t capacity_before = world_.disk.profile().capacity_bytes;
  const uint64_t room = kMarginBytes + trouble_.Below(kMarginBytes);
  world_.disk.profile().capacity_bytes = world_.disk.used_bytes() + room;
  Tell("room on the disk until it is full: " + std::to_string(room));
  const int64_t until_us = world_.clock.MonotonicUs() + kRoomIsLookedAtUs;
  while (serves() && world_.clock.MonotonicUs() < until_us) PollOnce(kRoomIsLookedAtUs);
  if (serves()) PollOnce(0);
  for (int i = 0; i < kMostRecords && serves(); ++i) {
    const auto target = Pick();
    if (!target || !AppendOne(*target, 60'000)) break;
  }
  if (serves() && engine_->health().ok()) CloseCleanly(/*there_is_room=*/true);
  // Never less than what is there.
  world_.disk.profile().capacity_bytes =
      std::max(capacity_before, world_.disk.used_bytes() + kMarginBytes);
}

void Simulation::ArmDeath() {
  const uint64_t operations = 1 + world_.random.Skewed(world_.random.OneIn(2) ? 30 : 400);
  Tell("a crash in " + std::to_string(operations) + " operations");
  world_.disk.DieIn(operations, world_.random.OneIn(3) ? Death::kill : Death::power_cut);
}

void Simulation::ArmFault() {
  if (!faults_allowed_) return;
  constexpr Fault::Kind kKinds[] = {Fault::Kind::write, Fault::Kind::flush, Fault::Kind::read};
  const Fault fault{kKinds[world_.random.Below(3)], world_.random.Skewed(30)};
  Tell("a fault is coming");
  world_.disk.Arm(fault);
}

void Simulation::ChangeCapacity() {
  if (!disk_may_fill_) return;
  const uint64_t more =
      world_.random.OneIn(2) ? uint64_t{1} << 40 : world_.random.Below(uint64_t{4} << 20);
  world_.disk.profile().capacity_bytes = world_.disk.used_bytes() + more;
  Tell("room on the disk: " + std::to_string(more));
}

void Simulation::JumpClock() {
  const int64_t step = world_.random.OneIn(2) ? 100'000 : int64_t{40'000'000'000};
  const auto by = static_cast<int64_t>(world_.random.Below(static_cast<uint64_t>(2 * step))) - step;
  Tell("the clock jumps by " + std::to_string(by) + " ms");
  world_.clock.JumpWall(by);
}

}  // namespace tidemark::sim
