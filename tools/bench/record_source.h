// The records of a job, made before the clock runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tidemark/record.h"
#include "tools/bench/job.h"

namespace tidemark::tools {

// A ring of records. It is larger than a batch, so that compression finds nothing twice in one that
// would not come twice.
class RecordSource {
 public:
  // An unknown workload: invalid_argument.
  static Result<RecordSource> Make(const Job& job, uint64_t seed);

  // The record whose turn it is; its bytes live as long as this. Timestamps go on from one round of
  // the ring to the next: those of the workload, or a millisecond from record to record.
  Record Peek() const;
  // It was used.
  void Take();

 private:
  struct Item {
    std::string key;  // empty: none
    std::string value;
    std::string client;  // the MQTT client; empty: no headers
    int64_t timestamp_ms = 0;
    std::vector<Header> headers;
  };
  RecordSource() = default;
  void MakePlain(const Job& job, uint64_t seed);
  Status MakeNamed(const Job& job, uint64_t seed);

  std::vector<Item> items_;
  size_t next_ = 0;
  int64_t round_ms_ = 0;  // from one round of the ring to the next
  int64_t shift_ms_ = 0;
};

}  // namespace tidemark::tools
