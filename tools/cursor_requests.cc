// Requests on the cursors of groups.
#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/request.h"

namespace tidemark::tools {
namespace {

// Begun as soon as the engine is not busy, answered once what it did is durable.
class CursorRequest : public Request {
 public:
  // Fills in the answer.
  using Call = std::function<Result<CursorTicket>(Engine& engine, Json* answer)>;
  CursorRequest(Engine& engine, Call call) : engine_(engine), call_(std::move(call)) {}

  std::optional<Message> Advance() override {
    if (!ticket_) {
      answer_ = Json{{"ok", true}};
      const auto ticket = call_(engine_, &answer_);
      if (!ticket.ok() && ticket.error().code() == ErrorCode::busy) return std::nullopt;
      if (!ticket.ok()) return Message{ErrorResponse(ticket.error()), {}};
      ticket_ = *ticket;
    }
    if (ticket_->durable()) return Message{std::move(answer_), {}};
    const Status health = engine_.health();
    if (!health.ok()) return Message{ErrorResponse(health.error()), {}};
    return std::nullopt;
  }

 private:
  Engine& engine_;
  Call call_;
  Json answer_;
  std::optional<CursorTicket> ticket_;
};

Result<CursorPosition> ReadPosition(const Json& entry) {
  if (!entry.is_object()) {
    return Error(ErrorCode::invalid_argument, "the field 'positions' must hold objects");
  }
  const Status fields =
      CheckFields(entry, {"topic", "partition", "offset", "leader_epoch", "metadata"});
  if (!fields.ok()) return fields.error();
  auto topic = RequiredText(entry, "topic");
  if (!topic.ok()) return topic.error();
  const auto partition = RequiredInteger(entry, "partition");
  if (!partition.ok()) return partition.error();
  const auto offset = RequiredInteger(entry, "offset");
  if (!offset.ok()) return offset.error();
  const auto leader_epoch = OptionalInteger(entry, "leader_epoch");
  if (!leader_epoch.ok()) return leader_epoch.error();
  const auto metadata = OptionalText(entry, "metadata");
  if (!metadata.ok()) return metadata.error();
  const int64_t epoch = leader_epoch->value_or(-1);
  if (*partition < 0 || *partition > INT32_MAX || epoch < -1 || epoch > INT32_MAX) {
    return Error(ErrorCode::invalid_argument, "a partition or a leader epoch is out of range");
  }
  CursorPosition position;
  position.topic = *std::move(topic);
  position.partition = static_cast<int32_t>(*partition);
  position.offset = *offset;
  position.leader_epoch = static_cast<int32_t>(epoch);
  position.metadata = metadata->value_or("");
  return position;
}

Result<CursorRequest::Call> MakeCommit(const Json& head) {
  const Status fields = CheckFields(head, {"request", "group", "positions"});
  if (!fields.ok()) return fields.error();
  const auto group = RequiredText(head, "group");
  if (!group.ok()) return group.error();
  const auto entries = head.find("positions");
  if (entries == head.end() || !entries->is_array()) {
    return Error(ErrorCode::invalid_argument, "the field 'positions' must be an array");
  }
  std::vector<CursorPosition> positions;
  for (const Json& entry : *entries) {
    auto position = ReadPosition(entry);
    if (!position.ok()) return position.error();
    positions.push_back(*std::move(position));
  }
  return CursorRequest::Call([group = *group, positions](Engine& engine, Json* /*answer*/) {
    return engine.CommitCursors(group, positions);
  });
}

Json DescribeCursor(const Engine& engine, const Cursor& cursor) {
  Json entry;
  entry["topic"] = cursor.topic;
  entry["partition"] = cursor.partition;
  entry["offset"] = cursor.offset;
  entry["leader_epoch"] = cursor.leader_epoch;
  entry["metadata"] = cursor.metadata;
  entry["commit_timestamp"] = cursor.commit_timestamp_ms;
  const Topic* topic = engine.FindTopic(cursor.topic);
  const Partition* partition = topic == nullptr ? nullptr : topic->partition(cursor.partition);
  if (partition == nullptr) return entry;
  const int64_t end = partition->durable_end_offset();
  entry["log_start_offset"] = partition->log_start_offset();
  entry["durable_end_offset"] = end;
  entry["lag"] = std::max<int64_t>(0, end - cursor.offset);
  return entry;
}

Result<CursorRequest::Call> MakeDescribe(const Json& head) {
  const Status fields = CheckFields(head, {"request", "group"});
  if (!fields.ok()) return fields.error();
  const auto group = RequiredText(head, "group");
  if (!group.ok()) return group.error();
  return CursorRequest::Call(
      [group = *group](Engine& engine, Json* answer) -> Result<CursorTicket> {
        const auto cursors = engine.Cursors(group);
        if (!cursors.ok()) return cursors.error();
        (*answer)["group"] = group;
        Json& entries = (*answer)["cursors"] = Json::array();
        for (const Cursor& cursor : *cursors) entries.push_back(DescribeCursor(engine, cursor));
        return CursorTicket{};
      });
}

Result<CursorRequest::Call> MakeList(const Json& head) {
  const Status fields = CheckFields(head, {"request"});
  if (!fields.ok()) return fields.error();
  return CursorRequest::Call([](Engine& engine, Json* answer) -> Result<CursorTicket> {
    const auto groups = engine.CursorGroups();
    if (!groups.ok()) return groups.error();
    (*answer)["groups"] = *groups;
    return CursorTicket{};
  });
}

Result<CursorRequest::Call> MakeDelete(const Json& head) {
  const Status fields = CheckFields(head, {"request", "group", "topic"});
  if (!fields.ok()) return fields.error();
  const auto group = RequiredText(head, "group");
  if (!group.ok()) return group.error();
  const auto topic = OptionalText(head, "topic");
  if (!topic.ok()) return topic.error();
  return CursorRequest::Call([group = *group, topic = *topic](Engine& engine, Json* /*answer*/) {
    return engine.DeleteCursors(group, topic);
  });
}

}  // namespace

Result<std::unique_ptr<Request>> MakeCursorRequest(Engine& engine, const std::string& name,
                                                   const Json& head) {
  Result<CursorRequest::Call> call{CursorRequest::Call()};
  if (name == "commit_cursors") {
    call = MakeCommit(head);
  } else if (name == "describe_group") {
    call = MakeDescribe(head);
  } else if (name == "list_groups") {
    call = MakeList(head);
  } else if (name == "delete_cursors") {
    call = MakeDelete(head);
  } else {
    return std::unique_ptr<Request>();
  }
  if (!call.ok()) return call.error();
  return std::unique_ptr<Request>(std::make_unique<CursorRequest>(engine, *std::move(call)));
}

}  // namespace tidemark::tools
