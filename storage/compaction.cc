#include "storage/compaction.h"

#include <algorithm>
#include <string>
#include <utility>

#include "storage/segment_swap.h"

namespace tidemark::storage {
namespace {

// After a pass that the disk had no room for.
constexpr int64_t kNoRoomUs = 60'000'000;
// What the worker reads and writes at once, so that packs and flushes get their turn.
constexpr uint64_t kCompactionPieceBytes = uint64_t{256} << 10;
// Of the memory, what the map of keys takes unless it is set.
constexpr uint64_t kMapMemoryShare = 8;
// While compression lags behind, a pass does not hold it up further.
constexpr int kLevelUnderPressure = 1;

}  // namespace

struct Compaction::Swap {
  int64_t base_offset = 0;
  int64_t end_offset = 0;
  std::vector<uint64_t> source_bytes;  // on the disk
  SwapResult result;
};

Compaction::Compaction(Context& context, const Journal& journal, Packer& packer,
                       Retention& retention, const TopicList& topics)
    : context_(context),
      journal_(journal),
      packer_(packer),
      retention_(retention),
      topics_(topics),
      opened_ms_(context.EngineClockMs()),
      look_us_(context.now_us) {
  KeepRoom();
}

void Compaction::LookSoon() {
  KeepRoom();
  look_us_ = context_.now_us;
}

int64_t Compaction::next_due_us() const {
  if (!on() || working_ || !context_.health.ok()) return INT64_MAX;
  return pass_ ? due_us_ : look_us_;
}

void Compaction::Advance() {
  if (!on() || working_ || !context_.health.ok()) return;
  if (pass_ && !MayGoOn()) return Drop();
  if (pass_) {
    if (context_.now_us >= due_us_) GoOn();
  } else if (context_.now_us >= look_us_) {
    Look();
  }
}

void Compaction::Stop() {
  stopped_ = true;
  if (working_ || !pass_) return;
  const std::string folder = partition_->folder();
  EndPass();
  // (what cannot be removed now is by the next opening)
  if (const auto removed = RemoveCleaned(context_.environment.files, folder); !removed)
    context_.Tell(NoticeLevel::info, removed.error().ToString());
}

void Compaction::Forget(PartitionCore& partition) {
  if (partition_ == &partition) EndPass();
}

// --- A pass --------------------------------------------------------------------------------------

// What horizons are counted in: near the wall's time, as Kafka wants it, and never stepping.
int64_t Compaction::HorizonClockMs() const {
  return journal_.superblock().created_ms + context_.EngineClockMs();
}

CompactionTerms Compaction::TermsFor(const Plan& plan) {
  const TopicConfig& config = plan.partition->topic().config();
  const uint64_t wanted_bytes = context_.options.compaction_memory_bytes;
  CompactionTerms terms;
  terms.folder = plan.partition->folder();
  terms.owner = plan.partition->owner();
  terms.index_interval_bytes = static_cast<uint32_t>(config.index_interval_bytes);
  terms.segment_bytes = static_cast<uint64_t>(packer_.MostSegmentBytes(plan.partition->topic()));
  terms.zstd_level = packer_.CurrentPressure() == Pressure::none
                         ? config.zstd_level
                         : std::min(config.zstd_level, kLevelUnderPressure);
  terms.first_dirty_offset = plan.first_dirty_offset;
  terms.nothing_dirty = plan.nothing_dirty;
  terms.now_ms = HorizonClockMs();
  terms.delete_retention_ms = config.delete_retention_ms;
  terms.map_bytes =
      wanted_bytes != 0 ? wanted_bytes : context_.options.memory_bytes / kMapMemoryShare;
  terms.map_seed = plan.nothing_dirty ? 0 : context_.environment.random64();
  return terms;
}

void Compaction::Begin(Plan plan) {
  partition_ = plan.partition;
  pass_ = std::make_shared<CompactionPass>(context_.environment.files, TermsFor(plan),
                                           std::move(plan.sources));
  HoldSources(0, pass_->sources().size());
  context_.compaction_memory_bytes = pass_->memory_bytes();
  due_us_ = context_.now_us;
  GoOn();
}

// Retention, or a deletion of records, may have taken some.
bool Compaction::SourcesAreThere() const {
  const SegmentMap& segments = partition_->segments();
  const auto& sources = pass_->sources();
  // Those of groups that are done are others by now.
  const int64_t from =
      pass_->state() == CompactionPass::State::done ? INT64_MAX : pass_->next_base_offset();
  return std::all_of(sources.begin(), sources.end(), [&](const CompactionSource& source) {
    return source.base_offset < from || segments.contains(source.base_offset);
  });
}

bool Compaction::MayGoOn() const {
  return !partition_->deleted && partition_->topic().config().compacts() && SourcesAreThere();
}

void Compaction::GoOn() {
  switch (pass_->state()) {
    case CompactionPass::State::wants_room:
      if (!ReserveRoom()) return;
      pass_->BeginGroup();
      HoldSources(pass_->group().first, pass_->group().end);
      return StartPiece();
    case CompactionPass::State::works:
      return StartPiece();
    case CompactionPass::State::wants_swap:
      return pass_->outcome().written_bytes > 0 ? StartSwap() : NoteUnchanged();
    case CompactionPass::State::done:
      if (pass_->failure()) return EndFailed();
      ++context_.stats.compaction_passes;
      context_.stats.compaction_records += pass_->records_removed();
      EndPass();
      look_us_ = context_.now_us;
  }
}

// Appends leave as much room as this takes at most (CompactionRoomBytes).
bool Compaction::ReserveRoom() {
  const uint64_t bytes = CompactionRoomBytes(pass_->group().source_bytes);
  if (context_.space.Fits(bytes) && partition_->topic().space.Fits(bytes)) {
    partition_->ReserveSpace(bytes);
    reserved_bytes_ = bytes;
    return true;
  }
  if (!std::exchange(told_no_room_, true)) {
    context_.Tell(NoticeLevel::warning,
                  partition_->folder() + ": compaction waits for room on the disk");
  }
  EndPass();
  look_us_ = context_.now_us + kNoRoomUs;
  return false;
}

void Compaction::ReturnRoom(uint64_t written_bytes) {
  if (partition_ == nullptr) return;
  partition_->SettleSpace(std::exchange(reserved_bytes_, 0), written_bytes);
}

void Compaction::StartPiece() {
  working_ = true;
  auto bytes = std::make_shared<uint64_t>(0);
  context_.environment.worker.Submit(
      [pass = pass_, bytes] { *bytes = pass->Step(kCompactionPieceBytes); },
      [this, bytes, began_us = context_.now_us] { TakePiece(*bytes, began_us); });
}

void Compaction::TakePiece(uint64_t bytes, int64_t began_us) {
  working_ = false;
  constexpr uint64_t kSecondInUs = 1'000'000;
  context_.stats.compaction_bytes += bytes;
  context_.compaction_memory_bytes = pass_->memory_bytes();
  due_us_ = began_us + static_cast<int64_t>(bytes * kSecondInUs /
                                            context_.options.compaction_bytes_per_second);
  if (pass_->state() != CompactionPass::State::works && !pass_->failure()) ReleaseSources();
  if (stopped_) Stop();
}

// What the pass has open while it works, and nothing beyond: whoever removes a segment waits for
// it.
void Compaction::HoldSources(size_t first, size_t end) {
  for (size_t i = first; i < end; ++i)
    partition_->segments().at(pass_->sources()[i].base_offset).AddWork(pass_);
}

void Compaction::ReleaseSources() {
  for (const CompactionSource& source : pass_->sources()) {
    const auto segment = partition_->segments().find(source.base_offset);
    if (segment != partition_->segments().end()) segment->second.RemoveHolder(pass_);
  }
}

// --- The swap ------------------------------------------------------------------------------------

void Compaction::StartSwap() {
  working_ = swapping_ = true;
  auto swap = std::make_shared<Swap>();
  const CompactionPass::Group& group = pass_->group();
  std::vector<int64_t> bases;
  for (size_t i = group.first; i < group.end; ++i) bases.push_back(pass_->sources()[i].base_offset);
  swap->base_offset = bases.front();
  swap->end_offset = pass_->outcome().end_offset;
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, swap, bases, folder = partition_->folder()] {
        for (const int64_t base : bases)
          swap->source_bytes.push_back(Retention::BytesOfSegment(files, folder, base));
        swap->result = SwapSegments(files, folder, swap->base_offset, swap->end_offset);
      },
      [this, swap] { TakeSwap(*swap); });
}

