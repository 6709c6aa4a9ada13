// What the threads of jobs do, one function each. All of them return when the job's size is done,
// its time is over or somebody wants it to end, with nothing in flight.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tidemark/concurrent_engine.h"
#include "tidemark/engine.h"
#include "tools/bench/job.h"
#include "tools/bench/meter.h"
#include "tools/bench/record_source.h"

namespace tidemark::tools {

// Key and value, of a Record or a RecordView: what sizes and throughput count.
template <typename T>
uint64_t BytesOf(const T& record) {
  return (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
}

// On the single-threaded core.
struct CoreLoad {
  const Job& job;
  const RunWindow& window;
  Engine& engine;
  Topic& topic;
  RecordSource& records;  // for what appends
  uint64_t seed;          // for what reads anywhere
};
// Completion: from the append until the record is durable, for buffered ones as well.
Status RunAppend(const CoreLoad& load, Meter* append);
// A completion is a batch's: from asking for it until it is there.
Status RunRead(const CoreLoad& load, Meter* read);
// randread, timeread: from asking until the record is there.
Status RunPointRead(const CoreLoad& load, Meter* read);
// read: from the append until a reader shows the record.
Status RunTail(const CoreLoad& load, Meter* append, Meter* read);
Status RunMixed(const CoreLoad& load, Meter* append, Meter* read);

// Through the thread-safe class.
struct ThreadLoad {
  const Job& job;
  const RunWindow& window;
  ConcurrentEngine& engine;
  const std::string& topic;
  RecordSource& records;
  uint64_t seed;
};
Status RunAppend(const ThreadLoad& load, Meter* append);
Status RunRead(const ThreadLoad& load, Meter* read);
Status RunPointRead(const ThreadLoad& load, Meter* read);

// The device itself.
class RawLoad {
 public:
  // Makes the file, in a folder that is there: of the job's size, or as large as a journal
  // (rawsync) or many times that (rawwrite).
  static Result<RawLoad> Open(const Job& job, const std::string& path);
  // Removes it.
  ~RawLoad();
  RawLoad(RawLoad&& other) noexcept;
  RawLoad& operator=(RawLoad&&) = delete;

  Status Run(const RunWindow& window, Meter* write);

 private:
  struct State;
  explicit RawLoad(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemark::tools
