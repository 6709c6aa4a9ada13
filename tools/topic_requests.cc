#include <optional>
#include <string>
#include <utility>

#include "tools/request.h"

namespace tidemark::tools {
namespace {

Json DescribeSettings(const TopicConfig& config) {
  Json settings = Json::object();
  for (auto& [key, value] : config.ToPairs()) settings[key] = value;
  return settings;
}

Json DescribePartitions(const Topic& topic) {
  Json partitions = Json::array();
  for (int32_t index = 0; index < topic.partition_count(); ++index) {
    const Partition* partition = topic.partition(index);
    if (partition == nullptr) continue;
    Json entry;
    entry["partition"] = index;
    entry["log_start_offset"] = partition->log_start_offset();
    entry["durable_end_offset"] = partition->durable_end_offset();
    entry["end_offset"] = partition->end_offset();
    partitions.push_back(std::move(entry));
  }
  return partitions;
}

Json ListTopics(Engine& engine) {
  Json topics = Json::array();
  for (const Topic* topic : engine.Topics()) {
    Json entry;
    entry["topic"] = topic->name();
    entry["id"] = topic->id();
    entry["partitions"] = topic->partition_count();
    int64_t records = 0;
    for (int32_t index = 0; index < topic->partition_count(); ++index) {
      const Partition* partition = topic->partition(index);
      records += partition->durable_end_offset() - partition->log_start_offset();
    }
    entry["records"] = records;
    if (topic->internal()) entry["internal"] = true;
    topics.push_back(std::move(entry));
  }
  return topics;
}

Status ApplySettings(const Json& head, TopicConfig* config) {
  const auto found = head.find("config");
  if (found == head.end()) return {};
  if (!found->is_object()) {
    return Error(ErrorCode::invalid_argument, "the field 'config' must be an object");
  }
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) {
      return Error(ErrorCode::invalid_argument,
                   "config: the value of '" + key + "' must be a text");
    }
    Status set = config->Set(key, value.get_ref<const std::string&>());
    if (!set.ok()) return set;
  }
  return {};
}

Result<Json> Describe(Engine& engine, const Json& head) {
  const Status fields = CheckFields(head, {"request", "topic"});
  if (!fields.ok()) return fields.error();
  const auto topic = FindRequestedTopic(engine, head);
  if (!topic.ok()) return topic.error();
  Json response;
  response["ok"] = true;
  response["topic"] = (*topic)->name();
  response["id"] = (*topic)->id();
  if ((*topic)->internal()) response["internal"] = true;
  response["config"] = DescribeSettings((*topic)->config());
  response["partitions"] = DescribePartitions(**topic);
  return response;
}

Result<std::optional<int32_t>> RequestedPartitions(const Json& head) {
  const auto partitions = OptionalInteger(head, "partitions");
  if (!partitions.ok()) return partitions.error();
  if (!*partitions) return std::optional<int32_t>();
  if (**partitions < 1 || **partitions > INT32_MAX) {
    return Error(ErrorCode::invalid_argument, "partitions must be at least 1");
  }
  return std::optional(static_cast<int32_t>(**partitions));
}

Result<Json> Create(Engine& engine, const Json& head) {
  const Status fields = CheckFields(head, {"request", "topic", "partitions", "config"});
  if (!fields.ok()) return fields.error();
  const auto name = RequiredText(head, "topic");
  if (!name.ok()) return name.error();
  const auto partitions = RequestedPartitions(head);
  if (!partitions.ok()) return partitions.error();
  TopicConfig config;
  const Status set = ApplySettings(head, &config);
  if (!set.ok()) return set.error();
  const auto created = engine.CreateTopic(*name, partitions->value_or(1), config);
  if (!created.ok()) return created.error();
  Json response;
  response["ok"] = true;
  response["topic"] = (*created)->name();
  response["id"] = (*created)->id();
  return response;
}

