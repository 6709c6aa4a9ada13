// What the store and each topic take on the disk, against store_bytes and topic.bytes: looked at
// whenever a file has grown by a block.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tidemark::sim {

uint64_t Simulation::LimitOf(const TopicConfig& config) {
  return config.topic_bytes < 0 ? UINT64_MAX : static_cast<uint64_t>(config.topic_bytes);
}

// The least budget that there is would not be used up, so that somebody else's file has most of it.
void Simulation::PlanBudget() {
  if (options_.store_bytes == 0) return;
  allowed_bytes_ = options_.store_bytes;
  Random random(DeriveSeed(seed_, 13));
  if (random.OneIn(4)) return;
  constexpr uint64_t kLeastRoomBytes = uint64_t{1} << 20;
  constexpr uint64_t kMarginShare = 64;  // that the engine leaves free
  allowed_bytes_ = options_.store_bytes = uint64_t{32} << 20;
  const uint64_t room_bytes = kLeastRoomBytes + random.Skewed(uint64_t{8} << 20);
  const uint64_t margin_bytes = options_.store_bytes / kMarginShare;
  world_.disk.PutForeignFile(
      options_.data_dir, "foreign",
      options_.store_bytes - margin_bytes - options_.journal_bytes - room_bytes);
  Tell("a byte budget that leaves " + std::to_string(room_bytes) + " bytes");
}

// In folders of further partitions, whose making was cut off, an older topic's remains may stand.
uint64_t Simulation::BytesOf(const std::string& name, const ModelTopic& topic) const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < topic.partitions.size(); ++i)
    bytes += world_.disk.BytesInFolder(options_.data_dir + "/" + name + "-" + std::to_string(i));
  return bytes;
}

// What an opening has put into quarantine/ may come on top: no record had room reserved for that.
uint64_t Simulation::StoreBytes() const {
  const std::string quarantine = options_.data_dir + "/quarantine";
  if (world_.disk.Find(quarantine) == nullptr) return world_.disk.block_bytes();
  return world_.disk.block_bytes() - world_.disk.BytesInFolder(quarantine) - kPageBytes;
}

void Simulation::CheckBudgets() {
  if (StoreBytes() > allowed_bytes_) {
    Fail("the store takes " + std::to_string(StoreBytes()) + " bytes of its " +
         std::to_string(allowed_bytes_));
  }
  for (const auto& [name, topic] : model_.topics) {
    if (topic.allowed_bytes == UINT64_MAX) continue;
    const uint64_t bytes = BytesOf(name, topic);
    if (bytes <= topic.allowed_bytes) continue;
    Fail("topic " + name + " takes " + std::to_string(bytes) + " bytes of its " +
         std::to_string(topic.allowed_bytes));
  }
}

// Of a topic that is altered: what the older settings have admitted may wait to be packed, or to be
// packed once more after a crash. Without compression that takes more than it did the first time.
void Simulation::AllowMore(const TopicConfig& config, ModelTopic* topic) {
  topic->allowed_bytes = std::max(topic->allowed_bytes, LimitOf(config));
  const bool grows =
      config.compression == Compression::none &&
      std::any_of(topic->configs.begin(), topic->configs.end(), [](const TopicConfig& before) {
        return before.compression != Compression::none;
      });
  if (grows) topic->allowed_bytes = allowed_bytes_ = UINT64_MAX;
}

// All is packed, and a checkpoint knows of it. What an older limit has admitted is still to come: a
// seal for the active segment of each partition.
void Simulation::SettleBudgets() {
  uint64_t all_seals_bytes = 0;
  for (auto& [name, topic] : model_.topics) {
    const uint64_t seals_bytes = topic.partitions.size() * kPageBytes;
    all_seals_bytes += seals_bytes;
    if (topic.deleting || topic.configs.size() != 1) continue;
    const uint64_t limit = LimitOf(topic.configs.front());
    if (limit == UINT64_MAX || BytesOf(name, topic) + seals_bytes <= limit)
      topic.allowed_bytes = limit;
  }
  if (options_.store_bytes != 0 && StoreBytes() + all_seals_bytes <= options_.store_bytes)
    allowed_bytes_ = options_.store_bytes;
}

