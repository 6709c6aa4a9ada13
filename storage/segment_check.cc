#include "storage/segment_check.h"

#include <algorithm>
#include <utility>

namespace tidemark::storage {
namespace {

SurveyOptions For(const SegmentToCheck& segment, SurveyOptions options, bool digest) {
  options.digest = digest;
  options.log_path = segment.log_path;
  return options;
}

}  // namespace

SegmentCheck::SegmentCheck(io::FileSystem& files, SegmentToCheck segment,
                           const SurveyOptions& options)
    : segment_(std::move(segment)),
      seal_(segment_.rolled ? FindSeal(files, segment_.folder, segment_.base_offset, segment_.owner)
                            : FoundSeal()),
      surveyor_(files, segment_.folder, segment_.base_offset, segment_.end,
                For(segment_, options, seal_.seal.has_value())) {
  if (!segment_.finished) return;
  const auto path = [this](SegmentFile kind) {
    return SegmentPath(segment_.folder, segment_.base_offset, kind);
  };
  offsets_.emplace(files, path(SegmentFile::offset_index), segment_.base_offset,
                   segment_.index_interval_bytes, survey().log_bytes, options.direct);
  times_.emplace(files, path(SegmentFile::time_index), segment_.base_offset, options.direct);
}

uint64_t SegmentCheck::Step(uint64_t most_bytes) {
  const uint64_t bytes = surveyor_.Step(most_bytes, [this](const SurveyedBatch& batch) {
    if (offsets_) offsets_->Take(batch);
    if (times_) times_->Take(batch);
  });
  if (surveyor_.done() && !done_) Conclude();
  return bytes;
}

void SegmentCheck::Conclude() {
  done_ = true;
  std::string path = segment_.log_path;
  if (path.empty()) path = SegmentPath(segment_.folder, segment_.base_offset, SegmentFile::log);
  const std::optional<uint64_t> wanted_bytes = segment_.end.log_bytes;
  if (survey().unreadable) {
    Add(Finding::Kind::unreadable, path, survey().unreadable->ToString());
  } else if (wanted_bytes && survey().log_bytes < *wanted_bytes) {
    Add(Finding::Kind::fault, path,
        "it is cut short: " + std::to_string(survey().log_bytes) + " of " +
            std::to_string(*wanted_bytes) + " bytes are there");
  }
  AddDamage(path);
  if (survey().unreadable) return;
  const bool damaged = !survey().damage.empty();
  const auto add = [this](SegmentFile kind, std::string why, bool unreadable) {
    if (why.empty()) return;
    Add(unreadable ? Finding::Kind::unreadable : Finding::Kind::fault,
        SegmentPath(segment_.folder, segment_.base_offset, kind), std::move(why));
  };
  if (offsets_ && times_) {
    OffsetIndexWitness witness;
    if (seal_.seal) witness.sealed = seal_.seal->offset_index;
    witness.interval_is_certain = !segment_.rolled;
    IndexFaults faults = FinishBoth(*offsets_, *times_, damaged, witness);
    add(SegmentFile::offset_index, std::move(faults.offsets), offsets_->unreadable());
    add(SegmentFile::time_index, std::move(faults.times), times_->unreadable());
  }
  ConcludeSeal();
}

// Only what nothing else has told: a damaged log or index contradicts the seal, of course.
void SegmentCheck::ConcludeSeal() {
  const auto path = [this](SegmentFile kind) {
    return SegmentPath(segment_.folder, segment_.base_offset, kind);
  };
  const Finding::Kind kind = seal_.newer        ? Finding::Kind::note
                             : seal_.unreadable ? Finding::Kind::unreadable
                                                : Finding::Kind::fault;
  if (!seal_.fault.empty()) Add(kind, path(SegmentFile::seal), seal_.fault);
  const auto digest = surveyor_.TakeDigest();
  if (!seal_.seal || !digest) return;
  for (Contradiction& told : HoldAgainst(*seal_.seal, *digest, offsets_->sum(), times_->sum())) {
    Add(Finding::Kind::fault, path(told.file), std::move(told.what));
    findings_.back().position = told.position;
  }
}

void SegmentCheck::Add(Finding::Kind kind, const std::string& path, std::string what) {
  Finding finding;
  finding.kind = kind;
  finding.path = path;
  finding.what = std::move(what);
  findings_.push_back(std::move(finding));
}

int64_t SegmentCheck::LimitOfLastDamage() const {
  return segment_.end.offset_limit.value_or(survey().next_offset);
}

void SegmentCheck::AddDamage(const std::string& path) {
  for (const SegmentSurvey::Damage& damage : survey().damage) {
    const int64_t end = damage.end_offset.value_or(LimitOfLastDamage());
    const bool loses = damage.first_offset < end;
    Add(loses ? Finding::Kind::loss : Finding::Kind::fault, path, damage.what);
    Finding& finding = findings_.back();
    finding.position = damage.begin;
    if (!loses) continue;
    finding.topic = segment_.topic;
    finding.partition = segment_.owner.partition;
    finding.first_offset = damage.first_offset;
    finding.end_offset = end;
  }
}

int64_t SegmentCheck::told_end_offset() const {
  const bool open_end = !survey().damage.empty() && !survey().damage.back().end_offset;
  return open_end ? std::max(survey().next_offset, LimitOfLastDamage()) : survey().next_offset;
}

}  // namespace tidemark::storage
