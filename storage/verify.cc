// Which parts a store has, and in which order they are looked at.
#include "storage/verify.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "storage/kafka_names.h"
#include "storage/manifest.h"
#include "storage/segment_check.h"
#include "storage/verify_journal.h"
#include "storage/verify_plan.h"

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

// A segment, and what its check has said.
struct SegmentResult {
  SegmentToCheck segment;
  std::vector<Finding> findings;
  uint64_t batches = 0;
  uint64_t records = 0;
  int64_t told_end_offset = 0;
};

// One look at everything.
class VerifyPass {
 public:
  VerifyPass(io::FileSystem& files, const VerifyOptions& options, bool in_use)
      : files_(files), options_(options) {
    report_.in_use = in_use;
  }
  Result<VerifyReport> Run();

 private:
  // One partition, and what was read of it.
  struct Part : PartitionPlan {
    std::map<int64_t, SegmentResult> results;  // by base offset
  };

  Status ReadManifestFiles();
  void Plan(const TopicDescription& topic, int32_t partition, Part* part);
  void CheckSegments();
  void CheckChangedAgain();
  void CheckSegment(SegmentResult& segment);
  void VerifyPartition(const Part& part);
  void VerifySegments(const Part& part);
  void VerifyFolder(const Part& part);
  void ForgetGivenUp();
  void VerifyTopLevel();
  void Add(Finding::Kind kind, const std::string& path, std::string what);
  void AddLoss(const Part& part, const std::string& path, std::string what, int64_t first,
               int64_t end);

  io::FileSystem& files_;
  const VerifyOptions& options_;
  VerifyReport report_;
  Manifest manifest_;
  std::optional<Checkpoint> checkpoint_;
  TailStates tails_;
  std::deque<Part> parts_;
  std::vector<SegmentResult*> to_check_;
  std::mutex mutex_;  // for what the threads count together
  size_t next_to_check_ = 0;
};

void VerifyPass::Add(Finding::Kind kind, const std::string& path, std::string what) {
  Finding finding;
  finding.kind = kind;
  finding.path = path;
  finding.what = WithoutPath(std::move(what), path);
  report_.findings.push_back(std::move(finding));
}

void VerifyPass::AddLoss(const Part& part, const std::string& path, std::string what, int64_t first,
                         int64_t end) {
  if (first >= end) return;
  Add(Finding::Kind::loss, path, std::move(what));
  Finding& finding = report_.findings.back();
  finding.topic = part.topic->name;
  finding.partition = part.partition;
  finding.first_offset = first;
  finding.end_offset = end;
}

