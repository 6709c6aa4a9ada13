// Which commits form the log: a decision about headers, without I/O of its own.
//
// The ring holds the headers of the log's commits, and others that look like it: commits of earlier
// laps, commits that outlived one that was cut off, and whatever the records' payload holds: it may
// be a copy of a journal, with headers that were genuine once, at block boundaries.
//
// What holds, and why:
// - A *step* from one commit to the next asks for the very position, sequence and checksum of its
//   predecessor, and for an incarnation not lower than its own. No copy can stand at the next
//   commit's place and name the checksum of a commit that was written after the copy was made.
// - A *gap* is bridged only by a commit that claims the missing sequence as durable, and whose own
//   directory's checksum is right, if there is such a one. It must stand in the part of the ring
//   that the chain has not used, so never inside a body of the chain, and far enough off that each
//   lost commit had a block.
// - Behind a gap the log is put together backwards from its newest commit. What is a copy stands
//   inside a newer commit's body, so that it can neither be the newest nor, where that newer commit
//   is known, stand before it. Where that one is lost too, a copy may stand in for a lost commit:
//   with that commit's own bytes, and never at the cost of one that is still there.
// - A commit that was cut off may come back where another was written in its stead: an old sector
//   with its header. It steps from the one before, and hides what stands behind the other. What
//   tells is a commit of a later incarnation that names another predecessor; then the log is put
//   together without it, if it is not whole, as what was cut off never is.
// - Somebody who knows the journal's id can forge a header that proves too much, but it only takes
//   effect if the very commit around it is lost.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "storage/journal_format.h"

namespace tidemark::storage {

// An intact header of this journal somewhere in the ring.
struct Candidate {
  uint64_t position = 0;
  CommitHeader header;
};

// Whether a header's numbers can be a commit's at all. Keeps sums of them from overflowing.
bool IsPlausible(const CommitHeader& header);

// What the chain's builder asks of commits' bodies, only where damage makes it worth the reading.
class CommitBodies {
 public:
  virtual ~CommitBodies() = default;
  // Its own directory's checksum is right.
  virtual bool HasDirectory(const Candidate& commit) = 0;
  // So are those of both its directory and its data.
  virtual bool IsIntact(const Candidate& commit) = 0;
};

// Where the log starts, and what the commit there must be like.
struct ChainStart {
  uint64_t sequence = 1;
  uint64_t position = 0;
  uint64_t previous_checksum = 0;
  // From `incarnation_first_sequence` on, no commit of a lower incarnation counts.
  uint64_t incarnation = 0;
  uint64_t incarnation_first_sequence = 0;
};

// A commit of the log.
struct ChainLink {
  size_t candidate = 0;         // its index
  uint64_t lost = 0;            // commits missing right before it; damage, since it is proven
  uint64_t expected_place = 0;  // where it, or the first of the lost ones, was looked for
  bool witnessed = false;       // a later one claims it as durable: what is wrong with it is damage
};

class ChainBuilder {
 public:
  // `candidates` are plausible, fit the ring and are sorted by position.
  ChainBuilder(const Superblock& superblock, std::vector<Candidate> candidates);

  // For a journal whose checkpoints are lost: the first commit of the unbroken chain that ends with
  // the highest one. nullopt: there is no commit.
  std::optional<ChainStart> FindStart() const;

  // The commits of the log from `start` on, in order.
  std::vector<ChainLink> Build(const ChainStart& start, CommitBodies& bodies);

  // After Build(): whether the log has not come to `position` (yet, in this lap).
  bool IsUnused(uint64_t position) const { return Distance(position) >= used_; }

  const std::vector<Candidate>& candidates() const { return candidates_; }
  const Candidate& At(const ChainLink& link) const { return candidates_[link.candidate]; }

 private:
  using Index = uint32_t;
  static constexpr Index kNone = UINT32_MAX;

  uint64_t TotalBytes(Index index) const;
  uint64_t End(Index index) const { return candidates_[index].position + TotalBytes(index); }
  bool IsNextPlace(uint64_t place, Index index) const;
  bool Follows(Index first, Index second) const;
  std::pair<size_t, size_t> WithSequence(uint64_t sequence) const;
  Index FindPredecessor(Index index) const;

  // The state of Build(): what the next commit must be like.
  std::vector<ChainLink> BuildOnce(const ChainStart& start, CommitBodies& bodies);
  Index FindOutlived(const std::vector<ChainLink>& links, CommitBodies& bodies) const;
  bool NamesAnother(Index index, Index before) const;
  uint64_t Distance(uint64_t position) const;
  bool HasAcceptableIncarnation(Index index) const;
  Index FindNext() const;
  std::vector<Index> FindBehindGap(CommitBodies& bodies);
  std::vector<Index> PlanBehindGap(CommitBodies& bodies) const;
  std::vector<Index> FindProofs() const;
  bool BridgesGap(Index index) const;
  bool IsBehindGap(Index index) const;
  bool HasRoomBefore(Index index, Index newer) const;
  void AddWithPredecessors(Index index, std::vector<Index>* plan) const;
  void Append(Index index, std::vector<ChainLink>* links);
  void MarkWitnessed(std::vector<ChainLink>* links) const;

  Superblock superblock_;
  std::vector<Candidate> candidates_;
  std::vector<Index> by_sequence_;  // by sequence, then by position

  std::vector<bool> outlived_;  // by index: is not of the log

  ChainStart expected_;  // of the next commit; its incarnation rule is the whole log's
  uint64_t last_incarnation_ = 0;
  uint64_t origin_ = 0;  // where the first commit stands
  uint64_t used_ = 0;    // bytes of the ring from there to the expected place
};

}  // namespace tidemark::storage