Result<Json> Alter(Engine& engine, const Json& head) {
  const Status fields = CheckFields(head, {"request", "topic", "partitions", "config"});
  if (!fields.ok()) return fields.error();
  const auto topic = FindRequestedTopic(engine, head);
  if (!topic.ok()) return topic.error();
  const auto partitions = RequestedPartitions(head);
  if (!partitions.ok()) return partitions.error();
  TopicConfig config = (*topic)->config();
  Status done = ApplySettings(head, &config);
  // What can be refused comes first, so that a request is done whole or not at all.
  if (done.ok() && *partitions) done = engine.AddPartitions((*topic)->name(), **partitions);
  if (done.ok() && head.contains("config")) done = engine.AlterTopic((*topic)->name(), config);
  if (!done.ok()) return done.error();
  return Json{{"ok", true}};
}

Status BeginDeletion(Engine& engine, const Json& head) {
  const Status fields = CheckFields(head, {"request", "topic"});
  if (!fields.ok()) return fields.error();
  const auto topic = FindRequestedTopic(engine, head);
  if (!topic.ok()) return topic.error();
  const std::string name = (*topic)->name();  // the engine may drop its own
  return engine.DeleteTopic(name);
}

Json ResponseOf(Result<Json> result) {
  return result.ok() ? std::move(*result) : ErrorResponse(result.error());
}

// Waits while a topic of the same name is still being deleted.
class CreateRequest : public Request {
 public:
  CreateRequest(Engine& engine, Json head) : engine_(engine), head_(std::move(head)) {}

  std::optional<Message> Advance() override {
    auto created = Create(engine_, head_);
    if (!created.ok() && created.error().code() == ErrorCode::busy) return std::nullopt;
    return Message{ResponseOf(std::move(created)), {}};
  }

 private:
  Engine& engine_;
  Json head_;
};

// Answered when the topic cannot come back and its files are gone.
class DeleteRequest : public Request {
 public:
  DeleteRequest(Engine& engine, Json head) : engine_(engine), head_(std::move(head)) {}

  std::optional<Message> Advance() override {
    if (!begun_) {
      begun_ = true;
      const Status begun = BeginDeletion(engine_, head_);
      if (!begun.ok()) return Message{ErrorResponse(begun.error()), {}};
    }
    if (!engine_.deletions_pending()) return Message{Json{{"ok", true}}, {}};
    const Status health = engine_.health();
    if (!health.ok()) return Message{ErrorResponse(health.error()), {}};
    return std::nullopt;
  }

 private:
  Engine& engine_;
  Json head_;
  bool begun_ = false;
};

}  // namespace

Result<Topic*> FindRequestedTopic(Engine& engine, const Json& head) {
  const auto name = RequiredText(head, "topic");
  if (!name.ok()) return name.error();
  Topic* topic = engine.FindTopic(*name);
  if (topic == nullptr) {
    return Error(ErrorCode::unknown_topic, "there is no topic '" + *name + "'");
  }
  return topic;
}

Result<Partition*> FindPartition(const Topic& topic, int64_t index) {
  Partition* partition = index >= 0 && index < topic.partition_count()
                             ? topic.partition(static_cast<int32_t>(index))
                             : nullptr;
  if (partition == nullptr) {
    return Error(ErrorCode::unknown_topic, "topic '" + topic.name() + "' has no partition " +
                                               std::to_string(index) + ", only 0 to " +
                                               std::to_string(topic.partition_count() - 1));
  }
  return partition;
}

std::optional<Json> AnswerTopicRequest(Engine& engine, const std::string& name, const Json& head) {
  if (name == "list_topics") {
    const Status fields = CheckFields(head, {"request"});
    if (!fields.ok()) return ErrorResponse(fields.error());
    return Json{{"ok", true}, {"topics", ListTopics(engine)}};
  }
  if (name == "describe_topic") return ResponseOf(Describe(engine, head));
  if (name == "alter_topic") return ResponseOf(Alter(engine, head));
  return std::nullopt;
}

std::unique_ptr<Request> MakeTopicRequest(Engine& engine, const std::string& name, Json head) {
  if (name == "create_topic") return std::make_unique<CreateRequest>(engine, std::move(head));
  if (name == "delete_topic") return std::make_unique<DeleteRequest>(engine, std::move(head));
  return nullptr;
}

}  // namespace tidemark::tools
