// A log that keeps what is appended, has room when the test says so, and makes it durable when it
// says so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingest/record_log.h"

namespace tidemark::ingest {

struct FakeRecord {
  size_t topic = 0;
  std::string key;
  std::optional<std::string> value;
  std::map<std::string, std::string> headers;
  Durability durability = Durability::durable;
};

// What the test steers and looks at; shared by the log and the test.
struct FakeLogState {
  std::vector<FakeRecord> records;   // of all partitions, in the order of Append()
  std::optional<ErrorCode> refusal;  // what Append() answers
  size_t room = SIZE_MAX;            // records that are accepted before `refusal`
  int64_t durable_end = 0;           // records[i] is durable when i < durable_end
  bool healthy = true;
  bool topic_deleted = false;  // what is not durable never will be

  void MakeAllDurable() { durable_end = static_cast<int64_t>(records.size()); }
  std::vector<std::string> Values() const {
    std::vector<std::string> values;
    for (const FakeRecord& record : records) values.push_back(record.value.value_or("<null>"));
    return values;
  }
};

class FakeLog : public RecordLog {
 public:
  explicit FakeLog(FakeLogState* state) : state_(*state) {}

  Result<RecordPlace> Append(size_t topic, const Record& record, Durability durability) override {
    if (!state_.healthy) return Error(ErrorCode::stopped, "the fake log has stopped");
    if (state_.refusal && state_.room == 0) return Error(*state_.refusal, "the fake log says no");
    if (state_.refusal) --state_.room;
    FakeRecord kept;
    kept.topic = topic;
    kept.key = record.key.value_or("<null>");
    if (record.value) kept.value = std::string(*record.value);
    for (const Header& header : record.headers) {
      kept.headers[std::string(header.key)] = std::string(header.value.value_or("<null>"));
    }
    kept.durability = durability;
    state_.records.push_back(std::move(kept));
    return RecordPlace{this, static_cast<int64_t>(state_.records.size()) - 1};
  }
  bool IsDurable(const RecordPlace& place) const override {
    return place.offset < state_.durable_end;
  }
  bool IsLost(const RecordPlace& place) const override {
    return state_.topic_deleted && !IsDurable(place);
  }
  Status health() const override {
    if (state_.healthy) return {};
    return Error(ErrorCode::stopped, "the fake log has stopped");
  }

 private:
  FakeLogState& state_;
};

}  // namespace tidemark::ingest
