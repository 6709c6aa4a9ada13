#include "ingest/record_log.h"

#include <utility>

namespace tidemark::ingest {

Result<std::unique_ptr<EngineLog>> EngineLog::Make(Engine& engine,
                                                   std::vector<std::string> topics) {
  std::unique_ptr<EngineLog> log(new EngineLog(engine));
  for (std::string& name : topics) {
    Topic* topic = engine.FindTopic(name);
    if (topic == nullptr) {
      return Error(ErrorCode::unknown_topic, "a route leads to the topic \"" + name +
                                                 "\", which does not exist: create it first");
    }
    log->targets_.push_back({std::move(name), topic});
  }
  return log;
}

Result<RecordPlace> EngineLog::AppendTo(const Topic& topic, const Record& record,
                                        Durability durability) {
  Partition* partition = topic.PartitionForKey(record.key.value_or(Bytes()));
  Result<int64_t> offset = partition->Append(record, durability);
  if (!offset.ok()) return offset.error();
  return RecordPlace{partition, *offset};
}

Result<RecordPlace> EngineLog::Append(size_t topic, const Record& record, Durability durability) {
  Target& target = targets_[topic];
  Result<RecordPlace> place = AppendTo(*target.topic, record, durability);
  if (place.ok() || place.error().code() != ErrorCode::unknown_topic) return place;
  // The topic was deleted while we served; perhaps it was made anew since.
  Topic* now = engine_.FindTopic(target.name);
  if (now == nullptr || now == target.topic) return place;
  target.topic = now;
  return AppendTo(*target.topic, record, durability);
}

bool EngineLog::IsLost(const RecordPlace& place) const {
  const Topic& topic = static_cast<const Partition*>(place.partition)->topic();
  return !IsDurable(place) && engine_.FindTopic(topic.name()) != &topic;
}

bool EngineLog::IsDurable(const RecordPlace& place) const {
  return static_cast<const Partition*>(place.partition)->durable_end_offset() > place.offset;
}

}  // namespace tidemark::ingest
