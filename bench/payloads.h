// Records to append, made before the clock runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tidemark/record.h"

namespace tidemark::bench {

enum class PayloadKind {
  thermometers,  // key and JSON value of the workload, padded or cut to the wanted size
  random,        // a value that no compression shortens, without a key
  mixed,         // one of each in turn
};

// A ring of records; larger than a batch, so that compression finds nothing twice that would not
// come twice.
class Payloads {
 public:
  Payloads(PayloadKind kind, size_t record_bytes, size_t count, uint64_t seed = 1);
  // The next record without headers; its bytes live as long as this. Its timestamp is given.
  Record Next(int64_t timestamp_ms) {
    const Item& item = items_[next_];
    next_ = next_ + 1 == items_.size() ? 0 : next_ + 1;
    Record record;
    if (!item.key.empty()) record.key = item.key;
    record.value = item.value;
    record.timestamp_ms = timestamp_ms;
    return record;
  }

 private:
  struct Item {
    std::string key;
    std::string value;
  };
  std::vector<Item> items_;
  size_t next_ = 0;
};

}  // namespace tidemark::bench
