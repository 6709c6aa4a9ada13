// What the engine was asked to do and has promised, in the simplest form there is: the records of
// each partition in a row, and how far they were acknowledged.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/random.h"
#include "tidemark/engine.h"

namespace tidemark::sim {

// A record with its bytes. What it holds follows from its number, so that no two are alike.
struct OwnRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> header_bytes;
  std::vector<Header> headers;  // views of them
  int64_t timestamp_ms = 0;

  Record view() const;
};
OwnRecord MakeRecord(Random& random, uint64_t number, uint64_t value_bytes, int64_t timestamp_ms);

// Of key, value and headers, nulls included.
uint64_t DigestOf(const Record& record);
uint64_t DigestOf(const RecordView& record);

struct ModelRecord {
  uint64_t number = 0;
  uint64_t digest = 0;
  std::optional<int64_t> timestamp_ms;  // nullopt: the engine chose one for its run
  bool hole = false;                    // a commit that was cut off had it; told as lost
};

struct ModelPartition {
  std::vector<ModelRecord> log;  // by offset: all that was appended
  int64_t acknowledged = 0;      // end of what was told as durable, or shown to a reader

  int64_t end() const { return static_cast<int64_t>(log.size()); }
};

// A topic that exists, or may exist, since a call that would tell was cut off.
struct ModelTopic {
  std::string id;  // empty: not known
  std::vector<ModelPartition> partitions;
  std::vector<TopicConfig> configs;  // one of these
  bool altered = false;              // its segments may be indexed by other settings than today's
  bool must_exist = true;
  bool deleting = false;
};

struct Model {
  std::map<std::string, ModelTopic> topics;
  uint64_t next_number = 1;
};

}  // namespace tidemark::sim
