// Reads the partitions of a topic through a StoreClient and hands out record by record.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "record/batch.h"
#include "tidemark/record.h"
#include "tools/store_client.h"
#include "tools/text.h"

namespace tidemark::tools {

struct ConsumerOptions {
  std::string topic;
  std::optional<int32_t> partition;  // else all
  std::string group;                 // begins where it has come to; empty: none
  StartOffset start;
  bool exit_at_end = false;
  enum class Reset { error, earliest, latest };
  Reset reset = Reset::error;  // where to go on when an offset is not there (any more)
};

class Consumer {
 public:
  // Takes the record. Returns false when no more are wanted.
  using Sink = std::function<bool(int32_t partition, const RecordView& record)>;

  Consumer(ConsumerOptions options, Sink sink)
      : options_(std::move(options)), sink_(std::move(sink)) {}

  // Finds the partitions and where to begin. Before anything else, and until it has succeeded.
  Status Prepare(StoreClient& client);

  enum class Outcome {
    progress,  // perhaps there is more at once
    at_end,    // of all partitions
    done,      // the end that was asked for, or the sink wants no more
    gave_up,   // a stop signal, or nobody reads our stdout
    waiting,   // the answer has not come within `patience_ms`
  };
  // Asks for some records and hands them out. `wait`: until there are some, or patience has an end
  // (-1: it has none); the next call waits on for the same answer.
  Result<Outcome> Step(StoreClient& client, bool wait, int patience_ms = -1);

  // Where the group had come to when Prepare() looked.
  const std::map<int32_t, int64_t>& cursors() const { return cursors_; }
  // By partition, the offset behind all that was handed out. One that is still searched by time is
  // not among them.
  std::map<int32_t, int64_t> positions() const;

  // Ranges of offsets that were lost by damage and skipped, in words.
  std::vector<std::string> TakeLost() { return std::exchange(lost_, {}); }

 private:
  struct Position {
    int32_t partition = 0;
    int64_t offset = 0;
    std::optional<int64_t> timestamp_ms;  // instead of the offset, until it was found
    int64_t end = INT64_MAX;              // exit_at_end: done from here on
    // The log's beginning is asked for, wherever that is by the time it is read. Not of an empty
    // log: what comes later is wanted.
    bool from_beginning = false;

    bool done() const { return !timestamp_ms && offset >= end; }
  };

  Status AddPosition(const Json& description, const StartOffset& start);
  Status TakeNewPartitions(StoreClient& client, int64_t count);
  bool follows_all() const { return !options_.partition && !options_.exit_at_end; }
  Status ReadCursors(StoreClient& client);
  Status Reset(Position* position, int64_t log_start, int64_t durable_end) const;
  Json MakeRequest(bool wait) const;
  Status TakeAnswer(const Message& answer);
  Status TakePart(const Json& part, std::string_view batches);
  Status TakeBatches(Position& position, int64_t next_offset, std::string_view batches);
  Status TakeError(Position& position, const Json& part);
  void TakeLostRanges(const Position& position, const Json& part, int64_t least, int64_t limit);
  bool all_done() const;

  ConsumerOptions options_;
  Sink sink_;
  std::map<int32_t, int64_t> cursors_;  // of the group
  std::vector<Position> positions_;     // those asked first change, so that each gets its turn
  int64_t known_partitions_ = 0;        // of the topic
  record::Compressor compressor_;
  std::vector<std::byte> decompressed_;
  std::vector<std::string> lost_;
  bool asked_ = false;  // an answer is on its way
  bool enough_ = false;
};

}  // namespace tidemark::tools
