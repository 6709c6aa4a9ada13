// Retention's room: who gives way at the limit of the disk, of the store's budget, or of a topic's,
// and what that has brought.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/first_segment.h"
#include "storage/retention.h"
#include "storage/store_files.h"

namespace tidemark::storage {
namespace {

// Room that dropping keeps free: a sixteenth of a budget, else this on a disk. Enough for what
// arrives while segments are being removed.
constexpr uint64_t kBudgetHeadroomShare = 16;
// The store is counted anew when so much of its budget was removed.
constexpr uint64_t kCountShare = 4;
constexpr uint64_t kDiskHeadroomBytes = uint64_t{8} << 20;

bool IsLive(const Opening& opening) { return !opening.holder.expired(); }

bool IsDue(uint64_t budget_bytes, uint64_t removed_bytes) {
  return budget_bytes != 0 && removed_bytes >= budget_bytes / kCountShare;
}

}  // namespace

void Retention::MakeRoom() {
  if (working_) return;
  const uint64_t budget = context_.options.store_bytes;
  const uint64_t headroom = budget != 0 ? budget / kBudgetHeadroomShare : kDiskHeadroomBytes;
  MakeRoomIn(context_.space, headroom + context_.kept_room_bytes, nullptr, &victim_);
  for (const auto& topic : topics_) {
    const uint64_t topic_budget = topic->budget_bytes();
    if (topic->deleted || topic_budget == 0) continue;
    MakeRoomIn(topic->space, topic_budget / kBudgetHeadroomShare + topic->kept_room_bytes,
               topic.get(), &topic->victim);
  }
}

// One segment at a time: what it gives back is known when its files are gone.
void Retention::MakeRoomIn(const SpaceLedger& space, uint64_t headroom_bytes, const TopicCore* only,
                           PartitionCore** victim) {
  if ((*victim != nullptr && IsLeaving(**victim)) || AwaitsWork(only)) return;
  *victim = space.Fits(headroom_bytes) ? nullptr : FindVictim(only);
  if (!space.Fits(headroom_bytes) && Victims(only).empty() && AwaitsFlush(only))
    packer_.FlushSoon();
  if (*victim != nullptr) committer_.MoveLogStart(**victim, EndOfFirst(**victim));
}

// Those that may give up their first segment: of the topics that come first to give way.
std::vector<PartitionCore*> Retention::Victims(const TopicCore* only) const {
  std::vector<PartitionCore*> victims;
  std::optional<int32_t> lowest;
  for (const auto& topic : topics_) {
    const TopicConfig& config = topic->config();
    if (topic->deleted || config.when_full != WhenFull::drop_oldest) continue;
    if (only != nullptr && only != topic.get()) continue;
    if (lowest && config.retention_priority > *lowest) continue;
    for (const auto& partition : topic->partitions()) {
      if (!FirstIsFinished(*partition)) continue;
      if (lowest != config.retention_priority) victims.clear();
      lowest = config.retention_priority;
      victims.push_back(partition.get());
    }
  }
  return victims;
}

bool Retention::CanMakeRoom(const TopicCore* only) const {
  const PartitionCore* under_way = only != nullptr ? only->victim : victim_;
  return under_way != nullptr || !Victims(only).empty() || AwaitsFlush(only) || AwaitsWork(only);
}

// Whether what was removed gives its room back as soon as the engine's own work lets go of it.
bool Retention::AwaitsWork(const TopicCore* only) const {
  return std::any_of(pinned_.begin(), pinned_.end(), [&](const Pinned& pinned) {
    const auto reads = [](const Opening& opening) { return IsLive(opening) && !opening.by_work; };
    return (only == nullptr || only == &pinned.partition->topic()) &&
           std::none_of(pinned.held.begin(), pinned.held.end(), reads);
  });
}

// Whether there is a finished segment to give up that no flush has brought into the list yet: a
// small budget is used up before a flush is due.
bool Retention::AwaitsFlush(const TopicCore* only) const {
  const auto awaits = [](const auto& partition) {
    const auto& unflushed = partition->unflushed_segments;
    if (unflushed.empty()) return false;
    return unflushed.size() > 1 || (!partition->segments().empty() &&
                                    unflushed.begin()->first > partition->active_base_offset());
  };
  return std::any_of(topics_.begin(), topics_.end(), [&](const auto& topic) {
    return !topic->deleted && topic->config().when_full == WhenFull::drop_oldest &&
           (only == nullptr || only == topic.get()) &&
           std::any_of(topic->partitions().begin(), topic->partitions().end(), awaits);
  });
}

// Whose first segment is the oldest of all. nullptr: nobody's, or that has to be found out first.
PartitionCore* Retention::FindVictim(const TopicCore* only) {
  PartitionCore* oldest = nullptr;
  const auto last_append_ms = [](PartitionCore& partition) {
    return partition.segments().begin()->second.last_append_ms;
  };
  bool all_are_dated = true;
  for (PartitionCore* victim : Victims(only)) {
    if (!last_append_ms(*victim)) {
      all_are_dated = false;
      DateSoon(*victim);
    } else if (oldest == nullptr || *last_append_ms(*victim) < *last_append_ms(*oldest)) {
      oldest = victim;
    }
  }
  return all_are_dated ? oldest : nullptr;
}

void Retention::CreditWhenReleased(PartitionCore& partition, Openings held, uint64_t bytes) {
  removed_bytes_ += bytes;
  partition.topic().removed_bytes += bytes;
  pinned_.push_back({std::move(held), &partition, bytes});
  CreditUnpinned();
}

void Retention::CreditUnpinned() {
  std::erase_if(pinned_, [](const Pinned& pinned) {
    const bool is_held = std::any_of(pinned.held.begin(), pinned.held.end(), IsLive);
    if (is_held) return false;
    pinned.partition->CreditSpace(pinned.bytes);
    return true;
  });
}

// What a segment was charged with while it was written (the most that its index entries might take)
// is a little more than its files give back.
bool Retention::StartCounting() {
  if (IsDue(context_.options.store_bytes, removed_bytes_)) {
    removed_bytes_ = 0;
    StartCountingOf(nullptr);
    return true;
  }
  for (const auto& topic : topics_) {
    if (topic->deleted || !IsDue(topic->budget_bytes(), topic->removed_bytes)) continue;
    topic->removed_bytes = 0;
    StartCountingOf(topic.get());
    return true;
  }
  return false;
}

// All files, or (not nullptr) those of a topic. Nothing is written while the worker counts.
void Retention::StartCountingOf(TopicCore* topic) {
  working_ = true;
  auto used = std::make_shared<Result<uint64_t>>(uint64_t{0});
  std::vector<std::string> folders = {context_.options.data_dir};
  if (topic != nullptr) folders = topic->folders();
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, used, folders] { *used = BytesBelow(files, folders); },
      [this, used, topic] {
        working_ = false;
        // Else the sum that is kept must do.
        if (used->ok()) TakeCount(topic, **used);
      });
}

