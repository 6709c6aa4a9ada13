// The scrub: while the engine runs, every segment is read again now and then, at a low rate, and
// held against its checksums and its indexes; what is wrong is told, once. Belongs to the core's
// thread; the reading is the worker's, in small pieces, when nobody else has work for it.
//
// A round goes over all segments, as far as they are flushed, in the order of topics, partitions
// and offsets, from a random one on and around. It begins a second after an opening and then every
// interval; where it stands is not kept. A gateway that is started anew before a round is through
// begins the next one somewhere else, so that sooner or later every segment has its turn: a place
// that is written down would take a write of its own, and be one more thing to be recovered.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>

#include "storage/context.h"
#include "storage/packer.h"
#include "storage/segment_check.h"

namespace tidemark::storage {

class Scrubber {
 public:
  Scrubber(Context& context, const TopicList& topics);

  // Takes in what the last piece has brought, and starts the next one if it is due and the worker
  // has nothing else to do. Every turn, when the packer had its own.
  void Advance();
  // When the next piece is due; INT64_MAX: it is not time that it waits for, or the scrub is off.
  int64_t next_due_us() const;
  void Stop();

 private:
  // Where a segment stands in a round's order.
  struct Place {
    size_t topic = 0;
    size_t partition = 0;
    int64_t base_offset = 0;
    auto operator<=>(const Place&) const = default;  // NOLINT(modernize-use-nullptr): none is here
  };
  struct Segment;

  bool MayWork() const;
  PartitionCore& PartitionAt(const Place& place) const;
  template <typename Visit>
  void ForEachSegmentFrom(Place place, const Visit& visit) const;
  std::optional<Place> FirstFrom(const Place& place) const;
  bool IsGone(const Segment& segment) const;
  bool BeginRound();
  bool BeginSegment();
  SegmentToCheck Describe(const Place& place) const;
  void ReadPiece();
  void TakePiece();
  void LeaveSegment();
  void Tell(const Finding& finding);

  Context& context_;
  const TopicList& topics_;
  int64_t due_us_;  // of the next piece, or the next round
  int64_t next_round_us_ = 0;
  bool stopped_ = false;
  bool in_round_ = false;
  Place start_;                       // of the round
  Place next_;                        // the round goes on at the first segment from here on
  bool wrapped_ = false;              // it has come round to the first one of all
  std::shared_ptr<Segment> segment_;  // being read
  bool reading_ = false;              // a piece of it is with the worker
  std::set<uint64_t> told_;           // findings, by their hash
};

}  // namespace tidemark::storage
