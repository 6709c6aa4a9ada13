#include "storage/journal_chain.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace tidemark::storage {
namespace {

// Far above what any journal reaches, far below where a sum of two wraps around.
constexpr uint64_t kMaxCount = uint64_t{1} << 62;

}  // namespace

bool IsPlausible(const CommitHeader& header) {
  return header.sequence > 0 && header.sequence < kMaxCount && header.incarnation < kMaxCount &&
         header.durable_sequence < header.sequence;
}

ChainBuilder::ChainBuilder(const Superblock& superblock, std::vector<Candidate> candidates)
    : superblock_(superblock),
      candidates_(std::move(candidates)),
      by_sequence_(candidates_.size()),
      outlived_(candidates_.size(), false) {
  TIDEMARK_CHECK(candidates_.size() < kNone);
  std::iota(by_sequence_.begin(), by_sequence_.end(), Index{0});
  std::sort(by_sequence_.begin(), by_sequence_.end(), [this](Index a, Index b) {
    return std::pair(candidates_[a].header.sequence, a) <
           std::pair(candidates_[b].header.sequence, b);
  });
}

uint64_t ChainBuilder::TotalBytes(Index index) const {
  return candidates_[index].header.total_bytes(superblock_.block_bytes);
}

// Whether the writer, at `place`, would have put the commit where it stands: right there, or at the
// ring's beginning when it does not fit before the end.
bool ChainBuilder::IsNextPlace(uint64_t place, Index index) const {
  const uint64_t position = candidates_[index].position;
  if (position == place) return true;
  return position == superblock_.ring_begin &&
         TotalBytes(index) > superblock_.journal_bytes - place;
}

bool ChainBuilder::Follows(Index first, Index second) const {
  const CommitHeader& before = candidates_[first].header;
  const CommitHeader& after = candidates_[second].header;
  return after.sequence == before.sequence + 1 && after.previous_checksum == before.checksum &&
         after.incarnation >= before.incarnation && IsNextPlace(End(first), second);
}

// The range of by_sequence_ with that sequence.
std::pair<size_t, size_t> ChainBuilder::WithSequence(uint64_t sequence) const {
  const auto begin = by_sequence_.begin();
  const auto first = std::lower_bound(begin, by_sequence_.end(), sequence, [this](Index i, auto s) {
    return candidates_[i].header.sequence < s;
  });
  auto last = first;
  while (last != by_sequence_.end() && candidates_[*last].header.sequence == sequence) ++last;
  return {static_cast<size_t>(first - begin), static_cast<size_t>(last - begin)};
}

ChainBuilder::Index ChainBuilder::FindPredecessor(Index index) const {
  const auto [first, last] = WithSequence(candidates_[index].header.sequence - 1);
  for (size_t i = first; i < last; ++i) {
    if (Follows(by_sequence_[i], index)) return by_sequence_[i];
  }
  return kNone;
}

// --- without a checkpoint ------------------------------------------------------------------------

std::optional<ChainStart> ChainBuilder::FindStart() const {
  std::vector<Index> newest_first = by_sequence_;
  std::sort(newest_first.begin(), newest_first.end(), [this](Index a, Index b) {
    const CommitHeader& left = candidates_[a].header;
    const CommitHeader& right = candidates_[b].header;
    // A higher sequence of a lower incarnation was cut off.
    return std::tuple(right.incarnation, right.sequence, a) <
           std::tuple(left.incarnation, left.sequence, b);
  });
  std::vector<Index> first_of(candidates_.size(), kNone);  // of each one's chain; walks each once
  std::vector<Index> chain;
  for (const Index newest : newest_first) {
    Index first = newest;
    for (Index at = newest; at != kNone; at = FindPredecessor(at)) {
      first = at;
      if (first_of[at] != kNone) {
        first = first_of[at];
        break;
      }
      chain.push_back(at);
    }
    for (const Index at : chain) first_of[at] = first;
    chain.clear();
    // What is missing before the chain must have been complete: else the chain outlived it.
    const CommitHeader& header = candidates_[first].header;
    if (candidates_[newest].header.durable_sequence + 1 < header.sequence) continue;
    return ChainStart{header.sequence, candidates_[first].position, header.previous_checksum,
                      header.incarnation, header.sequence};
  }
  return std::nullopt;
}

// --- from a start on -----------------------------------------------------------------------------

std::vector<ChainLink> ChainBuilder::Build(const ChainStart& start, CommitBodies& bodies) {
  // Ends: each turn leaves out one candidate more.
  for (;;) {
    std::vector<ChainLink> links = BuildOnce(start, bodies);
    const Index outlived = FindOutlived(links, bodies);
    if (outlived == kNone) return links;
    outlived_[outlived] = true;
  }
}

