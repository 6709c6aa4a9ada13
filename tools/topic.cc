// tidemark topic create|list|describe|alter|delete
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tools/commands.h"
#include "tools/output.h"
#include "tools/store_client.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

using Action = TopicCommand::Action;

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get_ref<const std::string&>() : value.dump();
}

// The named fields of `rows` in columns; numbers to the right.
void WriteTable(const Json& rows, const std::vector<std::string>& fields, Output* output) {
  std::vector<size_t> widths;
  for (const std::string& field : fields) {
    size_t width = field.size();
    for (const Json& row : rows) width = std::max(width, TextOf(row.value(field, Json())).size());
    widths.push_back(width);
  }
  const auto write_cell = [&](size_t column, const std::string& text, bool to_the_right) {
    const std::string padding(widths[column] - text.size(), ' ');
    const bool last = column + 1 == fields.size();
    output->Write(to_the_right ? padding + text : text + (last ? "" : padding));
    output->Write(last ? "\n" : "  ");
  };
  const auto is_number = [&](const std::string& field) {
    return !rows.empty() && rows.front().value(field, Json()).is_number();
  };
  for (size_t i = 0; i < fields.size(); ++i) {
    std::string title = fields[i];
    std::transform(title.begin(), title.end(), title.begin(), [](char c) {
      return c == '_' ? ' ' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    });
    write_cell(i, title, is_number(fields[i]));
  }
  for (const Json& row : rows) {
    for (size_t i = 0; i < fields.size(); ++i) {
      write_cell(i, TextOf(row.value(fields[i], Json())), is_number(fields[i]));
    }
  }
}

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
    output.Write(answer->dump() + "\n");
  }
  return Finish(output, kExitDone);
}

Result<Json> ListTopics(StoreClient& client) {
  auto answer = client.Ask(Json{{"request", "list_topics"}});
  if (!answer.ok()) return answer.error();
  const auto topics = answer->find("topics");
  if (topics == answer->end() || !topics->is_array()) {
    return Error(ErrorCode::corrupt, "the answer to list_topics lacks its topics");
  }
  return std::move(*topics);
}

int List(StoreClient& client, const TopicCommand& command) {
  const auto topics = ListTopics(client);
  if (!topics.ok()) return Fail(topics.error());
  Output output;
  if (command.json) {
    output.Write(topics->dump() + "\n");
  } else {
    WriteTable(*topics, {"topic", "partitions", "records", "id"}, &output);
  }
  return Finish(output, kExitDone);
}

int Describe(StoreClient& client, const TopicCommand& command) {
  std::vector<std::string> names = {command.name};
  if (command.name.empty()) {
    const auto topics = ListTopics(client);
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
  if (command.json) output.Write((command.name.empty() ? all : all.front()).dump() + "\n");
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
  const auto client = StoreClient::Open(options);
  if (!client.ok()) return Fail(client.error());
  const int code = Act(**client, command);
  const Status closed = (*client)->Close();
  if (!closed.ok() && code == kExitDone) return Fail(closed.error());
  return code;
}

}  // namespace tidemark::tools
