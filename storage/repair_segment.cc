#include "storage/repair_segment.h"

#include <algorithm>
#include <utility>

#include "storage/segment_index.h"
#include "storage/verify_index.h"

namespace tidemark::storage {
namespace {

constexpr uint64_t kRepairCopyBytes = uint64_t{1} << 20;

Status CopyRange(io::File& from, uint64_t position, uint64_t bytes, io::File& to, uint64_t at) {
  std::vector<std::byte> buffer(std::min(bytes, kRepairCopyBytes));
  for (uint64_t done = 0; done < bytes;) {
    const base::MutableByteSpan piece(buffer.data(), std::min(bytes - done, kRepairCopyBytes));
    const auto read = from.ReadAt(position + done, piece);
    if (!read) return read.error();
    if (*read < piece.size()) return Error(ErrorCode::io_error, from.path() + ": got shorter");
    if (Status wrote = to.WriteAt(at + done, piece, io::Durable::no); !wrote) return wrote;
    done += piece.size();
  }
  return {};
}

}  // namespace

SegmentRepair::SegmentRepair(io::FileSystem& files, Quarantine& quarantine,
                             const std::string& data_dir, const TopicDescription& topic,
                             const CheckpointEntry& entry, int64_t engine_clock_ms,
                             std::vector<std::string>* actions)
    : files_(files),
      quarantine_(quarantine),
      topic_(topic),
      entry_(entry),
      folder_(PartitionFolder(data_dir, topic.name, entry.partition)),
      engine_clock_ms_(engine_clock_ms),
      actions_(*actions),
      active_bytes_(entry.active_flushed_bytes) {}

Status SegmentRepair::Run() {
  auto bases = ListSegments(files_, folder_);
  if (!bases) return bases.error();
  if (Status set_aside = SetAsideStrays(*bases); !set_aside) return set_aside;
  bases = ListSegments(files_, folder_);
  if (!bases) return bases.error();
  for (size_t i = 0; i < bases->size(); ++i) {
    const int64_t base = (*bases)[i];
    if (base > entry_.active_base_offset) break;  // none of the log's
    if (Status mended = MendSegment(base, EndBy(entry_, *bases, i)); !mended) return mended;
  }
  return {};
}

// First of all, since by its name a segment says where the one before it ends.
Status SegmentRepair::SetAsideStrays(const std::vector<int64_t>& bases) {
  std::optional<int64_t> before;
  for (const int64_t base : bases) {
    if (base >= entry_.active_base_offset) break;
    const auto stray = IsStray(base, before);
    if (!stray) return stray.error();
    if (!*stray) before = base;
    if (Status done = *stray ? SetAside(base) : Status(); !done) return done;
  }
  return {};
}

// Whether nothing in a finished segment is intact, or it is empty and should not be: it had a seal,
// or the one before it reaches beyond its beginning.
Result<bool> SegmentRepair::IsStray(int64_t base_offset, std::optional<int64_t> before) {
  auto log = files_.Open(Path(base_offset, SegmentFile::log), {});
  if (!log) return log.error();
  const auto size = (*log)->Size();
  if (!size) return size.error();
  if (const auto header = ReadBatchHeader(**log, 0, *size); !header || *header) return false;
  const auto survey_of = [&](int64_t base) {
    std::optional<LogDigest> digest;
    return SurveySegment(files_, folder_, base, SegmentEnd(), &digest);
  };
  const SegmentSurvey survey = survey_of(base_offset);
  if (survey.unreadable || !survey.batches.empty()) return false;
  if (*size > 0) return true;
  const auto sealed = files_.Exists(Path(base_offset, SegmentFile::seal));
  if (!sealed) return sealed.error();
  if (*sealed || !before) return *sealed;
  const SegmentSurvey previous = survey_of(*before);
  return !previous.batches.empty() && previous.batches.back().last_offset >= base_offset;
}

Status SegmentRepair::MendSegment(int64_t base_offset, SegmentEnd end) {
  std::optional<LogDigest> digest;
  const auto survey_it = [&] { return SurveySegment(files_, folder_, base_offset, end, &digest); };
  SegmentSurvey survey = survey_it();
  if (survey.unreadable) return {};  // told by the verification
  if (!survey.damage.empty()) {
    if (survey.batches.empty()) return SetAside(base_offset);
    if (Status rewritten = RewriteLog(base_offset, survey); !rewritten) return rewritten;
    end.log_bytes.reset();
    survey = survey_it();
  }
  if (base_offset == entry_.active_base_offset) active_bytes_ = survey.log_bytes;
  const auto interval = static_cast<uint32_t>(topic_.config.index_interval_bytes);
  const IndexesByRule made = MakeIndexes(base_offset, interval, survey);
  const FoundSeal found = FindSeal(files_, folder_, base_offset, {topic_.id, entry_.partition});
  OffsetIndexWitness witness;
  if (found.seal) witness.sealed = found.seal->offset_index;
  witness.interval_is_certain = base_offset == entry_.active_base_offset;
  const IndexFaults faults = CheckIndexes(files_, folder_, base_offset, survey, interval, witness);
  Status mended = MakeAnew(base_offset, SegmentFile::offset_index, faults.offsets,
                           EncodeOffsetEntries(made.offsets));
  if (!mended) return mended;
  mended =
      MakeAnew(base_offset, SegmentFile::time_index, faults.times, EncodeTimeEntries(made.times));
  if (!mended || base_offset == entry_.active_base_offset || !digest) return mended;
  return MendSeal(base_offset, *digest, found);
}

// A segment that has none gets one, too. When its records were appended a seal that is lost has
// taken along: until now.
Status SegmentRepair::MendSeal(int64_t base_offset, const LogDigest& digest,
                               const FoundSeal& found) {
  const SegmentOwner owner{topic_.id, entry_.partition};
  if (found.newer) return {};
  const AppendTimes appended =
      found.seal ? found.seal->appended : AppendTimes{engine_clock_ms_, engine_clock_ms_};
  auto seal = MakeSeal(files_, folder_, base_offset, digest, owner, appended);
  if (seal && found.seal && found.seal->compacted) {
    // What was lost makes nothing dirty.
    seal->compacted = found.seal->compacted;
    seal->compacted->clean_end_offset =
        std::clamp(seal->compacted->clean_end_offset, seal->base_offset, seal->end_offset);
  }
  if (!seal || seal == found.seal) return {};
  std::string fault = found.fault.empty() ? "there was none" : found.fault;
  if (found.seal) {
    const auto told = HoldAgainst(*found.seal, digest, seal->offset_index, seal->time_index);
    if (!told.empty())
      fault = SegmentPath("", base_offset, told.front().file).substr(1) + ": " + told.front().what;
  }
  return MakeAnew(base_offset, SegmentFile::seal, fault, EncodeSeal(*seal));
}

// The intact batches, one behind the other, take the log's place once they are flushed.
Status SegmentRepair::RewriteLog(int64_t base_offset, const SegmentSurvey& survey) {
  const std::string path = Path(base_offset, SegmentFile::log);
  auto log = files_.Open(path, {});
  if (!log) return log.error();
  std::string note = path + ": the log as it was before its damaged parts were left out:";
  for (const SegmentSurvey::Damage& damage : survey.damage) {
    note += "\nbytes " + std::to_string(damage.begin) + " to " + std::to_string(damage.end - 1) +
            ": " + damage.what;
  }
  Status kept = quarantine_.Copy(**log, 0, UINT64_MAX, quarantine_.NameFor(path), note);
  if (!kept) return kept;
  auto draft = files_.Open(path + ".new", {.write = true, .create = true, .truncate = true});
  if (!draft) return draft.error();
  uint64_t at = 0;
  for (const SurveyedBatch& batch : survey.batches) {
    if (Status copied = CopyRange(**log, batch.position, batch.bytes, **draft, at); !copied)
      return copied;
    at += batch.bytes;
  }
  if (Status flushed = (*draft)->Flush(); !flushed) return flushed;
  if (Status renamed = files_.Rename(path + ".new", path); !renamed) return renamed;
  actions_.push_back(path + ": kept " + std::to_string(survey.batches.size()) +
                     " intact batches; the file as it was is in quarantine/");
  return files_.FlushDirectory(folder_);
}

// Nothing in it is intact.
Status SegmentRepair::SetAside(int64_t base_offset) {
  Status moved =
      quarantine_.MoveSegment(folder_, base_offset, "no intact batch is in this segment");
  if (!moved) return moved;
  actions_.push_back(Path(base_offset, SegmentFile::log) +
                     ": moved to quarantine/ with its indexes, since no batch of it is intact");
  if (base_offset == entry_.active_base_offset) active_bytes_ = 0;
  return files_.FlushDirectory(folder_);
}

Status SegmentRepair::MakeAnew(int64_t base_offset, SegmentFile kind, const std::string& fault,
                               base::ByteSpan content) {
  if (fault.empty()) return {};
  const std::string path = Path(base_offset, kind);
  if (auto present = files_.Open(path, {}); present) {
    Status kept = quarantine_.Copy(**present, 0, UINT64_MAX, quarantine_.NameFor(path),
                                   path + ": the file as it was: " + fault);
    if (!kept) return kept;
  }
  if (Status written = io::ReplaceFile(files_, path, base::AsText(content)); !written)
    return written;
  actions_.push_back(path + ": made anew from the log (" + fault + ")");
  return {};
}

}  // namespace tidemark::storage
