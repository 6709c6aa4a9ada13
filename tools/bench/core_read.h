// Reading on the core, a step at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tools/bench/loads.h"

namespace tidemark::tools {

// Reads a topic's partitions from their log start on, `iodepth` of them at a time.
class CoreScanner {
 public:
  // `again`: when all is read, from the log start on once more.
  CoreScanner(const CoreLoad& load, Meter* meter, bool again);
  ~CoreScanner();

  enum class Step {
    read,     // at least one batch
    waiting,  // the disk is asked, or nothing is there yet: the engine needs a turn
    end,
  };
  Result<Step> Next();
  // Of the step that was just made.
  uint64_t step_bytes() const { return step_bytes_; }
  uint64_t records() const { return records_; }

 private:
  struct Slot {
    std::unique_ptr<Reader> reader;  // none: the slot is done
    int64_t begun_ns = 0;            // when the batch was asked for; 0: it was not
  };
  Status Assign(Slot& slot);
  Status Advance(Slot& slot, bool* read);

  const CoreLoad& load_;
  Meter* meter_;
  bool again_;
  int32_t next_partition_ = 0;
  std::vector<Slot> slots_;
  uint64_t step_bytes_ = 0;
  uint64_t records_ = 0;
};

}  // namespace tidemark::tools
