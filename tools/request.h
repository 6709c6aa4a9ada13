// Requests of the local protocol, at work on an engine: the side that answers. Used by `serve` for
// its connections and by a command that has opened the folder itself. Nothing here blocks, except
// what the engine calls administration.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "record/batch.h"
#include "tidemark/engine.h"
#include "tools/local_protocol.h"

namespace tidemark::tools {

// What the requests of one conversation share. Must not outlive the engine.
struct RequestContext {
  explicit RequestContext(Engine& the_engine) : engine(the_engine) {}

  Engine& engine;
  record::Compressor compressor;
  // Readers of the last fetch, where they stood: a follower goes on without seeking.
  std::map<const Partition*, std::unique_ptr<Reader>> readers;
};

class Request {
 public:
  virtual ~Request() = default;
  // Goes on as far as it can without waiting. nullopt: to be called again after the engine's
  // Poll().
  virtual std::optional<Message> Advance() = 0;
  // Whether the next request of the conversation may begin before this one is answered.
  virtual bool lets_next_begin() const { return false; }
  // Waits until a partition moves: Advance() does nothing before Stir() told it of one.
  virtual bool waits_for_records() const { return false; }
  // Partitions whose durable end has moved.
  virtual void Stir(std::span<Partition* const> /*moved*/) {}
};

// What is done at once: the response to "list_topics", "describe_topic" or "alter_topic"; nullopt
// when `head` asks for none of them.
std::optional<Json> AnswerTopicRequest(Engine& engine, const std::string& name, const Json& head);
// "create_topic" and "delete_topic"; nullptr when `name` is neither.
std::unique_ptr<Request> MakeTopicRequest(Engine& engine, const std::string& name, Json head);

Result<std::unique_ptr<Request>> MakeProduceRequest(RequestContext& context, Message message);
Result<std::unique_ptr<Request>> MakeFetchRequest(RequestContext& context, const Json& head);
// "commit_cursors", "describe_group", "list_groups" and "delete_cursors"; nullptr when `name` is
// none of these.
Result<std::unique_ptr<Request>> MakeCursorRequest(Engine& engine, const std::string& name,
                                                   const Json& head);

// The topic that a request names in its field "topic".
Result<Topic*> FindRequestedTopic(Engine& engine, const Json& head);
// Partition `index` of the topic, or unknown_topic.
Result<Partition*> FindPartition(const Topic& topic, int64_t index);

}  // namespace tidemark::tools
