#include "tests/sim/damage.h"

#include <algorithm>
#include <limits>

#include "base/hash.h"
#include "index/offset_index.h"
#include "record/batch.h"
#include "storage/journal_format.h"
#include "storage/manifest.h"
#include "storage/segment.h"
#include "tests/sim/batch_damage.h"

namespace tidemark::sim {
namespace {

using storage::CommitHeader;
using storage::Superblock;

struct StoreFile {
  std::string path;
  InodePointer inode;
};

void ListFiles(const std::string& path, const InodePointer& inode, std::vector<StoreFile>* files) {
  for (const auto& [name, entry] : inode->entries) {
    const std::string below = path + "/" + name;
    if (entry->directory && name != "quarantine") ListFiles(below, entry, files);
    if (!entry->directory && !entry->now.empty() && name != "owner" && name != "clock")
      files->push_back({below, entry});
  }
}

// --- The journal ---------------------------------------------------------------------------------

struct Commit {
  uint64_t position = 0;
  uint64_t end = 0;
  CommitHeader header;
};

struct JournalMap {
  Superblock superblock;
  bool clean = false;            // nothing in the ring counts
  std::vector<int> checkpoints;  // the slots that hold one
  std::vector<Commit> commits;   // those that may count, by position

  const Commit* Newest() const {
    const auto newest = std::max_element(
        commits.begin(), commits.end(),
        [](const Commit& a, const Commit& b) { return a.header.sequence < b.header.sequence; });
    return newest == commits.end() ? nullptr : &*newest;
  }
  // Whether the only checkpoint stands there: the other slot was cut off while it was written.
  bool HoldsOnlyCheckpoint(DamagedBytes hit) const {
    if (checkpoints.size() != 1) return false;
    const uint64_t begin = superblock.slot_position(checkpoints.front());
    return hit.begin < begin + superblock.slot_bytes && hit.end > begin;
  }
};

std::optional<JournalMap> MapJournal(base::ByteSpan journal) {
  JournalMap map;
  Result<Superblock> superblock = storage::DecodeSuperblock(journal);
  if (!superblock) superblock = storage::DecodeSuperblock(journal.subspan(storage::kMinBlockBytes));
  if (!superblock) return std::nullopt;
  map.superblock = *superblock;
  // The lower start of the two: what an older slot needs is still there, too.
  uint64_t start = std::numeric_limits<uint64_t>::max();
  uint64_t newest_slot = 0;
  for (const int slot : {0, 1}) {
    const auto checkpoint = storage::DecodeCheckpoint(
        journal.subspan(superblock->slot_position(slot), superblock->slot_bytes));
    if (!checkpoint) continue;
    map.checkpoints.push_back(slot);
    start = std::min(start, checkpoint->start_sequence);
    if (checkpoint->number < newest_slot) continue;
    map.clean = checkpoint->clean && (checkpoint->number > newest_slot || map.clean || slot == 0);
    newest_slot = checkpoint->number;
  }
  if (newest_slot == 0) start = 0;
  for (uint64_t at = superblock->ring_begin; at < journal.size(); at += superblock->block_bytes) {
    const auto header = storage::DecodeCommitHeader(journal.subspan(at), journal.size() - at);
    if (!header || header->journal_id != superblock->journal_id || header->sequence < start)
      continue;
    map.commits.push_back({at, at + header->total_bytes(superblock->block_bytes), *header});
  }
  return map;
}

uint64_t ChoosePlace(const JournalMap& map, size_t superblock, uint64_t journal_bytes,
                     Random& random) {
  const uint64_t region = random.Below(8);
  if (region == 0)
    return map.superblock.copy_position(superblock) + random.Below(storage::kSuperblockBytes);
  if (region < 3) {
    const uint64_t slot = map.superblock.slot_position(static_cast<int>(random.Below(2)));
    return slot + random.Below(storage::CheckpointBytes(4));
  }
  if (map.commits.empty() || random.OneIn(16)) {
    return map.superblock.ring_begin + random.Below(journal_bytes - map.superblock.ring_begin);
  }
  const Commit* commit = &map.commits[random.Below(map.commits.size())];
  if (random.OneIn(4)) commit = map.Newest();
  if (random.OneIn(4) && commit->header.directory_bytes > 0) {
    return commit->position + commit->header.directory_offset() +
           random.Below(commit->header.directory_bytes);
  }
  const uint64_t bytes = commit->header.unpadded_bytes();
  return commit->position + (random.OneIn(2) ? random.Skewed(bytes - 1) : random.Below(bytes));
}

void FindAtRisk(base::ByteSpan journal, const JournalMap& map, DamagedBytes hit, DamageDone* done) {
  if (map.clean) return;
  for (const Commit& commit : map.commits) {
    if (hit.begin >= commit.end || hit.end <= commit.position) continue;
    done->commit = true;
    if (&commit == map.Newest()) done->newest_commit = true;
    const auto bytes = journal.subspan(commit.position + commit.header.directory_offset(),
                                       commit.header.directory_bytes);
    if (base::Xxh3(bytes, commit.header.sequence) != commit.header.directory_checksum) continue;
    const auto directory = storage::DecodeDirectory(bytes, commit.header.data_bytes);
    if (!directory) continue;
    for (const storage::DirectoryEntry& entry : *directory) {
      OffsetsAtRisk at_risk;
      at_risk.topic_id = entry.topic_id.ToBase64();
      at_risk.partition = entry.partition;
      at_risk.first_offset = entry.first_offset;
      at_risk.end_offset = entry.end_offset;
      if (entry.kind == storage::FrameKind::topic_deleted) {  // of what is left of it: anything
        at_risk.partition = -1;
        at_risk.first_offset = 0;
        at_risk.end_offset = std::numeric_limits<int64_t>::max();
      }
      done->at_risk.push_back(at_risk);
    }
  }
}

// --- Segments ------------------------------------------------------------------------------------

// Where the next segment of the same partition begins; nullopt: this is the last one.
std::optional<int64_t> NextLogBase(const std::vector<StoreFile>& files, const std::string& path,
                                   int64_t base) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  std::optional<int64_t> next;
  for (const StoreFile& file : files) {
    if (!file.path.starts_with(folder)) continue;
    const auto other = storage::ParseLogName(file.path.substr(folder.size()));
    if (other && *other > base) next = std::min(next.value_or(*other), *other);
  }
  return next;
}

// Of the partition of a segment's file.
OffsetsAtRisk OfPartition(const std::string& path) {
  const size_t name = path.rfind('/');
  const size_t folder = path.rfind('/', name - 1) + 1;
  const size_t dash = path.rfind('-', name);
  OffsetsAtRisk at_risk;
  at_risk.topic = path.substr(folder, dash - folder);
  at_risk.partition = std::stoi(path.substr(dash + 1, name - dash - 1));
  return at_risk;
}

void FindAtRisk(base::ByteSpan log, const std::string& path, DamagedBytes hit, DamageDone* done) {
  OffsetsAtRisk at_risk = OfPartition(path);
  for (const auto& [batch, begin] : IntactBatches(log)) {
    if (begin >= hit.end || begin + batch.total_bytes() <= hit.begin) continue;
    at_risk.first_offset = batch.base_offset;
    at_risk.end_offset = batch.next_offset();
    done->at_risk.push_back(at_risk);
  }
}

// --- Indexes -------------------------------------------------------------------------------------

// One of an index's numbers, of four bytes in both: the offset of a batch in its segment, or its
// position in the log.
struct ForgedNumber {
  uint64_t position = 0;  // in the index
  int32_t value = 0;
};

// What such a number may be, by the batches of the log.
struct BatchNumbers {
  std::vector<int32_t> last_offsets;
  std::vector<int32_t> positions;
};

BatchNumbers NumberBatches(base::ByteSpan log, int64_t base_offset) {
  BatchNumbers numbers;
  for (uint64_t at = 0; at + record::kBatchHeaderBytes <= log.size();) {
    const auto header = record::DecodeBatchHeader(log.subspan(at));
    if (!header || header->total_bytes() > log.size() - at) break;
    numbers.last_offsets.push_back(static_cast<int32_t>(header->last_offset() - base_offset));
    numbers.positions.push_back(static_cast<int32_t>(at));
    at += header->total_bytes();
  }
  return numbers;
}

// Of the number at `position`, in entries of `entry_bytes`: all that keep its entry in order.
void FindOthers(base::ByteSpan index, uint64_t position, size_t entry_bytes,
                const std::vector<int32_t>& numbers, std::vector<ForgedNumber>* others) {
  const auto number = [&](uint64_t at) { return base::LoadBig<int32_t>(index.data() + at); };
  const int32_t before = position < entry_bytes ? -1 : number(position - entry_bytes);
  const int32_t behind = position + entry_bytes >= index.size()
                             ? std::numeric_limits<int32_t>::max()
                             : number(position + entry_bytes);
  for (const int32_t other : numbers) {
    if (other > before && other < behind && other != number(position))
      others->push_back({position, other});
  }
}

// Mostly not of the last entry, which every opening holds against the log.
std::optional<ForgedNumber> ForgeOneOf(base::ByteSpan index, const BatchNumbers& numbers,
                                       bool by_time, Random& random) {
  const size_t entry_bytes = by_time ? index::kTimeEntryBytes : index::kOffsetEntryBytes;
  size_t count = index.size() / entry_bytes;
  index = index.first(count * entry_bytes);
  if (count > 0 && !random.OneIn(4)) --count;
  const size_t first = random.Below(count);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t entry = (first + i) % count * entry_bytes;
    std::vector<ForgedNumber> others;
    FindOthers(index, entry + (by_time ? sizeof(int64_t) : 0), entry_bytes, numbers.last_offsets,
               &others);
    if (!by_time)
      FindOthers(index, entry + sizeof(int32_t), entry_bytes, numbers.positions, &others);
    if (!others.empty()) return others[random.Below(others.size())];
  }
  return std::nullopt;
}

