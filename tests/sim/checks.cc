// What must be true, sentence by sentence.
#include <algorithm>
#include <cstdlib>

#include "storage/verify.h"
#include "tests/sim/simulation.h"

namespace tidemark::sim {
namespace {

std::string RangeText(int64_t first, int64_t end) {
  return std::to_string(first) + " to " + std::to_string(end - 1);
}

}  // namespace

// What the engine tells as durable, it is bound to from now on.
void Simulation::ObserveEnds() {
  for (auto& [name, topic] : model_.topics) {
    for (size_t i = 0; i < topic.partitions.size() && !topic.deleting; ++i) {
      const auto target = TargetOf(name, static_cast<int32_t>(i));
      if (failed()) return;
      if (!target) continue;
      const int64_t durable = target->partition->durable_end_offset();
      if (durable < target->expected->acknowledged)
        Fail(target->name + ": the durable end went back to " + std::to_string(durable));
      if (durable > target->expected->end())
        Fail(target->name + ": durable is " + std::to_string(durable) + ", which nobody sent");
      if (!after_crash_) target->expected->acknowledged = durable;  // else: what was before
      ObserveStart(*target);
    }
  }
}

// A log start never goes back, and moves no further than somebody has asked for, or a limit allows.
void Simulation::ObserveStart(const Target& target) {
  ModelPartition& expected = *target.expected;
  const int64_t start = target.partition->log_start_offset();
  const std::string what = target.name + ": the log start is " + std::to_string(start);
  if (start < expected.log_start && !journal_damaged_)
    Fail(what + ", and was " + std::to_string(expected.log_start));
  if (start > target.partition->durable_end_offset()) Fail(what + ", behind the durable end");
  if (start > expected.given_up && !target.model->drops) CheckAge(target, start);
  expected.log_start = start;
  expected.given_up = std::max(expected.given_up, start);
}

// What has moved a log start up to `start` can only be its age. What damage has taken is gone
// already: the log start passes over it with the records before it.
void Simulation::CheckAge(const Target& target, int64_t start) {
  const auto least_ms = target.model->least_retention_ms;
  target.expected->ForEach(target.expected->given_up, start, [&](int64_t offset, auto& record) {
    const int64_t age_us = world_.clock.passed_us() - record.appended_us;
    if (record.hole || record.damaged || (least_ms && age_us >= *least_ms * 1000)) return true;
    return Fail(target.name + ": " + std::to_string(offset) + " is given up, and is " +
                std::to_string(age_us) + " us old; it may stay for " +
                (least_ms ? std::to_string(*least_ms) + " ms" : "ever"));
  });
}

// --- After an opening ----------------------------------------------------------------------------

void Simulation::CheckReopened() {
  const RecoveryReport& report = engine_->recovery();
  Tell("open again: " + std::to_string(report.commits_replayed) + " commits replayed" +
       (report.clean ? ", clean" : ""));
  for (const Notice& notice : engine_->TakeNotices()) {
    if (notice.level != NoticeLevel::info) Tell(notice.text);
  }
  told_lost_.clear();
  for (const Damage& damage : report.damage) CheckToldByOpening(damage);
  after_crash_ = true;
  CheckTopics();
  if (!failed()) CheckAll();
  if (!failed() && !dead()) CheckAgreement();
  if (commits_cursors_ && serves()) CheckCursors();
  after_crash_ = false;
  if (failed() || dead()) return;
  for (auto& [name, topic] : model_.topics) {
    for (ModelPartition& partition : topic.partitions) partition.acknowledged = partition.end();
  }
}

// Topics that were acknowledged are there, deleted ones are not, and there are no others.
void Simulation::CheckTopics() {
  for (Topic* topic : engine_->Topics()) {
    if (topic->internal() && commits_cursors_) continue;
    if (!model_.topics.contains(topic->name()))
      Fail("topic " + topic->name() + " is there, and nobody made it, or it was deleted");
  }
  for (auto known = model_.topics.begin(); known != model_.topics.end() && !failed();) {
    auto& [name, model] = *known;
    Topic* topic = engine_->FindTopic(name);
    if (topic == nullptr) {
      if (model.must_exist) Fail("topic " + name + " is gone");
      known = model_.topics.erase(known);
      continue;
    }
    model.must_exist = true;
    model.deleting = false;
    if (!model.id.empty() && topic->id() != model.id)
      Fail("topic " + name + " has another id than before");
    model.id = topic->id();
    const auto count = static_cast<size_t>(topic->partition_count());
    if (count == model.most_partitions) model.partitions.resize(count);
    model.most_partitions = 0;
    if (count != model.partitions.size())
      Fail("topic " + name + " has another number of partitions");
    if (std::find(model.configs.begin(), model.configs.end(), topic->config()) ==
        model.configs.end())
      Fail("topic " + name + " has settings that nobody gave it");
    model.configs = {topic->config()};
    if (!failed()) CheckEnds(name, *topic, model);
    ++known;
  }
}

// The log is a prefix of what was appended, and no shorter than what was acknowledged.
void Simulation::CheckEnds(const std::string& name, Topic& topic, ModelTopic& model) {
  for (size_t i = 0; i < model.partitions.size(); ++i) {
    ModelPartition& expected = model.partitions[i];
    const Partition& partition = *topic.partition(static_cast<int32_t>(i));
    const int64_t end = partition.end_offset();
    const std::string what = name + "-" + std::to_string(i) + ": it ends at " +
                             std::to_string(end) + " after recovery; acknowledged was all below " +
                             std::to_string(expected.acknowledged) + ", appended below " +
                             std::to_string(expected.end());
    const bool as_promised = end >= expected.acknowledged && end <= expected.end();
    if (!as_promised && !DamageAllowsEnd(expected, end)) Fail(what);
    if (closed_cleanly_ && end != expected.end()) Fail(what + "; closed cleanly");
    if (partition.durable_end_offset() != end) Fail(what + "; not all of it is durable");
    const Target target{
        name + "-" + std::to_string(i),           &topic,   &model, static_cast<int32_t>(i),
        topic.partition(static_cast<int32_t>(i)), &expected};
    ObserveStart(target);
    if (failed()) return;
    expected.CutTo(std::min(end, expected.end()));
    expected.SkipTo(end);
    expected.acknowledged = std::min(expected.acknowledged, end);
  }
}

// --- Reading -------------------------------------------------------------------------------------

void Simulation::CheckAll() {
  for (auto& [name, topic] : model_.topics) {
    for (size_t i = 0; i < topic.partitions.size() && !topic.deleting && serves(); ++i) {
      const auto target = TargetOf(name, static_cast<int32_t>(i));
      if (target) ReadFrom(*target, target->partition->log_start_offset());
      if (target && damaged_ && serves()) ReadFrom(*target, SomewhereIn(*target));
    }
  }
}

// A place to which an index leads, which may be damaged; where an entry of it was forged, by way of
// that one.
int64_t Simulation::SomewhereIn(const Target& target) {
  int64_t first = 0;
  int64_t last = target.partition->durable_end_offset();
  if (misled_ && misled_->topic == target.topic->name() && misled_->partition == target.index &&
      misled_->first_offset <= last) {
    first = misled_->first_offset;
    last = std::min(last, misled_->end_offset - 1);
  }
  const uint64_t behind = trouble_.Below(static_cast<uint64_t>(last - first) + 1);
  return std::max(target.partition->log_start_offset(), first + static_cast<int64_t>(behind));
}

// To the end.
void Simulation::ReadFrom(const Target& target, int64_t from) {
  const uint64_t faults_before = world_.disk.faults_struck();
  int64_t position = from;
  const Walk walk{&position, world_.disk.wrong_reads()};
  auto reader = engine_->OpenReader(*target.partition, from);
  if (!reader.ok()) {
    Fail(target.name + ": no reader: " + reader.error().ToString());
    return;
  }
  const int64_t end = target.partition->durable_end_offset();
  while (serves()) {
    const int64_t before = position;
    const auto state = (*reader)->Next();
    if (dead()) return;
    if (!NoteLost(target, (*reader)->TakeLost(), walk)) return;
    if (!state.ok()) {
      if (GoOnAtStart(target, **reader, state.error(), &position)) continue;
      // Damage is told, and the next call goes on behind it.
      if (state.error().code() == ErrorCode::corrupt && position > before) continue;
      if (world_.disk.faults_struck() == faults_before ||
          state.error().code() == ErrorCode::corrupt)
        Fail(target.name + ": reading at " + std::to_string(position) +
             " fails: " + state.error().ToString());
      return;
    }
    if (*state == ReadState::pending) {
      PollOnce(1000);
      continue;
    }
    if (*state == ReadState::at_end) break;
    if (!CheckBatch(target, (*reader)->batch(), walk, &position)) return;
  }
  if (serves() && position < end && !MayBeMissing(target, position, end))
    Fail(target.name + ": reading ends at " + std::to_string(position) + ", durable is " +
         std::to_string(end));
}

// What a reader wants was given up meanwhile: it is told, and may go on at the log start.
bool Simulation::GoOnAtStart(const Target& target, Reader& reader, const Error& error,
                             int64_t* position) {
  const int64_t start = target.partition->log_start_offset();
  if (error.code() != ErrorCode::offset_out_of_range || *position >= start) return false;
  if (Status sought = reader.Seek(start); !sought.ok())
    return Fail(target.name + ": seek: " + sought.error().ToString());
  *position = start;
  return true;
}

// What compaction may have taken: a record that is followed by one of its key, and one without a
// value whose time has come.
bool Simulation::MayBeMissing(const Target& target, int64_t first, int64_t end) const {
  if (!target.model->compacts) return first >= end;
  bool all = true;
  const int64_t durable = target.partition->durable_end_offset();
  target.expected->ForEach(first, end, [&](int64_t offset, const ModelRecord& record) {
    const int64_t age_us = world_.clock.passed_us() - record.appended_us;
    const bool expired =
        record.tombstone && age_us / 1000 >= target.model->least_delete_retention_ms;
    all = expired || target.expected->IsSuperseded(offset, record, durable);
    return all;
  });
  return all;
}

// A wrong read of a base offset, which no CRC covers, may move a batch into a gap beside it: that
// is a limit of Kafka's format. Of a record of `batch` that is shown in the place of another:
// whether it is from so near by that a gap has room for the difference.
bool Simulation::IsMovedIntoGap(const Target& target, const Batch& batch, const RecordView& view,
                                const Walk& walk) const {
  if (world_.disk.wrong_reads() == walk.wrong_reads_before) return false;
  const int64_t first = (*batch.records.begin()).offset;
  int64_t last = first;
  for (const RecordView& each : batch.records) last = each.offset;
  const auto in_gap = [&](int64_t offset) {
    const ModelRecord* const record = target.expected->At(offset);
    return record == nullptr || record->hole || record->damaged ||
           MayBeMissing(target, offset, offset + 1);
  };
  bool moved = false;
  target.expected->ForEach(0, target.expected->end(), [&](int64_t offset, ModelRecord& record) {
    if (record.digest != DigestOf(view)) return true;
    const int64_t by = view.offset - offset;
    // Upwards into what lies behind its end, or downwards into what lies before it.
    const int64_t gap_end = by > 0 ? last + 1 : first - by;
    for (int64_t at = gap_end - std::abs(by); at < gap_end && !moved; ++at) moved = in_gap(at);
    return !moved;
  });
  return moved;
}

// Each record once, in order, at its offset, with its content; and none that is not durable. False:
// the walk is over.
bool Simulation::CheckBatch(const Target& target, const Batch& batch, const Walk& walk,
                            int64_t* next) {
  ModelPartition& expected = *target.expected;
  const int64_t durable = target.partition->durable_end_offset();
  int64_t position = *next;
  for (const RecordView& view : batch.records) {
    const std::string at = target.name + " at " + std::to_string(position);
    if (view.offset > position && MayBeMissing(target, position, view.offset))
      position = view.offset;
    if (view.offset != position)
      return Fail(at + ": the next record has offset " + std::to_string(view.offset));
    if (position >= expected.end()) return Fail(at + ": a record that nobody sent");
    if (position >= durable) return Fail(at + ": a reader is shown what is not durable");
    const ModelRecord* const found = expected.At(position);
    if (found == nullptr) return Fail(at + ": a record in a range that was left free");
    const ModelRecord& record = *found;
    if (record.hole && !record.damaged)
      return Fail(at + ": a record stands behind lost ones, or comes back");
    if (DigestOf(view) != record.digest) {
      if (IsMovedIntoGap(target, batch, view, walk)) return false;
      return Fail(at + ": expected record " + std::to_string(record.number) + ", found key " +
                  std::string(view.key.value_or("(null)")));
    }
    if (record.timestamp_ms && view.timestamp_ms != *record.timestamp_ms)
      return Fail(at + ": another timestamp");
    ++position;
  }
  *next = position;
  return true;
}

// What is passed over is told, without a gap. Only what was damaged may be lost, or a commit that
// was cut off and never acknowledged, and then nothing that stood behind it is left.
bool Simulation::NoteLost(const Target& target, const std::vector<LostRange>& lost,
                          const Walk& walk) {
  ModelPartition& expected = *target.expected;
  const bool wrong_read = world_.disk.wrong_reads() != walk.wrong_reads_before;
  for (const LostRange& range : lost) {
    const std::string what = target.name + ": offsets " +
                             RangeText(range.first_offset, range.end_offset) +
                             " are lost: " + range.cause;
    if (walk.position != nullptr && range.first_offset > *walk.position &&
        MayBeMissing(target, *walk.position, range.first_offset))
      *walk.position = range.first_offset;
    if (walk.position != nullptr && range.first_offset != *walk.position)
      return Fail(what + "; expected at " + std::to_string(*walk.position));
    if (walk.position != nullptr) *walk.position = range.end_offset;
    if (range.end_offset > expected.end()) return Fail(what + "; nobody sent that");
    std::optional<int64_t> cut_off;
    expected.ForEach(range.first_offset, range.end_offset, [&](int64_t offset, auto& record) {
      if (record.hole) return true;
      if (after_crash_) told_lost_.insert({target.topic->name(), target.index, offset});
      if (record.damaged || offset < expected.given_up || wrong_read || cut_off) return true;
      if (!after_crash_ || offset < expected.acknowledged) return Fail(what);
      cut_off = offset;
      return true;
    });
    if (failed()) return false;
    if (!cut_off) continue;
    expected.ForEach(*cut_off, expected.end(), [](int64_t, ModelRecord& record) {
      record.hole = true;
      return true;
    });
  }
  return true;
}

// What the scrub calls damage is; no disk here has any but for reads that fail.
void Simulation::CheckNotices() {
  for (const Notice& notice : engine_->TakeNotices()) {
    const bool excused = damage_allowed_ || world_.disk.faults_struck() > 0 || tight();
    if (notice.text.starts_with("compaction: ") && !excused)
      Fail("nothing is damaged, but: " + notice.text);
    if (!notice.text.starts_with("scrub")) continue;
    Tell(notice.text);
    const bool unreadable = notice.text.find(": unreadable: ") != std::string::npos;
    if (!(unreadable && world_.disk.faults_struck() > 0))
      Fail("nothing is damaged, but: " + notice.text);
  }
}

// After a clean stop everything on the disk is in order, both indexes too. (What a commit that was
// cut off has left empty is told as lost, and is no disorder.)
void Simulation::CheckFiles() {
  const uint64_t faults_before = world_.disk.faults_struck();
  world_.disk.DisarmWrongRead();
  storage::VerifyOptions options;
  options.data_dir = options_.data_dir;
  options.locked = true;
  const auto report = storage::VerifyStore(world_.files, options);
  if (world_.disk.faults_struck() != faults_before) return;
  if (!report) {
    Fail("verification fails: " + report.error().ToString());
    return;
  }
  for (const storage::Finding& finding : report->findings) {
    using Kind = storage::Finding::Kind;
    const bool full = finding.path.ends_with("manifest") && tight();  // no room for its backup
    // What closing could not read it has left as it was, and said so.
    const bool not_finished = finding.path.ends_with("index") && faults_before > faults_at_opening_;
    // A seal that was made from a wrong read of what no CRC covers contradicts its log for ever.
    const bool sealed_wrongly =
        world_.disk.wrong_reads() > 0 && finding.what.find("were sealed") != std::string::npos;
    const bool excused = full || not_finished || sealed_wrongly || ExcusesFile(finding.path);
    if ((finding.kind == Kind::fault && !excused) || finding.kind == Kind::unreadable)
      Fail("after a clean stop: " + finding.path + ": " + finding.what);
  }
}

}  // namespace tidemark::sim