std::vector<ChainLink> ChainBuilder::BuildOnce(const ChainStart& start, CommitBodies& bodies) {
  expected_ = start;
  last_incarnation_ = 0;
  origin_ = start.position;
  used_ = 0;
  std::vector<ChainLink> links;
  // Ends: the expected sequence grows with each turn, and each candidate has one sequence.
  for (;;) {
    std::vector<Index> next = {FindNext()};
    if (next.front() == kNone) next = FindBehindGap(bodies);
    if (next.empty()) break;
    for (const Index index : next) Append(index, &links);
  }
  MarkWitnessed(&links);
  return links;
}

// A commit of the log that is none: another one was written in its stead. It ends the log, or is
// followed by a gap, since what stands behind does not hang on to it. kNone: there is none.
ChainBuilder::Index ChainBuilder::FindOutlived(const std::vector<ChainLink>& links,
                                               CommitBodies& bodies) const {
  for (size_t i = 0; i < links.size(); ++i) {
    const bool is_last = i + 1 == links.size();
    if (!is_last && links[i + 1].lost == 0) continue;
    const auto commit = static_cast<Index>(links[i].candidate);
    const Index behind_gap = is_last ? kNone : static_cast<Index>(links[i + 1].candidate);
    const auto [first, last] = WithSequence(candidates_[commit].header.sequence + 1);
    for (size_t at = first; at < last; ++at) {
      const Index next = by_sequence_[at];
      if (!NamesAnother(next, commit)) continue;
      const bool counts = is_last || Follows(next, behind_gap) || HasRoomBefore(next, behind_gap);
      if (counts && bodies.HasDirectory(candidates_[next]) &&
          !bodies.IsIntact(candidates_[commit])) {
        return commit;
      }
    }
  }
  return kNone;
}

// Whether `index` is of a later incarnation, behind `before`, says that a commit with the sequence
// of that one was complete, and that it was not that one.
bool ChainBuilder::NamesAnother(Index index, Index before) const {
  const CommitHeader& header = candidates_[index].header;
  const CommitHeader& other = candidates_[before].header;
  return !outlived_[index] && header.incarnation > other.incarnation &&
         header.durable_sequence >= other.sequence && header.previous_checksum != other.checksum &&
         Distance(candidates_[index].position) > Distance(candidates_[before].position);
}

// Bytes from the first commit on to `position`, in the direction of writing.
uint64_t ChainBuilder::Distance(uint64_t position) const {
  const uint64_t ring = superblock_.ring_bytes();
  return (position + ring - origin_) % ring;
}

bool ChainBuilder::HasAcceptableIncarnation(Index index) const {
  const CommitHeader& header = candidates_[index].header;
  if (header.incarnation < last_incarnation_) return false;
  return header.sequence < expected_.incarnation_first_sequence ||
         header.incarnation >= expected_.incarnation;
}

// The commit that follows by all rules.
ChainBuilder::Index ChainBuilder::FindNext() const {
  Index found = kNone;
  const auto [first, last] = WithSequence(expected_.sequence);
  for (size_t i = first; i < last; ++i) {
    const Index index = by_sequence_[i];
    const CommitHeader& header = candidates_[index].header;
    if (outlived_[index] || header.previous_checksum != expected_.previous_checksum ||
        !HasAcceptableIncarnation(index) || !IsNextPlace(expected_.position, index)) {
      continue;
    }
    // Two can be there: a short one that was cut off, at the expected place, and the long one that
    // a later incarnation wrote in its stead at the ring's beginning.
    if (found == kNone || header.incarnation > candidates_[found].header.incarnation) found = index;
  }
  return found;
}

// The next commit is missing: the commits of the log behind the gap, as far as they are proven.
// Empty: nothing proves that the missing one was ever complete.
std::vector<ChainBuilder::Index> ChainBuilder::FindBehindGap(CommitBodies& bodies) {
  std::vector<Index> found = PlanBehindGap(bodies);
  if (used_ > 0 || origin_ == superblock_.ring_begin) return found;
  // Nothing is known of the log's first commit. If it did not fit where the log starts, but was put
  // at the ring's beginning, the blocks from the start to the end came last, not first.
  const uint64_t start = std::exchange(origin_, superblock_.ring_begin);
  std::vector<Index> wrapped = PlanBehindGap(bodies);
  if (wrapped.size() > found.size()) return wrapped;
  origin_ = start;
  return found;
}

