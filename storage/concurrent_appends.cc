#include "storage/concurrent_appends.h"

#include <memory>
#include <utility>

namespace tidemark::storage {
namespace {

size_t BytesOf(std::string_view topic, const Record& record) {
  size_t bytes = topic.size();
  if (record.key) bytes += record.key->size();
  if (record.value) bytes += record.value->size();
  for (const Header& header : record.headers) {
    bytes += header.key.size() + (header.value ? header.value->size() : 0);
  }
  return bytes;
}

}  // namespace

AsyncAppend::AsyncAppend(std::string_view its_topic, const Record& its_record) {
  bytes.reserve(BytesOf(its_topic, its_record));  // must not move any more: `copy` points into it
  const auto keep = [this](std::string_view part) {
    const size_t begin = bytes.size();
    bytes.append(part);
    return std::string_view(bytes.data() + begin, part.size());
  };
  topic = keep(its_topic);
  if (its_record.key) copy.key = keep(*its_record.key);
  if (its_record.value) copy.value = keep(*its_record.value);
  copy.timestamp_ms = its_record.timestamp_ms;
  headers.reserve(its_record.headers.size());
  for (const Header& header : its_record.headers) {
    headers.push_back({keep(header.key), std::nullopt});
    if (header.value) headers.back().value = keep(*header.value);
  }
  copy.headers = headers;
  record = &copy;
  asynchronous = true;
}

void AsyncAppend::LetGoOfRecord() {
  bytes = std::string();
  headers = std::vector<Header>();
}

Partition* FindPartition(const Engine& engine, std::string_view topic, int32_t partition) {
  const Topic* const found = engine.FindTopic(topic);
  return found == nullptr ? nullptr : found->partition(partition);
}

Error NoSuchPartition(std::string_view topic, int32_t partition) {
  return Error(ErrorCode::unknown_topic, "there is no topic '" + std::string(topic) +
                                             "' with a partition " + std::to_string(partition));
}

void ConcurrentAppends::Start(AppendRequest* request) {
  Partition* const partition = FindPartition(engine_, request->topic, request->partition);
  if (partition == nullptr) {
    Answer(request, NoSuchPartition(request->topic, request->partition));
    return;
  }
  PartitionAppends& appends = partitions_[partition];
  if (appends.topic.empty()) appends.topic = std::string(request->topic);
  if (!appends.blocked.empty() || !TryAppend(partition, &appends, request, false)) {
    appends.blocked.push_back(request);
    ++blocked_;
  }
}

// False: there is no room for it now.
bool ConcurrentAppends::TryAppend(Partition* partition, PartitionAppends* appends,
                                  AppendRequest* request, bool last_try) {
  const auto offset = partition->Append(*request->record, request->durability);
  if (!offset) {
    const ErrorCode code = offset.error().code();
    if (code == ErrorCode::busy || (code == ErrorCode::disk_full && !last_try)) return false;
    Answer(request, offset.error());
    return true;
  }
  appended_ = true;
  if (request->durability == Durability::buffered) {
    Answer(request, *offset);
    return true;
  }
  if (request->asynchronous) {
    auto* const append = static_cast<AsyncAppend*>(request);
    append->LetGoOfRecord();
    const uint64_t freed = append->counted_bytes - append->held_bytes();
    append->counted_bytes -= freed;
    async_bytes_.fetch_sub(freed, std::memory_order_relaxed);
  }
  const bool soon = partition->topic().config().commit_linger_ms == 0;
  if (soon) ++waiting_soon_;
  appends->waiting.push_back({*offset, request, soon});
  return true;
}

void ConcurrentAppends::RetryBlocked(bool last_try) {
  if (blocked_ == 0) return;
  for (auto& [partition, appends] : partitions_) {
    while (!appends.blocked.empty() &&
           TryAppend(partition, &appends, appends.blocked.front(), last_try)) {
      TakeBlocked(&appends);
    }
  }
}

void ConcurrentAppends::Settle(Partition* partition) {
  const auto found = partitions_.find(partition);
  if (found != partitions_.end()) Settle(partition, &found->second);
}

void ConcurrentAppends::Settle(Partition* partition, PartitionAppends* appends) {
  if (appends->waiting.empty()) return;
  const int64_t durable_end = partition->durable_end_offset();
  while (!appends->waiting.empty() && appends->waiting.front().offset < durable_end) {
    AnswerFront(appends);
  }
}

void ConcurrentAppends::SettleAll() {
  for (auto& [partition, appends] : partitions_) {
    Settle(partition, &appends);
    const int32_t index = partition->index();
    // A topic that was deleted, perhaps made anew: its old partitions never become durable any
    // more.
    if (!appends.waiting.empty() && FindPartition(engine_, appends.topic, index) != partition) {
      Fail(&appends, NoSuchPartition(appends.topic, index));
    }
  }
}

void ConcurrentAppends::SettleClosed() {
  for (auto& [partition, appends] : partitions_) {
    while (!appends.waiting.empty()) AnswerFront(&appends);
  }
}

void ConcurrentAppends::FailAll(const Error& error) {
  for (auto& [partition, appends] : partitions_) Fail(&appends, error);
}

void ConcurrentAppends::Fail(PartitionAppends* appends, const Error& error) {
  while (!appends->waiting.empty()) Answer(TakeWaiting(appends), error);
  while (!appends->blocked.empty()) Answer(TakeBlocked(appends), error);
}

void ConcurrentAppends::AnswerFront(PartitionAppends* appends) {
  const int64_t offset = appends->waiting.front().offset;
  Answer(TakeWaiting(appends), offset);
}

AppendRequest* ConcurrentAppends::TakeWaiting(PartitionAppends* appends) {
  const Waiting append = appends->waiting.front();
  appends->waiting.pop_front();
  if (append.soon) --waiting_soon_;
  return append.request;
}

AppendRequest* ConcurrentAppends::TakeBlocked(PartitionAppends* appends) {
  AppendRequest* const request = appends->blocked.front();
  appends->blocked.pop_front();
  --blocked_;
  return request;
}

void ConcurrentAppends::Answer(AppendRequest* request, Result<int64_t> result) {
  if (!request->asynchronous) {
    request->result = std::move(result);
    answers_.Done(request);
    return;
  }
  const std::unique_ptr<AsyncAppend> append(static_cast<AsyncAppend*>(request));
  async_bytes_.fetch_sub(append->counted_bytes, std::memory_order_relaxed);
  if (append->callback) append->callback(result);
}

}  // namespace tidemark::storage
