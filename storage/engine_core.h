// The engine behind the public Engine: owns the parts and gives each its turn. Belongs to one
// thread.
//
//   Append -> PartitionCore (tail) -> Committer -> Journal          durable
//                     \-> Packer -> SegmentWriter (on the worker)   in its segment
//   Reader <- tail, or OpenSegment through the loop
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/committer.h"
#include "storage/compaction.h"
#include "storage/context.h"
#include "storage/cursors.h"
#include "storage/journal.h"
#include "storage/packer.h"
#include "storage/partition.h"
#include "storage/reader.h"
#include "storage/retention.h"
#include "storage/scrubber.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

// Loop, worker and the rest for an engine that is not given any.
struct OwnWorld {
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<io::Worker> worker;
};

class EngineCore {
 public:
  static Result<std::unique_ptr<Engine>> Open(const io::Environment& environment,
                                              const EngineOptions& options, OwnWorld own_world);
  ~EngineCore();

  Status Close();
  std::span<Partition* const> Poll(std::chrono::microseconds max_wait);
  void Wake() { context_.environment.loop.Wake(); }

  Result<Topic*> CreateTopic(std::string_view name, int32_t partitions, const TopicConfig& config);
  Status AlterTopic(std::string_view name, const TopicConfig& config);
  Status AddPartitions(std::string_view name, int32_t count);
  Status DeleteTopic(std::string_view name);
  bool deletions_pending() const { return !deleting_.empty(); }
  Topic* FindTopic(std::string_view name) const;
  std::vector<Topic*> Topics() const;
  Result<std::unique_ptr<ReaderCore>> OpenReader(PartitionCore& partition, int64_t offset);
  Cursors& cursors() { return *cursors_; }

  const RecoveryReport& recovery() const { return report_; }
  EngineStats stats() const;
  const Status& health() const { return context_.health; }
  std::vector<Notice> TakeNotices() { return std::exchange(context_.notices, {}); }

 private:
  EngineCore(const io::Environment& environment, const EngineOptions& options, OwnWorld own_world);
  Status OpenStore();
  Status Recover(bool journal_lost);
  void TellWorld();
  Status AddTopics(const Manifest& manifest);
  // CreateTopic() without its check for reserved names.
  Result<Topic*> MakeTopic(std::string_view name, int32_t partitions, const TopicConfig& config);
  TopicCore* FindCore(std::string_view name) const;
  Status SaveManifest();
  size_t partition_count() const;

  // One turn: what is due is started, what has ended is taken in. Does not wait when a durable end
  // has moved and `return_for_moved` is set.
  void Turn(int64_t max_wait_us, bool return_for_moved);
  bool TakeIn();
  int64_t WaitFor(int64_t max_wait_us) const;
  Status CountStore();
  void RefreshRoom();
  void MaybeWitness();
  bool deletions_ready() const {
    return deleting_.size() > doomed_.size() && context_.now_us >= retry_deletions_at_us_;
  }
  // They wait for room on the disk.
  bool deletions_wait() const { return context_.now_us < retry_deletions_at_us_; }
  void FinishDeletions();
  Status EndDeletions(const std::set<base::Uuid>& deleted_topics);
  Status RemoveTopicFiles(TopicCore& topic);
  Status RemoveTopicSegments(TopicCore& topic);
  Status RemoveRemains(std::set<base::Uuid> deleted_topics);
  Status CheckPartitionRoom(const TopicCore* topic, int32_t more) const;
  Status MakePartitions(TopicCore& topic, int32_t count);
  void NotePartitionsMade(TopicCore& topic, int32_t count);
  Result<bool> SetAsideRemains(const std::string& folder);
  Result<bool> DrainIfThereIsRoom();
  Status CommitForClose();
  Status DrainForClose();
  Status WaitUntil(const std::function<bool()>& done);

  OwnWorld own_world_;  // outlives everything that uses it
  Context context_;
  RecoveryReport report_;
  base::Uuid store_id_;
  TopicList topics_;  // deleted ones stay: handles point to them
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<Packer> packer_;
  std::unique_ptr<Scrubber> scrubber_;      // null until the store is recovered
  std::unique_ptr<Retention> retention_;    // the same
  std::unique_ptr<Compaction> compaction_;  // the same
  std::unique_ptr<Cursors> cursors_;        // the same
  std::vector<TopicCore*> deleting_;        // their files are still there
  std::vector<TopicCore*> doomed_;          // of these, whose tombstone is not durable yet
  std::vector<Partition*> moved_;
  int64_t next_room_refresh_us_ = INT64_MIN;
  int64_t retry_deletions_at_us_ = INT64_MIN;
};

}  // namespace tidemark::storage
