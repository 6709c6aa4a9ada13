#include "storage/journal_replay.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace tidemark::storage {
namespace {

// A part of the ring in which lost commits stood.
struct Stretch {
  uint64_t position = 0;
  uint64_t bytes = 0;
};

// Where the commits lost before `link` stood: one stretch, or two with the ring's end between them.
std::vector<Stretch> LostStretches(const Superblock& superblock, const ChainLink& link,
                                   uint64_t found_at) {
  const uint64_t from = link.expected_place;
  if (found_at > from) return {{from, found_at - from}};
  std::vector<Stretch> stretches;
  if (from < superblock.journal_bytes) {
    stretches.push_back({from, superblock.journal_bytes - from});
  }
  if (found_at > superblock.ring_begin) {
    stretches.push_back({superblock.ring_begin, found_at - superblock.ring_begin});
  }
  return stretches;
}

FoundCommit Unknown(uint64_t sequence, uint64_t count) {
  FoundCommit found;
  found.state = FoundCommit::State::unknown;
  found.sequence = sequence;
  found.unknown_count = count;
  return found;
}

void Place(const Stretch& stretch, FoundCommit* found) {
  found->position = stretch.position;
  found->total_bytes = stretch.bytes;
}

}  // namespace

Result<JournalEnd> JournalReplay::Run(const std::vector<ChainLink>& links) {
  for (size_t i = 0; i < links.size(); ++i) {
    const Candidate* const successor = i + 1 < links.size() ? &chain_.At(links[i + 1]) : nullptr;
    const Result<bool> goes_on = VisitLink(links[i], successor);
    if (!goes_on) return goes_on.error();
    if (!*goes_on) return std::move(end_);
  }
  // The next commit goes to `next_position`, or, for all that can be told, to the ring's beginning.
  const uint64_t wrapped = superblock_.ring_begin;
  if (HasRemains(end_.next_position)) {
    TellTorn(end_.next_position);
  } else if (chain_.IsUnused(wrapped) && HasRemains(wrapped)) {
    TellTorn(wrapped);
  }
  return std::move(end_);
}

void JournalReplay::TellTorn(uint64_t position) {
  end_.torn_tail = true;
  end_.torn_position = position;
}

// --- directories ---------------------------------------------------------------------------------

std::optional<JournalReplay::Directory> JournalReplay::Check(base::ByteSpan bytes,
                                                             uint64_t checksum, uint64_t sequence,
                                                             uint64_t data_bytes) {
  if (base::Xxh3(bytes, sequence) != checksum) return std::nullopt;
  Result<std::vector<DirectoryEntry>> entries = DecodeDirectory(bytes, data_bytes);
  if (!entries) return std::nullopt;
  return Directory{{bytes.begin(), bytes.end()}, *std::move(entries)};
}

// The directory of the commit before `successor`, as that repeats it.
std::optional<JournalReplay::Directory> JournalReplay::ReadCopy(const Candidate& successor,
                                                                uint64_t data_bytes) {
  const CommitHeader& header = successor.header;
  const base::ByteSpan bytes = reader_.Read(successor.position + header.previous_directory_offset(),
                                            header.previous_directory_bytes);
  return Check(bytes, header.previous_directory_checksum, header.sequence - 1, data_bytes);
}

std::optional<JournalReplay::Directory> JournalReplay::ReadDirectory(const Candidate& commit,
                                                                     const Candidate* successor) {
  const CommitHeader& header = commit.header;
  const base::ByteSpan bytes =
      reader_.Read(commit.position + header.directory_offset(), header.directory_bytes);
  std::optional<Directory> own =
      Check(bytes, header.directory_checksum, header.sequence, header.data_bytes);
  if (own || successor == nullptr) return own;
  // Only the copy of this very directory will do: the header says what it must be.
  if (successor->header.sequence != header.sequence + 1 ||
      successor->header.previous_directory_bytes != header.directory_bytes ||
      successor->header.previous_directory_checksum != header.directory_checksum) {
    return std::nullopt;
  }
  return ReadCopy(*successor, header.data_bytes);
}

// --- commits -------------------------------------------------------------------------------------

// The commits missing before `link`: what stands of the last one of them is in the link's copy.
Status JournalReplay::VisitLost(const ChainLink& link, std::optional<Directory> copy) {
  const Candidate& found_behind = chain_.At(link);
  const uint64_t first = found_behind.header.sequence - link.lost;
  const std::vector<Stretch> stretches = LostStretches(superblock_, link, found_behind.position);

  FoundCommit last = Unknown(found_behind.header.sequence - 1, 1);
  if (copy) {
    last.state = FoundCommit::State::directory_only;
    last.unknown_count = 0;
    last.directory = std::move(copy->entries);
  }
  if (link.lost == 1) {
    // The one commit stands right before the found one: in the last stretch.
    if (!stretches.empty()) Place(stretches.back(), &last);
    return visit_(last, {});
  }
  FoundCommit others = Unknown(first, link.lost - 1);
  if (!stretches.empty()) Place(stretches.front(), &others);
  if (stretches.size() > 1) Place(stretches.back(), &last);
  if (Status visited = visit_(others, {}); !visited) return visited;
  return visit_(last, {});
}

