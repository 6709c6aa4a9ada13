// Appends records through a StoreClient: gathers them into batches and keeps several on their way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record/batch.h"
#include "tidemark/record.h"
#include "tools/store_client.h"

namespace tidemark::tools {

struct SendTarget {
  std::string topic;
  std::optional<int32_t> partition;       // else by each record's key; without a key, partition 0
  std::optional<std::string> durability;  // "durable" or "buffered", else the topic's own
};

class RecordSender {
 public:
  RecordSender(StoreClient& client, SendTarget target);

  // Takes a copy of the record, which needs a timestamp. May wait while too much is on its way.
  // After an error nothing more is taken.
  Status Add(const Record& record);
  // Sends what was added and waits until all of it is durable. The first error that anything met.
  Status Flush();
  // Counted from answers: these are durable, whatever errors there were.
  uint64_t durable_records() const { return durable_records_; }

 private:
  static constexpr size_t kBatchBytes = size_t{128} << 10;
  static constexpr int32_t kBatchRecords = 4096;
  static constexpr size_t kMaxOnTheirWay = 16;

  void EncodeRecord(const Record& record, size_t bytes);
  Status SendBatch();
  Status TakeAnswer();
  Status Fail(const Error& error);

  StoreClient& client_;
  Json head_;
  std::string topic_;
  record::Compressor compressor_;  // batches go uncompressed; AppendBatch() wants one all the same
  std::vector<std::byte> records_;
  std::vector<std::byte> batch_;
  record::BatchHeader header_;
  size_t on_their_way_ = 0;
  uint64_t durable_records_ = 0;
  std::optional<Error> error_;
};

}  // namespace tidemark::tools
