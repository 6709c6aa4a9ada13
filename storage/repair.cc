// In which order a store is mended: first the journal's own copies, then by an opening and a clean
// stop, which settles what a crash has left, then segment by segment.
#include "storage/repair.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "storage/journal.h"
#include "storage/open.h"
#include "storage/quarantine.h"
#include "storage/repair_segment.h"
#include "storage/store_files.h"

namespace tidemark::storage {
namespace {

bool NeedsWork(const VerifyReport& report) {
  return std::any_of(report.findings.begin(), report.findings.end(), [](const Finding& finding) {
    return finding.kind == Finding::Kind::fault || finding.kind == Finding::Kind::loss;
  });
}

class Repair {
 public:
  Repair(const io::Environment& environment, const EngineOptions& options, RepairReport* report)
      : environment_(environment),
        options_(options),
        report_(*report),
        quarantine_(environment, options.data_dir) {
    options_.create_if_missing = false;
  }

  Status MendSuperblocks();
  Status Settle();
  Status MendSegments();
  Status VerifyAgain();

 private:
  std::string JournalPath() const { return io::JoinPath(options_.data_dir, "journal"); }
  Status MendTopic(const TopicDescription& topic, Checkpoint* checkpoint, bool* changed);

  io::Environment environment_;
  EngineOptions options_;
  RepairReport& report_;
  Quarantine quarantine_;
  std::unique_ptr<Journal> journal_;  // which holds the lock
};

// An opening is content with one copy, and never writes the other one.
Status Repair::MendSuperblocks() {
  auto exists = environment_.files.Exists(JournalPath());
  if (!exists || !*exists) return exists ? Status() : exists.error();
  auto journal = Journal::Open(environment_, JournalPath());
  if (!journal) {
    return journal.error().code() == ErrorCode::corrupt ? Status() : Status(journal.error());
  }
  const Superblock& superblock = (*journal)->superblock();
  io::File& file = (*journal)->file();
  const auto damaged = FindDamagedSuperblocks(file, superblock);
  if (!damaged) return damaged.error();
  for (size_t copy = 0; copy < damaged->size(); ++copy) {
    if (!(*damaged)[copy]) continue;
    const uint64_t position = superblock.copy_position(copy);
    Status kept = quarantine_.Copy(file, position, position + superblock.block_bytes,
                                   "journal-superblock-" + std::to_string(copy),
                                   JournalPath() + ": a copy of the superblock is damaged");
    if (!kept) return kept;
    auto block = io::AllocateAligned(superblock.block_bytes, superblock.block_bytes);
    EncodeSuperblock(superblock, block.get());
    Status written =
        file.WriteAt(position, {block.get(), superblock.block_bytes}, io::Durable::yes);
    if (!written) return written;
    report_.actions.push_back(JournalPath() + ": wrote the superblock anew from its other copy");
  }
  return {};
}

Status Repair::Settle() {
  auto engine = OpenEngine(environment_, options_);
  if (!engine) return engine.error();
  for (const Notice& notice : (*engine)->TakeNotices()) {
    if (notice.level != NoticeLevel::info) report_.actions.push_back("opened: " + notice.text);
  }
  Status closed = (*engine)->Close();
  if (closed) report_.actions.emplace_back("opened the store and stopped it cleanly");
  return closed;
}

Status Repair::MendSegments() {
  auto journal = Journal::Open(environment_, JournalPath());
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  auto slots = ReadCheckpoints(journal_->file(), journal_->superblock());
  if (!slots) return slots.error();
  auto manifest = ReadManifest(environment_.files, options_.data_dir);
  if (!manifest) return manifest.error();
  if (!slots->newest) return Error(ErrorCode::corrupt, JournalPath() + ": no checkpoint");
  Checkpoint checkpoint = *slots->newest;
  bool changed = false;
  for (const TopicDescription& topic : manifest->manifest.topics) {
    if (Status mended = MendTopic(topic, &checkpoint, &changed); !mended) return mended;
  }
  if (!changed) return {};
  ++checkpoint.number;
  return journal_->WriteCheckpoint(checkpoint);
}

Status Repair::MendTopic(const TopicDescription& topic, Checkpoint* checkpoint, bool* changed) {
  for (CheckpointEntry& entry : checkpoint->entries) {
    if (entry.topic_id != topic.id) continue;
    SegmentRepair segments(environment_.files, quarantine_, options_.data_dir, topic, entry,
                           checkpoint->engine_clock_ms, &report_.actions);
    if (Status mended = segments.Run(); !mended) return mended;
    if (segments.active_bytes() == entry.active_flushed_bytes) continue;
    entry.active_flushed_bytes = segments.active_bytes();
    *changed = true;
  }
  return {};
}

Status Repair::VerifyAgain() {
  VerifyOptions options;
  options.data_dir = options_.data_dir;
  options.locked = true;
  auto after = VerifyStore(environment_.files, options);
  if (!after) return after.error();
  report_.after = std::move(*after);
  return {};
}

// What a real run would do, as far as the findings tell.
void Plan(RepairReport* report) {
  for (const Finding& finding : report->before.findings) {
    const bool index = finding.path.ends_with("index") || finding.path.ends_with(".seal");
    const bool log = finding.path.ends_with(".log");
    if (finding.kind == Finding::Kind::fault) {
      report->actions.push_back(finding.path + (index ? ": make it anew from the log"
                                                      : ": mend it (" + finding.what + ")"));
    } else if (finding.kind == Finding::Kind::loss && log && finding.position) {
      report->actions.push_back(finding.path +
                                ": keep the damaged file in quarantine/ and leave "
                                "the intact batches");
    } else if (finding.kind == Finding::Kind::loss && !log) {
      report->actions.push_back(finding.path + ": keep the damaged commits in quarantine/");
    }
  }
  const auto end = std::unique(report->actions.begin(), report->actions.end());
  report->actions.erase(end, report->actions.end());
}

}  // namespace

Result<RepairReport> RepairStore(const io::Environment& environment, const EngineOptions& options,
                                 bool dry_run) {
  VerifyOptions verify;
  verify.data_dir = options.data_dir;
  auto before = VerifyStore(environment.files, verify);
  if (!before) return before.error();
  if (before->in_use) {
    return LockedError(environment.files, options.data_dir, 0);
  }
  RepairReport report;
  report.before = *before;
  report.after = *before;
  if (!NeedsWork(report.before)) return report;
  if (dry_run) {
    Plan(&report);
    return report;
  }
  Repair repair(environment, options, &report);
  Status done = repair.MendSuperblocks();
  if (done) done = repair.Settle();
  if (done) done = repair.MendSegments();
  if (done) done = repair.VerifyAgain();
  if (!done) return done.error();
  return report;
}

}  // namespace tidemark::storage
