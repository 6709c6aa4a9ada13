// What must be true of a store that is damaged: it costs what stood in the damaged bytes and no
// more, that is told as exact offsets, and verification and readers tell the same.
#include <algorithm>

#include "storage/verify.h"
#include "tests/sim/simulation.h"

namespace tidemark::sim {

// One thing at most for each time that the store was served: what is kept twice is mended by every
// opening, and only both copies at once would be a loss.
void Simulation::MaybeDamage() {
  if (!created_) return;
  std::optional<DamageDone> done;
  if (trouble_.OneIn(2)) done = DamageStore(world_.disk, options_.data_dir, seed_ % 2, trouble_);
  const bool verify = done || trouble_.OneIn(8);
  // With a source of chance of its own, so that the damage above stays what it was.
  Random forging(DeriveSeed(seed_, 4'000'000 + step_));
  if (!done && forging.OneIn(2)) done = ForgeIndexEntry(world_.disk, options_.data_dir, forging);
  if (done) NoteDamage(*done);
  if (done || verify) VerifyBeforeOpening();
}

void Simulation::NoteDamage(const DamageDone& done) {
  Tell(done.text);
  damaged_ = true;
  damaged_paths_.insert(done.path);
  // A swap that is decided brings the draft, with its damage, to where it belongs.
  const size_t draft = done.path.rfind(".cleaned");
  if (draft != std::string::npos) damaged_paths_.insert(done.path.substr(0, draft));
  if (done.misled) misled_ = done.misled;
  journal_damaged_ = journal_damaged_ || done.path.ends_with("/journal");
  one_copy_left_ = one_copy_left_ || (done.path.ends_with("/journal") && done.at_risk.empty());
  commit_damaged_ = commit_damaged_ || done.commit;
  newest_commit_damaged_ = newest_commit_damaged_ || done.newest_commit;
  for (const OffsetsAtRisk& at_risk : done.at_risk) {
    for (auto& [name, topic] : model_.topics) {
      const bool by_id =
          at_risk.topic.empty() && (topic.id == at_risk.topic_id || topic.id.empty());
      if (!by_id && name != at_risk.topic) continue;
      for (size_t i = 0; i < topic.partitions.size(); ++i) {
        if (at_risk.partition >= 0 && static_cast<size_t>(at_risk.partition) != i) continue;
        topic.partitions[i].ForEach(
            at_risk.first_offset, at_risk.end_offset, [&](int64_t, ModelRecord& record) {
              record.damaged = true;
              record.damaged_in_journal = record.damaged_in_journal || at_risk.topic.empty();
              return true;
            });
      }
    }
  }
}

// Whether each record there was damaged, is lost already, or was never acknowledged.
bool Simulation::IsExcused(ModelPartition& expected, int64_t first, int64_t end) {
  bool excused = true;
  expected.ForEach(first, end, [&](int64_t offset, const ModelRecord& record) {
    excused = record.hole || record.damaged || offset < expected.given_up ||
              offset >= expected.acknowledged;
    return excused;
  });
  return excused;
}

// --- Verification --------------------------------------------------------------------------------

// It looks at what the next opening will find.
void Simulation::VerifyBeforeOpening() {
  storage::VerifyOptions options;
  options.data_dir = options_.data_dir;
  options.deep = true;
  options.locked = true;
  const auto report = storage::VerifyStore(world_.files, options);
  if (!report) {
    Fail("verification fails: " + report.error().ToString());
    return;
  }
  std::set<Offset> lost;
  for (const storage::Finding& finding : report->findings) {
    Tell("verification: " + finding.path + ": " + finding.what +
         (finding.kind == storage::Finding::Kind::loss
              ? ": " + finding.topic + "-" + std::to_string(finding.partition) + " " +
                    std::to_string(finding.first_offset) + " to " +
                    std::to_string(finding.end_offset - 1)
              : ""));
    if (finding.kind != storage::Finding::Kind::loss) continue;
    const auto topic = model_.topics.find(finding.topic);
    if (topic == model_.topics.end()) continue;
    ModelPartition& expected = topic->second.partitions[static_cast<size_t>(finding.partition)];
    if (!IsExcused(expected, finding.first_offset, finding.end_offset))
      Fail("verification tells as lost what was not damaged: " + finding.what);
    expected.ForEach(finding.first_offset, finding.end_offset,
                     [&](int64_t offset, const ModelRecord& record) {
                       if (!record.hole) lost.insert({finding.topic, finding.partition, offset});
                       return true;
                     });
  }
  verified_lost_ = std::move(lost);
}

// The opening that came next, and readers behind it, have told the same records as lost.
void Simulation::CheckAgreement() {
  const auto exists = [this](const Offset& offset) {
    const auto& [name, index, number] = offset;
    const auto topic = model_.topics.find(name);
    if (topic == model_.topics.end()) return false;
    ModelPartition& partition = topic->second.partitions[static_cast<size_t>(index)];
    return number >= partition.given_up && partition.At(number) != nullptr;
  };
  std::vector<Offset> differing;
  if (verified_lost_) {
    std::set_symmetric_difference(verified_lost_->begin(), verified_lost_->end(),
                                  told_lost_.begin(), told_lost_.end(),
                                  std::back_inserter(differing));
  }
  for (const Offset& offset : differing) {
    const auto& [name, index, number] = offset;
    if (!exists(offset)) continue;
    Fail(name + "-" + std::to_string(index) + " at " + std::to_string(number) + ": lost by " +
         (told_lost_.contains(offset) ? "the opening or a reader, not by verification"
                                      : "verification, not by the opening or a reader"));
  }
  verified_lost_.reset();
  commit_damaged_ = newest_commit_damaged_ = journal_damaged_ = false;
  // What the journal has lost is a hole from now on: readers go on telling it, and verification
  // does not, since it is history. (An opening that was cut off may have told it, and this one
  // not.)
  for (const auto& [name, index, number] : told_lost_) {
    const auto topic = model_.topics.find(name);
    if (topic == model_.topics.end()) continue;
    ModelRecord* record = topic->second.partitions[static_cast<size_t>(index)].At(number);
    if (record != nullptr && record->damaged_in_journal) record->hole = true;
  }
}

// --- Openings ------------------------------------------------------------------------------------

// What was damaged, and what was not acknowledged, may be told as lost; and what was lost once,
// again.
void Simulation::CheckToldByOpening(const Damage& damage) {
  const auto found = model_.topics.find(damage.topic);
  if (found == model_.topics.end()) return;
  ModelPartition& expected = found->second.partitions[static_cast<size_t>(damage.partition)];
  expected.ForEach(damage.first_offset, damage.end_offset,
                   [&](int64_t offset, const ModelRecord& record) {
                     if (!record.hole) told_lost_.insert({damage.topic, damage.partition, offset});
                     return true;
                   });
  const bool beyond = damage.end_offset > expected.end() && !commit_damaged_;
  if (!beyond && IsExcused(expected, damage.first_offset, damage.end_offset)) return;
  Fail(damage.topic + "-" + std::to_string(damage.partition) + ": offsets " +
       std::to_string(damage.first_offset) + " to " + std::to_string(damage.end_offset - 1) +
       " are told as lost (" + damage.cause + "), acknowledged was all below " +
       std::to_string(expected.acknowledged));
}

// A commit that is hit may leave a range free, so that no offset names two records. If it is the
// newest, nothing may prove that it was ever complete: it is cut off like a torn one (rule 2).
bool Simulation::DamageAllowsEnd(ModelPartition& expected, int64_t end) const {
  if (end > expected.end()) return commit_damaged_;
  if (!newest_commit_damaged_) return false;
  bool all = true;
  expected.ForEach(end, expected.acknowledged, [&](int64_t, const ModelRecord& record) {
    all = all && (record.damaged || record.hole);
    return all;
  });
  return all;
}

// A refusal for want of a read says of which file, and why.
void Simulation::CheckRefusal(const Error& error) {
  if (error.code() != ErrorCode::io_error) return;
  const bool names_file = error.message().find(options_.data_dir) != std::string::npos;
  if (!names_file || error.system_errno() == 0)
    Fail("an opening fails without file or errno: " + error.ToString());
}

// Whether verification may find fault with a file at a clean stop: it was damaged, or it is an
// index or the seal of a damaged log, or made by way of a wrong read.
bool Simulation::ExcusesFile(const std::string& path) const {
  const auto stem = [](const std::string& name) { return name.substr(0, name.rfind('.')); };
  const bool is_hint = path.ends_with("index") || path.ends_with(".seal");
  if (is_hint && world_.disk.wrong_reads() > 0) return true;
  return damaged_paths_.contains(path) || (is_hint && damaged_paths_.contains(stem(path) + ".log"));
}

}  // namespace tidemark::sim
