// What the engine was asked to do and has promised, in the simplest form there is: the records of
// each partition in a row, and how far they were acknowledged.
#pragma once

#include <cstdint>
#include <functional>
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
  int64_t appended_us = 0;              // by the time that has passed in all
  std::string key = {};
  bool tombstone = false;           // it has no value
  bool hole = false;                // a commit that was cut off had it; told as lost
  bool damaged = false;             // its bytes were: it may be told as lost, or be there
  bool damaged_in_journal = false;  // ... which then leaves a hole in the segments
};

// All that was appended to a partition, by offset. Where damage has hidden what a journal had given
// out, a range of offsets is left free.
class ModelPartition {
 public:
  int64_t acknowledged = 0;  // end of what was told as durable, or shown to a reader
  int64_t log_start = 0;     // as it was told: it never goes back
  int64_t given_up = 0;      // what stands below may be gone

  int64_t end() const;
  void Append(const ModelRecord& record) {
    offsets_of_key_[record.key].push_back(end());
    records_.push_back(record);
  }
  // Whether one of its key, with an offset below `end_offset`, follows the record.
  bool IsSuperseded(int64_t offset, const ModelRecord& record, int64_t end_offset) const;
  // nullptr: the offset was left free, or nothing was appended there.
  ModelRecord* At(int64_t offset);
  // What stands at `end` and behind it was never appended.
  void CutTo(int64_t end);
  // The next record is appended at `offset`.
  void SkipTo(int64_t offset);
  // Calls for each record with first_offset <= offset < end_offset. False from `visit`: enough.
  void ForEach(int64_t first_offset, int64_t end_offset,
               const std::function<bool(int64_t offset, ModelRecord& record)>& visit);
  std::vector<ModelRecord>& records() { return records_; }

 private:
  struct Gap {
    int64_t first_offset;
    int64_t end_offset;
  };
  std::vector<ModelRecord> records_;
  std::map<std::string, std::vector<int64_t>> offsets_of_key_;  // ascending
  std::vector<Gap> gaps_;                                       // ascending
};

// Where a cursor may stand; nullopt: there is none.
struct ModelCursor {
  std::optional<int64_t> offset;
  uint64_t number = 0;  // of the call that has put it there
};

// A topic that exists, or may exist, since a call that would tell was cut off.
struct ModelTopic {
  std::string id;  // empty: not known
  std::vector<ModelPartition> partitions;
  size_t most_partitions = 0;        // that there may be; 0: what is known is all
  std::vector<TopicConfig> configs;  // one of these
  // What has ever been allowed to move a log start: a limit of bytes or of room, or this age.
  bool drops = false;
  std::optional<int64_t> least_retention_ms;
  bool compacts = false;  // or did, at some time
  int64_t least_delete_retention_ms = INT64_MAX;
  // What its files may take: topic.bytes, or what it was before, for as long as records that were
  // admitted under that may not be packed yet.
  uint64_t allowed_bytes = UINT64_MAX;
  // By group and partition: first the one that was acknowledged, then those that may have been made
  // durable since, as they were asked for.
  std::map<std::pair<std::string, int32_t>, std::vector<ModelCursor>> cursors;
  bool must_exist = true;
  bool deleting = false;
};

struct Model {
  std::map<std::string, ModelTopic> topics;
  uint64_t next_number = 1;
};

}  // namespace tidemark::sim
