// Cursors: how far the consumers of a named group have come, kept by the engine.
//
// A cursor is a durable offset for a group, a topic and a partition. They stand in the internal
// topic
// __consumer_offsets, in Kafka's format; it is made at the first commit. A topic that is deleted
// takes its cursors along: one that is made anew under its name has none.
#pragma once

#include <cstdint>
#include <string>

namespace tidemark {

class Partition;

// What a consumer commits.
struct CursorPosition {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;         // of the next record that it wants; at most the durable end
  int32_t leader_epoch = -1;  // of the last record that it has had; -1: not known
  std::string metadata;       // a note of its own, up to 4,096 bytes of UTF-8
};

// What is read back, as it was committed last. The offset may lie below the log start meanwhile.
struct Cursor : CursorPosition {
  int64_t commit_timestamp_ms = 0;
};

// A commit under way. It survives a crash once durable() is true, which a later Poll() brings; it
// names `partition` among those that have moved then.
struct CursorTicket {
  const Partition* partition = nullptr;  // of the internal topic; nullptr: nothing had to be done
  int64_t offset = -1;                   // of the last record there
  bool durable() const;
};

}  // namespace tidemark
