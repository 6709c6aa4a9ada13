// Appends that other threads wait for, on the engine's thread.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "storage/request_queue.h"
#include "tidemark/engine.h"

namespace tidemark::storage {

struct AppendRequest : Request {
  AppendRequest() : Request(Kind::append) {}
  std::string_view topic;
  int32_t partition = 0;
  const Record* record = nullptr;
  Durability durability = Durability::durable;
  Result<int64_t> result{int64_t{0}};
  bool asynchronous = false;  // then it is an AsyncAppend
};

// Nobody waits for it: it owns its bytes, and itself once it was pushed.
struct AsyncAppend : AppendRequest {
  AsyncAppend(std::string_view its_topic, const Record& its_record);
  // Frees what is not needed once the engine has the record.
  void LetGoOfRecord();
  uint64_t held_bytes() const {
    return sizeof(AsyncAppend) + bytes.capacity() + headers.capacity() * sizeof(Header);
  }

  std::string bytes;  // topic, key, value, headers' keys and values, one behind the other
  std::vector<Header> headers;
  Record copy;
  uint64_t counted_bytes = 0;  // in the total that bounds all of them
  std::function<void(const Result<int64_t>&)> callback;
};

// nullptr: there is no such topic or partition.
Partition* FindPartition(const Engine& engine, std::string_view topic, int32_t partition);
Error NoSuchPartition(std::string_view topic, int32_t partition);

class ConcurrentAppends {
 public:
  // All must outlive this. `async_bytes`: what all AsyncAppends hold; what is freed is taken off.
  ConcurrentAppends(Engine& engine, Answers& answers, std::atomic<uint64_t>& async_bytes)
      : engine_(engine), answers_(answers), async_bytes_(async_bytes) {}

  void Start(AppendRequest* request);
  // Tries those again that had no room, oldest first in each partition. With `last_try` a full disk
  // is an answer: nobody will wait any longer.
  void RetryBlocked(bool last_try);

  // Answers the appends to a partition that are durable now.
  void Settle(Partition* partition);
  // The same in all partitions; answers those to deleted topics, too.
  void SettleAll();
  // After a clean stop, when all is durable and the engine may not be asked any more.
  void SettleClosed();
  void FailAll(const Error& error);

  bool any_blocked() const { return blocked_ != 0; }
  // Whether an append waits whose commit is under way, or starts as soon as the one before is
  // complete.
  bool any_soon() const { return waiting_soon_ != 0; }
  // Whether the engine was given a record since the last call.
  bool TakeAppended() { return std::exchange(appended_, false); }

 private:
  struct Waiting {
    int64_t offset = 0;
    AppendRequest* request = nullptr;
    bool soon = false;
  };
  struct PartitionAppends {
    std::string topic;
    std::deque<Waiting> waiting;         // for durability, by offset
    std::deque<AppendRequest*> blocked;  // for room: the engine was busy or the disk full
  };

  bool TryAppend(Partition* partition, PartitionAppends* appends, AppendRequest* request,
                 bool last_try);
  void Settle(Partition* partition, PartitionAppends* appends);
  void AnswerFront(PartitionAppends* appends);
  void Fail(PartitionAppends* appends, const Error& error);
  AppendRequest* TakeWaiting(PartitionAppends* appends);
  AppendRequest* TakeBlocked(PartitionAppends* appends);
  void Answer(AppendRequest* request, Result<int64_t> result);

  Engine& engine_;
  Answers& answers_;
  std::atomic<uint64_t>& async_bytes_;
  std::unordered_map<Partition*, PartitionAppends> partitions_;
  uint64_t waiting_soon_ = 0;  // Waitings with `soon`
  uint64_t blocked_ = 0;       // in all partitions
  bool appended_ = false;
};

}  // namespace tidemark::storage
