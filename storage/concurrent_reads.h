// Reads that other threads wait for, on the engine's thread.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "storage/request_queue.h"
#include "tidemark/concurrent_engine.h"

namespace tidemark::storage {

using SteadyTime = std::chrono::steady_clock::time_point;

struct ReadRequest : Request {
  ReadRequest() : Request(Kind::read) {}
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  size_t max_records = 0;
  SteadyTime deadline;  // for the first record
  Result<std::vector<OwnedRecord>> result{std::vector<OwnedRecord>()};
};

struct FindTimeRequest : Request {
  FindTimeRequest() : Request(Kind::find_time) {}
  std::string_view topic;
  int32_t partition = 0;
  int64_t timestamp_ms = 0;
  Result<int64_t> result{int64_t{0}};
};

class ConcurrentReads {
 public:
  // Both must outlive this.
  ConcurrentReads(Engine& engine, Answers& answers) : engine_(engine), answers_(answers) {}

  void Start(ReadRequest* request);
  void Start(FindTimeRequest* request);

  // Takes every read as far as it gets without waiting, but no further than one batch, so that
  // commits do not have to wait for long reads. To be called after each Poll().
  void Step();
  // Whether the next Step() has something to do already.
  bool ready() const { return ready_; }
  // When some read stops waiting for records to come.
  std::optional<SteadyTime> NextDeadline() const;

  // Looks at all that wait again, also where no record has come: topics may be gone.
  void LookAgain();
  // Lets go of readers kept for calls to come, and of the memory that they pin.
  void DropIdle() { idle_.clear(); }
  // Ends all: reads that have records are answered with these, others with `error`.
  void EndAll(const Error& error);

 private:
  // A reader, and where one is in its batch.
  struct Cursor {
    Partition* partition = nullptr;
    std::unique_ptr<Reader> reader;
    RecordRange::Iterator at;
    bool in_batch = false;
    int64_t next_offset = 0;
  };
  struct ActiveRead {
    ReadRequest* request = nullptr;
    Cursor cursor;
    bool live = false;  // stands at the end and waits for records to come
  };
  struct ActiveSearch {
    FindTimeRequest* request = nullptr;
    Partition* partition = nullptr;
    std::unique_ptr<Reader> reader;
  };
  enum class Outcome { again, wait, answered };

  Result<Cursor> TakeCursor(Partition* partition, int64_t offset);
  void KeepCursor(Cursor cursor);
  Outcome StepRead(ActiveRead* read);
  Outcome NextBatch(ActiveRead* read);
  Outcome EndOfLog(ActiveRead* read);
  Outcome StepSearch(ActiveSearch* search);
  Outcome Answer(ActiveRead* read);

  Engine& engine_;
  Answers& answers_;
  std::list<ActiveRead> reads_;
  std::list<ActiveSearch> searches_;
  std::vector<Cursor> idle_;  // oldest first
  bool ready_ = false;
};

}  // namespace tidemark::storage
