// The engine for programs with many threads: a thin layer that runs an Engine on a thread of its
// own.
//
// THREADS. Every call may come from any thread. Callbacks run on the engine's thread and must be
// short: while one runs, nothing is committed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/engine.h"

namespace tidemark {

// A record with bytes of its own.
struct OwnedRecord {
  int64_t offset = 0;  // when it was read
  int64_t timestamp_ms = kTimestampOfArrival;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

class ConcurrentEngine {
 public:
  // As Engine::Open(). Returns once the folder is recovered.
  static Result<std::unique_ptr<ConcurrentEngine>> Open(const EngineOptions& options);
  // Without Close() first: as a crash. Calls that still wait get the error stopped.
  ~ConcurrentEngine();
  ConcurrentEngine(const ConcurrentEngine&) = delete;
  ConcurrentEngine& operator=(const ConcurrentEngine&) = delete;

  // Stops cleanly: everything accepted is made durable first. Blocks. Later calls get stopped.
  Status Close();

  // Creates the topic unless it is there already. Blocks.
  Status EnsureTopic(std::string_view name, int32_t partitions, const TopicConfig& config = {});

  // Appends and waits until the record is durable (Durability::durable) or accepted (buffered).
  // Returns its offset. Waits while the engine is busy.
  Result<int64_t> Append(std::string_view topic, int32_t partition, const Record& record,
                         Durability durability = Durability::durable);
  // The same without waiting: `done` is called on the engine's thread with what Append() would
  // return. Code busy at once, and `done` is not called, when too much is queued already.
  Status AppendAsync(std::string_view topic, int32_t partition, const Record& record,
                     Durability durability, std::function<void(const Result<int64_t>&)> done);

  // Up to `max_records` durable records from `offset` on; waits up to `max_wait` for the first one
  // and returns none when there is none then. Blocks.
  Result<std::vector<OwnedRecord>> Read(
      std::string_view topic, int32_t partition, int64_t offset, size_t max_records,
      std::chrono::milliseconds max_wait = std::chrono::milliseconds(0));
  // Offset of the first durable record at or after a time; the durable end when there is none.
  // Blocks.
  Result<int64_t> OffsetForTimestamp(std::string_view topic, int32_t partition,
                                     int64_t timestamp_ms);

  // As Engine's calls of these names; return when what they did is durable. Block.
  Status CommitCursors(std::string_view group, std::span<const CursorPosition> positions);
  Status DeleteCursors(std::string_view group,
                       std::optional<std::string_view> topic = std::nullopt);
  Result<std::vector<Cursor>> Cursors(std::string_view group);
  Result<std::vector<std::string>> CursorGroups();

  // Runs `call` on the engine's thread and waits for it: for everything else an Engine can do.
  Status Run(const std::function<void(Engine&)>& call);

 private:
  struct State;
  explicit ConcurrentEngine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
