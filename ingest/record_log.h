// The log as a frontend sees it: where records go, and whether they are durable yet. An engine in
// production; in tests something that says busy when it likes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tidemark/engine.h"

namespace tidemark::ingest {

// Where a record stands. `partition` is the log's own handle; nullptr: nothing to wait for.
struct RecordPlace {
  const void* partition = nullptr;
  int64_t offset = 0;
};

class RecordLog {
 public:
  virtual ~RecordLog() = default;

  // Appends to a partition of log topic number `topic`, chosen by the record's key. Errors as
  // Partition::Append().
  virtual Result<RecordPlace> Append(size_t topic, const Record& record, Durability durability) = 0;
  // Whether the record may be acknowledged. Once true, always true.
  virtual bool IsDurable(const RecordPlace& place) const = 0;
  // Whether it never will be, because its topic was deleted first.
  virtual bool IsLost(const RecordPlace& place) const = 0;
  // Ok while records are accepted; else why not.
  virtual Status health() const = 0;
};

class EngineLog : public RecordLog {
 public:
  // `topics` are the names behind the numbers, all of them existing; else unknown_topic. The engine
  // must outlive the result.
  static Result<std::unique_ptr<EngineLog>> Make(Engine& engine, std::vector<std::string> topics);

  Result<RecordPlace> Append(size_t topic, const Record& record, Durability durability) override;
  bool IsDurable(const RecordPlace& place) const override;
  bool IsLost(const RecordPlace& place) const override;
  Status health() const override { return engine_.health(); }

 private:
  struct Target {
    std::string name;
    Topic* topic = nullptr;
  };
  explicit EngineLog(Engine& engine) : engine_(engine) {}
  static Result<RecordPlace> AppendTo(const Topic& topic, const Record& record,
                                      Durability durability);

  Engine& engine_;
  std::vector<Target> targets_;
};

}  // namespace tidemark::ingest
