#include "storage/scrubber.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/hash.h"

namespace tidemark::storage {
namespace {

// What the worker reads at once: some ten milliseconds of a slow card, so that a pack or a flush
// never waits longer.
constexpr uint64_t kPieceBytes = uint64_t{256} << 10;
// What a segment that is being read takes: a window of its log, and one of each index. (Where a log
// is damaged, two more small ones while the next batch is searched.)
constexpr uint64_t kWindowBytes = uint64_t{256} << 10;
constexpr uint64_t kMemoryBytes = kWindowBytes + (uint64_t{64} << 10);
// After an opening others have more urgent things to read.
constexpr int64_t kFirstRoundUs = 1'000'000;
constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
// More findings than anybody reads are not told one by one.
constexpr size_t kMostTold = 1'000;

// The same thing, seen again. How far a loss reaches may change while its segment grows.
uint64_t HashOf(const Finding& finding) {
  const std::string text = std::string(KindName(finding.kind)) + " " +
                           std::to_string(finding.position.value_or(UINT64_MAX)) + " " +
                           finding.path;
  return base::Xxh3(base::AsBytes(text));
}

}  // namespace

struct Scrubber::Segment {
  Place place;
  uint64_t compactions = 0;  // of the partition, when that was described
  SegmentToCheck what;
  std::optional<SegmentCheck> check;  // the worker's while a piece is with it
  int64_t began_us = 0;               // the piece
  uint64_t bytes = 0;                 // of the piece
};

Scrubber::Scrubber(Context& context, const TopicList& topics)
    : context_(context), topics_(topics), due_us_(context.now_us + kFirstRoundUs) {}

bool Scrubber::MayWork() const {
  return context_.options.scrub_bytes_per_second > 0 && !stopped_ && !reading_ &&
         context_.health.ok() && context_.environment.worker.pending() == 0;
}

// What holds it up otherwise is somebody else's work, whose end wakes the loop.
int64_t Scrubber::next_due_us() const { return MayWork() ? due_us_ : INT64_MAX; }

void Scrubber::Stop() {
  stopped_ = true;
  if (!reading_) LeaveSegment();
}

void Scrubber::Advance() {
  // A deleted file that is still open takes room on the disk.
  if (segment_ && !reading_ && IsGone(*segment_)) LeaveSegment();
  if (!MayWork() || context_.now_us < due_us_) return;
  if (!in_round_ && !BeginRound()) return;
  if (!segment_ && !BeginSegment()) return;
  ReadPiece();
}

// --- Rounds --------------------------------------------------------------------------------------

PartitionCore& Scrubber::PartitionAt(const Place& place) const {
  return *topics_[place.topic]->partitions()[place.partition];
}

// `visit` answers whether to go on.
template <typename Visit>
void Scrubber::ForEachSegmentFrom(Place place, const Visit& visit) const {
  for (; place.topic < topics_.size(); ++place.topic, place.partition = 0, place.base_offset = 0) {
    if (topics_[place.topic]->deleted) continue;
    const size_t partitions = topics_[place.topic]->partitions().size();
    for (; place.partition < partitions; ++place.partition, place.base_offset = 0) {
      SegmentMap& segments = PartitionAt(place).segments();
      for (auto at = segments.lower_bound(place.base_offset); at != segments.end(); ++at) {
        place.base_offset = at->first;
        if (!visit(place)) return;
      }
    }
  }
}

std::optional<Scrubber::Place> Scrubber::FirstFrom(const Place& place) const {
  std::optional<Place> first;
  ForEachSegmentFrom(place, [&](const Place& found) {
    first = found;
    return false;
  });
  return first;
}

// Or has, perhaps, other files by now.
bool Scrubber::IsGone(const Segment& segment) const {
  const Place& place = segment.place;
  return topics_[place.topic]->deleted || PartitionAt(place).compactions != segment.compactions ||
         !PartitionAt(place).segments().contains(place.base_offset);
}

bool Scrubber::BeginRound() {
  next_round_us_ = context_.now_us + kHourUs * context_.options.scrub_interval_hours;
  uint64_t count = 0;
  ForEachSegmentFrom({}, [&](const Place&) {
    ++count;
    return true;
  });
  if (count == 0) {
    due_us_ = std::max(next_round_us_, context_.now_us + kFirstRoundUs);
    return false;
  }
  uint64_t before_start = context_.environment.random64() % count;
  ForEachSegmentFrom({}, [&](const Place& place) {
    start_ = place;
    return before_start-- > 0;
  });
  next_ = start_;
  wrapped_ = false;
  in_round_ = true;
  return true;
}

bool Scrubber::BeginSegment() {
  std::optional<Place> place = FirstFrom(next_);
  if (!place && !wrapped_) {
    wrapped_ = true;
    place = FirstFrom({});
  }
  if (!place || (wrapped_ && *place >= start_)) {
    in_round_ = false;
    due_us_ = std::max(due_us_, next_round_us_);
    ++context_.stats.scrub_rounds;
    return false;
  }
  segment_ = std::make_shared<Segment>();
  segment_->place = *place;
  segment_->compactions = PartitionAt(*place).compactions;
  segment_->what = Describe(*place);
  PartitionAt(*place).segments().at(place->base_offset).AddWork(segment_);
  context_.scrub_memory_bytes = kMemoryBytes;
  return true;
}

SegmentToCheck Scrubber::Describe(const Place& place) const {
  PartitionCore& partition = PartitionAt(place);
  const TopicCore& topic = partition.topic();
  const bool rolled = place.base_offset != partition.active_base_offset();
  return {topic.description().name,
          partition.owner(),
          partition.folder(),
          place.base_offset,
          partition.EndOf(place.base_offset),
          static_cast<uint32_t>(topic.config().index_interval_bytes),
          /*finished=*/rolled,
          rolled,
          /*log_path=*/""};
}

void Scrubber::LeaveSegment() {
  if (!segment_) return;
  next_ = segment_->place;
  ++next_.base_offset;
  segment_.reset();
  context_.scrub_memory_bytes = 0;
}

// --- Pieces --------------------------------------------------------------------------------------

void Scrubber::ReadPiece() {
  reading_ = true;
  segment_->began_us = context_.now_us;
  io::FileSystem& files = context_.environment.files;
  context_.environment.worker.Submit(
      [&files, segment = segment_] {
        if (!segment->check) {
          segment->check.emplace(files, segment->what,
                                 SurveyOptions{.direct = true, .window_bytes = kWindowBytes});
        }
        segment->bytes = segment->check->Step(kPieceBytes);
      },
      [this] { TakePiece(); });
}

void Scrubber::TakePiece() {
  reading_ = false;
  context_.stats.scrubbed_bytes += segment_->bytes;
  constexpr uint64_t kSecondUs = 1'000'000;
  constexpr uint64_t kLeastBytes = 4096;  // opening a file is no gift either
  const uint64_t pause_us =
      std::max(segment_->bytes, kLeastBytes) * kSecondUs / context_.options.scrub_bytes_per_second;
  due_us_ = segment_->began_us + static_cast<int64_t>(pause_us);
  if (stopped_ || IsGone(*segment_)) return LeaveSegment();
  if (!segment_->check->done()) return;
  for (const Finding& finding : segment_->check->findings()) Tell(finding);
  LeaveSegment();
}

void Scrubber::Tell(const Finding& finding) {
  if (finding.kind == Finding::Kind::note) return;  // nothing is wrong
  if (told_.size() > kMostTold || !told_.insert(HashOf(finding)).second) return;
  const std::string advice =
      "`tidemark verify` looks at everything; once the store is stopped, `tidemark repair` mends "
      "what can be mended";
  if (told_.size() > kMostTold) {
    context_.Tell(NoticeLevel::error, "scrub: it finds more than can be told here; " + advice);
    return;
  }
  const bool fault = finding.kind == Finding::Kind::fault;
  const SegmentToCheck& segment = segment_->what;
  context_.Tell(fault ? NoticeLevel::warning : NoticeLevel::error,
                "scrub of " + segment.topic + "-" + std::to_string(segment.owner.partition) + ": " +
                    finding.ToText() + "; " + advice);
}

}  // namespace tidemark::storage
