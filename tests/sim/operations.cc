// What a step does: every call there is, and the trouble that the disk and the clock make.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tidemark::sim {
namespace {

constexpr const char* kNames[] = {"a", "b", "c", "d"};
constexpr int kMostTurns = 2000;  // that anything takes which has to happen in the end
constexpr int64_t kLongTurnUs = 10'000;
// Where the scrub's timer ends most turns early, the time counts, and so many of them are too many.
constexpr int kMostShortTurns = 100 * kMostTurns;

void NoteLimits(const TopicConfig& config, ModelTopic* topic) {
  if (config.retention_bytes >= 0 || config.when_full == WhenFull::drop_oldest) topic->drops = true;
  if (config.compacts()) {
    topic->compacts = true;
    topic->least_delete_retention_ms =
        std::min(topic->least_delete_retention_ms, config.delete_retention_ms);
  }
  if (config.retention_ms < 0) return;
  topic->least_retention_ms =
      std::min(topic->least_retention_ms.value_or(config.retention_ms), config.retention_ms);
}

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

bool Simulation::AppendOne(const Target& target, uint64_t most_bytes) {
  const uint64_t number = model_.next_number++;
  OwnRecord record =
      MakeRecord(world_.random, number, world_.random.Skewed(most_bytes), RandomTimestamp());
  // Few keys, so that most records have a later one; the offset tells them apart.
  if (compacts_) record.key = "key-" + std::to_string(trouble_.Below(7));
  const Durability durability = world_.random.OneIn(3) ? Durability::buffered : Durability::durable;
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
      ++outcome_.records;
      return true;
    }
    const ErrorCode code = offset.error().code();
    if (code == ErrorCode::stopped && world_.disk.faults_struck() > 0) return false;
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

// --- Topics --------------------------------------------------------------------------------------

TopicConfig Simulation::RandomConfig() {
  TopicConfig config;
  config.compression = world_.random.OneIn(2) ? Compression::none : Compression::zstd;
  config.zstd_level = 1;
  config.segment_bytes =
      static_cast<int64_t>(1024 + world_.random.Skewed(most_segment_bytes_ - 1024));
  config.index_interval_bytes = static_cast<int32_t>(64 + world_.random.Skewed(4032));
  if (world_.random.OneIn(4)) config.timestamp_type = TimestampType::log_append_time;
  config.flush_ms = static_cast<int64_t>(1 + world_.random.Skewed(2000));
  if (world_.random.OneIn(4)) config.commit_linger_ms = 5;
  if (gives_up_ && trouble_.OneIn(3))
    config.retention_bytes = static_cast<int64_t>(trouble_.Skewed(uint64_t{256} << 10));
  if (gives_up_ && trouble_.OneIn(3)) config.when_full = WhenFull::drop_oldest;
  if (gives_up_ && trouble_.OneIn(3)) {
    config.segment_ms = static_cast<int64_t>(1000 + trouble_.Skewed(20'000));
    config.retention_ms = static_cast<int64_t>(trouble_.Skewed(30'000));
  }
  if (gives_up_ && trouble_.OneIn(6))
    config.topic_bytes = static_cast<int64_t>((1 << 20) + trouble_.Skewed(4 << 20));
  if (compacts_ && !trouble_.OneIn(4)) {
    config.cleanup_policy =
        trouble_.OneIn(3) ? CleanupPolicy::compact_and_remove : CleanupPolicy::compact;
    config.min_cleanable_dirty_ratio = static_cast<double>(trouble_.Below(3)) / 4;
    if (trouble_.OneIn(3)) config.min_compaction_lag_ms = 2'000;
    if (trouble_.OneIn(3)) config.max_compaction_lag_ms = 3'000;
    config.delete_retention_ms = static_cast<int64_t>(trouble_.Skewed(20'000));
    if (trouble_.OneIn(2)) config.segment_ms = static_cast<int64_t>(1000 + trouble_.Skewed(5'000));
  }
  if (gives_up_) config.retention_priority = static_cast<int32_t>(trouble_.Below(3));
  return config;
}

void Simulation::CreateTopic() {
  const std::string name = kNames[world_.random.Below(std::size(kNames))];
  const auto known = model_.topics.find(name);
  ModelTopic topic;
  // Of many, a commit's directory takes more than a sector: its header may outlive it.
  topic.partitions.resize(1 + world_.random.Skewed(many_partitions_ ? 30 : 3));
  topic.configs = {RandomConfig()};
  NoteLimits(topic.configs.front(), &topic);
  const auto made = engine_->CreateTopic(name, static_cast<int32_t>(topic.partitions.size()),
                                         topic.configs.front());
  Tell("create topic " + name + " with " + std::to_string(topic.partitions.size()) +
       " partitions: " + (made.ok() ? "done" : made.error().ToString()));
  if (known != model_.topics.end()) {
    const bool refused = !made.ok() && made.error().code() == ErrorCode::busy;
    const bool exists = !made.ok() && made.error().code() == ErrorCode::topic_exists;
    if (known->second.deleting ? refused : exists) return;
    if (!known->second.deleting) {
      if (!dead() && engine_->health().ok()) Fail("topic " + name + " is made a second time");
      return;
    }
    // Its own deletion is done, though not that of another topic, for which the model still waits.
    model_.topics.erase(known);
  }
  if (made.ok() && !dead()) {
    topic.id = (*made)->id();
  } else {
    topic.must_exist = false;
  }
  const bool excused = dead() || world_.disk.faults_struck() > 0 || tight();
  if (!made.ok() && !excused) Fail("a topic is not made: " + made.error().ToString());
  // One that failed without stopping the engine must not be there.
  if (!made.ok() && !dead() && engine_->health().ok()) return;
  model_.topics[name] = std::move(topic);
}

void Simulation::AlterTopic() {
  const auto target = Pick();
  if (!target) return;
  const TopicConfig config = RandomConfig();
  TopicConfig changed = config;
  changed.timestamp_type = target->topic->config().timestamp_type;  // the model needs it to stay
  const Status altered = engine_->AlterTopic(target->topic->name(), changed);
  Tell("alter topic " + target->topic->name() + (altered.ok() ? "" : " fails"));
  NoteLimits(changed, target->model);
  target->model->altered = true;
  const bool refused = !altered.ok() && altered.error().code() == ErrorCode::disk_full;
  if (altered.ok() && !dead()) {
    target->model->configs = {changed};
  } else if (!refused) {
    target->model->configs.push_back(changed);
  }
}

void Simulation::AddPartitions() {
  const auto target = Pick();
  if (!target) return;
  std::vector<ModelPartition>& partitions = target->model->partitions;
  const size_t count = partitions.size() + 1 + trouble_.Below(3);
  const std::string name = target->topic->name();
  const Status added = engine_->AddPartitions(name, static_cast<int32_t>(count));
  Tell("topic " + name + " with " + std::to_string(count) +
       " partitions: " + (added.ok() ? "done" : added.error().ToString()));
  if (added.ok() && !dead()) {
    partitions.resize(count);
    return;
  }
  const bool excused = dead() || world_.disk.faults_struck() > 0 || tight();
  if (!added.ok() && !excused) Fail("partitions are not added: " + added.error().ToString());
  // Else a restart may find them.
  if (dead() || !engine_->health().ok()) target->model->most_partitions = count;
}

void Simulation::DeleteTopic() {
  const auto target = Pick();
  if (!target) return;
  const std::string name = target->topic->name();
  Tell("delete topic " + name);
  std::erase_if(followers_, [&](const Follower& follower) { return follower.topic == name; });
  const Status deleted = engine_->DeleteTopic(name);
  if (!deleted.ok()) return;
  target->model->deleting = true;
  target->model->must_exist = false;
}

void Simulation::DeleteRecords() {
  const auto target = Pick();
  if (!target) return;
  const int64_t durable = target->partition->durable_end_offset();
  const auto before = static_cast<int64_t>(world_.random.Below(static_cast<uint64_t>(durable) + 1));
  Tell("delete the records of " + target->name + " below " + std::to_string(before));
  const Status deleted = target->partition->DeleteRecords(before);
  if (deleted.ok()) target->expected->given_up = std::max(target->expected->given_up, before);
  if (!deleted.ok() && !dead() && engine_->health().ok())
    Fail(target->name + ": records are not deleted: " + deleted.error().ToString());
}

void Simulation::NoteDeletions() {
  if (engine_->deletions_pending()) return;
  std::erase_if(model_.topics, [](const auto& topic) { return topic.second.deleting; });
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
