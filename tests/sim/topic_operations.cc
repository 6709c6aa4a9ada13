// What a step does to topics: made, altered, made larger, deleted, and given settings.
#include <algorithm>
#include <iterator>

#include "tests/sim/simulation.h"

namespace tidemark::sim {
namespace {

constexpr const char* kNames[] = {"a", "b", "c", "d"};

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
    topic.allowed_bytes = LimitOf(topic.configs.front());
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
  AllowMore(changed, target->model);
  const Status altered = engine_->AlterTopic(target->topic->name(), changed);
  Tell("alter topic " + target->topic->name() + (altered.ok() ? "" : " fails"));
  NoteLimits(changed, target->model);
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
  const bool full = !added.ok() && added.error().code() == ErrorCode::disk_full &&
                    target->topic->config().topic_bytes >= 0;
  const bool excused = dead() || world_.disk.faults_struck() > 0 || tight() || full;
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

}  // namespace tidemark::sim