Result<VerifyReport> VerifyPass::Run() {
  if (Status manifest = ReadManifestFiles(); !manifest) return manifest.error();
  const std::string path = io::JoinPath(options_.data_dir, "journal");
  auto journal = files_.Open(path, {});
  if (!journal) {
    if (manifest_.store_id.is_nil()) return journal.error();
    Add(Finding::Kind::fault, path, "the journal is missing: " + CauseText(journal.error()));
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
      Plan(topic, partition, &parts_.emplace_back());
  }
  CheckSegments();
  if (report_.in_use) CheckChangedAgain();
  for (const Part& part : parts_) VerifyPartition(part);
  if (verifier) verifier->ReadCommits(&tails_);
  ForgetGivenUp();
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

// --- Reading ---

void VerifyPass::Plan(const TopicDescription& topic, int32_t partition, Part* part) {
  *part = {PlanPartition(files_, options_.data_dir, topic, partition,
                         checkpoint_ ? &*checkpoint_ : nullptr, report_.clean),
           {}};
  for (const SegmentToCheck& segment : part->segments) {
    SegmentResult& result = part->results[segment.base_offset];
    result.segment = segment;
    to_check_.push_back(&result);
  }
}

// Two files in flight, so that the device never waits for a checksum.
void VerifyPass::CheckSegments() {
  const auto run = [this] {
    for (;;) {
      SegmentResult* segment = nullptr;
      {
        const std::lock_guard lock(mutex_);
        if (next_to_check_ == to_check_.size()) return;
        segment = to_check_[next_to_check_++];
      }
      CheckSegment(*segment);
    }
  };
  const size_t most = std::min(to_check_.size(), static_cast<size_t>(options_.threads));
  std::vector<std::thread> threads;
  for (size_t i = 1; i < most; ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
}

// Somebody has removed or compacted segments while they were read: what that looked like is no
// damage.
void VerifyPass::CheckChangedAgain() {
  constexpr int kMostTimes = 10;
  for (int times = 0; times < kMostTimes; ++times) {
    to_check_.clear();
    next_to_check_ = 0;
    for (Part& part : parts_) {
      const bool told =
          std::any_of(part.results.begin(), part.results.end(),
                      [](const auto& result) { return !result.second.findings.empty(); });
      if (told && StampOf(files_, part.folder) != part.stamp)
        Plan(*part.topic, part.partition, &part);
    }
    if (to_check_.empty()) return;
    CheckSegments();
  }
}

void VerifyPass::CheckSegment(SegmentResult& segment) {
  SegmentCheck check(files_, segment.segment, {.deep = options_.deep});
  while (!check.done()) {
    const uint64_t bytes = check.Step(BlockReader::kWindowBytes);
    const std::lock_guard lock(mutex_);
    report_.bytes += bytes;
    options_.progress(report_.bytes);
  }
  segment.findings = check.findings();
  segment.batches = check.survey().batch_count;
  segment.records = check.survey().records;
  segment.told_end_offset = check.told_end_offset();
}

// --- What it comes to ---

void VerifyPass::VerifyPartition(const Part& part) {
  ++report_.partitions;
  if (!part.bases)
    return Add(Finding::Kind::unreadable, part.folder, CauseText(part.bases.error()));
  VerifySegments(part);
  if (!report_.in_use) VerifyFolder(part);
}

void VerifyPass::VerifySegments(const Part& part) {
  int64_t held_end = kFirstLogStart;  // offsets below it are held, or told as lost
  if (part.entry != nullptr) held_end = part.entry->log_start_offset;
  report_.findings.insert(report_.findings.end(), part.notes.begin(), part.notes.end());
  for (const auto& [base, segment] : part.results) {
    AddLoss(part, SegmentPath(part.folder, base, SegmentFile::log),
            "no segment holds what stands before it", held_end, base);
    ++report_.segments;
    report_.batches += segment.batches;
    report_.records += segment.records;
    report_.findings.insert(report_.findings.end(), segment.findings.begin(),
                            segment.findings.end());
    held_end = std::max(held_end, segment.told_end_offset);
  }
  if (part.entry != nullptr) {
    for (const int64_t base : *part.bases) {
      if (base <= part.entry->active_base_offset || !report_.clean) continue;
      Add(Finding::Kind::note, SegmentPath(part.folder, base, SegmentFile::log),
          "the checkpoint does not know this segment");
    }
    AddLoss(part,
            SegmentPath(part.folder, std::max<int64_t>(part.entry->active_base_offset, 0),
                        SegmentFile::log),
            "no segment holds what stands behind it", held_end, part.entry->packed_end_offset);
    held_end = std::max(held_end, part.entry->packed_end_offset);
  }
  TailState& tail = tails_[{part.topic->id, part.partition}];
  tail.topic = part.topic->name;
  tail.end_offset = held_end;
  if (part.entry == nullptr) return;
  tail.log_start_offset = part.entry->log_start_offset;
  tail.durable_end_offset = part.entry->durable_end_offset;
  tail.first_needed_sequence = part.entry->first_needed_sequence;
}

// Nothing is lost below a log start, wherever it is told.
void VerifyPass::ForgetGivenUp() {
  for (const Part& part : parts_) {
    const auto tail = tails_.find({part.topic->id, part.partition});
    if (tail == tails_.end()) continue;
    const int64_t log_start = tail->second.log_start_offset;
    std::erase_if(report_.findings, [&](Finding& finding) {
      if (finding.kind != Finding::Kind::loss || finding.topic != part.topic->name ||
          finding.partition != part.partition)
        return false;
      finding.first_offset = std::max(finding.first_offset, log_start);
      return finding.first_offset >= finding.end_offset;
    });
  }
}

// What else is in a partition's folder.
void VerifyPass::VerifyFolder(const Part& part) {
  const auto entries = files_.List(part.folder);
  if (!entries) {
    // A crash may have come before the folder was made; after a clean stop it is gone.
    if (report_.clean) Add(Finding::Kind::fault, part.folder, "the partition's folder is missing");
    return;
  }
  const std::string metadata = io::JoinPath(part.folder, kPartitionMetadataName);
  const auto text = io::ReadWholeFile(files_, metadata, kMaxSmallFileBytes);
  const std::string expected = "version: 0\ntopic_id: " + part.topic->id.ToBase64();
  if (!text || *text != expected) {
    Add(Finding::Kind::fault, metadata,
        text ? "it is not what it should be" : CauseText(text.error()));
  }
  for (const io::DirectoryEntry& entry : *entries) {
    const bool is_seal = entry.name.ends_with(".seal");
    const bool is_cleaned = entry.name.ends_with(".cleaned");
    const bool is_index =
        is_seal || entry.name.ends_with(".index") || entry.name.ends_with(".timeindex");
    const std::string log_name = entry.name.substr(0, entry.name.find('.')) + ".log";
    const bool has_log =
        is_index && std::any_of(part.bases->begin(), part.bases->end(), [&](int64_t base) {
          return SegmentPath(part.folder, base, SegmentFile::log).ends_with("/" + log_name);
        });
    const bool known = has_log || entry.name == kPartitionMetadataName ||
                       entry.name == "leader-epoch-checkpoint" || ParseLogName(entry.name) ||
                       entry.name.ends_with(".swap");  // told already
    if (!known) {
      Add(Finding::Kind::note, io::JoinPath(part.folder, entry.name),
          is_seal      ? "a seal without its log"
          : is_index   ? "an index without its log"
          : is_cleaned ? "a compaction was cut off; the next opening removes it, or finishes it"
                       : "it has no place here");
    }
  }
}

void VerifyPass::VerifyTopLevel() {
  const auto entries = files_.List(options_.data_dir);
  if (!entries)
    return Add(Finding::Kind::unreadable, options_.data_dir, CauseText(entries.error()));
  // Names that may stand beside them: of ours, of a broker that had the folder, of the file system.
  std::set<std::string, std::less<>> known = {"journal",       "manifest",        "manifest.backup",
                                              "owner",         "clock",           "quarantine",
                                              "tidemark.sock", "meta.properties", "lost+found"};
  known.insert(kKafkaFiles.begin(), kKafkaFiles.end());
  std::set<std::string> folders;
  for (const TopicDescription& topic : manifest_.topics) {
    for (int32_t i = 0; i < topic.partitions; ++i)
      folders.insert(topic.name + "-" + std::to_string(i));
  }
  for (const io::DirectoryEntry& entry : *entries) {
    if (report_.in_use || known.contains(entry.name) || folders.contains(entry.name)) continue;
    Add(Finding::Kind::note, io::JoinPath(options_.data_dir, entry.name), "it has no place here");
  }
}

}  // namespace

std::string CauseText(const Error& error) {
  if (error.system_errno() == 0) return error.message();
  return error.message() + " (" + std::system_category().message(error.system_errno()) + ")";
}

std::string WithoutPath(std::string what, const std::string& path) {
  const std::string name = path + ": ";
  const size_t at = what.find(name);
  return at == std::string::npos ? what : what.erase(at, name.size());
}

const char* KindName(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::note:
      return "note";
    case Finding::Kind::fault:
      return "fault";
    case Finding::Kind::loss:
      return "lost";
    case Finding::Kind::unreadable:
      return "unreadable";
  }
  return "";
}

std::string Finding::ToText() const {
  std::string text = std::string(KindName(kind)) + ": ";
  if (kind == Kind::loss) {
    text += topic + "-" + std::to_string(partition) + " offsets " + std::to_string(first_offset) +
            " to " + std::to_string(end_offset - 1) + ": ";
  }
  text += path;
  if (position) text += " at " + std::to_string(*position);
  return text + ": " + what;
}

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