void Retention::TakeCount(TopicCore* topic, uint64_t used_bytes) {
  for (const Pinned& pinned : pinned_) {
    if (topic == nullptr || topic == &pinned.partition->topic()) used_bytes += pinned.bytes;
  }
  const uint64_t budget = topic != nullptr ? topic->budget_bytes() : context_.options.store_bytes;
  SpaceLedger& space = topic != nullptr ? topic->space : context_.space;
  if (budget != 0) space.SetRoom(RoomInBudget(budget, used_bytes));
}

void Retention::CountStore() {
  if (context_.options.store_bytes == 0) return;
  const auto used = BytesBelow(context_.environment.files, {context_.options.data_dir});
  if (used) TakeCount(nullptr, *used);
  CountSoon();  // once more, when the worker has nothing unsettled
}

// At once: its budget is new, or another than before.
void Retention::Count(TopicCore& topic) {
  topic.space.SetRoom(SpaceLedger::kNoLimit);
  if (topic.budget_bytes() == 0) return;
  const auto used = BytesBelow(context_.environment.files, topic.folders());
  if (used) TakeCount(&topic, *used);
  if (!used) {
    context_.Tell(NoticeLevel::warning, "topic " + topic.description().name +
                                            ": topic.bytes is not held before its " +
                                            "files can be counted: " + used.error().ToString());
  }
  topic.removed_bytes = topic.budget_bytes();  // once more, when the worker has nothing unsettled
}

}  // namespace tidemark::storage
