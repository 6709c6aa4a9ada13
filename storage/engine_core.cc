#include "storage/engine_core.h"

#include <algorithm>

#include "storage/carried_clock.h"
#include "storage/recovery.h"
#include "storage/store_files.h"

namespace tidemark::storage {
namespace {

// So long behind the last commit an idle store writes an empty one that repeats its directory (rule
// 2). Longer than the pause between the readings of a busy gateway, so that they do not pay for it.
constexpr int64_t kWitnessIdleUs = 1'000'000;
constexpr int64_t kRefreshRoomUs = 1'000'000;
// Left free on a disk without a budget: for indexes, notes and other people's files.
constexpr uint64_t kDiskMarginBytes = uint64_t{1} << 20;

Status CheckOptions(const EngineOptions& options) {
  auto refuse = [](const std::string& what) { return Error(ErrorCode::invalid_argument, what); };
  if (options.data_dir.empty()) return refuse("data_dir is empty");
  if (options.journal_bytes < kMinJournalBytes) {
    return refuse("journal_bytes must be at least " + std::to_string(kMinJournalBytes));
  }
  if (options.cursor_partitions < 1) return refuse("cursor_partitions must be at least 1");
  if (options.memory_bytes < kMinMemoryBytes) {
    return refuse("memory_bytes must be at least " + std::to_string(kMinMemoryBytes));
  }
  if (options.compaction_memory_bytes > options.memory_bytes / 2)
    return refuse("compaction_memory_bytes must be at most half of memory_bytes");
  if (options.store_bytes != 0 && options.store_bytes < kMinStoreBytes) {
    return refuse("store_bytes must be 0 or at least " + std::to_string(kMinStoreBytes) +
                  ": the journal takes an eighth of it");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> EngineCore::Open(const io::Environment& environment,
                                                 const EngineOptions& options, OwnWorld own_world) {
  if (Status checked = CheckOptions(options); !checked) return checked.error();
  std::unique_ptr<EngineCore> core(new EngineCore(environment, options, std::move(own_world)));
  if (Status opened = core->OpenStore(); !opened) return opened.error();
  return std::unique_ptr<Engine>(new Engine(std::move(core)));
}

EngineCore::EngineCore(const io::Environment& environment, const EngineOptions& options,
                       OwnWorld own_world)
    : own_world_(std::move(own_world)), context_(environment, options) {}

EngineCore::~EngineCore() {
  // What the kernel and the worker still have points into this object.
  while ((journal_ && journal_->in_flight()) || context_.reads_in_flight > 0 ||
         context_.environment.worker.pending() > 0) {
    // First what has ended: its wake-up may have been spent by the last turn.
    if (context_.environment.worker.RunDone() == 0) context_.environment.loop.RunOnce(-1);
  }
}

// --- Opening ---

Status EngineCore::OpenStore() {
  context_.RefreshNow();
  const int64_t began_us = context_.now_us;
  io::FileSystem& files = context_.environment.files;
  auto exists = files.Exists(context_.options.data_dir);
  if (!exists) return exists.error();
  if (!*exists) {
    if (!context_.options.create_if_missing) {
      return Error(ErrorCode::invalid_argument, context_.options.data_dir + ": no such folder");
    }
    if (Status made = files.MakeDirectory(context_.options.data_dir); !made) return made;
  }
  auto store = OpenStoreFiles(context_);
  if (!store) return store.error();
  journal_ = std::move(store->journal);
  store_id_ = store->manifest.store_id;
  report_.created = store->created;
  committer_ = std::make_unique<Committer>(context_, *journal_);
  packer_ = std::make_unique<Packer>(context_, *journal_, *committer_, topics_);
  TellWorld();
  if (Status added = AddTopics(store->manifest); !added) return added;
  if (Status removed = RemoveKafkaExports(files, context_.options.data_dir); !removed)
    return removed;
  if (Status recovered = Recover(store->journal_lost); !recovered) return recovered;
  if (Status counted = CountStore(); !counted) return counted;
  context_.RefreshNow();
  RefreshRoom();
  scrubber_ = std::make_unique<Scrubber>(context_, topics_);
  retention_ = std::make_unique<Retention>(context_, *committer_, *packer_, topics_);
  for (const auto& topic : topics_) retention_->Count(*topic);
  compaction_ = std::make_unique<Compaction>(context_, *journal_, *packer_, *retention_, topics_);
  cursors_ = std::make_unique<Cursors>(context_, topics_, [this]() -> Result<TopicCore*> {
    auto made = MakeTopic(kCursorTopic, context_.options.cursor_partitions, CursorTopicConfig());
    if (!made) return made.error();
    return (*made)->core_;
  });
  report_.duration_us = context_.now_us - began_us;
  return {};
}

void EngineCore::TellWorld() {
  const io::LoopDescription& loop = context_.environment.loop.description();
  context_.Tell(NoticeLevel::info, "I/O engine: " + loop.text);
  auto space = context_.environment.files.Space(context_.options.data_dir);
  if (space && space->copy_on_write) {
    context_.Tell(NoticeLevel::warning, context_.options.data_dir + " is on " + space->type +
                                            ", which copies on write: the journal cannot be "
                                            "overwritten in place there; commits are slower "
                                            "and wear the flash more");
  }
  if (!journal_->file().direct()) {
    context_.Tell(NoticeLevel::warning,
                  journal_->file().path() +
                      ": direct I/O is refused here; commits go through the page cache, with a "
                      "flush each");
  }
}

Status EngineCore::AddTopics(const Manifest& manifest) {
  for (const TopicDescription& description : manifest.topics) {
    auto topic = std::make_unique<TopicCore>(description);
    for (int32_t index = 0; index < description.partitions; ++index) {
      topic->partitions().push_back(std::make_unique<PartitionCore>(
          context_, *committer_, *topic, index,
          PartitionFolder(context_.options.data_dir, description.name, index)));
    }
    topics_.push_back(std::move(topic));
  }
  if (partition_count() <= journal_->max_partitions()) return {};
  return Error(ErrorCode::unsupported,
               "the manifest has more partitions than the journal's checkpoints can hold (" +
                   std::to_string(journal_->max_partitions()) + ")");
}

Status EngineCore::Recover(bool journal_lost) {
  auto slots = ReadCheckpoints(journal_->file(), journal_->superblock());
  if (!slots) return slots.error();
  const bool brand_new = report_.created || journal_lost;
  const Checkpoint* checkpoint = slots->newest && !brand_new ? &*slots->newest : nullptr;
  report_.clean = checkpoint != nullptr && checkpoint->clean;
  for (int slot = 0; slot < 2; ++slot) {
    if (!slots->damaged[slot]) continue;
    context_.Tell(NoticeLevel::warning, journal_->file().path() + ": checkpoint slot " +
                                            (slot == 0 ? "A" : "B") +
                                            " is damaged; it is written anew from the other one");
  }
  packer_->set_checkpoints_allowed(false);
  // On a full disk what is replayed stays in memory, which the journal's size bounds, too.
  Recovery recovery(context_, *journal_, topics_, report_, [this] {
    const Result<bool> drained = DrainIfThereIsRoom();
    return drained ? Status() : drained.error();
  });
  if (Status restored = recovery.RestoreFiles(checkpoint, journal_lost); !restored) return restored;
  if (Status replayed = recovery.ReplayJournal(checkpoint, brand_new, journal_lost); !replayed)
    return replayed;
  // Before a checkpoint may leave the tombstones behind.
  if (Status ended = EndDeletions(recovery.deleted_topics()); !ended) return ended;
  // Damaged commits are left behind at once. With no room for that they stay, and are told again;
  // so they do beside a tombstone that is still needed.
  bool leave_behind = recovery.journal_damaged() && deleting_.empty();
  if (leave_behind) {
    const Result<bool> drained = DrainIfThereIsRoom();
    if (!drained) return drained.error();
    leave_behind = *drained;
  }

  const JournalEnd& end = recovery.end();
  const uint64_t incarnation =
      std::max(checkpoint != nullptr ? checkpoint->incarnation : 0, end.last_incarnation) + 1;
  journal_->Continue(end,
                     leave_behind ? std::deque<Journal::LiveCommit>() : recovery.TakeLiveCommits(),
                     incarnation, {checkpoint != nullptr ? checkpoint->number : 0, slots->spare});
  context_.RefreshNow();
  context_.engine_clock_base_ms =
      std::max(end.last_engine_clock_ms, checkpoint != nullptr ? checkpoint->engine_clock_ms : 0);
  context_.engine_clock_base_ms =
      std::max(context_.engine_clock_base_ms,
               CarriedEngineClockMs(context_, incarnation - 1).value_or(INT64_MIN));
  context_.engine_clock_origin_us = context_.now_us;

  if (!deleting_.empty()) committer_->KeepTombstones(recovery.first_tombstone_sequence());
  // Makes the incarnation durable, before anything is committed under it.
  packer_->set_checkpoints_allowed(true);
  if (Status written = packer_->WriteCheckpointNow(/*clean=*/false); !written) return written;
  CarryEngineClock(context_, incarnation);
  return journal_->RestoreLength();
}

// Those that the journal knows of, as far as there is room for it.
Status EngineCore::EndDeletions(const std::set<base::Uuid>& deleted_topics) {
  for (auto& topic : topics_) {
    if (!deleted_topics.contains(topic->description().id)) continue;
    topic->deleted = true;
    for (auto& partition : topic->partitions()) partition->deleted = true;
    deleting_.push_back(topic.get());
  }
  FinishDeletions();
  if (!context_.health.ok()) return context_.health;
  return RemoveRemains(deleted_topics);
}

// --- Turns ---

std::span<Partition* const> EngineCore::Poll(std::chrono::microseconds max_wait) {
  for (Partition* partition : moved_) partition->core_->moved = false;
  moved_.clear();
  Turn(max_wait.count(), /*return_for_moved=*/true);
  committer_->TakeMoved(&moved_);
  return moved_;
}

void EngineCore::Turn(int64_t max_wait_us, bool return_for_moved) {
  context_.RefreshNow();
  RefreshRoom();
  const bool progress = TakeIn();
  MaybeWitness();
  committer_->MaybeStart();
  const bool done = progress || (return_for_moved && committer_->any_moved());
  context_.environment.loop.RunOnce(done ? 0 : WaitFor(max_wait_us));
  context_.RefreshNow();
  TakeIn();
  const bool was_in_flight = committer_->in_flight();
  committer_->MaybeStart();
  // Handed to the kernel now: who called may be busy for a while with what this turn has brought.
  if (!was_in_flight && committer_->in_flight()) context_.environment.loop.RunOnce(0);
}

// What the worker has done, and its next piece of work. True: there was something, which somebody
// may wait for.
bool EngineCore::TakeIn() {
  const bool was_ok = context_.health.ok();
  const size_t deletions = deleting_.size();
  bool any = context_.environment.worker.RunDone() > 0;
  FinishDeletions();
  any = any || deleting_.size() != deletions || context_.health.ok() != was_ok;
  // A deletion needs a moment in which the worker has no part in the topic.
  if (!deletions_ready()) {
    packer_->Advance();
    if (retention_ && !compaction_->swapping()) retention_->Advance();
    if (compaction_) compaction_->Advance();
    if (scrubber_) scrubber_->Advance();
  }
  return any;
}

// A time that has passed must belong to something that this turn has really started, or the loop
// would spin.
int64_t EngineCore::WaitFor(int64_t max_wait_us) const {
  if (!context_.health.ok()) return max_wait_us;
  int64_t due_us = committer_->next_due_us();
  if (!deletions_ready()) due_us = std::min(due_us, packer_->next_due_us());
  if (deletions_wait()) due_us = std::min(due_us, retry_deletions_at_us_);
  if (retention_ && !deletions_ready()) due_us = std::min(due_us, retention_->next_due_us());
  if (compaction_ && !deletions_ready()) due_us = std::min(due_us, compaction_->next_due_us());
  if (scrubber_ && !deletions_ready()) due_us = std::min(due_us, scrubber_->next_due_us());
  if (committer_->needs_witness() && committer_->idle()) {
    due_us = std::min(due_us, committer_->last_commit_us() + kWitnessIdleUs);
  }
  if (due_us == INT64_MAX) return max_wait_us;
  const int64_t until_due_us = std::max<int64_t>(0, due_us - context_.now_us);
  return max_wait_us < 0 ? until_due_us : std::min(max_wait_us, until_due_us);
}

void EngineCore::MaybeWitness() {
  if (!committer_->needs_witness() || !committer_->idle()) return;
  if (context_.now_us - committer_->last_commit_us() >= kWitnessIdleUs)
    committer_->RequestWitness();
}

// With a byte budget, what is there already counts.
Status EngineCore::CountStore() {
  if (context_.options.store_bytes == 0) return {};
  const auto used = BytesBelow(context_.environment.files, {context_.options.data_dir});
  if (!used) return used.error();
  context_.space.SetRoom(RoomInBudget(context_.options.store_bytes, *used));
  return {};
}

void EngineCore::RefreshRoom() {
  if (context_.options.store_bytes != 0 || context_.now_us < next_room_refresh_us_) return;
  next_room_refresh_us_ = context_.now_us + kRefreshRoomUs;
  auto space = context_.environment.files.Space(context_.options.data_dir);
  if (!space) return;
  context_.space.SetRoom(static_cast<int64_t>(space->free_bytes) -
                         static_cast<int64_t>(kDiskMarginBytes));
}

Status EngineCore::WaitUntil(const std::function<bool()>& done) {
  while (!done()) {
    if (!context_.health.ok()) return context_.health;
    // Nobody is told before the end of this what has moved: to return for it would be to spin.
    Turn(-1, /*return_for_moved=*/false);
  }
  return context_.health;
}

// Packs and flushes all that is durable, now. False: the disk has no room for it, and may never
// have: whoever opens or closes is told, rather than kept.
Result<bool> EngineCore::DrainIfThereIsRoom() {
  packer_->Drain();
  const Status waited =
      WaitUntil([this] { return packer_->drained() || packer_->waits_for_room(); });
  const bool drained = packer_->drained();
  packer_->StopDraining();
  if (!waited.ok()) return waited.error();
  return drained;
}

// Commits what is not yet durable. The journal may need room for that which only segments give, and
// the disk none for these: whoever closes is told then, rather than kept.
Status EngineCore::CommitForClose() {
  const auto committed = [this] { return committer_->idle() && deleting_.empty(); };
  packer_->TryAgain();
  Status waited = WaitUntil([this, &committed] {
    committer_->MakeAllDue();
    return committed() || deletions_wait() || (committer_->blocked() && packer_->waits_for_room());
  });
  if (!waited.ok() || committed()) return waited;
  if (deletions_wait()) {
    return Error(ErrorCode::disk_full, context_.options.data_dir +
                                           ": there is no room to delete a topic; nothing else is "
                                           "lost, make room and open the store again");
  }
  return Error(ErrorCode::disk_full,
               context_.options.data_dir +
                   ": the journal is full, and there is no room to move records from it into "
                   "segments; what was durable is in it, what was not is lost; make room and open "
                   "the store again");
}

Status EngineCore::DrainForClose() {
  packer_->TryAgain();
  const Result<bool> drained = DrainIfThereIsRoom();
  if (!drained) return drained.error();
  if (*drained) return {};
  return Error(ErrorCode::disk_full,
               context_.options.data_dir +
                   ": there is no room to move records from the journal into segments; nothing is "
                   "lost, make room and open the store again");
}

Status EngineCore::Close() {
  scrubber_->Stop();
  retention_->Stop();
  compaction_->Stop();
  cursors_->StopReading();
  Status done = CommitForClose();
  if (done.ok()) done = DrainForClose();
  if (done.ok())
    done = WaitUntil([this] {
      return packer_->idle() && !packer_->checkpoint_pending() && retention_->idle() &&
             compaction_->idle();
    });
  if (done.ok()) done = packer_->FinishWriters();
  if (done.ok() && committer_->needs_witness()) {
    committer_->RequestWitness();
    // It may have filled the journal up to where a checkpoint starts by itself.
    done = WaitUntil([this] { return committer_->idle() && packer_->idle(); });
  }
  if (done.ok()) done = packer_->WriteCheckpointNow(/*clean=*/true);
  if (!done.ok()) return done;
  std::vector<ExportedPartition> exports;
  for (const auto& topic : topics_) {
    if (topic->deleted) continue;
    for (const auto& partition : topic->partitions()) {
      exports.push_back({topic->description().name, partition->index(),
                         partition->log_start_offset(), partition->end_offset(),
                         Compaction::CleanEnd(context_.environment.files, *partition)});
    }
  }
  context_.Stop(Error(ErrorCode::stopped, "the store was closed"));
  EnsureManifestBackup(context_.environment.files, context_.options.data_dir);
  return WriteKafkaExports(context_.environment.files, context_.options.data_dir, exports);
}

EngineStats EngineCore::stats() const {
  EngineStats stats = context_.stats;
  stats.journal_bytes_written = journal_->bytes_written();
  stats.memory_bytes = context_.memory_bytes() + journal_->memory_bytes();
  stats.journal_used_bytes = journal_->used_bytes();
  stats.journal_capacity_bytes = journal_->ring_bytes();
  return stats;
}

}  // namespace tidemark::storage
