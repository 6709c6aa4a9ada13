// One simulated store through many lives: a workload, crashes, recovery, and after each of them a
// comparison with the model, sentence by sentence of what docs/durability.md promises.
//
// Everything follows from the seed, and each step has a seed of its own, so that a step may be left
// out and the others stay what they are: that is how a failure is made smaller.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/sim/damage.h"
#include "tests/sim/model.h"
#include "tests/sim/sim_world.h"
#include "tidemark/engine.h"

namespace tidemark::sim {

struct Outcome {
  std::optional<std::string> failure;  // the sentence that was broken, and where
  size_t failed_step = 0;
  uint64_t crash_points = 0;  // deaths with a comparison behind them
  uint64_t openings = 0;
  uint64_t records = 0;
  uint64_t checkpoints = 0;
  uint64_t scrubbed_bytes = 0;
  uint64_t segments_removed = 0;
  uint64_t segments_compacted = 0;
  uint64_t around_journal_bytes = 0;
  uint64_t cursor_commits = 0;              // acknowledged
  uint64_t appends_without_room = 0;        // refused for that
  std::map<std::string, uint64_t> trouble;  // by kind
  std::vector<std::string> history;
};

class Simulation {
 public:
  Simulation(uint64_t seed, bool keep_history);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // False: a promise was broken.
  bool Step(uint64_t number);
  // The last crash and comparison.
  bool End();
  Outcome& outcome() { return outcome_; }

 private:
  struct Follower {
    std::unique_ptr<Reader> reader;
    std::string topic;
    int32_t partition = 0;
    int64_t position = 0;
    bool positioned = true;  // false: a search by time decides where it goes on
    int64_t wanted_ms = 0;
    uint64_t faults_before = 0;
    uint64_t wrong_reads_before = 0;
  };
  // A walk of a reader over a partition.
  struct Walk {
    int64_t* position = nullptr;  // where the next record is expected; nullptr: not known
    uint64_t wrong_reads_before = 0;
  };
  struct Target {
    std::string name;
    Topic* topic = nullptr;
    ModelTopic* model = nullptr;
    int32_t index = 0;
    Partition* partition = nullptr;
    ModelPartition* expected = nullptr;
  };

  // simulation.cc
  void Tell(const std::string& text);
  bool Fail(const std::string& text);
  bool failed() const { return outcome_.failure.has_value(); }
  bool dead() const { return world_.disk.dead(); }
  bool serves() const { return engine_ != nullptr && !dead() && !failed(); }
  bool tight() const;
  void PlanWorld();
  void LetCompact();
  void Crash(Death death);
  void Reopen();
  bool TryOpen();
  void CheckStopped();

  // operations.cc
  void DoSomething();
  std::optional<Target> TargetOf(const std::string& topic, int32_t index);
  std::optional<Target> Pick();
  void PollOnce(int64_t max_wait_us);
  bool IsForEver(int turn, int64_t began_us);
  void CheckNotices();
  void AppendSome(uint64_t count, uint64_t most_bytes);
  // nullopt: either.
  bool AppendOne(const Target& target, uint64_t most_bytes,
                 std::optional<Durability> wanted = std::nullopt);
  void AppendInBulk(Random random);
  void Settle();
  void CreateTopic();
  void AlterTopic();
  void AddPartitions();
  void DeleteTopic();
  void DeleteRecords();
  void NoteDeletions();
  void CloseCleanly(bool there_is_room = false);
  void FillDisk();
  void ArmDeath();
  void ArmFault();
  void ChangeCapacity();
  void JumpClock();
  TopicConfig RandomConfig();
  int64_t RandomTimestamp();

  // cursors.cc
  struct CursorCommit {
    CursorTicket ticket;
    uint64_t number = 0;
    // topic, its id, group, partition
    std::vector<std::tuple<std::string, std::string, std::string, int32_t>> keys;
  };
  void UseCursors();
  void CommitCursors();
  void DeleteCursors();
  void AskForCursors(CursorCommit commit, const std::function<Result<CursorTicket>(Engine&)>& call);
  void NoteCursor(const std::string& topic, const std::string& group, int32_t partition,
                  std::optional<int64_t> offset, CursorCommit* commit);
  void ObserveCursors(bool all_durable = false);
  void CheckCursors();
  bool CheckCursorsOf(const std::string& group, const std::vector<Cursor>& shown);