// Nothing is admitted where there is no room, whatever was there before the limit was set.
void Simulation::CheckAdmitted(const Target& target) {
  const uint64_t bytes = BytesOf(target.topic->name(), *target.model);
  const uint64_t limit = LimitOf(target.topic->config());
  if (bytes >= limit) {
    Fail(target.name + ": a record is admitted where the topic takes " + std::to_string(bytes) +
         " bytes of its " + std::to_string(limit));
  }
  const uint64_t store_bytes = world_.disk.block_bytes();
  if (options_.store_bytes != 0 && store_bytes >= options_.store_bytes) {
    Fail(target.name + ": a record is admitted where the store takes " +
         std::to_string(store_bytes) + " bytes of its " + std::to_string(options_.store_bytes));
  }
}

// Appends until there is no room, or for long enough.
void Simulation::FillBudget() {
  constexpr int kMostRecords = 300;
  const auto target = Pick();
  if (!target) return;
  Tell("fill " + target->name);
  for (int i = 0; i < kMostRecords && serves(); ++i) {
    const auto again = TargetOf(target->topic->name(), target->index);
    if (!again || !AppendOne(*again, 60'000)) break;
    if (world_.random.OneIn(6) && serves()) PollOnce(0);
  }
  if (serves() && !compacts_ && !commits_cursors_ && world_.random.OneIn(2)) CheckRoomIsUsed();
}

uint64_t Simulation::FilesBelow(const std::string& folder) const {
  const InodePointer found = world_.disk.Find(folder);
  uint64_t files = 0;
  if (found == nullptr) return 0;
  for (const auto& [name, inode] : found->entries) files += 1 + inode->entries.size();
  return files;
}

// When nothing waits to be packed: each file is counted with a block beyond its size, and a segment
// that a partition may have begun with all of its own.
bool Simulation::HasRoom(const Target& target) const {
  constexpr uint64_t kRecordBytes = 24 << 10;  // with the blocks of its segment
  constexpr uint64_t kMarginShare = 64;
  constexpr uint64_t kMuchBytes = uint64_t{16} << 20;
  const auto fits = [](uint64_t bytes, uint64_t files, uint64_t partitions, uint64_t limit) {
    return bytes + files * kPageBytes + (partitions + 1) * kRecordBytes <=
           limit - limit / kMarginShare;
  };
  uint64_t all_partitions = 0;
  for (const auto& [name, topic] : model_.topics) all_partitions += topic.partitions.size();
  const uint64_t partitions = target.model->partitions.size();
  uint64_t files = 0;
  for (uint64_t i = 0; i < partitions; ++i)
    files += FilesBelow(options_.data_dir + "/" + target.topic->name() + "-" + std::to_string(i));
  return world_.disk.free_bytes() > kMuchBytes &&
         fits(BytesOf(target.topic->name(), *target.model), files, partitions,
              LimitOf(target.topic->config())) &&
         (options_.store_bytes == 0 ||
          fits(world_.disk.block_bytes(), FilesBelow(options_.data_dir), all_partitions,
               options_.store_bytes));
}

// What an opening has counted is what is there: nothing is refused that has room.
void Simulation::CheckRoomIsUsed() {
  CloseCleanly();
  if (!serves() || !closed_cleanly_) return;
  const auto target = Pick();
  if (!target) return;
  const bool has_room = HasRoom(*target);
  Tell("append to " + target->name + (has_room ? ", which has room" : ""));
  bool admitted = AppendOne(*target, 600);
  // What the worker has removed just now counts once the engine has heard of it.
  for (int turn = 0; turn < 3 && !admitted && has_room && serves(); ++turn) {
    PollOnce(100'000);
    const auto again = TargetOf(target->topic->name(), target->index);
    admitted = serves() && again && AppendOne(*again, 600);
  }
  if (!admitted && has_room && serves() && engine_->health().ok())
    Fail(target->name + " refuses a record though it has room");
}

}  // namespace tidemark::sim
