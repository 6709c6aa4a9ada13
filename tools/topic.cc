// tidemark topic create|list|describe|alter|delete
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

using Action = TopicCommand::Action;

void WriteDescription(const Json& topic, Output* output) {
  output->Write("topic       " + TextOf(topic.value("topic", Json())) + "\n");
  output->Write("id          " + TextOf(topic.value("id", Json())) + "\n");
  const auto settings = topic.find("config");
  if (settings != topic.end()) {
    const char* label = "settings    ";
    for (const auto& [key, value] : settings->items()) {
      output->Write(label + key + "=" + TextOf(value) + "\n");
      label = "            ";
    }
  }
  const auto partitions = topic.find("partitions");
  if (partitions != topic.end()) {
    WriteTable(*partitions, {"partition", "log_start_offset", "durable_end_offset", "end_offset"},
               output);
  }
}

Result<Json> BuildRequest(const TopicCommand& command, const char* name) {
  Json request;
  request["request"] = name;
  request["topic"] = command.name;
  if (command.partitions) request["partitions"] = *command.partitions;
  for (const std::string& text : command.settings) {
    const auto setting = ParseSetting(text);
    if (!setting.ok()) return setting.error();
    request["config"][setting->key] = NormalizeSettingValue(setting->key, setting->value);
  }
  return request;
}

// Does one thing to one topic; with --json what the answer says is printed.
int ChangeTopic(StoreClient& client, const TopicCommand& command, const char* name) {
  auto request = BuildRequest(command, name);
  if (!request.ok()) return Fail(request.error());
  auto answer = client.Ask(std::move(*request));
  if (!answer.ok()) return Fail(answer.error());
  Output output;
  if (command.json) {
    answer->erase("ok");
    (*answer)["topic"] = command.name;
    output.Write(JsonText(*answer) + "\n");
  }
  return Finish(output, kExitDone);
}

Result<Json> ListTopics(StoreClient& client, bool exclude_internal) {
  auto answer = client.Ask(Json{{"request", "list_topics"}});
  if (!answer.ok()) return answer.error();
  const auto topics = answer->find("topics");
  if (topics == answer->end() || !topics->is_array()) {
    return Error(ErrorCode::corrupt, "the answer to list_topics lacks its topics");
  }
  if (exclude_internal) {
    Json others = Json::array();
    for (Json& topic : *topics) {
      if (!topic.value("internal", false)) others.push_back(std::move(topic));
    }
    return others;
  }
  return std::move(*topics);
}

int List(StoreClient& client, const TopicCommand& command) {
  const auto topics = ListTopics(client, command.exclude_internal);
  if (!topics.ok()) return Fail(topics.error());
  Output output;
  if (command.json) {
    output.Write(JsonText(*topics) + "\n");
  } else {
    WriteTable(*topics, {"topic", "partitions", "records", "id"}, &output);
  }
  return Finish(output, kExitDone);
}

int Describe(StoreClient& client, const TopicCommand& command) {
  std::vector<std::string> names = {command.name};
  if (command.name.empty()) {
    const auto topics = ListTopics(client, command.exclude_internal);
    if (!topics.ok()) return Fail(topics.error());
    names.clear();
    for (const Json& topic : *topics) names.push_back(TextOf(topic.value("topic", Json())));
  }
  Output output;
  Json all = Json::array();
  for (const std::string& name : names) {
    auto topic = client.Ask(Json{{"request", "describe_topic"}, {"topic", name}});
    if (!topic.ok()) return Fail(topic.error());
    topic->erase("ok");
    if (!command.json) {
      if (!all.empty()) output.Write("\n");
      WriteDescription(*topic, &output);
    }
    all.push_back(std::move(*topic));
  }
  if (command.json) output.Write(JsonText(command.name.empty() ? all : all.front()) + "\n");
  return Finish(output, kExitDone);
}

int Act(StoreClient& client, const TopicCommand& command) {
  switch (command.action) {
    case Action::create:
      return ChangeTopic(client, command, "create_topic");
    case Action::alter:
      return ChangeTopic(client, command, "alter_topic");
    case Action::remove:
      return ChangeTopic(client, command, "delete_topic");
    case Action::list:
      return List(client, command);
    case Action::describe:
      return Describe(client, command);
  }
  return kExitUsage;
}

}  // namespace

int RunTopic(const TopicCommand& command) {
  for (const std::string& text : command.settings) {
    const auto setting = ParseSetting(text);
    if (!setting.ok()) {
      PrintError("--config: " + setting.error().message());
      return kExitUsage;
    }
  }
  StoreOptions options;
  options.data_dir = command.data_dir;
  options.create_if_missing = command.action == Action::create;
  return RunOnStore(options, [&](StoreClient& client) { return Act(client, command); });
}

}  // namespace tidemark::tools