// Backwards from the newest commit, since no copy of it can be inside an older one's body: what it
// hangs on to by checksum; then the next older one that leaves room for those missing in between.
std::vector<ChainBuilder::Index> ChainBuilder::PlanBehindGap(CommitBodies& bodies) const {
  const std::vector<Index> proofs = FindProofs();
  std::vector<Index> plan;
  for (const Index proof : proofs) {
    if (!plan.empty() && !HasRoomBefore(proof, plan.back())) continue;
    if (bodies.HasDirectory(candidates_[proof])) AddWithPredecessors(proof, &plan);
  }
  // No more than a header, and yet it says that the missing commit was complete.
  if (plan.empty() && !proofs.empty()) AddWithPredecessors(proofs.front(), &plan);
  std::reverse(plan.begin(), plan.end());
  return plan;
}

// All commits that prove the gap, the newest first.
std::vector<ChainBuilder::Index> ChainBuilder::FindProofs() const {
  std::vector<Index> proofs;
  for (size_t i = WithSequence(expected_.sequence).second; i < by_sequence_.size(); ++i) {
    if (BridgesGap(by_sequence_[i])) proofs.push_back(by_sequence_[i]);
  }
  std::sort(proofs.begin(), proofs.end(), [this](Index a, Index b) {
    const CommitHeader& left = candidates_[a].header;
    const CommitHeader& right = candidates_[b].header;
    // Of a commit and its copy in a later one, the nearer is the commit.
    const uint64_t left_distance = Distance(candidates_[a].position);
    const uint64_t right_distance = Distance(candidates_[b].position);
    return std::tuple(right.incarnation, right.sequence, left_distance) <
           std::tuple(left.incarnation, left.sequence, right_distance);
  });
  return proofs;
}

// Whether the commit claims that the missing one was complete.
bool ChainBuilder::BridgesGap(Index index) const {
  return candidates_[index].header.durable_sequence >= expected_.sequence && IsBehindGap(index);
}

// Whether the commit can stand behind the gap: in the part of the ring that the chain has not used,
// with a block at least for each one that is missing.
bool ChainBuilder::IsBehindGap(Index index) const {
  const CommitHeader& header = candidates_[index].header;
  if (outlived_[index] || header.sequence <= expected_.sequence || !HasAcceptableIncarnation(index))
    return false;
  const uint64_t distance = Distance(candidates_[index].position);
  if (distance <= used_ || TotalBytes(index) > superblock_.ring_bytes() - distance) return false;
  const uint64_t lost = header.sequence - expected_.sequence;
  return lost <= (distance - used_) / superblock_.block_bytes;
}

// Whether `index` can be an older commit than `newer` is: it ends before, with a block at least for
// each commit in between.
bool ChainBuilder::HasRoomBefore(Index index, Index newer) const {
  const Candidate& older_one = candidates_[index];
  const Candidate& newer_one = candidates_[newer];
  if (older_one.header.sequence >= newer_one.header.sequence) return false;
  const uint64_t end = Distance(older_one.position) + TotalBytes(index);
  const uint64_t begin = Distance(newer_one.position);
  const uint64_t between = newer_one.header.sequence - older_one.header.sequence - 1;
  return end <= begin && between <= (begin - end) / superblock_.block_bytes;
}

// Adds the commit, and those before it that it hangs on to by checksum, up to the gap: whether or
// not they claim the missing commit themselves.
void ChainBuilder::AddWithPredecessors(Index index, std::vector<Index>* plan) const {
  for (;;) {
    plan->push_back(index);
    const Index before = FindPredecessor(index);
    if (before == kNone || !IsBehindGap(before) || !HasRoomBefore(before, index)) return;
    index = before;
  }
}

void ChainBuilder::Append(Index index, std::vector<ChainLink>* links) {
  const Candidate& candidate = candidates_[index];
  ChainLink link;
  link.candidate = index;
  link.lost = candidate.header.sequence - expected_.sequence;
  link.expected_place = expected_.position;
  if (links->empty()) origin_ = candidate.position;
  links->push_back(link);
  used_ = Distance(candidate.position) + TotalBytes(index);
  expected_.sequence = candidate.header.sequence + 1;
  expected_.position = End(index);
  expected_.previous_checksum = candidate.header.checksum;
  last_incarnation_ = candidate.header.incarnation;
}

void ChainBuilder::MarkWitnessed(std::vector<ChainLink>* links) const {
  uint64_t durable = 0;
  for (size_t i = links->size(); i-- > 0;) {
    ChainLink& link = (*links)[i];
    const CommitHeader& header = At(link).header;
    link.witnessed = header.sequence <= durable;
    durable = std::max(durable, header.durable_sequence);
  }
}

}  // namespace tidemark::storage
