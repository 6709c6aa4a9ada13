// Readers that stay, and go on from time to time: what they are shown, and where a search by time
// leads.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tidemark::sim {

void Simulation::OpenFollower() {
  constexpr size_t kMostFollowers = 3;
  const auto target = Pick();
  if (!target) return;
  if (followers_.size() >= kMostFollowers) followers_.erase(followers_.begin());
  Follower follower;
  follower.topic = target->topic->name();
  follower.partition = target->index;
  const int64_t end = target->partition->durable_end_offset();
  const int64_t start = target->partition->log_start_offset();
  follower.position =
      std::max(start, static_cast<int64_t>(world_.random.Below(static_cast<uint64_t>(end) + 1)));
  auto reader = engine_->OpenReader(*target->partition, follower.position);
  if (!reader.ok()) {
    Fail(target->name + ": no reader: " + reader.error().ToString());
    return;
  }
  follower.reader = std::move(*reader);
  follower.faults_before = world_.disk.faults_struck();
  follower.wrong_reads_before = world_.disk.wrong_reads();
  const bool by_time = target->topic->config().timestamp_type == TimestampType::create_time;
  if (by_time && world_.random.OneIn(2)) {
    follower.positioned = false;
    follower.wanted_ms = world_.clock.WallMs();
    const auto& log = target->expected->records();
    if (!log.empty()) {
      const ModelRecord& some = log[world_.random.Below(log.size())];
      follower.wanted_ms =
          some.timestamp_ms.value_or(0) + static_cast<int64_t>(world_.random.Below(3)) - 1;
    }
    if (Status sought = follower.reader->SeekToTimestamp(follower.wanted_ms); !sought.ok())
      Fail(target->name + ": seek: " + sought.error().ToString());
  }
  Tell("open a reader of " + target->name + " at " + std::to_string(follower.position) +
       (follower.positioned ? "" : ", by time " + std::to_string(follower.wanted_ms)));
  if (!FollowOne(follower)) return;
  followers_.push_back(std::move(follower));
}

void Simulation::Follow() {
  Tell("readers go on");
  for (size_t i = 0; i < followers_.size() && serves();) {
    if (FollowOne(followers_[i])) {
      ++i;
    } else {
      followers_.erase(followers_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

// False: this reader is of no use any more.
bool Simulation::FollowOne(Follower& follower) {
  for (uint64_t steps = world_.random.Skewed(30) + 1; steps > 0 && serves(); --steps) {
    const auto target = TargetOf(follower.topic, follower.partition);
    if (!target) return false;
    const auto state = follower.reader->Next();
    if (dead()) return false;
    const Walk walk{follower.positioned ? &follower.position : nullptr,
                    follower.wrong_reads_before};
    const auto lost = follower.reader->TakeLost();
    if (!NoteLost(*target, lost, walk)) return false;
    if (!state.ok()) {
      if (GoOnAtStart(*target, *follower.reader, state.error(), &follower.position)) continue;
      if (state.error().code() == ErrorCode::corrupt && !lost.empty()) continue;
      if (failed()) return false;
      if (world_.disk.faults_struck() == follower.faults_before)
        Fail(target->name + ": following fails: " + state.error().ToString());
      return false;
    }
    if (*state == ReadState::pending) {
      PollOnce(world_.random.OneIn(2) ? 0 : 1000);
      continue;
    }
    if (*state == ReadState::at_end) {
      if (!follower.positioned &&
          !CheckFound(*target, follower, target->partition->durable_end_offset()))
        return false;
      follower.positioned = true;
      follower.position = follower.reader->position();
      return true;
    }
    const Batch& batch = follower.reader->batch();
    if (!follower.positioned) {
      follower.position = (*batch.records.begin()).offset;
      if (!CheckFound(*target, follower, follower.position)) return false;
      follower.positioned = true;
    }
    if (!CheckBatch(*target, batch, walk, &follower.position)) return false;
  }
  return true;
}

// A search by time finds the first record at or after it.
bool Simulation::CheckFound(const Target& target, const Follower& follower, int64_t found) {
  if (world_.disk.faults_struck() != follower.faults_before) return true;
  if (world_.disk.wrong_reads() != follower.wrong_reads_before) return true;
  target.expected->ForEach(0, found, [&](int64_t offset, const ModelRecord& record) {
    if (record.hole || record.damaged || offset < target.expected->given_up ||
        !record.timestamp_ms || *record.timestamp_ms < follower.wanted_ms ||
        MayBeMissing(target, offset, offset + 1))
      return true;
    return Fail(target.name + ": a search for time " + std::to_string(follower.wanted_ms) +
                " found offset " + std::to_string(found) + ", but " + std::to_string(offset) +
                " has " + std::to_string(*record.timestamp_ms));
  });
  return !failed();
}

}  // namespace tidemark::sim
