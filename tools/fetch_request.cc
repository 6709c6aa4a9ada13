// "fetch": reads batches from some partitions of a topic; waits for records when told to.
#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tools/request.h"

namespace tidemark::tools {
namespace {

// One partition of the fetch.
struct Part {
  Partition* partition = nullptr;
  std::optional<int64_t> timestamp_ms;  // still to be searched for
  bool searching = false;               // the reader is at it
  int64_t offset = 0;                   // records below it do not count
  int64_t position = 0;                 // where reading goes on
  std::string batches;
  std::vector<LostRange> lost;
  std::optional<Error> error;
  bool has_news = false;  // something that the client must hear
  bool ended = false;     // nothing more is to be read for this response
};

class FetchRequest : public Request {
 public:
  explicit FetchRequest(RequestContext& context) : context_(context) {}

  Status Prepare(const Json& head);
  std::optional<Message> Advance() override;
  bool waits_for_records() const override { return waiting_; }
  void Stir(std::span<Partition* const> moved) override;

 private:
  enum class Step { progress, at_end, pending, ended };

  Status AddPart(const Json& entry);
  Step ReadSome(Part& part);
  Step TakeBatch(Part& part, const Reader& reader);
  static void TakeLost(Part& part, Reader& reader);
  Step TakeFailure(Part& part, Reader* reader, const Error& error);
  Result<Reader*> ReaderAt(Part& part);
  void ForgetOtherReaders();
  Message Answer();