void Compaction::TakeSwap(Swap& swap) {
  working_ = swapping_ = false;
  const SwapResult& result = swap.result;
  if (!result.status.ok() && !result.decided) {
    pass_->FailSwap(result.status.error());
    return EndFailed();
  }
  if (result.status.ok() || result.log_in_place) TakeSuccessor(swap);
  if (!result.status.ok()) {
    // The next opening does the rest. Until then readers have what they find.
    context_.Stop(result.status.error());
    return EndPass();
  }
  pass_->EndGroup();
  if (stopped_) Stop();
}

void Compaction::TakeSuccessor(Swap& swap) {
  const CompactionPass::Outcome& outcome = pass_->outcome();
  const CompactionPass::Group& group = pass_->group();
  ReturnRoom(outcome.written_bytes + kSegmentFiles.size() * kFileSlackBytes);
  ++partition_->compactions;
  SegmentMap& segments = partition_->segments();
  for (size_t i = group.first; i < group.end; ++i) {
    const auto source = segments.find(pass_->sources()[i].base_offset);
    retention_.CreditWhenReleased(*partition_, source->second.TakeHeld(),
                                  swap.source_bytes[i - group.first]);
    segments.erase(source);
    ++context_.stats.segments_compacted;
  }
  SegmentEntry& successor = segments[swap.base_offset];
  successor.log_bytes = outcome.log_bytes;
  successor.last_append_ms = outcome.appended.last_ms;
  successor.facts = {
      true,          outcome.compacted, outcome.appended, outcome.log_bytes, outcome.end_offset,
      /*left=*/false};
}

