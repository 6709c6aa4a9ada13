// Acknowledgements that wait for their record to be durable, in the order in which the PUBLISHes
// came.
//
// The memory comes in chunks from a pool that all connections share: an idle connection holds none,
// and a busy one allocates nothing. How many entries there can be is bounded by what the engine
// accepts before it is durable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ingest/mqtt_packet.h"
#include "ingest/record_log.h"

namespace tidemark::ingest {

struct PendingAck {
  RecordPlace place;
  uint16_t packet_id = 0;
  PacketType type = PacketType::puback;  // what is to be sent: PUBACK, PUBREC or PUBCOMP
};

struct AckChunk {
  static constexpr uint32_t kEntries = 42;  // makes a chunk about 1 KiB
  AckChunk* next = nullptr;
  std::array<PendingAck, kEntries> entries;
};
static_assert(sizeof(AckChunk) <= 1024);

// Chunks that nobody uses. Must outlive the queues that take from it.
class AckPool {
 public:
  AckPool() = default;
  AckPool(const AckPool&) = delete;
  AckPool& operator=(const AckPool&) = delete;
  ~AckPool();

  AckChunk* Take();
  void Give(AckChunk* chunk);
  size_t chunks_in_use() const { return in_use_; }
  size_t chunks_spare() const { return spare_count_; }

 private:
  // More than this many spare ones are given back to the allocator: a burst must not cost memory
  // for ever.
  static constexpr size_t kMaxSpare = 256;
  AckChunk* spare_ = nullptr;
  size_t spare_count_ = 0;
  size_t in_use_ = 0;
};

// First in, first out.
class AckQueue {
 public:
  explicit AckQueue(AckPool& pool) : pool_(pool) {}
  AckQueue(const AckQueue&) = delete;
  AckQueue& operator=(const AckQueue&) = delete;
  ~AckQueue() { Clear(); }

  bool empty() const { return size_ == 0; }
  uint32_t size() const { return size_; }
  const PendingAck& front() const { return first_->entries[front_]; }
  void Push(const PendingAck& ack);
  void Pop();
  void Clear();

 private:
  AckPool& pool_;
  AckChunk* first_ = nullptr;
  AckChunk* last_ = nullptr;
  uint32_t front_ = 0;  // in `first_`
  uint32_t back_ = 0;   // behind the last one in `last_`
  uint32_t size_ = 0;
};

}  // namespace tidemark::ingest
