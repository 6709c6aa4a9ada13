#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "io/file_system.h"
#include "io/loop.h"
#include "tools/bench/loads.h"

namespace tidemark::tools {
namespace {

constexpr uint64_t kSyncedFileBytes = uint64_t{64} << 20;
constexpr uint64_t kWrittenFileBytes = uint64_t{1} << 30;
constexpr uint64_t kZerosBytes = uint64_t{1} << 20;

io::LoopKind KindOf(IoEngine engine) {
  switch (engine) {
    case IoEngine::io_uring:
      return io::LoopKind::io_uring;
    case IoEngine::syscalls:
      return io::LoopKind::syscalls;
    case IoEngine::automatic:
      break;
  }
  return io::LoopKind::automatic;
}

struct Block {
  io::Operation operation;
  io::AlignedBuffer bytes;
  int64_t begun_ns = 0;
  bool ended = true;
};

}  // namespace

struct RawLoad::State {
  Job job;
  std::string path;
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<io::File> file;
  uint64_t file_bytes = 0;
  uint64_t position = 0;
  uint64_t written = 0;

  ~State() {
    file.reset();
    if (!path.empty()) (void)io::SystemFiles().Remove(path);
  }
  // What is overwritten must have its place on the device already.
  Status Fill() const {
    if (job.rw == Work::rawwrite) return file->Allocate(0, file_bytes);
    const auto zeros = io::AllocateAligned(kZerosBytes, file->block_bytes());
    for (uint64_t at = 0; at < file_bytes; at += kZerosBytes) {
      const uint64_t length = std::min(kZerosBytes, file_bytes - at);
      Status wrote = file->WriteAt(at, {zeros.get(), length}, io::Durable::no);
      if (!wrote.ok()) return wrote;
    }
    return file->Flush();
  }
  void Start(Block& block) {
    ++written;
    std::memcpy(block.bytes.get(), &written, sizeof written);  // never the same twice
    block.ended = false;
    block.begun_ns = NowNs();
    const auto durable = job.rw == Work::rawsync ? io::Durable::yes : io::Durable::no;
    loop->Write(*file, position, {block.bytes.get(), job.record_size.least}, durable,
                &block.operation);
    position += job.record_size.least;
    if (position + job.record_size.least > file_bytes) position = 0;
  }
};

RawLoad::RawLoad(std::unique_ptr<State> state) : state_(std::move(state)) {}
RawLoad::RawLoad(RawLoad&& other) noexcept = default;
RawLoad::~RawLoad() = default;

Result<RawLoad> RawLoad::Open(const Job& job, const std::string& path) {
  auto state = std::make_unique<State>();
  state->job = job;
  auto loop = io::MakeLoop(KindOf(job.io_engine));
  if (!loop.ok()) return loop.error();
  state->loop = std::move(*loop);
  auto file = io::SystemFiles().Open(
      path, {.write = true, .create = true, .truncate = true, .direct = true});
  if (!file.ok()) return file.error();
  state->file = std::move(*file);
  state->path = path;
  const uint64_t usual = job.rw == Work::rawsync ? kSyncedFileBytes : kWrittenFileBytes;
  const uint64_t block = job.record_size.least;
  state->file_bytes = std::max(job.size_bytes.value_or(usual) / block, uint64_t{1}) * block;
  const Status filled = state->Fill();
  if (!filled.ok()) return filled.error();
  return RawLoad(std::move(state));
}

Status RawLoad::Run(const RunWindow& window, Meter* write) {
  State& state = *state_;
  Budget budget(state.job, window, *write);
  std::vector<Block> blocks(state.job.iodepth);
  for (Block& block : blocks) {
    block.bytes = io::AllocateAligned(state.job.record_size.least, state.file->block_bytes());
    block.operation.owner = &block;
    block.operation.done = [](io::Operation* operation) {
      static_cast<Block*>(operation->owner)->ended = true;
    };
  }
  Status failed;
  for (bool busy = true; busy;) {
    busy = false;
    for (Block& block : blocks) {
      if (block.ended && block.begun_ns != 0) {
        if (block.operation.result >= 0) {
          write->Completed(block.begun_ns, NowNs(), 1, state.job.record_size.least);
        } else if (failed.ok()) {
          const auto error = static_cast<int>(-block.operation.result);
          failed = Error(ErrorCode::io_error, state.path + ": writing a block", error);
        }
        block.begun_ns = 0;
      }
      if (block.ended && failed.ok() && !budget.Over(NowNs())) {
        budget.Take(state.job.record_size.least);
        state.Start(block);
      }
      busy = busy || !block.ended;
    }
    if (busy) state.loop->RunOnce(-1);
  }
  return failed;
}

}  // namespace tidemark::tools
