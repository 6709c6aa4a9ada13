// "produce": appends the records of one batch and answers once they are durable.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "tools/request.h"

namespace tidemark::tools {
namespace {

// What of the request went to one partition.
struct Appended {
  int64_t first_offset = -1;
  int64_t last_offset = -1;
  int64_t records = 0;
};

class ProduceRequest : public Request {
 public:
  ProduceRequest(RequestContext& context, std::string body)
      : context_(context), body_(std::move(body)) {}

  // Checks everything that can be checked before the first record is appended.
  Status Prepare(const Json& head);
  std::optional<Message> Advance() override;
  bool lets_next_begin() const override { return all_appended_; }

 private:
  Status OpenBody();
  // True once no record is left; false: the engine is busy.
  Result<bool> AppendSome();
  Result<int64_t> AppendOne(const RecordView& view);
  bool AllDurable() const;
  Message Answer() const;
  Message Failure(const Error& error, bool durable) const;

  RequestContext& context_;
  Topic* topic_ = nullptr;
  Partition* partition_ = nullptr;  // nullptr: by each record's key
  Durability durability_ = Durability::durable;

  std::string body_;
  std::vector<std::byte> decompressed_;
  RecordRange::Iterator next_;
  std::vector<Header> headers_;
  std::map<int32_t, Appended> appended_;  // by partition
  int64_t appended_records_ = 0;
  bool all_appended_ = false;
  std::optional<Error> refused_;  // after the first so many, which get durable before it is told
};

Result<Durability> ParseDurability(const Json& head, const Topic& topic) {
  const auto text = OptionalText(head, "durability");
  if (!text.ok()) return text.error();
  if (!*text) return topic.config().durability;
  if (**text == "durable") return Durability::durable;
  if (**text == "buffered") return Durability::buffered;
  return Error(ErrorCode::invalid_argument, "durability must be durable or buffered");
}

Status ProduceRequest::Prepare(const Json& head) {
  Status fields = CheckFields(head, {"request", "topic", "partition", "durability", "bytes"});
  if (!fields.ok()) return fields;
  const auto topic = FindRequestedTopic(context_.engine, head);
  if (!topic.ok()) return topic.error();
  topic_ = *topic;
  const auto index = OptionalInteger(head, "partition");
  if (!index.ok()) return index.error();
  if (*index) {
    const auto partition = FindPartition(*topic_, **index);
    if (!partition.ok()) return partition.error();
    partition_ = *partition;
  }
  const auto durability = ParseDurability(head, *topic_);
  if (!durability.ok()) return durability.error();
  durability_ = *durability;
  return OpenBody();
}

Status ProduceRequest::OpenBody() {
  const auto batch = record::OpenBatch(base::AsBytes(body_), record::kMaxDecompressedBatchBytes,
                                       &context_.compressor, &decompressed_);
  if (!batch.ok()) return batch.error();
  const record::BatchHeader& header = batch->header;
  if (header.total_bytes() != body_.size()) {
    return Error(ErrorCode::invalid_argument, "produce: the body must be exactly one record batch");
  }
  if (header.control() || header.transactional()) {
    return Error(ErrorCode::unsupported, "produce: transactions are not supported");
  }
  next_ = RecordRange(batch->encoded()).begin();
  return {};
}

Result<int64_t> ProduceRequest::AppendOne(const RecordView& view) {
  headers_.clear();
  for (const Header& header : view.headers) headers_.push_back(header);
  Record record;
  record.key = view.key;
  record.value = view.value;
  record.timestamp_ms = view.timestamp_ms;
  record.headers = headers_;
  Partition* partition = partition_;
  if (partition == nullptr) {
    partition = view.key ? topic_->PartitionForKey(*view.key) : topic_->partition(0);
  }
  auto offset = partition->Append(record, durability_);
  if (!offset.ok()) return offset.error();
  Appended& to = appended_[partition->index()];
  if (to.records++ == 0) to.first_offset = *offset;
  to.last_offset = *offset;
  ++appended_records_;
  return offset;
}

Result<bool> ProduceRequest::AppendSome() {
  for (; next_ != RecordRange::Iterator(); ++next_) {
    const auto offset = AppendOne(*next_);
    if (offset.ok()) continue;
    if (offset.error().code() == ErrorCode::busy) return false;
    return offset.error();
  }
  // Only the answer is awaited now: no need to hold the records any longer.
  body_ = std::string();
  decompressed_ = std::vector<std::byte>();
  return true;
}

bool ProduceRequest::AllDurable() const {
  return std::all_of(appended_.begin(), appended_.end(), [this](const auto& entry) {
    return topic_->partition(entry.first)->durable_end_offset() > entry.second.last_offset;
  });
}

Message ProduceRequest::Answer() const {
  Message message;
  message.head["ok"] = true;
  Json& partitions = message.head["partitions"] = Json::array();
  for (const auto& [index, appended] : appended_) {
    Json entry;
    entry["partition"] = index;
    entry["first_offset"] = appended.first_offset;
    entry["last_offset"] = appended.last_offset;
    entry["records"] = appended.records;
    partitions.push_back(std::move(entry));
  }
  return message;
}

Message ProduceRequest::Failure(const Error& error, bool durable) const {
  Message message{ErrorResponse(error), {}};
  message.head["appended"] = appended_records_;
  message.head["durable"] = durable ? appended_records_ : 0;
  return message;
}

std::optional<Message> ProduceRequest::Advance() {
  // The pointers stay valid after a deletion, but what was appended is gone.
  if (context_.engine.FindTopic(topic_->name()) != topic_) {
    return Failure(Error(ErrorCode::unknown_topic, "the topic was deleted meanwhile"), false);
  }
  if (!all_appended_) {
    const auto done = AppendSome();
    if (!done.ok()) refused_ = done.error();
    if (done.ok() && !*done) return std::nullopt;
    all_appended_ = true;
  }
  if (AllDurable()) return refused_ ? Failure(*refused_, true) : Answer();
  const Status health = context_.engine.health();
  if (!health.ok()) return Failure(health.error(), false);
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Request>> MakeProduceRequest(RequestContext& context, Message message) {
  auto request = std::make_unique<ProduceRequest>(context, std::move(message.body));
  const Status prepared = request->Prepare(message.head);
  if (!prepared.ok()) return prepared.error();
  return std::unique_ptr<Request>(std::move(request));
}

}  // namespace tidemark::tools
