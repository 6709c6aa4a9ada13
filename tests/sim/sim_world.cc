#include "tests/sim/sim_world.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "tests/sim/sim_file.h"

namespace tidemark::sim {
namespace {

// The seam asks for a plain function; there is one world at a time in a thread.
thread_local Random* identity_source = nullptr;

uint64_t NextIdentity() { return identity_source->Next(); }

// A wait that nothing ends is as long as this at most, so that the engine's own timers come round.
constexpr int64_t kTurnUs = 50;

}  // namespace

// --- The loop ------------------------------------------------------------------------------------

void SimLoop::Read(io::File& file, uint64_t offset, base::MutableByteSpan into,
                   io::Operation* operation) {
  queue_.push_back({operation, &file, offset, into, {}, io::Durable::no, false});
}

void SimLoop::Write(io::File& file, uint64_t offset, base::ByteSpan bytes, io::Durable durable,
                    io::Operation* operation) {
  queue_.push_back({operation, &file, offset, {}, bytes, durable, true});
}

void SimLoop::Watch(int /*descriptor*/, io::Readiness /*readiness*/, io::Operation* /*operation*/) {
  TIDEMARK_CHECK(false);  // there are no sockets here
}

void SimLoop::Cancel(io::Operation* /*watch*/) {}

void SimLoop::EndOne() {
  const size_t which = random_.Below(queue_.size());
  const Entry entry = queue_[which];
  queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(which));
  if (entry.write) {
    const Status written = entry.file->WriteAt(entry.offset, entry.bytes, entry.durable);
    entry.operation->result =
        written.ok() ? static_cast<int64_t>(entry.bytes.size()) : -written.error().system_errno();
  } else {
    const auto read = entry.file->ReadAt(entry.offset, entry.into);
    entry.operation->result =
        read.ok() ? static_cast<int64_t>(*read) : -read.error().system_errno();
  }
  entry.operation->done(entry.operation);
}

size_t SimLoop::RunOnce(int64_t max_wait_us) {
  clock_.Pass(static_cast<int64_t>(random_.Below(kTurnUs)) + 1);
  size_t ended = 0;
  while (!queue_.empty() && random_.OneIn(2)) {
    EndOne();
    ++ended;
  }
  if (random_.OneIn(2)) worker_->RunOne();
  const bool woken = std::exchange(woken_, false);
  if (ended > 0 || woken || max_wait_us == 0) return ended;
  // Something has to happen before this wait ends: an operation, the worker, or time.
  const bool worker_first = random_.OneIn(2);
  if (worker_first && worker_->RunOne()) {
    woken_ = false;
    return 0;
  }
  if (!queue_.empty()) {
    EndOne();
    return 1;
  }
  if (worker_->RunOne()) {
    woken_ = false;
    return 0;
  }
  if (max_wait_us > 0) {
    clock_.Pass(max_wait_us);
  } else {
    stuck_ = stuck_ || !worker_->has_ended();
    clock_.Pass(kTurnUs);
  }
  return 0;
}

void SimLoop::Die(Death death) {
  for (const Entry& entry : queue_) {
    if (!entry.write) continue;
    SimFile& file = SimFile::From(*entry.file);
    if (death == Death::power_cut) {
      if (!random_.OneIn(3)) disk_.WriteInPart(*file.inode(), entry.offset, entry.bytes);
    } else if (file.locked()) {
      disk_.WriteNow(*file.inode(), entry.offset, entry.bytes);
    } else {
      late_.push_back({file.inode(), entry.offset, {entry.bytes.begin(), entry.bytes.end()}});
    }
  }
  if (death == Death::power_cut) late_.clear();
}

void SimLoop::LandLate() {
  if (late_.empty() || disk_.dead()) return;
  disk_.WriteNow(*late_.back().file, late_.back().offset, late_.back().bytes);
  late_.pop_back();
}

// --- The worker ----------------------------------------------------------------------------------

void SimWorker::Submit(std::function<void()> work, std::function<void()> done) {
  waiting_.push_back({std::move(work), std::move(done)});
  if (prompt_) RunOne();
}

bool SimWorker::RunOne() {
  if (waiting_.empty()) return false;
  Piece piece = std::move(waiting_.front());
  waiting_.pop_front();
  ++running_;
  piece.work();
  --running_;
  ended_.push_back(std::move(piece.done));
  loop_.Wake();
  return true;
}

size_t SimWorker::RunDone() {
  if (!ended_.empty() && !prompt_ && random_.OneIn(4)) {  // not noticed yet
    loop_.Wake();
    return 0;
  }
  std::deque<std::function<void()>> ended;
  ended.swap(ended_);
  running_ += ended.size();
  for (const auto& done : ended) {
    --running_;
    done();
  }
  return ended.size();
}

// --- The world -----------------------------------------------------------------------------------

SimWorld::SimWorld(DiskProfile profile, uint64_t seed)
    : random(seed),
      identities(DeriveSeed(seed, 1)),
      disk(profile, random),
      files(disk),
      loop(disk, clock, random),
      worker(loop, random) {
  loop.set_worker(&worker);
  disk.on_death = [this](Death death) { loop.Die(death); };
  identity_source = &identities;
}

SimWorld::~SimWorld() { identity_source = nullptr; }

io::Environment SimWorld::environment() {
  return {files, loop, worker, clock, &NextIdentity, 1, clock.boot()};
}

}  // namespace tidemark::sim