// Returns whether the log goes on behind this commit.
Result<bool> JournalReplay::VisitLink(const ChainLink& link, const Candidate* successor) {
  const Candidate& commit = chain_.At(link);
  end_.last_incarnation = std::max(end_.last_incarnation, commit.header.incarnation);
  std::optional<Directory> copy;
  if (link.lost > 0) {
    copy = ReadCopy(commit, superblock_.ring_bytes());
    if (Status visited = VisitLost(link, copy); !visited) return visited.error();
  }
  std::optional<Directory> directory = ReadDirectory(commit, successor);
  if (!directory && !link.witnessed) {
    EndBefore(link, std::move(copy));
    return false;
  }
  bool damaged = false;
  const bool is_last = !link.witnessed && successor == nullptr;
  if (Status visited = VisitBody(link, directory, is_last, &damaged); !visited) {
    return visited.error();
  }
  EndBehind(commit);
  Remember(std::move(directory), commit.header.directory_checksum);
  // An incomplete commit that nothing claims to have been complete was cut off: no later one
  // counts.
  return !damaged || link.witnessed;
}

Status JournalReplay::VisitBody(const ChainLink& link, std::optional<Directory> directory,
                                bool is_last, bool* damaged) {
  const Candidate& commit = chain_.At(link);
  const CommitHeader& header = commit.header;
  FoundCommit found = Unknown(header.sequence, 1);
  found.position = commit.position;
  found.total_bytes = header.total_bytes(superblock_.block_bytes);
  if (!directory) return visit_(found, {});

  const base::ByteSpan data =
      reader_.Read(commit.position + header.data_offset(), header.data_bytes);
  const bool intact = base::Xxh3(data, header.sequence) == header.data_checksum;
  *damaged = !intact;
  found.state = intact ? FoundCommit::State::intact : FoundCommit::State::data_damaged;
  found.unknown_count = 0;
  found.header = header;
  found.directory = std::move(directory->entries);
  found.last = is_last || (!intact && !link.witnessed);
  return visit_(found, intact ? data : base::ByteSpan());
}

// --- the end -------------------------------------------------------------------------------------

// `link` is a write that was cut off; the next commit takes its place and its sequence.
void JournalReplay::EndBefore(const ChainLink& link, std::optional<Directory> copy) {
  const Candidate& commit = chain_.At(link);
  TellTorn(commit.position);
  if (link.lost == 0) return;  // as the commit before has left it
  // That one is lost, and the cut-off commit is all that is known of it.
  end_.next_sequence = commit.header.sequence;
  end_.next_position = commit.position;
  end_.previous_checksum = commit.header.previous_checksum;
  Remember(std::move(copy), commit.header.previous_directory_checksum);
}

void JournalReplay::EndBehind(const Candidate& commit) {
  const CommitHeader& header = commit.header;
  end_.next_sequence = header.sequence + 1;
  end_.next_position = commit.position + header.total_bytes(superblock_.block_bytes);
  end_.previous_checksum = header.checksum;
  end_.last_engine_clock_ms = std::max(end_.last_engine_clock_ms, header.engine_clock_ms);
}

// What the next commit repeats. An unknown directory leaves no bytes, with a checksum that is not
// theirs: the next commit's copy does not pass for the directory of an empty commit.
void JournalReplay::Remember(std::optional<Directory> directory, uint64_t checksum) {
  end_.last_directory_checksum = checksum;
  end_.last_is_empty = !directory || directory->entries.empty();
  end_.last_directory = directory ? std::move(directory->bytes) : std::vector<std::byte>();
}

// Whether what stands at `position` is a cut-off write of the next commit, or may be one. Its
// header is damaged, so that three of the four fields that are known beforehand will do.
bool JournalReplay::HasRemains(uint64_t position) {
  if (position >= superblock_.journal_bytes) return false;
  const base::ByteSpan block = reader_.Read(position, kCommitHeaderBytes);
  if (reader_.met_error()) {
    return position == end_.next_position || end_.next_position >= superblock_.journal_bytes;
  }
  if (DecodeCommitHeader(block, superblock_.journal_bytes - position)) return false;

  CommitHeader expected;
  expected.journal_id = superblock_.journal_id;
  expected.sequence = end_.next_sequence;
  expected.previous_checksum = end_.previous_checksum;
  std::byte bytes[kCommitHeaderBytes];
  EncodeCommitHeader(&expected, bytes);
  struct Field {
    size_t at;
    size_t size;
  };
  int matching = 0;
  for (const Field field : {Field{0, 8}, Field{8, 16}, Field{32, 8}, Field{40, 8}}) {
    const base::ByteSpan want(bytes + field.at, field.size);
    if (base::AsText(block.subspan(field.at, field.size)) == base::AsText(want)) ++matching;
  }
  return matching >= 3;
}

}  // namespace tidemark::storage