// From the offset that an entry of an offset index names to that of the next one.
OffsetsAtRisk FindMisled(const StoreFile& file, uint64_t position, int64_t base_offset) {
  const std::vector<std::byte>& index = file.inode->now;
  const auto named = [&](uint64_t at) { return base_offset + base::LoadBig<int32_t>(&index[at]); };
  const uint64_t at = position / index::kOffsetEntryBytes * index::kOffsetEntryBytes;
  const uint64_t next = at + index::kOffsetEntryBytes;
  OffsetsAtRisk misled = OfPartition(file.path);
  misled.first_offset = named(at);
  const bool is_last = next + index::kOffsetEntryBytes > index.size();
  misled.end_offset = is_last ? std::numeric_limits<int64_t>::max() : named(next);
  return misled;
}

// Whether `path` is the only readable copy of the manifest: a full disk may have kept openings from
// making the other one anew.
bool IsOnlyManifest(SimDisk& disk, const std::string& folder, const std::string& path) {
  const std::string manifest = folder + "/manifest";
  const std::string backup = folder + "/manifest.backup";
  if (path != manifest && path != backup) return false;
  const InodePointer other = disk.Find(path == manifest ? backup : manifest);
  return other == nullptr || !storage::DecodeManifest(base::AsText(other->now));
}

}  // namespace

