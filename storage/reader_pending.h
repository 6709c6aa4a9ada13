// Between reader*.cc only: what a reader waits for.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "storage/reader.h"

namespace tidemark::storage {

struct ReaderCore::Pending {
  enum class Kind { read, open, search };
  explicit Pending(Kind what) : kind(what) {}

  Kind kind;
  bool done = false;
  // read
  io::Operation operation;
  Context* context = nullptr;
  std::vector<std::byte> buffer;
  uint64_t position = 0;
  std::shared_ptr<OpenSegment> segment;
  std::shared_ptr<Pending> self;  // while the loop has it
  // open
  int64_t base_offset = 0;
  uint64_t compactions = 0;       // of the partition, then
  std::optional<uint64_t> limit;  // as far as it was flushed then, if it was the active one
  std::shared_ptr<OpenSegment> opened;
  // search
  std::optional<BatchAt> found;
  Status status;
};

}  // namespace tidemark::storage
