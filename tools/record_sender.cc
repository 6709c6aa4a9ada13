#include "tools/record_sender.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"

namespace tidemark::tools {
namespace {

constexpr size_t kMaxRecordBytes = kMaxRequestBodyBytes - record::kBatchHeaderBytes;

}  // namespace

RecordSender::RecordSender(StoreClient& client, SendTarget target)
    : client_(client), topic_(std::move(target.topic)) {
  head_["request"] = "produce";
  head_["topic"] = topic_;
  if (target.partition) head_["partition"] = *target.partition;
  if (target.durability) head_["durability"] = *target.durability;
}

Status RecordSender::Fail(const Error& error) {
  if (!error_) error_ = error;
  return *error_;
}

Status RecordSender::Add(const Record& record) {
  if (error_) return *error_;
  if (header_.record_count == 0) {
    header_.base_timestamp_ms = header_.max_timestamp_ms = record.timestamp_ms;
  }
  size_t bytes = record::EncodedRecordBytes(record, record.timestamp_ms - header_.base_timestamp_ms,
                                            header_.record_count);
  if (bytes > kMaxRecordBytes) {
    return Fail(Error(ErrorCode::record_too_large,
                      "a record of " + std::to_string(bytes) + " bytes: no more than " +
                          std::to_string(kMaxRecordBytes) + " can be sent"));
  }
  if (header_.record_count > 0 && records_.size() + bytes > kBatchBytes) {
    Status sent = SendBatch();
    if (!sent.ok()) return sent;
    return Add(record);  // the first of the next batch, whose base is another
  }
  EncodeRecord(record, bytes);
  return header_.record_count < kBatchRecords ? Status() : SendBatch();
}

void RecordSender::EncodeRecord(const Record& record, size_t bytes) {
  const size_t start = records_.size();
  records_.resize(start + bytes);
  (void)record::EncodeRecord(records_.data() + start, record,
                             record.timestamp_ms - header_.base_timestamp_ms, header_.record_count,
                             bytes);
  header_.max_timestamp_ms = std::max(header_.max_timestamp_ms, record.timestamp_ms);
  header_.last_offset_delta = header_.record_count++;
}

Status RecordSender::SendBatch() {
  if (header_.record_count == 0) return {};
  batch_.clear();
  const auto header =
      record::AppendBatch(header_, records_, record::Codec::none, 0, &compressor_, &batch_);
  records_.clear();
  header_ = record::BatchHeader();
  if (!header.ok()) return Fail(header.error());
  while (on_their_way_ >= kMaxOnTheirWay) {
    Status answered = TakeAnswer();
    if (!answered.ok()) return answered;
  }
  const Status sent = client_.Send(head_, base::AsText(batch_));
  if (!sent.ok()) return Fail(sent.error());
  ++on_their_way_;
  return {};
}

// One answer, good or bad; an error that ends the conversation leaves nothing on its way.
Status RecordSender::TakeAnswer() {
  const auto answer = client_.Receive(false);
  if (!answer.ok() || !*answer) {
    on_their_way_ = 0;
    return Fail(answer.ok() ? Error(ErrorCode::io_error, "no answer has come") : answer.error());
  }
  --on_their_way_;
  const Json& head = (*answer)->head;
  const Status ok = CheckResponse(head);
  if (!ok.ok()) {
    const auto durable = OptionalInteger(head, "durable");
    if (durable.ok()) durable_records_ += static_cast<uint64_t>(durable->value_or(0));
    return Fail(ok.error());
  }
  const auto partitions = head.find("partitions");
  if (partitions == head.end() || !partitions->is_array()) {
    return Fail(Error(ErrorCode::corrupt, "the answer to produce lacks its partitions"));
  }
  for (const Json& entry : *partitions) {
    const auto records = RequiredInteger(entry, "records");
    if (!records.ok()) return Fail(records.error());
    durable_records_ += static_cast<uint64_t>(*records);
  }
  return {};
}

Status RecordSender::Flush() {
  if (!error_) (void)SendBatch();  // its error is kept, and told below
  while (on_their_way_ > 0) (void)TakeAnswer();
  return error_ ? Status(*error_) : Status();
}

}  // namespace tidemark::tools