std::optional<DamageDone> ForgeIndexEntry(SimDisk& disk, const std::string& folder,
                                          Random& random) {
  std::vector<StoreFile> files;
  const InodePointer root = disk.Find(folder);
  if (root == nullptr) return std::nullopt;
  ListFiles(folder, root, &files);
  const size_t first = random.Below(files.size());
  for (size_t i = 0; i < files.size(); ++i) {
    const StoreFile& file = files[(first + i) % files.size()];
    const bool by_time = file.path.ends_with(".timeindex");
    if (!by_time && !file.path.ends_with(".index")) continue;
    const std::string stem = file.path.substr(0, file.path.rfind('.'));
    const InodePointer log = disk.Find(stem + ".log");
    const auto base_offset = storage::ParseLogName(stem.substr(stem.rfind('/') + 1) + ".log");
    if (log == nullptr || !base_offset) continue;
    const auto forged =
        ForgeOneOf(file.inode->now, NumberBatches(log->now, *base_offset), by_time, random);
    if (!forged) continue;
    const bool sealed = disk.Find(stem + ".seal") != nullptr;
    if (!disk.ForgeAt(*file.inode, forged->position, forged->value, sealed)) continue;
    DamageDone done;
    done.path = file.path;
    if (!by_time) done.misled = FindMisled(file, forged->position, *base_offset);
    done.text = "damage: a forged entry: " + file.path + " at " + std::to_string(forged->position) +
                ": " + std::to_string(forged->value) + (sealed ? ", sealed" : "");
    return done;
  }
  return std::nullopt;
}