// The segment is what it was, though perhaps clean to another offset.
void Compaction::NoteUnchanged() {
  ReturnRoom(0);
  const CompactionSource& source = pass_->sources()[pass_->group().first];
  const auto segment = partition_->segments().find(source.base_offset);
  if (segment->second.facts) segment->second.facts->compacted = pass_->outcome().compacted;
  pass_->EndGroup();
}

// --- Its end -------------------------------------------------------------------------------------

void Compaction::EndPass() {
  ReturnRoom(0);
  pass_.reset();
  partition_ = nullptr;
  context_.compaction_memory_bytes = 0;
}

// What the pass has failed at stays as it is. The draft goes.
void Compaction::EndFailed() {
  const Error error = *pass_->failure();
  if (const auto failed = pass_->failed_source()) {
    const auto segment = partition_->segments().find(pass_->sources()[*failed].base_offset);
    if (segment != partition_->segments().end() && segment->second.facts)
      segment->second.facts->left = true;
    context_.Tell(NoticeLevel::warning,
                  "compaction: " + error.ToString() +
                      "; the segment is left as it is until the store is opened again");
  } else if (error.code() == ErrorCode::disk_full) {
    look_us_ = context_.now_us + kNoRoomUs;
    if (!std::exchange(told_no_room_, true))
      context_.Tell(NoticeLevel::warning, "compaction: " + error.ToString());
  } else {
    left_.insert(partition_);
    context_.Tell(NoticeLevel::warning,
                  "compaction: " + error.ToString() +
                      "; the partition is not compacted until the store is opened again");
  }
  Drop();
}

// The pass ends here; the worker removes what it has written, and only then its room is free.
void Compaction::Drop() {
  working_ = true;
  io::FileSystem& files = context_.environment.files;
  auto removed = std::make_shared<Result<bool>>(false);
  const bool there = !partition_->deleted;
  context_.environment.worker.Submit(
      [&files, removed, there, pass = std::move(pass_), folder = partition_->folder()]() mutable {
        pass.reset();  // closes its files
        if (there) *removed = RemoveCleaned(files, folder);
      },
      [this, removed] {
        working_ = false;
        EndPass();
        if (!removed->ok()) context_.Tell(NoticeLevel::info, removed->error().ToString());
      });
}

}  // namespace tidemark::storage
