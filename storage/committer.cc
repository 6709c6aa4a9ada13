#include "storage/committer.h"

#include <algorithm>

#include "base/check.h"

namespace tidemark::storage {
namespace {

// So much buffered data makes a commit due: large enough for the device's full speed, small enough
// that a durable record does not wait long behind it.
constexpr uint64_t kBufferedCommitBytes = uint64_t{512} << 10;

}  // namespace

Committer::Committer(Context& context, Journal& journal) : context_(context), journal_(journal) {
  operation_.done = &Committer::OnWritten;
  operation_.owner = this;
}

bool Committer::HasJournalRoom(uint64_t bytes) const {
  return PressureOf(journal_.used_bytes() + context_.unsubmitted_bytes + bytes,
                    journal_.ring_bytes()) != Pressure::full;
}

void Committer::MarkDirty(PartitionCore& partition, Durability durability) {
  const TopicConfig& config = partition.topic().config();
  const bool durable = durability == Durability::durable;
  const int64_t due =
      context_.now_us + (durable ? config.commit_linger_ms : config.flush_ms) * 1000;
  if (partition.dirty == PartitionCore::Dirty::no) {
    dirty_.push_back(&partition);
    partition.commit_due_us = due;
    partition.dirty = PartitionCore::Dirty::buffered;
  } else {
    partition.commit_due_us = std::min(partition.commit_due_us, due);
  }
  if (durable) partition.dirty = PartitionCore::Dirty::durable;
  earliest_due_us_ = std::min(earliest_due_us_, due);
}

void Committer::Carry(PartitionCore& partition) {
  bool any = false;
  for (auto& run : partition.runs()) {
    if (run->with_worker() || run->durable_bytes() == 0) continue;
    run->carry_wanted = true;
    any = true;
  }
  if (any && !partition.in_carry_list) {
    partition.in_carry_list = true;
    carries_.push_back(&partition);
  }
}

void Committer::DeleteTopic(const base::Uuid& topic_id) { deletions_.push_back(topic_id); }

void Committer::MoveLogStart(PartitionCore& partition, int64_t offset) {
  TIDEMARK_CHECK(offset <= partition.durable_end_offset());
  if (offset <= partition.log_start_wanted()) return;
  partition.log_start_target = offset;
  if (partition.in_log_start_list) return;
  partition.in_log_start_list = true;
  log_starts_.push_back(&partition);
}

void Committer::Forget(PartitionCore& partition) {
  TIDEMARK_CHECK(!in_flight());
  std::erase(log_starts_, &partition);
  std::erase(log_starts_moved_, &partition);
  partition.in_log_start_list = false;
  std::erase(dirty_, &partition);
  held_bytes_ = 0;
  std::erase(carries_, &partition);
  std::erase(packable_, &partition);
  std::erase(carried_, &partition);
  partition.dirty = PartitionCore::Dirty::no;
  partition.in_carry_list = false;
}

bool Committer::Due() const {
  if (!carries_.empty() || !deletions_.empty() || !log_starts_.empty() || witness_wanted_)
    return true;
  if (dirty_.empty()) return false;
  return all_due_ || earliest_due_us_ <= context_.now_us ||
         context_.unsubmitted_bytes >=
             context_.around_journal_bytes + held_bytes_ +
                 std::min(kBufferedCommitBytes, journal_.max_frame_bytes());
}

int64_t Committer::next_due_us() const {
  if (in_flight() || blocked_ || dirty_.empty()) return INT64_MAX;
  return earliest_due_us_;
}

bool Committer::idle() const {
  return !in_flight() && dirty_.empty() && carries_.empty() && deletions_.empty() &&
         log_starts_.empty() && !witness_wanted_;
}

// In the commit that is being gathered, for a frame.
bool Committer::HasRoom(uint64_t record_bytes) {
  const bool fits = journal_.Fits(1, record_bytes);
  lacked_room_ = lacked_room_ || !fits;
  return fits;
}

void Committer::MaybeStart() {
  blocked_ = false;
  if (in_flight() || !context_.health.ok() || !Due()) return;
  GatherAll();
  if (!journal_.gathered_any() && !(witness_wanted_ && journal_.HasRoomForWitness())) {
    blocked_ = lacked_room_ || witness_wanted_;
    return;
  }
  witness_wanted_ = false;
  ++context_.stats.commits;
  sequence_in_flight_ =
      journal_.StartCommit(context_.environment.loop, context_.EngineClockMs(), &operation_);
}

void Committer::GatherAll() {
  lacked_room_ = false;
  while (!deletions_.empty() && HasRoom(0)) {
    Journal::Frame frame;
    frame.entry.kind = FrameKind::topic_deleted;
    frame.entry.topic_id = deletions_.back();
    journal_.Gather(frame);
    deletions_in_flight_.push_back(deletions_.back());
    deletions_.pop_back();
  }
  GatherLogStarts();
  // Who waits for durability goes first.
  bool room = true;
  for (auto wanted : {PartitionCore::Dirty::durable, PartitionCore::Dirty::buffered}) {
    for (PartitionCore* partition : dirty_) {
      if (room && partition->dirty == wanted) room = GatherPartition(*partition);
    }
  }
  for (PartitionCore* partition : carries_) {
    if (room) room = GatherPartition(*partition);
  }
  std::erase_if(carries_, [](PartitionCore* partition) {
    partition->in_carry_list = std::any_of(partition->runs().begin(), partition->runs().end(),
                                           [](const auto& run) { return run->carry_wanted; });
    return !partition->in_carry_list;
  });
  earliest_due_us_ = INT64_MAX;
  held_bytes_ = 0;
  std::erase_if(dirty_, [this](PartitionCore* partition) {
    const Run* last = partition->runs().empty() ? nullptr : partition->runs().back().get();
    if (last != nullptr && last->submitted_bytes() < last->size()) {
      held_bytes_ += HeldBytes(*partition);
      if (!IsHeld(*partition))
        earliest_due_us_ = std::min(earliest_due_us_, partition->commit_due_us);
      return false;
    }
    partition->dirty = PartitionCore::Dirty::no;
    return true;
  });
  all_due_ = all_due_ && !std::all_of(dirty_.begin(), dirty_.end(),
                                      [](const auto* partition) { return IsHeld(*partition); });
}

// Whether a commit can take nothing more of it for now.
bool Committer::IsHeld(const PartitionCore& partition) {
  return partition.waits_for_flush || partition.deleted;
}

// Of the journal's, what stands behind what goes around it.
uint64_t Committer::HeldBytes(const PartitionCore& partition) {
  uint64_t bytes = 0;
  bool behind = partition.deleted;
  for (const auto& run : partition.runs()) {
    behind = behind || run->around_journal;
    if (behind && !run->around_journal) bytes += run->size() - run->submitted_bytes();
  }
  return bytes;
}

// A frame names the offsets that are given up, from the old log start to the new one.
void Committer::GatherLogStarts() {
  std::erase_if(log_starts_, [this](PartitionCore* partition) {
    if (!HasRoom(0)) return false;
    partition->in_log_start_list = false;
    if (partition->deleted) return true;
    Journal::Frame frame;
    frame.entry.kind = FrameKind::log_start;
    frame.entry.topic_id = partition->topic().description().id;
    frame.entry.partition = partition->index();
    frame.entry.first_offset = partition->log_start_offset();
    frame.entry.end_offset = partition->log_start_target;
    journal_.Gather(frame);
    log_starts_in_flight_.emplace_back(partition, partition->log_start_target);
    return true;
  });
}

bool Committer::GatherPartition(PartitionCore& partition) {
  if (partition.deleted) return true;
  partition.waits_for_flush = false;
  for (auto& run : partition.runs()) {
    if (run->around_journal && PassesAround(partition, *run)) return true;
    if (run->with_worker()) {
      run->carry_wanted = false;
      continue;
    }
    const bool whole = run->carry_wanted || run->submitted_bytes() == 0;
    if (!whole && run->submitted_bytes() == run->size()) continue;
    if (!GatherRun(partition, *run, whole)) return false;
  }
  return true;
}

// Whether a run that goes around the journal still does, so that nothing behind it is gathered.
// When it is due it returns to the journal, unless the worker has it: then its flush is asked for.
bool Committer::PassesAround(PartitionCore& partition, Run& run) {
  const int64_t due_us = DueOf(partition, run);
  if (!all_due_ && partition.dirty != PartitionCore::Dirty::durable && due_us > context_.now_us) {
    partition.commit_due_us = due_us;
    return true;
  }
  if (!run.with_worker()) {
    partition.ReturnToJournal(run);
    return false;
  }
  partition.waits_for_flush = true;
  flush_asked_ = true;
  return true;
}

int64_t Committer::DueOf(const PartitionCore& partition, const Run& run) const {
  return context_.MonotonicUsAt(run.appended().first_ms) +
         partition.topic().config().flush_ms * 1000;
}

bool Committer::GatherRun(PartitionCore& partition, Run& run, bool from_start) {
  const uint32_t from = from_start ? 0 : run.submitted_bytes();
  if (!HasRoom(run.size() - from)) return false;
  const bool carried = from_start && run.submitted_bytes() > 0;
  Journal::Frame frame;
  frame.entry.kind = FrameKind::records;
  frame.entry.carried = carried;
  frame.entry.topic_id = partition.topic().description().id;
  frame.entry.partition = partition.index();
  frame.entry.first_offset = from_start ? run.base_offset() : run.submitted_end();
  frame.entry.end_offset = run.next_offset();
  frame.header = run.frame();
  frame.records = run.bytes(from, run.size());
  journal_.Gather(frame);
  if (carried) context_.stats.carried_bytes += run.submitted_bytes();
  context_.unsubmitted_bytes -= run.size() - run.submitted_bytes();
  run.SetSubmitted();
  run.carry_wanted = false;
  run.in_flight = true;
  pieces_.push_back({&partition, &run, run.size(), run.next_offset(), from_start});
  return true;
}

void Committer::OnWritten(io::Operation* operation) {
  auto* self = static_cast<Committer*>(operation->owner);
  self->Complete(self->journal_.FinishCommit(*operation));
}

void Committer::Complete(bool written) {
  for (Piece& piece : pieces_) piece.run->in_flight = false;
  if (!written) {
    const int cause = operation_.result < 0 ? static_cast<int>(-operation_.result) : 0;
    context_.Stop(Error(
        ErrorCode::io_error,
        journal_.file().path() + ": a commit could not be written; its outcome is unknown", cause));
    pieces_.clear();
    return;
  }
  for (const Piece& piece : pieces_) {
    PartitionCore& partition = *piece.partition;
    const bool was_needed_earlier = piece.from_start && piece.run->first_sequence() != 0;
    piece.run->SetDurable(piece.end_bytes, piece.end_offset, sequence_in_flight_, piece.from_start);
    MoveDurableEnd(partition, piece.end_offset);
    if (piece.run->packable()) packable_.push_back(&partition);
    if (was_needed_earlier) carried_.push_back(&partition);
  }
  pieces_.clear();
  durable_deletions_.insert(durable_deletions_.end(), deletions_in_flight_.begin(),
                            deletions_in_flight_.end());
  if (!deletions_in_flight_.empty()) {
    first_tombstone_sequence_ = std::min(first_tombstone_sequence_, sequence_in_flight_);
  }
  deletions_in_flight_.clear();
  for (const auto& [partition, offset] : log_starts_in_flight_) {
    partition->SetLogStart(offset);
    log_starts_moved_.push_back(partition);
  }
  log_starts_in_flight_.clear();
  last_commit_us_ = context_.now_us;
}

void Committer::MoveDurableEnd(PartitionCore& partition, int64_t end_offset) {
  if (end_offset <= partition.durable_end_offset()) return;
  partition.set_durable_end_offset(end_offset);
  if (partition.moved) return;
  partition.moved = true;
  moved_.push_back(&partition.handle());
}

// --- Around the journal ---

void Committer::MakeDue(PartitionCore& partition, int64_t due_us) {
  partition.waits_for_flush = false;
  partition.commit_due_us = due_us;
  earliest_due_us_ = std::min(earliest_due_us_, due_us);
}

void Committer::HurryBefore(PartitionCore& partition, const Run& run) {
  for (const auto& earlier : partition.runs()) {
    if (earlier->flows_around() || earlier.get() == &run) return;
    if (earlier->submitted_bytes() < earlier->size()) return MakeDue(partition, context_.now_us);
  }
}

void Committer::TakeFlushedAround(PartitionCore& partition, int64_t end_offset) {
  MoveDurableEnd(partition, end_offset);
  if (partition.dirty == PartitionCore::Dirty::no) return;
  held_bytes_ = 0;
  const auto& runs = partition.runs();
  const auto next = std::find_if(runs.begin(), runs.end(), [](const auto& run) {
    return run->submitted_bytes() < run->size();
  });
  // Behind a run of the journal nothing is packed before that is durable.
  const bool holds_up =
      next != runs.end() && !(*next)->around_journal &&
      std::any_of(next, runs.end(), [](const auto& run) { return run->flows_around(); });
  if (next == runs.end() || partition.waits_for_flush || holds_up)
    return MakeDue(partition, context_.now_us);
  int64_t due_us = DueOf(partition, **next);
  if (partition.dirty == PartitionCore::Dirty::durable)
    due_us = std::min(due_us, partition.commit_due_us);
  MakeDue(partition, due_us);
}

void Committer::NoFlushComes(PartitionCore& partition) {
  if (partition.waits_for_flush) MakeDue(partition, context_.now_us);
}

void Committer::TakeMoved(std::vector<Partition*>* moved) {
  moved->swap(moved_);
  moved_.clear();
}

std::vector<PartitionCore*> Committer::TakeCarried() { return std::exchange(carried_, {}); }
std::vector<PartitionCore*> Committer::TakeLogStarts() {
  return std::exchange(log_starts_moved_, {});
}
std::vector<PartitionCore*> Committer::TakePackable() { return std::exchange(packable_, {}); }
std::vector<base::Uuid> Committer::TakeDurableDeletions() {
  return std::exchange(durable_deletions_, {});
}

}  // namespace tidemark::storage
