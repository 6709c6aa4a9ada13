// Cursors: one that was acknowledged is there after a crash, or a later one that was asked for;
// never one that nobody committed, and never one of a topic that was deleted.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tidemark::sim {
namespace {

constexpr const char* kGroups[] = {"g", "h", "i"};
constexpr int kMostCursorTurns = 2000;  // that are waited where room may never come
constexpr int64_t kCursorTurnUs = 10'000;

std::string TextOf(std::optional<int64_t> offset) {
  return offset ? std::to_string(*offset) : "none";
}

}  // namespace

void Simulation::UseCursors() {
  ObserveCursors();
  if (cursor_random_.OneIn(8)) return DeleteCursors();
  if (cursor_random_.OneIn(6)) return CheckCursors();
  CommitCursors();
}

void Simulation::NoteCursor(const std::string& topic, const std::string& group, int32_t partition,
                            std::optional<int64_t> offset, CursorCommit* commit) {
  ModelTopic& model = model_.topics.at(topic);
  auto& states = model.cursors[{group, partition}];
  if (states.empty()) states.push_back({std::nullopt, 0});
  states.push_back({offset, commit->number});
  commit->keys.emplace_back(topic, model.id, group, partition);
}

// Some partitions of some topics at once.
void Simulation::CommitCursors() {
  const std::string group = kGroups[cursor_random_.Below(std::size(kGroups))];
  CursorCommit commit;
  commit.number = next_commit_++;
  std::vector<CursorPosition> positions;
  for (const auto& [name, topic] : model_.topics) {
    for (size_t i = 0; i < topic.partitions.size() && !topic.deleting; ++i) {
      if (!cursor_random_.OneIn(3)) continue;
      const auto target = TargetOf(name, static_cast<int32_t>(i));
      if (failed()) return;
      if (!target) continue;
      const auto durable = static_cast<uint64_t>(target->partition->durable_end_offset());
      CursorPosition position;
      position.topic = name;
      position.partition = target->index;
      position.offset = static_cast<int64_t>(cursor_random_.Below(durable + 1));
      positions.push_back(position);
    }
  }
  if (positions.empty()) return;
  Tell("commit " + std::to_string(positions.size()) + " cursors of group " + group + ": " +
       positions.front().topic + "-" + std::to_string(positions.front().partition) + " at " +
       std::to_string(positions.front().offset) + "...");
  for (const CursorPosition& position : positions)
    NoteCursor(position.topic, group, position.partition, position.offset, &commit);
  AskForCursors(std::move(commit),
                [&](Engine& engine) { return engine.CommitCursors(group, positions); });
}

void Simulation::DeleteCursors() {
  const std::string group = kGroups[cursor_random_.Below(std::size(kGroups))];
  Tell("delete the cursors of group " + group);
  CursorCommit commit;
  commit.number = next_commit_++;
  for (const auto& [name, topic] : model_.topics) {
    if (topic.deleting) continue;
    for (const auto& [key, states] : topic.cursors) {
      if (key.first == group) NoteCursor(name, group, key.second, std::nullopt, &commit);
    }
  }
  AskForCursors(std::move(commit), [&](Engine& engine) { return engine.DeleteCursors(group); });
}

// For as long as the engine is busy. It is acknowledged later, in one of the following steps.
void Simulation::AskForCursors(CursorCommit commit,
                               const std::function<Result<CursorTicket>(Engine&)>& call) {
  const uint64_t faults_before = world_.disk.faults_struck();
  const int64_t began_us = world_.clock.MonotonicUs();
  for (int turn = 0; serves(); ++turn) {
    const auto ticket = call(*engine_);
    if (dead()) return;
    if (ticket.ok()) {
      commit.ticket = *ticket;
      cursor_commits_.push_back(std::move(commit));
      return;
    }
    const Error& error = ticket.error();
    const bool trouble = world_.disk.faults_struck() != faults_before || !engine_->health().ok();
    const bool comes_again =
        error.code() == ErrorCode::busy || (error.code() == ErrorCode::disk_full && !tight());
    if (comes_again && (turn <= kMostCursorTurns || !tight())) {
      if (IsForEver(turn, began_us)) {
        Fail("committing cursors: for ever busy");
        return;
      }
      PollOnce(kCursorTurnUs);
      continue;
    }
    Tell("committing cursors fails: " + error.ToString());
    if (!trouble && !tight()) Fail("committing cursors fails: " + error.ToString());
    return;
  }
}

// What is acknowledged is bound to be there from now on.
void Simulation::ObserveCursors(bool all_durable) {
  std::erase_if(cursor_commits_, [&](const CursorCommit& commit) {
    if (!all_durable && !commit.ticket.durable()) return false;
    ++outcome_.cursor_commits;
    for (const auto& [name, id, group, partition] : commit.keys) {
      const auto topic = model_.topics.find(name);
      if (topic == model_.topics.end() || topic->second.id != id) continue;
      auto& states = topic->second.cursors[{group, partition}];
      std::erase_if(states, [&](const ModelCursor& state) { return state.number < commit.number; });
    }
    return true;
  });
}

void Simulation::CheckCursors() {
  const uint64_t faults_before = world_.disk.faults_struck();
  for (const std::string group : kGroups) {
    Result<std::vector<Cursor>> shown{std::vector<Cursor>()};
    const int64_t began_us = world_.clock.MonotonicUs();
    for (int turn = 0; serves(); ++turn) {
      shown = engine_->Cursors(group);
      if (shown.ok() || shown.error().code() != ErrorCode::busy) break;
      if (IsForEver(turn, began_us)) {
        Fail("reading cursors: for ever busy");
        return;
      }
      PollOnce(kCursorTurnUs);
    }
    if (!serves()) return;
    if (!shown.ok()) {
      if (world_.disk.faults_struck() == faults_before)
        Fail("reading cursors fails: " + shown.error().ToString());
      return;
    }
    ObserveCursors();
    if (!CheckCursorsOf(group, *shown)) return;
  }
}

bool Simulation::CheckCursorsOf(const std::string& group, const std::vector<Cursor>& shown) {
  std::map<std::pair<std::string, int32_t>, int64_t> offsets;
  for (const Cursor& cursor : shown) offsets[{cursor.topic, cursor.partition}] = cursor.offset;
  for (auto& [name, topic] : model_.topics) {
    if (topic.deleting) continue;
    for (auto& [key, states] : topic.cursors) {
      if (key.first != group) continue;
      const auto found = offsets.extract({name, key.second});
      const auto offset = found ? std::optional(found.mapped()) : std::nullopt;
      const bool known = std::any_of(states.begin(), states.end(), [&](const ModelCursor& state) {
        return state.offset == offset;
      });
      if (!known) {
        return Fail("group " + group + " stands at " + TextOf(offset) + " in " + name + "-" +
                    std::to_string(key.second) + "; acknowledged was " +
                    TextOf(states.front().offset));
      }
      if (after_crash_) states = {{offset, 0}};
    }
  }
  if (offsets.empty()) return true;
  return Fail("group " + group + " has a cursor in " + offsets.begin()->first.first + "-" +
              std::to_string(offsets.begin()->first.second) + " that nobody committed");
}

}  // namespace tidemark::sim
