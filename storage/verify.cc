// Which parts a store has, and in which order they are looked at.
#include "storage/verify.h"

#include <algorithm>
#include <set>
#include <utility>

#include "storage/manifest.h"
#include "storage/verify_journal.h"
#include "storage/verify_segment.h"

namespace tidemark::storage {
namespace {

// Kafka's smallest files, read whole.
constexpr uint64_t kMaxSmallFileBytes = 4096;

// Somebody has the store open for writing. The lock of a moment here does not disturb them.
bool IsLocked(io::FileSystem& files, const std::string& journal_path) {
  const auto journal = files.Open(journal_path, {});
  if (!journal) return false;
  const Status locked = (*journal)->Lock();
  return !locked.ok() && locked.error().code() == ErrorCode::locked;
}

// One look at everything.
class VerifyPass {
 public:
  VerifyPass(io::FileSystem& files, const VerifyOptions& options, bool in_use)
      : files_(files), options_(options) {
    report_.in_use = in_use;
  }
  Result<VerifyReport> Run();

 private:
  Status ReadManifestFiles();
  void VerifyPartition(const TopicDescription& topic, int32_t partition);
  void VerifySegments(const std::vector<int64_t>& bases, const CheckpointEntry* entry);
  void VerifySegment(int64_t base_offset, SegmentEnd end, bool finished);
  void TakeDamage(const SegmentSurvey& survey, const std::string& path, int64_t next_base);
  void VerifyIndexes(int64_t base_offset, const SegmentSurvey& survey);
  void VerifyFolder(const std::vector<int64_t>& bases);
  void VerifyTopLevel();
  void Add(Finding::Kind kind, const std::string& path, std::string what);
  void AddLoss(const std::string& path, std::string what, int64_t first, int64_t end);