  RequestContext& context_;
  Topic* topic_ = nullptr;
  uint64_t max_bytes_ = kDefaultFetchBytes;
  bool wait_ = false;
  int32_t known_partitions_ = INT32_MAX;  // more than these are news to the client
  std::vector<Part> parts_;
  std::unordered_set<const Partition*> wanted_;
  uint64_t bytes_ = 0;
  bool waiting_ = false;
  bool stirred_ = false;
};

Status FetchRequest::Prepare(const Json& head) {
  Status fields = CheckFields(
      head, {"request", "topic", "partitions", "known_partitions", "max_bytes", "wait"});
  if (!fields.ok()) return fields;
  const auto topic = FindRequestedTopic(context_.engine, head);
  if (!topic.ok()) return topic.error();
  topic_ = *topic;
  const auto max_bytes = OptionalInteger(head, "max_bytes");
  if (!max_bytes.ok()) return max_bytes.error();
  if (*max_bytes) {
    const int64_t least = 1;  // one batch is sent whatever its size
    max_bytes_ = std::min(kMaxFetchBytes, static_cast<uint64_t>(std::max(least, **max_bytes)));
  }
  const auto wait = OptionalBool(head, "wait");
  if (!wait.ok()) return wait.error();
  wait_ = wait->value_or(false);
  const auto known = OptionalInteger(head, "known_partitions");
  if (!known.ok()) return known.error();
  if (*known) known_partitions_ = static_cast<int32_t>(std::clamp<int64_t>(**known, 0, INT32_MAX));
  const auto partitions = head.find("partitions");
  if (partitions == head.end() || !partitions->is_array() || partitions->empty()) {
    return Error(ErrorCode::invalid_argument, "the field 'partitions' must be an array, not empty");
  }
  for (const Json& entry : *partitions) {
    Status added = AddPart(entry);
    if (!added.ok()) return added;
  }
  ForgetOtherReaders();
  return {};
}

Status FetchRequest::AddPart(const Json& entry) {
  if (!entry.is_object()) {
    return Error(ErrorCode::invalid_argument, "the field 'partitions' must hold objects");
  }
  Status fields = CheckFields(entry, {"partition", "offset", "timestamp"});
  if (!fields.ok()) return fields;
  const auto index = RequiredInteger(entry, "partition");
  if (!index.ok()) return index.error();
  const auto partition = FindPartition(*topic_, *index);
  if (!partition.ok()) return partition.error();
  const auto offset = OptionalInteger(entry, "offset");
  if (!offset.ok()) return offset.error();
  const auto timestamp = OptionalInteger(entry, "timestamp");
  if (!timestamp.ok()) return timestamp.error();
  if (offset->has_value() == timestamp->has_value()) {
    return Error(ErrorCode::invalid_argument, "a partition needs either 'offset' or 'timestamp'");
  }
  if (!wanted_.insert(*partition).second) {
    return Error(ErrorCode::invalid_argument,
                 "partition " + std::to_string(*index) + " is named twice");
  }
  Part part;
  part.partition = *partition;
  part.timestamp_ms = *timestamp;
  part.offset = part.position = offset->value_or((*partition)->log_start_offset());
  parts_.push_back(std::move(part));
  return {};
}

// What readers pin counts against the engine's memory: only those that are in use are kept.
void FetchRequest::ForgetOtherReaders() {
  std::erase_if(context_.readers,
                [this](const auto& entry) { return !wanted_.contains(entry.first); });
}

void FetchRequest::Stir(std::span<Partition* const> moved) {
  stirred_ =
      stirred_ || std::any_of(moved.begin(), moved.end(), [this](const Partition* partition) {
        return wanted_.contains(partition);
      });
}

// The partition's reader at the part's position, or in its search for the timestamp.
Result<Reader*> FetchRequest::ReaderAt(Part& part) {
  auto& reader = context_.readers[part.partition];
  if (part.searching) return reader.get();
  if (reader == nullptr) {
    auto opened = context_.engine.OpenReader(*part.partition, part.position);
    if (!opened.ok()) return opened.error();
    reader = std::move(*opened);
  } else if (reader->position() != part.position) {
    const Status moved = reader->Seek(part.position);
    if (!moved.ok()) return moved.error();
  }
  if (part.timestamp_ms) {
    const Status moved = reader->SeekToTimestamp(*part.timestamp_ms);
    if (!moved.ok()) return moved.error();
    part.timestamp_ms.reset();
    part.searching = true;
  }
  return reader.get();
}

FetchRequest::Step FetchRequest::TakeBatch(Part& part, const Reader& reader) {
  const Batch& batch = reader.batch();
  const auto first = batch.records.begin();
  if (first != batch.records.end()) {
    if (part.batches.empty()) part.offset = first->offset;
    part.batches += batch.encoded;
    bytes_ += batch.encoded.size();
  }
  part.position = batch.next_offset;
  part.has_news = true;
  return Step::progress;
}

void FetchRequest::TakeLost(Part& part, Reader& reader) {
  for (LostRange& range : reader.TakeLost()) {
    part.has_news = true;
    part.lost.push_back(std::move(range));
  }
}

// What is lost is told and skipped, and a search goes on behind it; anything else ends this
// partition's part with the error.
FetchRequest::Step FetchRequest::TakeFailure(Part& part, Reader* reader, const Error& error) {
  part.has_news = true;
  const bool told = reader != nullptr && error.code() == ErrorCode::corrupt && !part.lost.empty();
  if (told && part.searching) return Step::progress;
  part.searching = false;
  part.ended = true;
  if (told) part.position = std::max(part.position, reader->position());
  if (!told) {
    part.error = error;
    context_.readers.erase(part.partition);
  }
  return Step::ended;
}

FetchRequest::Step FetchRequest::ReadSome(Part& part) {
  const bool by_offset = !part.timestamp_ms && !part.searching;
  if (by_offset && part.position == part.partition->durable_end_offset()) return Step::at_end;
  const auto reader = ReaderAt(part);
  if (!reader.ok()) return TakeFailure(part, nullptr, reader.error());
  const auto state = (*reader)->Next();
  TakeLost(part, **reader);
  if (state.ok() && *state == ReadState::pending) {
    // It may have moved over a hole already.
    if (!part.searching) part.position = (*reader)->position();
    return Step::pending;
  }
  if (!state.ok()) return TakeFailure(part, *reader, state.error());
  const bool found = std::exchange(part.searching, false);
  if (*state == ReadState::batch) return TakeBatch(part, **reader);
  part.position = (*reader)->position();
  if (part.batches.empty()) part.offset = part.position;
  part.has_news = part.has_news || found;
  return Step::at_end;
}

Message FetchRequest::Answer() {
  Message message;
  message.head["ok"] = true;
  message.head["partition_count"] = topic_->partition_count();
  Json& partitions = message.head["partitions"] = Json::array();
  for (Part& part : parts_) {
    if (!part.has_news) continue;
    Json entry;
    entry["partition"] = part.partition->index();
    entry["offset"] = part.offset;
    entry["next_offset"] = part.position;
    entry["batch_bytes"] = part.batches.size();
    entry["log_start_offset"] = part.partition->log_start_offset();
    entry["durable_end_offset"] = part.partition->durable_end_offset();
    for (const LostRange& range : part.lost) {
      Json lost;
      lost["first_offset"] = range.first_offset;
      lost["end_offset"] = range.end_offset;
      lost["cause"] = range.cause;
      entry["lost"].push_back(std::move(lost));
    }
    if (part.error) AddError(*part.error, &entry);
    message.body += part.batches;
    part.batches = std::string();
    partitions.push_back(std::move(entry));
  }
  return message;
}

std::optional<Message> FetchRequest::Advance() {
  // The pointers stay valid after a deletion, but there is nothing left to wait for.
  if (context_.engine.FindTopic(topic_->name()) != topic_) {
    context_.readers.clear();
    return Message{ErrorResponse(Error(ErrorCode::unknown_topic, "the topic was deleted")), {}};
  }
  const bool has_grown = topic_->partition_count() > known_partitions_;
  if (waiting_ && !stirred_ && !has_grown) return std::nullopt;
  waiting_ = stirred_ = false;
  bool pending = false;
  bool has_news = false;
  for (Part& part : parts_) {
    Step step = Step::progress;
    while (step == Step::progress && !part.ended && bytes_ < max_bytes_) step = ReadSome(part);
    // An answer would end a search, and the client's next request would begin it anew.
    if (part.searching) return std::nullopt;
    pending = pending || step == Step::pending;
    has_news = has_news || part.has_news;
  }
  if (has_news) return Answer();
  if (pending) return std::nullopt;
  if (!wait_ || has_grown) return Answer();
  waiting_ = true;
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Request>> MakeFetchRequest(RequestContext& context, const Json& head) {
  auto request = std::make_unique<FetchRequest>(context);
  const Status prepared = request->Prepare(head);
  if (!prepared.ok()) return prepared.error();
  return std::unique_ptr<Request>(std::move(request));
}

}  // namespace tidemark::tools
