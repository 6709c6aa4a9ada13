#include "tools/consumer.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"

namespace tidemark::tools {

Status Consumer::Prepare(StoreClient& client) {
  const auto topic = client.Ask(Json{{"request", "describe_topic"}, {"topic", options_.topic}});
  if (!topic.ok()) return topic.error();
  const auto partitions = topic->find("partitions");
  if (partitions == topic->end() || !partitions->is_array()) return StrangeAnswer("no partitions");
  Status read = ReadCursors(client);
  if (!read.ok()) return read;
  positions_.clear();
  for (const Json& description : *partitions) {
    Status added = AddPosition(description, options_.start);
    if (!added.ok()) return added;
  }
  known_partitions_ = static_cast<int64_t>(partitions->size());
  if (!positions_.empty()) return {};
  return Error(ErrorCode::unknown_topic, "topic '" + options_.topic + "' has no partition " +
                                             std::to_string(options_.partition.value_or(0)));
}

// Partitions that were added to the topic while it was read: whatever they hold came later than
// what the caller began with.
Status Consumer::TakeNewPartitions(StoreClient& client, int64_t count) {
  if (!follows_all() || count <= known_partitions_) return {};
  const auto topic = client.Ask(Json{{"request", "describe_topic"}, {"topic", options_.topic}});
  if (!topic.ok()) return topic.error();
  const auto partitions = topic->find("partitions");
  if (partitions == topic->end() || !partitions->is_array()) return StrangeAnswer("no partitions");
  const bool by_time = options_.start.kind == StartOffset::Kind::timestamp;
  const StartOffset start = by_time ? options_.start : StartOffset();
  const int64_t known = std::exchange(known_partitions_, static_cast<int64_t>(partitions->size()));
  for (const Json& description : *partitions) {
    const auto partition = RequiredInteger(description, "partition");
    if (!partition.ok()) return StrangeAnswer("no offsets");
    if (*partition < known) continue;
    Status added = AddPosition(description, start);
    if (!added.ok()) return added;
  }
  return {};
}

Status Consumer::ReadCursors(StoreClient& client) {
  cursors_.clear();
  if (options_.group.empty()) return {};
  const auto group = client.Ask(Json{{"request", "describe_group"}, {"group", options_.group}});
  if (!group.ok()) return group.error();
  const auto cursors = group->find("cursors");
  if (cursors == group->end() || !cursors->is_array()) return StrangeAnswer("no cursors");
  for (const Json& cursor : *cursors) {
    const auto topic = RequiredText(cursor, "topic");
    const auto partition = RequiredInteger(cursor, "partition");
    const auto offset = RequiredInteger(cursor, "offset");
    if (!topic.ok() || !partition.ok() || !offset.ok()) return StrangeAnswer("no offset");
    if (*topic == options_.topic) cursors_[static_cast<int32_t>(*partition)] = *offset;
  }
  return {};
}

std::map<int32_t, int64_t> Consumer::positions() const {
  std::map<int32_t, int64_t> positions;
  for (const Position& position : positions_) {
    if (!position.timestamp_ms) {
      positions[position.partition] = std::min(position.offset, position.end);
    }
  }
  return positions;
}

Status Consumer::AddPosition(const Json& description, const StartOffset& start) {
  const auto partition = RequiredInteger(description, "partition");
  const auto log_start = RequiredInteger(description, "log_start_offset");
  const auto durable_end = RequiredInteger(description, "durable_end_offset");
  if (!partition.ok() || !log_start.ok() || !durable_end.ok()) return StrangeAnswer("no offsets");
  if (options_.partition && *options_.partition != *partition) return {};

  Position position;
  position.partition = static_cast<int32_t>(*partition);
  switch (start.kind) {
    case StartOffset::Kind::beginning:
      position.offset = *log_start;
      position.from_beginning = *log_start < *durable_end;
      break;
    case StartOffset::Kind::end:
      position.offset = *durable_end;
      break;
    case StartOffset::Kind::absolute:
      position.offset = start.value;
      break;
    case StartOffset::Kind::from_end:
      position.offset = std::max(*log_start, *durable_end - start.value);
      break;
    case StartOffset::Kind::timestamp:
      position.timestamp_ms = start.value;
      break;
  }
  if (const auto cursor = cursors_.find(position.partition); cursor != cursors_.end()) {
    position.offset = cursor->second;
    position.timestamp_ms.reset();
    position.from_beginning = false;
  }
  // The end as it is now: one that others keep moving on might never be reached.
  if (options_.exit_at_end) position.end = *durable_end;
  Status found;
  if (position.offset < *log_start || position.offset > *durable_end) {
    found = Reset(&position, *log_start, *durable_end);
  }
  positions_.push_back(position);
  return found;
}

// The offset is not one that the partition has: on to one that it has, or an error.
Status Consumer::Reset(Position* position, int64_t log_start, int64_t durable_end) const {
  if (position->timestamp_ms) return {};
  if (options_.reset == ConsumerOptions::Reset::error && !position->from_beginning) {
    return Error(ErrorCode::offset_out_of_range,
                 options_.topic + "-" + std::to_string(position->partition) + " has no offset " +
                     std::to_string(position->offset) + ", only " + std::to_string(log_start) +
                     " to " + std::to_string(durable_end));
  }
  const bool latest = options_.reset == ConsumerOptions::Reset::latest && !position->from_beginning;
  position->offset = latest ? durable_end : log_start;
  return {};
}

bool Consumer::all_done() const {
  return std::all_of(positions_.begin(), positions_.end(),
                     [](const Position& position) { return position.done(); });
}

Json Consumer::MakeRequest(bool wait) const {
  Json request;
  request["request"] = "fetch";
  request["topic"] = options_.topic;
  Json& partitions = request["partitions"] = Json::array();
  for (const Position& position : positions_) {
    if (position.done()) continue;
    Json entry;
    entry["partition"] = position.partition;
    if (position.timestamp_ms) {
      entry["timestamp"] = *position.timestamp_ms;
    } else {
      entry["offset"] = position.offset;
    }
    partitions.push_back(std::move(entry));
  }
  if (wait) request["wait"] = true;
  if (follows_all()) request["known_partitions"] = known_partitions_;
  return request;
}

Result<Consumer::Outcome> Consumer::Step(StoreClient& client, bool wait, int patience_ms) {
  if (enough_ || all_done()) return Outcome::done;
  if (!asked_) {
    const Status sent = client.Send(MakeRequest(wait), {});
    if (!sent.ok()) return sent.error();
  }
  asked_ = patience_ms >= 0 && !client.WaitForAnswer(patience_ms);
  if (asked_) return Outcome::waiting;
  const auto answer = client.Receive(true);
  if (!answer.ok()) return answer.error();
  if (!*answer) return Outcome::gave_up;
  const Status ok = CheckResponse((*answer)->head);
  if (!ok.ok()) return ok.error();
  const auto parts = (*answer)->head.find("partitions");
  if (parts == (*answer)->head.end() || !parts->is_array()) return StrangeAnswer("no partitions");
  const auto count = OptionalInteger((*answer)->head, "partition_count");
  if (!count.ok()) return StrangeAnswer("partition_count");
  const int64_t known_before = known_partitions_;
  const Status grown = TakeNewPartitions(client, count->value_or(0));
  if (!grown.ok()) return grown.error();
  if (parts->empty()) {
    return known_partitions_ == known_before ? Outcome::at_end : Outcome::progress;
  }
  const Status taken = TakeAnswer(**answer);
  if (!taken.ok()) return taken.error();
  return enough_ || all_done() ? Outcome::done : Outcome::progress;
}

Status Consumer::TakeAnswer(const Message& answer) {
  std::string_view left = answer.body;
  for (const Json& part : answer.head["partitions"]) {
    const auto bytes = RequiredInteger(part, "batch_bytes");
    if (!bytes.ok() || *bytes < 0 || static_cast<uint64_t>(*bytes) > left.size()) {
      return StrangeAnswer("batch_bytes");
    }
    Status taken = TakePart(part, left.substr(0, static_cast<size_t>(*bytes)));
    if (!taken.ok() || enough_) return taken;
    left.remove_prefix(static_cast<size_t>(*bytes));
  }
  // Who was served comes last the next time.
  std::rotate(positions_.begin(), positions_.begin() + 1, positions_.end());
  return {};
}

Status Consumer::TakePart(const Json& part, std::string_view batches) {
  const auto partition = RequiredInteger(part, "partition");
  const auto offset = RequiredInteger(part, "offset");
  const auto next_offset = RequiredInteger(part, "next_offset");
  if (!partition.ok() || !offset.ok() || !next_offset.ok()) return StrangeAnswer("no offsets");
  const auto position = std::find_if(positions_.begin(), positions_.end(),
                                     [&](const Position& p) { return p.partition == *partition; });
  if (position == positions_.end()) return StrangeAnswer("an unknown partition");
  if (part.contains("error")) return TakeError(*position, part);
  position->offset = *offset;
  position->timestamp_ms.reset();
  position->from_beginning = false;
  // Those below the records were met by the search for them; who has enough records has not come to
  // the others.
  TakeLostRanges(*position, part, INT64_MIN, *offset);
  Status taken = TakeBatches(*position, *next_offset, batches);
  if (!taken.ok() || enough_) return taken;
  TakeLostRanges(*position, part, *offset, INT64_MAX);
  position->offset = *next_offset;
  return {};
}

Status Consumer::TakeBatches(Position& position, int64_t next_offset, std::string_view batches) {
  while (!batches.empty()) {
    const auto batch = record::OpenBatch(base::AsBytes(batches), record::kMaxDecompressedBatchBytes,
                                         &compressor_, &decompressed_);
    if (!batch.ok()) return batch.error();
    batches.remove_prefix(static_cast<size_t>(batch->header.total_bytes()));
    if (batch->header.control()) continue;  // of transactions: not for consumers
    RecordRange::Encoded encoded = batch->encoded();
    encoded.first_offset = position.offset;
    encoded.end_offset = std::min(next_offset, position.end);
    for (const RecordView& record : RecordRange(encoded)) {
      enough_ = !sink_(position.partition, record);
      position.offset = record.offset + 1;
      if (enough_) return {};
    }
  }
  return {};
}

// The ranges that begin at or above `least` and below `limit`.
void Consumer::TakeLostRanges(const Position& position, const Json& part, int64_t least,
                              int64_t limit) {
  const auto lost = part.find("lost");
  if (lost == part.end() || !lost->is_array()) return;
  for (const Json& range : *lost) {
    const auto first = RequiredInteger(range, "first_offset");
    const auto end = RequiredInteger(range, "end_offset");
    const auto cause = OptionalText(range, "cause");
    if (!first.ok() || !end.ok() || !cause.ok() || *first < least || *first >= limit) continue;
    lost_.push_back(options_.topic + "-" + std::to_string(position.partition) + ": offsets " +
                    std::to_string(*first) + " to " + std::to_string(*end - 1) +
                    " are lost: " + cause->value_or("damaged"));
  }
}

Status Consumer::TakeError(Position& position, const Json& part) {
  const Error error = ReadError(part);
  const auto log_start = RequiredInteger(part, "log_start_offset");
  const auto durable_end = RequiredInteger(part, "durable_end_offset");
  if (error.code() != ErrorCode::offset_out_of_range || !log_start.ok() || !durable_end.ok()) {
    return error;
  }
  return Reset(&position, *log_start, *durable_end);
}

}  // namespace tidemark::tools
