// Reading beside the appends, in turn with them.
#include <memory>
#include <vector>

#include "tools/bench/core_append.h"
#include "tools/bench/core_read.h"

namespace tidemark::tools {
namespace {

class Tail {
 public:
  Tail(const CoreLoad& load, Meter* append, Meter* read)
      : load_(load), read_(read), appender_(load, append) {
    appender_.set_keeps(true);
  }
  Status Run();

 private:
  struct Follower {
    std::unique_ptr<Reader> reader;
    bool behind = false;  // there may be something to read
  };
  Status Read(int32_t partition);

  const CoreLoad& load_;
  Meter* read_;
  CoreAppender appender_;
  std::vector<Follower> followers_;
};

Status Tail::Read(int32_t partition) {
  Follower& follower = followers_[static_cast<size_t>(partition)];
  for (;;) {
    const auto state = follower.reader->Next();
    if (!state.ok()) return state.error();
    follower.behind = *state != ReadState::at_end;
    if (*state != ReadState::batch) return {};
    const int64_t now_ns = NowNs();
    for (const RecordView& record : follower.reader->batch().records) {
      read_->Completed(appender_.AppendedAt(partition, record.offset), now_ns, 1, BytesOf(record));
    }
    appender_.Forget(partition, follower.reader->batch().next_offset);
  }
}

Status Tail::Run() {
  constexpr int64_t kMaxWaitUs = 100'000;
  for (int32_t i = 0; i < load_.topic.partition_count(); ++i) {
    Partition& partition = *load_.topic.partition(i);
    auto reader = load_.engine.OpenReader(partition, partition.durable_end_offset());
    if (!reader.ok()) return reader.error();
    followers_.push_back({std::move(*reader), false});
  }
  for (bool behind = false; behind || !appender_.over() || !appender_.drained();) {
    const auto moved = appender_.Turn(behind ? 0 : kMaxWaitUs);
    if (!moved.ok()) return moved.error();
    for (Partition* partition : *moved) {
      if (&partition->topic() != &load_.topic) continue;
      followers_[static_cast<size_t>(partition->index())].behind = true;
    }
    behind = false;
    for (size_t i = 0; i < followers_.size(); ++i) {
      if (!followers_[i].behind) continue;
      Status read = Read(static_cast<int32_t>(i));
      if (!read.ok()) return read;
      behind = behind || followers_[i].behind;
    }
  }
  return {};
}

}  // namespace

Status RunTail(const CoreLoad& load, Meter* append, Meter* read) {
  return Tail(load, append, read).Run();
}

Status RunMixed(const CoreLoad& load, Meter* append, Meter* read) {
  constexpr int64_t kMaxWaitUs = 10'000;
  CoreAppender appender(load, append);
  CoreScanner scanner(load, read, true);
  const auto percent = static_cast<uint64_t>(load.job.read_percent);
  bool waiting = false;
  while (!appender.over() || !appender.drained()) {
    const bool reads_are_due =
        !appender.over() && scanner.records() * (100 - percent) < append->progress() * percent;
    const auto moved = appender.Turn(reads_are_due && !waiting ? 0 : kMaxWaitUs);
    if (!moved.ok()) return moved.error();
    waiting = false;
    if (!reads_are_due) continue;
    const auto step = scanner.Next();
    if (!step.ok()) return step.error();
    waiting = *step != CoreScanner::Step::read;
  }
  return {};
}

}  // namespace tidemark::tools
