#include "storage/compaction_pass.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "storage/seal.h"
#include "storage/segment_swap.h"

namespace tidemark::storage {
namespace {

// Kafka's offsets in a segment are int32, and so is what one batch takes up.
bool FitsOneSegment(int64_t base_offset, int64_t end_offset) {
  return end_offset - 1 - base_offset <= std::numeric_limits<int32_t>::max();
}

bool IsDamage(const Error& error) {
  return error.code() == ErrorCode::corrupt || error.code() == ErrorCode::unsupported;
}

}  // namespace

CompactionPass::CompactionPass(io::FileSystem& files, CompactionTerms terms,
                               std::vector<CompactionSource> sources)
    : files_(files), terms_(std::move(terms)), sources_(std::move(sources)) {
  if (!terms_.nothing_dirty) return;
  map_end_offset_ = terms_.first_dirty_offset;
  PlanGroups();
}

uint64_t CompactionPass::memory_bytes() const {
  uint64_t bytes = terms_.nothing_dirty ? 0 : terms_.map_bytes;
  bytes += filter_.memory_bytes() + filtered_bytes_.capacity();
  if (cursor_) bytes += cursor_->memory_bytes();
  if (copy_) bytes += copy_->memory_bytes();
  if (output_) bytes += output_->memory_bytes();
  return bytes;
}

uint64_t CompactionPass::Step(uint64_t most_bytes) {
  bytes_ = 0;
  if (!std::exchange(folder_flushed_, true) && !Check(files_.FlushDirectory(terms_.folder)))
    return bytes_;
  while (bytes_ < most_bytes && state_ == State::works) {
    switch (stage_) {
      case Stage::mapping:
        StepMapping();
        break;
      case Stage::filtering:
        StepFiltering();
        break;
      case Stage::finishing:
        FinishGroup();
        break;
    }
  }
  return bytes_;
}

void CompactionPass::Fail(const Error& error) {
  failure_ = error;
  state_ = State::done;
  cursor_.reset();
  copy_.reset();
  output_.reset();
}

void CompactionPass::FailAtSource(size_t source, const Error& error) {
  if (IsDamage(error)) failed_source_ = source;
  Fail(error);
}

bool CompactionPass::Check(const Status& status) {
  if (!status.ok()) Fail(status.error());
  return status.ok();
}

// --- Mapping -------------------------------------------------------------------------------------

// nullopt: the source is at its end, and the next one's turn has come, or it could not be read.
std::optional<BatchCursor::Batch> CompactionPass::NextOfSource() {
  const auto batch = cursor_->Next();
  if (!batch) {
    FailAtSource(source_, batch.error());
    return std::nullopt;
  }
  if (*batch) {
    bytes_ += (*batch)->bytes.size();
  } else {
    cursor_.reset();
    ++source_;
  }
  return *batch;
}

void CompactionPass::StepMapping() {
  if (!map_) map_.emplace(terms_.map_bytes, terms_.map_seed);
  if (source_ == sources_.size()) return PlanGroups();
  const CompactionSource& source = sources_[source_];
  if (source.left || source.offset_limit <= terms_.first_dirty_offset) {
    ++source_;
    return;
  }
  if (!cursor_) {
    auto opened = BatchCursor::Open(files_, terms_.folder, source.base_offset, source.offset_limit);
    if (!opened) return FailAtSource(source_, opened.error());
    cursor_ = *std::move(opened);
  }
  const auto batch = NextOfSource();
  if (!batch || batch->header.next_offset() <= terms_.first_dirty_offset) return;
  std::optional<int64_t> full_at;
  const Status mapped =
      filter_.ForEachKey(batch->header, batch->bytes, [&](tidemark::Bytes key, int64_t offset) {
        if (offset < terms_.first_dirty_offset || map_->Put(key, offset)) return true;
        full_at = offset;
        return false;
      });
  if (!mapped.ok()) return FailAtSource(source_, mapped.error());
  if (!full_at) return;
  map_end_offset_ = *full_at;
  PlanGroups();
}

// Neighbours become one as far as that fits. One that is damaged, or empty, stands by itself.
void CompactionPass::PlanGroups() {
  cursor_.reset();
  for (size_t i = 0; i < sources_.size(); ++i) {
    const CompactionSource& source = sources_[i];
    if (source.base_offset >= map_end_offset_) break;
    if (source.left || source.log_bytes == 0) continue;
    if (terms_.nothing_dirty) {
      const bool due = source.compacted && source.compacted->last_delete_horizon_ms != INT64_MIN &&
                       source.compacted->last_delete_horizon_ms <= terms_.now_ms;
      if (due) groups_.push_back({i, i + 1, source.log_bytes});
      continue;
    }
    const bool joins =
        !groups_.empty() && groups_.back().end == i &&
        groups_.back().source_bytes + source.log_bytes <= terms_.segment_bytes &&
        FitsOneSegment(sources_[groups_.back().first].base_offset, source.offset_limit);
    if (!joins) groups_.push_back({i, i, 0});
    groups_.back().end = i + 1;
    groups_.back().source_bytes += source.log_bytes;
  }
  next_group_ = 0;
  NextGroupOrDone();
}

void CompactionPass::NextGroupOrDone() {
  state_ = next_group_ < groups_.size() ? State::wants_room : State::done;
}

// --- Groups --------------------------------------------------------------------------------------

void CompactionPass::BeginGroup() {
  TIDEMARK_CHECK(state_ == State::wants_room);
  state_ = State::works;
  stage_ = Stage::filtering;
  source_ = group().first;
  hole_.reset();
  held_.reset();
  digest_ = {};
  last_horizon_ms_ = INT64_MIN;
  group_end_offset_ = sources_[source_].base_offset;
  outcome_ = {};
}

void CompactionPass::EndGroup() {
  output_.reset();
  ++next_group_;
  NextGroupOrDone();
}

// Tombstones get a horizon, and go behind it, where everything below was compacted.
bool CompactionPass::MayAge() const {
  return std::none_of(sources_.begin(),
                      sources_.begin() + static_cast<std::ptrdiff_t>(group().first),
                      [](const CompactionSource& source) { return source.left; });
}

void CompactionPass::StepFiltering() {
  if (copy_) return StepCopying();
  if (held_ && NeedsOutput() && !output_)
    return StartOutput(hole_ ? hole_->position : held_->position);
  if (held_) return EmitHeld();
  if (!cursor_ && !OpenNextSource()) return;
  FilterNext();
}

// False: there is none, or it cannot be opened.
bool CompactionPass::OpenNextSource() {
  if (source_ == group().end) {
    stage_ = Stage::finishing;
    return false;
  }
  // Nothing need change in a group of one; several become one anyhow.
  const bool writes = group().end - group().first > 1 || !sources_[source_].sealed;
  if (writes && !output_) {
    StartOutput(0);
    return false;
  }
  const CompactionSource& source = sources_[source_];
  auto opened = BatchCursor::Open(files_, terms_.folder, source.base_offset, source.offset_limit);
  if (!opened) {
    FailAtSource(source_, opened.error());
    return false;
  }
  cursor_ = *std::move(opened);
  return true;
}

void CompactionPass::FilterNext() {
  held_ = NextOfSource();
  if (!held_) return;
  FilterTerms terms;
  terms.superseded = [this](tidemark::Bytes key, int64_t offset) {
    return map_ && map_->Find(key).value_or(-1) > offset;
  };
  terms.end_offset = map_end_offset_;
  terms.tombstones_age = MayAge();
  terms.now_ms = terms_.now_ms;
  terms.delete_retention_ms = terms_.delete_retention_ms;
  filtered_bytes_.clear();
  auto filtered =
      filter_.Filter(held_->header, held_->bytes, terms, terms_.zstd_level, &filtered_bytes_);
  if (!filtered) return FailAtSource(source_, filtered.error());
  filtered_ = *filtered;
}

bool CompactionPass::JoinsHole(const record::BatchHeader& header) const {
  return hole_ && hole_->end_offset == header.base_offset &&
         FitsOneSegment(hole_->first_offset, header.next_offset());
}

// Whether the held batch is the first from which on the segment's bytes are others. One that was
// empty before stays as it is, unless it becomes one with the hole before it.
bool CompactionPass::NeedsOutput() const {
  switch (filtered_.kind) {
    case FilteredBatch::Kind::unchanged:
      return false;
    case FilteredBatch::Kind::rewritten:
      return true;
    case FilteredBatch::Kind::gone:
      break;
  }
  return held_->header.record_count > 0 || JoinsHole(held_->header);
}

void CompactionPass::StartOutput(uint64_t copy_until) {
  const CompactionSource& first = sources_[group().first];
  auto begun =
      CleanedSegment::Begin(files_, terms_.folder, first.base_offset, terms_.index_interval_bytes);
  if (!begun) return Fail(begun.error());
  output_ = *std::move(begun);
  if (copy_until == 0) return;
  auto opened = BatchCursor::Open(files_, terms_.folder, first.base_offset, first.offset_limit);
  if (!opened) return Fail(opened.error());
  copy_ = *std::move(opened);
  copy_until_ = copy_until;
}

// What stood before the first change, as it is.
void CompactionPass::StepCopying() {
  const auto batch = copy_->Next();
  if (!batch) return FailAtSource(group().first, batch.error());
  if (!*batch || (*batch)->position >= copy_until_) {
    copy_.reset();
    return;
  }
  bytes_ += 2 * (*batch)->bytes.size();
  Check(output_->Append((*batch)->header, (*batch)->bytes));
}

void CompactionPass::EmitHeld() {
  const BatchCursor::Batch batch = *std::exchange(held_, std::nullopt);
  const record::BatchHeader& header = batch.header;
  group_end_offset_ = header.next_offset();
  records_removed_ += filtered_.removed;
  if (group().end - group().first == 1) {
    digest_.AddBytes(batch.bytes);
    digest_.AddBatch(header);
  }
  if (filtered_.delete_horizon_ms)
    last_horizon_ms_ = std::max(last_horizon_ms_, *filtered_.delete_horizon_ms);
  if (filtered_.kind == FilteredBatch::Kind::gone) {
    if (JoinsHole(header)) {
      hole_->end_offset = header.next_offset();
      return;
    }
    WriteHole();
    hole_ = {header.base_offset, header.next_offset(), batch.position};
    return;
  }
  WriteHole();
  if (!output_ || state_ != State::works) return;
  const bool same = filtered_.kind == FilteredBatch::Kind::unchanged;
  const base::ByteSpan bytes = same ? batch.bytes : base::ByteSpan(filtered_bytes_);
  bytes_ += bytes.size();
  Check(output_->Append(filtered_.header, bytes));
}

void CompactionPass::WriteHole() {
  if (hole_ && output_) Check(output_->AppendHole(hole_->first_offset, hole_->end_offset));
  hole_.reset();
}

void CompactionPass::FinishGroup() {
  WriteHole();
  if (state_ != State::works) return;
  NoteOutcome();
  if (output_) {
    if (!Check(output_->Finish(terms_.owner, outcome_.appended, outcome_.compacted))) return;
    outcome_.written_bytes = output_->total_bytes();
    outcome_.log_bytes = output_->log_bytes();
    bytes_ += outcome_.written_bytes - outcome_.log_bytes;
  } else if (!Check(RenewSeal())) {
    return;
  }
  state_ = State::wants_swap;
}

void CompactionPass::NoteOutcome() {
  const CompactionSource& first = sources_[group().first];
  outcome_.end_offset = group_end_offset_;
  outcome_.log_bytes = first.log_bytes;
  outcome_.appended = first.appended;
  for (size_t i = group().first; i < group().end; ++i) {
    outcome_.appended.first_ms =
        std::min(outcome_.appended.first_ms, sources_[i].appended.first_ms);
    outcome_.appended.last_ms = std::max(outcome_.appended.last_ms, sources_[i].appended.last_ms);
  }
  outcome_.compacted = {std::min(map_end_offset_, group_end_offset_), last_horizon_ms_};
  // Where only tombstones go, it is as clean as it was.
  if (terms_.nothing_dirty) outcome_.compacted.clean_end_offset = first.compacted->clean_end_offset;
}

// Nothing has changed but what is known of it.
Status CompactionPass::RenewSeal() {
  const int64_t base_offset = sources_[group().first].base_offset;
  auto seal = ReadSeal(files_, terms_.folder, base_offset);
  if (!seal) return seal.error();
  if (seal->compacted == outcome_.compacted) return {};
  // It must not vouch for what it was not made of.
  const Seal read = digest_.ToSeal();
  if (seal->block_checksums != read.block_checksums || seal->log_bytes != read.log_bytes) {
    failed_source_ = group().first;
    return Error(ErrorCode::corrupt, SegmentPath(terms_.folder, base_offset, SegmentFile::log) +
                                         ": its bytes are not those that were sealed");
  }
  seal->compacted = outcome_.compacted;
  bytes_ += SealBytes(seal->block_checksums.size(), true);
  return ReplaceSeal(files_, terms_.folder, *seal);
}

}  // namespace tidemark::storage
