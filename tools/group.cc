// tidemark group list|describe|reset|delete
#include <string>
#include <utility>
#include <vector>

#include "tools/commands.h"
#include "tools/output.h"
#include "tools/store_client.h"
#include "tools/table.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

using Action = GroupCommand::Action;

int List(StoreClient& client, const GroupCommand& command) {
  const auto answer = client.Ask(Json{{"request", "list_groups"}});
  if (!answer.ok()) return Fail(answer.error());
  const auto groups = answer->find("groups");
  if (groups == answer->end() || !groups->is_array()) return Fail(StrangeAnswer("no groups"));
  Output output;
  if (command.json) output.Write(JsonText(*groups) + "\n");
  for (const Json& group : *groups) {
    if (!command.json) output.Write(TextOf(group) + "\n");
  }
  return Finish(output, kExitDone);
}

// The group's cursors; an error when it has none.
Result<Json> Cursors(StoreClient& client, const GroupCommand& command) {
  auto answer = client.Ask(Json{{"request", "describe_group"}, {"group", command.name}});
  if (!answer.ok()) return answer.error();
  const auto cursors = answer->find("cursors");
  if (cursors == answer->end() || !cursors->is_array()) return StrangeAnswer("no cursors");
  if (!cursors->empty()) return std::move(*cursors);
  return Error(ErrorCode::invalid_argument, "there is no group '" + command.name + "'");
}

int Describe(StoreClient& client, const GroupCommand& command) {
  const auto cursors = Cursors(client, command);
  if (!cursors.ok()) return Fail(cursors.error());
  Output output;
  if (command.json) {
    output.Write(JsonText(Json{{"group", command.name}, {"cursors", *cursors}}) + "\n");
  } else {
    WriteTable(*cursors,
               {"topic", "partition", "offset", "log_start_offset", "durable_end_offset", "lag"},
               &output);
  }
  return Finish(output, kExitDone);
}

// The offset of the first record at or after a time, or the end.
Result<int64_t> FindTime(StoreClient& client, const std::string& topic, int64_t partition,
                         int64_t timestamp_ms) {
  Json request;
  request["request"] = "fetch";
  request["topic"] = topic;
  request["partitions"] =
      Json::array({Json{{"partition", partition}, {"timestamp", timestamp_ms}}});
  request["max_bytes"] = 1;
  const auto answer = client.Ask(std::move(request));
  if (!answer.ok()) return answer.error();
  const auto parts = answer->find("partitions");
  if (parts == answer->end() || !parts->is_array() || parts->size() != 1)
    return StrangeAnswer("no partition");
  if (parts->front().contains("error")) return ReadError(parts->front());
  return RequiredInteger(parts->front(), "offset");
}

Result<int64_t> OffsetFor(StoreClient& client, const GroupCommand& command,
                          const StartOffset& start, const Json& partition) {
  const auto index = RequiredInteger(partition, "partition");
  const auto log_start = RequiredInteger(partition, "log_start_offset");
  const auto end = RequiredInteger(partition, "durable_end_offset");
  if (!index.ok() || !log_start.ok() || !end.ok()) return StrangeAnswer("no offsets");
  switch (start.kind) {
    case StartOffset::Kind::beginning:
      return *log_start;
    case StartOffset::Kind::end:
      return *end;
    case StartOffset::Kind::absolute:
      return start.value;
    case StartOffset::Kind::from_end:
      return std::max(*log_start, *end - start.value);
    case StartOffset::Kind::timestamp:
      return FindTime(client, command.topic, *index, start.value);
  }
  return *log_start;
}

Result<Json> NewPositions(StoreClient& client, const GroupCommand& command) {
  const auto start = ParseStartOffset(command.offset);
  if (!start.ok()) return start.error();
  const auto topic = client.Ask(Json{{"request", "describe_topic"}, {"topic", command.topic}});
  if (!topic.ok()) return topic.error();
  const auto partitions = topic->find("partitions");
  if (partitions == topic->end() || !partitions->is_array()) return StrangeAnswer("no partitions");
  Json positions = Json::array();
  for (const Json& partition : *partitions) {
    const auto index = RequiredInteger(partition, "partition");
    if (!index.ok()) return index.error();
    if (command.partition && *command.partition != *index) continue;
    const auto offset = OffsetFor(client, command, *start, partition);
    if (!offset.ok()) return offset.error();
    positions.push_back(Json{{"topic", command.topic}, {"partition", *index}, {"offset", *offset}});
  }
  if (!positions.empty()) return positions;
  return Error(ErrorCode::unknown_topic, "topic '" + command.topic + "' has no partition " +
                                             std::to_string(command.partition.value_or(0)));
}

int Reset(StoreClient& client, const GroupCommand& command) {
  const auto positions = NewPositions(client, command);
  if (!positions.ok()) return Fail(positions.error());
  const auto answer = client.Ask(
      Json{{"request", "commit_cursors"}, {"group", command.name}, {"positions", *positions}});
  if (!answer.ok()) return Fail(answer.error());
  Output output;
  if (command.json) {
    output.Write(JsonText(Json{{"group", command.name}, {"cursors", *positions}}) + "\n");
  } else {
    WriteTable(*positions, {"topic", "partition", "offset"}, &output);
  }
  return Finish(output, kExitDone);
}

int Delete(StoreClient& client, const GroupCommand& command) {
  const auto cursors = Cursors(client, command);
  if (!cursors.ok()) return Fail(cursors.error());
  Json request{{"request", "delete_cursors"}, {"group", command.name}};
  if (!command.topic.empty()) request["topic"] = command.topic;
  const auto answer = client.Ask(std::move(request));
  if (!answer.ok()) return Fail(answer.error());
  Output output;
  if (command.json) output.Write(JsonText(Json{{"group", command.name}}) + "\n");
  return Finish(output, kExitDone);
}

int Act(StoreClient& client, const GroupCommand& command) {
  switch (command.action) {
    case Action::list:
      return List(client, command);
    case Action::describe:
      return Describe(client, command);
    case Action::reset:
      return Reset(client, command);
    case Action::remove:
      return Delete(client, command);
  }
  return kExitUsage;
}

}  // namespace

int RunGroup(const GroupCommand& command) {
  if (command.action == Action::reset) {
    const auto start = ParseStartOffset(command.offset);
    if (!start.ok()) {
      PrintError(start.error());
      return kExitUsage;
    }
  }
  return RunOnStore({command.data_dir, false, false},
                    [&](StoreClient& client) { return Act(client, command); });
}

}  // namespace tidemark::tools