std::optional<DamageDone> DamageStore(SimDisk& disk, const std::string& folder, size_t superblock,
                                      Random& random) {
  std::vector<StoreFile> files;
  const InodePointer root = disk.Find(folder);
  if (root == nullptr) return std::nullopt;
  ListFiles(folder, root, &files);
  if (files.empty()) return std::nullopt;
  StoreFile file = files[random.Below(files.size())];
  const std::string journal_path = folder + "/journal";
  if (random.OneIn(2)) file = {journal_path, disk.Find(journal_path)};
  if (file.inode == nullptr || file.inode->now.empty()) return std::nullopt;
  if (IsOnlyManifest(disk, folder, file.path)) return std::nullopt;
  const std::vector<std::byte> before = file.inode->now;
  const std::vector<std::byte> medium_before = file.inode->medium;

  std::optional<JournalMap> map;
  uint64_t position = random.Below(before.size());
  if (file.path == journal_path) {
    map = MapJournal(before);
    if (!map) return std::nullopt;
    position = ChoosePlace(*map, superblock, before.size(), random);
  }
  const auto kind = static_cast<DamageKind>(random.Below(4));
  // What comes from elsewhere comes from a file of the same kind.
  StoreFile source = files[random.Below(files.size())];
  const auto extension = [](const std::string& path) { return path.substr(path.rfind('.') + 1); };
  if (extension(source.path) != extension(file.path)) source = file;
  const auto hit = disk.DamageAt(*file.inode, *source.inode, kind, position, random);
  if (!hit) return std::nullopt;
  const bool two_troubles = map && map->HoldsOnlyCheckpoint(*hit);
  const auto log_base = storage::ParseLogName(file.path.substr(file.path.rfind('/') + 1));
  const bool cannot_be_told =
      (log_base && MovesAmongGaps(before, file.inode->now, *hit, *log_base,
                                  NextLogBase(files, file.path, *log_base))) ||
      (kind == DamageKind::misdirected && file.path.ends_with(".log") &&
       BringsFittingBatch(before, file.inode->now, *hit, source.inode == file.inode));
  if (two_troubles || cannot_be_told) {
    file.inode->now = before;
    file.inode->medium = medium_before;
    return std::nullopt;
  }

  DamageDone done;
  done.path = file.path;
  done.text = std::string("damage: ") + NameOf(kind) + ": " + file.path + " from " +
              std::to_string(hit->begin) + " to " + std::to_string(hit->end);
  if (map) FindAtRisk(before, *map, *hit, &done);
  // (a draft of compaction's is nothing that could be lost)
  if (file.path.ends_with(".log")) FindAtRisk(before, file.path, *hit, &done);
  for (const OffsetsAtRisk& at_risk : done.at_risk) {
    done.text += "; at risk: " + (at_risk.topic.empty() ? at_risk.topic_id : at_risk.topic) + "-" +
                 std::to_string(at_risk.partition) + " " + std::to_string(at_risk.first_offset) +
                 " to " + std::to_string(at_risk.end_offset - 1);
  }
  return done;
}

}  // namespace tidemark::sim