  io::FileSystem& files_;
  const VerifyOptions& options_;
  VerifyReport report_;
  Manifest manifest_;
  std::optional<Checkpoint> checkpoint_;
  TailStates tails_;
  // The partition that is being looked at.
  const TopicDescription* topic_ = nullptr;
  int32_t partition_ = 0;
  std::string folder_;
  int64_t held_end_ = 0;  // offsets below it are held, or told as lost
};

void VerifyPass::Add(Finding::Kind kind, const std::string& path, std::string what) {
  Finding finding;
  finding.kind = kind;
  finding.path = path;
  finding.what = std::move(what);
  report_.findings.push_back(std::move(finding));
}

void VerifyPass::AddLoss(const std::string& path, std::string what, int64_t first, int64_t end) {
  if (first >= end) return;
  Add(Finding::Kind::loss, path, std::move(what));
  Finding& finding = report_.findings.back();
  finding.topic = topic_->name;
  finding.partition = partition_;
  finding.first_offset = first;
  finding.end_offset = end;
}

Result<VerifyReport> VerifyPass::Run() {
  if (Status manifest = ReadManifestFiles(); !manifest) return manifest.error();
  const std::string path = io::JoinPath(options_.data_dir, "journal");
  auto journal = files_.Open(path, {});
  if (!journal) {
    if (manifest_.store_id.is_nil()) return journal.error();
    Add(Finding::Kind::fault, path, "the journal is missing: " + journal.error().message());
  }
  std::optional<JournalVerifier> verifier;
  if (journal) {
    verifier.emplace(**journal, report_.in_use, &report_);
    if (verifier->ReadHead()) {
      checkpoint_ = verifier->checkpoint();
      report_.clean = checkpoint_ && checkpoint_->clean && !report_.in_use;
      if (!manifest_.store_id.is_nil() && manifest_.store_id != verifier->superblock().store_id) {
        Add(Finding::Kind::fault, path, "this journal belongs to another store");
      }
    } else {
      verifier.reset();
    }
  }
  for (const TopicDescription& topic : manifest_.topics) {
    for (int32_t partition = 0; partition < topic.partitions; ++partition)
      VerifyPartition(topic, partition);
  }
  if (verifier) verifier->ReadCommits(&tails_);
  VerifyTopLevel();
  return std::move(report_);
}

Status VerifyPass::ReadManifestFiles() {
  auto found = ReadManifest(files_, options_.data_dir);
  if (!found) return found.error();
  manifest_ = std::move(found->manifest);
  if (found->repaired && !report_.in_use)
    Add(Finding::Kind::fault, io::JoinPath(options_.data_dir, "manifest"), found->note);
  return {};
}

void VerifyPass::VerifyPartition(const TopicDescription& topic, int32_t partition) {
  topic_ = &topic;
  partition_ = partition;
  folder_ = PartitionFolder(options_.data_dir, topic.name, partition);
  held_end_ = 0;
  ++report_.partitions;
  const CheckpointEntry* entry = nullptr;
  if (checkpoint_) {
    for (const CheckpointEntry& candidate : checkpoint_->entries) {
      if (candidate.topic_id == topic.id && candidate.partition == partition) entry = &candidate;
    }
  }
  const auto bases = ListSegments(files_, folder_);
  if (!bases) return Add(Finding::Kind::unreadable, folder_, bases.error().message());
  VerifySegments(*bases, entry);
  if (!report_.in_use) VerifyFolder(*bases);
  TailState& tail = tails_[{topic.id, partition}];
  tail.topic = topic.name;
  tail.end_offset = held_end_;
  if (entry == nullptr) return;
  tail.durable_end_offset = entry->durable_end_offset;
  tail.first_needed_sequence = entry->first_needed_sequence;
}

// Without a checkpoint the files are all that is known.
void VerifyPass::VerifySegments(const std::vector<int64_t>& bases, const CheckpointEntry* entry) {
  const bool known = checkpoint_.has_value();
  if (known && entry == nullptr) return;  // the journal holds all that there is of it
  if (known) held_end_ = entry->log_start_offset;
  if (!known && !bases.empty()) held_end_ = bases.front();
  for (size_t i = 0; i < bases.size(); ++i) {
    const int64_t base = bases[i];
    if (known && base > entry->active_base_offset) {
      if (report_.clean)
        Add(Finding::Kind::note, SegmentPath(folder_, base, SegmentFile::log),
            "the checkpoint does not know this segment");
      continue;
    }
    AddLoss(SegmentPath(folder_, base, SegmentFile::log), "no segment holds what stands before it",
            held_end_, base);
    SegmentEnd end;
    if (known) {
      end = EndBy(*entry, bases, i);
    } else if (i + 1 < bases.size()) {
      end.offset_limit = bases[i + 1];
    }
    const bool active = known ? base == entry->active_base_offset : i + 1 == bases.size();
    VerifySegment(base, end, /*finished=*/!active || report_.clean);
  }
  if (known) {
    AddLoss(SegmentPath(folder_, std::max<int64_t>(entry->active_base_offset, 0), SegmentFile::log),
            "no segment holds what stands behind it", held_end_, entry->packed_end_offset);
    held_end_ = std::max(held_end_, entry->packed_end_offset);
  }
}

void VerifyPass::VerifySegment(int64_t base_offset, SegmentEnd end, bool finished) {
  const std::string path = SegmentPath(folder_, base_offset, SegmentFile::log);
  const SegmentSurvey survey =
      SurveySegment(files_, folder_, base_offset, end, options_.deep, [this](uint64_t bytes) {
        report_.bytes += bytes;
        options_.progress(report_.bytes);
      });
  ++report_.segments;
  report_.batches += survey.batches.size();
  report_.records += survey.records;
  if (survey.unreadable) Add(Finding::Kind::unreadable, path, survey.unreadable->ToString());
  if (end.log_bytes && survey.log_bytes < *end.log_bytes && !survey.unreadable) {
    Add(Finding::Kind::fault, path,
        "it is cut short: " + std::to_string(survey.log_bytes) + " of " +
            std::to_string(*end.log_bytes) + " bytes are there");
  }
  TakeDamage(survey, path, end.offset_limit.value_or(survey.next_offset));
  if (finished && !survey.unreadable) VerifyIndexes(base_offset, survey);
}

void VerifyPass::TakeDamage(const SegmentSurvey& survey, const std::string& path,
                            int64_t next_base) {
  for (const SegmentSurvey::Damage& damage : survey.damage) {
    const int64_t end = damage.end_offset.value_or(next_base);
    if (damage.first_offset >= end) Add(Finding::Kind::fault, path, damage.what);
    AddLoss(path, damage.what, damage.first_offset, end);
    report_.findings.back().position = damage.begin;
  }
  held_end_ = std::max(held_end_, survey.next_offset);
  if (!survey.damage.empty() && !survey.damage.back().end_offset)
    held_end_ = std::max(held_end_, next_base);
}

void VerifyPass::VerifyIndexes(int64_t base_offset, const SegmentSurvey& survey) {
  const std::string offsets = SegmentPath(folder_, base_offset, SegmentFile::offset_index);
  const std::string times = SegmentPath(folder_, base_offset, SegmentFile::time_index);
  const auto interval = static_cast<uint32_t>(topic_->config.index_interval_bytes);
  for (const auto& [path, why] :
       {std::pair(offsets, CheckOffsetIndex(files_, offsets, base_offset, survey, interval)),
        std::pair(times, CheckTimeIndex(files_, times, base_offset, survey))}) {
    if (!why.empty()) Add(Finding::Kind::fault, path, why);
  }
}

// What else is in a partition's folder.
void VerifyPass::VerifyFolder(const std::vector<int64_t>& bases) {
  const auto entries = files_.List(folder_);
  if (!entries) {
    // A crash may have come before the folder was made; after a clean stop it is gone.
    if (report_.clean) Add(Finding::Kind::fault, folder_, "the partition's folder is missing");
    return;
  }
  const std::string metadata = io::JoinPath(folder_, kPartitionMetadataName);
  const auto text = io::ReadWholeFile(files_, metadata, kMaxSmallFileBytes);
  const std::string expected = "version: 0\ntopic_id: " + topic_->id.ToBase64();
  if (!text || *text != expected) {
    Add(Finding::Kind::fault, metadata,
        text ? "it is not what it should be" : text.error().message());
  }
  for (const io::DirectoryEntry& entry : *entries) {
    const bool is_index = entry.name.ends_with(".index") || entry.name.ends_with(".timeindex");
    const std::string log_name = entry.name.substr(0, entry.name.find('.')) + ".log";
    const bool has_log =
        is_index && std::any_of(bases.begin(), bases.end(), [&](int64_t base) {
          return SegmentPath(folder_, base, SegmentFile::log).ends_with("/" + log_name);
        });
    const bool known = has_log || entry.name == kPartitionMetadataName ||
                       entry.name == "leader-epoch-checkpoint" || ParseLogName(entry.name);
    if (!known) {
      Add(Finding::Kind::note, io::JoinPath(folder_, entry.name),
          is_index ? "an index without its log" : "it has no place here");
    }
  }
}

void VerifyPass::VerifyTopLevel() {
  const auto entries = files_.List(options_.data_dir);
  if (!entries) return Add(Finding::Kind::unreadable, options_.data_dir, entries.error().message());
  static const std::set<std::string> kKnown = {"journal",
                                               "manifest",
                                               "manifest.backup",
                                               "owner",
                                               "quarantine",
                                               "tidemark.sock",
                                               ".kafka_cleanshutdown",
                                               "recovery-point-offset-checkpoint",
                                               "log-start-offset-checkpoint",
                                               "replication-offset-checkpoint",
                                               "meta.properties",
                                               "lost+found"};
  std::set<std::string> folders;
  for (const TopicDescription& topic : manifest_.topics) {
    for (int32_t i = 0; i < topic.partitions; ++i)
      folders.insert(topic.name + "-" + std::to_string(i));
  }
  for (const io::DirectoryEntry& entry : *entries) {
    if (report_.in_use || kKnown.contains(entry.name) || folders.contains(entry.name)) continue;
    Add(Finding::Kind::note, io::JoinPath(options_.data_dir, entry.name), "it has no place here");
  }
}

}  // namespace

bool VerifyReport::Has(Finding::Kind kind) const {
  return std::any_of(findings.begin(), findings.end(),
                     [kind](const Finding& finding) { return finding.kind == kind; });
}

Result<VerifyReport> VerifyStore(io::FileSystem& files, const VerifyOptions& options) {
  const std::string journal = io::JoinPath(options.data_dir, "journal");
  const auto in_use = [&] { return !options.locked && IsLocked(files, journal); };
  const bool was_in_use = in_use();
  auto report = VerifyPass(files, options, was_in_use).Run();
  const bool settled = report && report->findings.empty();
  if (settled || (!was_in_use && !in_use())) return report;
  // Somebody may have been changing what was looked at: what is wrong is so at a second look, too.
  auto again = VerifyPass(files, options, /*in_use=*/true).Run();
  if (!again || !report) return again;
  std::erase_if(again->findings, [&](const Finding& finding) {
    return std::find(report->findings.begin(), report->findings.end(), finding) ==
           report->findings.end();
  });
  return again;
}

}  // namespace tidemark::storage