  // damage_checks.cc
  void MaybeDamage();
  void NoteDamage(const DamageDone& done);
  void VerifyBeforeOpening();
  void CheckAgreement();
  bool IsExcused(ModelPartition& expected, int64_t first, int64_t end);
  void CheckToldByOpening(const Damage& damage);
  bool DamageAllowsEnd(ModelPartition& expected, int64_t end) const;
  bool ExcusesFile(const std::string& path) const;
  void CheckRefusal(const Error& error);

  // checks.cc
  void ObserveEnds();
  void ObserveStart(const Target& target);
  void CheckAge(const Target& target, int64_t start);
  void CheckReopened();
  void CheckTopics();
  void CheckEnds(const std::string& name, Topic& topic, ModelTopic& model);
  void CheckAll();
  void CheckFiles();
  void ReadFrom(const Target& target, int64_t from);
  int64_t SomewhereIn(const Target& target);
  bool GoOnAtStart(const Target& target, Reader& reader, const Error& error, int64_t* position);
  bool MayBeMissing(const Target& target, int64_t first, int64_t end) const;
  bool CheckBatch(const Target& target, const Batch& batch, const Walk& walk, int64_t* next);
  bool IsMovedIntoGap(const Target& target, const Batch& batch, const RecordView& view,
                      const Walk& walk) const;
  bool NoteLost(const Target& target, const std::vector<LostRange>& lost, const Walk& walk);

  // budgets.cc
  void PlanBudget();
  void CheckBudgets();
  void CheckAdmitted(const Target& target);
  static uint64_t LimitOf(const TopicConfig& config);
  void AllowMore(const TopicConfig& config, ModelTopic* topic);
  void SettleBudgets();
  void FillBudget();
  void CheckRoomIsUsed();
  bool HasRoom(const Target& target) const;
  uint64_t FilesBelow(const std::string& folder) const;
  uint64_t BytesOf(const std::string& name, const ModelTopic& topic) const;
  uint64_t StoreBytes() const;

  // followers.cc
  void OpenFollower();
  void Follow();
  bool FollowOne(Follower& follower);
  bool CheckFound(const Target& target, const Follower& follower, int64_t found);

  uint64_t seed_;
  bool keep_history_;
  SimWorld world_;
  EngineOptions options_;
  Model model_;
  std::unique_ptr<Engine> engine_;
  std::vector<Follower> followers_;
  Outcome outcome_;
  size_t step_ = 0;
  // What this world is like.
  bool faults_allowed_ = false;
  bool disk_may_fill_ = false;
  bool fills_disk_ = false;
  bool gives_up_ = false;  // old records
  // Of the store: store_bytes, or more for as long as what was admitted may need that.
  uint64_t allowed_bytes_ = UINT64_MAX;
  bool compacts_ = false;
  bool large_records_ = false;
  bool many_partitions_ = false;
  uint64_t most_segment_bytes_ = 0;
  bool closed_cleanly_ = false;
  bool created_ = false;      // the store's making was acknowledged
  bool after_crash_ = false;  // comparing what recovery has left
  uint64_t faults_at_opening_ = 0;

  // Cursors, in the seeds that have them, with a source of chance of their own.
  bool commits_cursors_ = false;
  Random cursor_random_{0};
  std::vector<CursorCommit> cursor_commits_;  // not acknowledged yet
  uint64_t next_commit_ = 1;

  // Damage, in the seeds that have it: all of its chance comes from a source of its own.
  using Offset = std::tuple<std::string, int32_t, int64_t>;  // topic, partition, offset
  bool damage_allowed_ = false;
  Random trouble_{0};
  bool damaged_ = false;                // something of the store, at some time
  bool commit_damaged_ = false;         // since the last opening: one that counts
  bool journal_damaged_ = false;        // since then: any of it
  bool newest_commit_damaged_ = false;  // ... and that nothing proves to have been complete
  bool one_copy_left_ = false;          // of a superblock or a checkpoint, until the next opening
  std::set<std::string> damaged_paths_;
  std::optional<OffsetsAtRisk> misled_;            // by the last entry of an index that was forged
  std::optional<std::set<Offset>> verified_lost_;  // as verification has told before an opening
  std::set<Offset> told_lost_;                     // by the opening, and by readers behind it
};

// Runs steps 0 to `steps` - 1, or those of `only`.
Outcome Simulate(uint64_t seed, uint64_t steps, bool keep_history);
Outcome SimulateOnly(uint64_t seed, const std::vector<uint64_t>& only, bool keep_history);

}  // namespace tidemark::sim
