// What all parts of one engine share: the world, the ledgers, the notices, and whether it still
// accepts. Belongs to the core's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/environment.h"
#include "storage/open_segments.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

// How full something is, and what follows from it. Memory and journal fill faster than compression
// drains them.
enum class Pressure {
  none,
  some,    // above a quarter: a medium compression level at most
  high,    // above half: the fastest level
  severe,  // above three quarters: no compression
  full,    // above nine tenths: Append() answers busy
};
constexpr Pressure PressureOf(uint64_t used, uint64_t capacity) {
  if (used * 10 >= capacity * 9) return Pressure::full;
  if (used * 4 >= capacity * 3) return Pressure::severe;
  if (used * 2 >= capacity) return Pressure::high;
  if (used * 4 >= capacity) return Pressure::some;
  return Pressure::none;
}

// How often what the disk had no room for is tried again.
inline constexpr int64_t kRetryDiskFullUs = 1'000'000;
// What a file takes beyond its bytes at most: blocks are whole.
inline constexpr uint64_t kFileSlackBytes = 4096;
// A segment's files, and all of its seal.
inline constexpr uint64_t kSegmentSlackBytes = 5 * kFileSlackBytes;

// Room on the disk. Every record that is not packed yet has its worst-case segment and index bytes
// reserved here when it is admitted, so that packing never lacks what admission promised.
class SpaceLedger {
 public:
  static constexpr int64_t kNoLimit = INT64_MAX / 2;
  // The store may grow by `bytes` beyond what is written now. Below 0: it is larger than it may be.
  void SetRoom(int64_t bytes) { room_ = bytes; }
  bool Fits(uint64_t bytes) const { return static_cast<int64_t>(reserved_ + bytes) <= room_; }
  void Reserve(uint64_t bytes) { reserved_ += bytes; }
  // `reserved` was set aside for what took `written` in the end.
  void Settle(uint64_t reserved, uint64_t written) {
    reserved_ -= reserved < reserved_ ? reserved : reserved_;
    room_ -= static_cast<int64_t>(written);
  }
  // Files that took so much are gone.
  void Credit(uint64_t bytes) { room_ += static_cast<int64_t>(bytes); }

 private:
  int64_t room_ = kNoLimit;
  uint64_t reserved_ = 0;
};

class TopicCore;

struct Context {
  Context(io::Environment world, EngineOptions engine_options)
      : environment(std::move(world)), options(std::move(engine_options)) {}

  io::Environment environment;
  EngineOptions options;
  EngineStats stats;
  SpaceLedger space;
  std::vector<Notice> notices;
  Status health;

  // Of `space`, what appends leave to compaction.
  uint64_t kept_room_bytes = 0;

  uint64_t tail_memory_bytes = 0;        // runs
  uint64_t reader_memory_bytes = 0;      // what readers hold
  uint64_t scrub_memory_bytes = 0;       // of the segment that is being checked
  uint64_t compaction_memory_bytes = 0;  // of the pass that is under way
  uint64_t cursor_memory_bytes = 0;
  size_t reads_in_flight = 0;  // readers' operations that the loop has
  OpenSegments open_segments;
  uint64_t unsubmitted_bytes = 0;  // appended, not handed to a commit yet
  // Of them, what is on its way around the journal. It may have to go back to it, so that it is
  // admitted as if it went there.
  uint64_t around_journal_bytes = 0;
  std::optional<int64_t> last_durable_append_us;
  // Whether who appended a durable record then, if ever, is one of those that do.
  bool AppendsDurably(const std::optional<int64_t>& last_us) const {
    constexpr int64_t kNoDurableAppendUs = 10'000'000;
    return last_us && now_us - *last_us < kNoDurableAppendUs;
  }
  bool may_go_around_journal = false;  // the packer's: whether it can be packed soon
  // Whether old segments can be given up, or are just being, for an append that has no room: of
  // that topic, or of any (nullptr).
  std::function<bool(const TopicCore* only)> can_make_room = [](const TopicCore*) { return false; };
  int64_t now_us = 0;  // monotonic, as of this turn

  // A clock that never steps back within an opening nor from one to the next.
  int64_t engine_clock_base_ms = 0;
  int64_t engine_clock_origin_us = 0;
  int64_t EngineClockMs() const {
    return engine_clock_base_ms + (now_us - engine_clock_origin_us) / 1000;
  }
  // Of this opening.
  int64_t MonotonicUsAt(int64_t engine_clock_ms) const {
    return engine_clock_origin_us + (engine_clock_ms - engine_clock_base_ms) * 1000;
  }

  void RefreshNow() { now_us = environment.clock.MonotonicUs(); }
  uint64_t memory_bytes() const {
    return tail_memory_bytes + reader_memory_bytes + scrub_memory_bytes + cursor_memory_bytes +
           compaction_memory_bytes;
  }
  void Tell(NoticeLevel level, std::string text) { notices.push_back({level, std::move(text)}); }
  // Nothing is accepted from now on. The first cause is the one that is kept.
  void Stop(const Error& cause) {
    if (!health.ok()) return;
    health = Error(ErrorCode::stopped, "nothing is accepted until a restart: " + cause.ToString(),
                   cause.system_errno());
    Tell(NoticeLevel::error, health.error().message());
  }
};

}  // namespace tidemark::storage
