// The loop over io_uring. An operation's address is its user_data; the two low bits of that say
// what kind it is, so that nothing is asked of an operation that its owner may have let go.
#include <sched.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <thread>

#include <liburing.h>

#include "base/check.h"
#include "io/deadline.h"
#include "io/loop_kinds.h"
#include "io/operation_list.h"
#include "io/ring_probe.h"
#include "io/system_file.h"
#include "io/transfer.h"
#include "io/wake_signal.h"

namespace tidemark::io {
namespace {

enum class Tag : uint64_t {
  transfer = 0,   // Operation*: a read or a write
  watch = 1,      // Operation*: a poll
  wake_read = 2,  // no operation: the read of the wake signal's eventfd
  cancel = 3,     // no operation: a cancel, whose own answer says nothing new
};
constexpr uint64_t kTagMask = 3;
static_assert(alignof(Operation) > kTagMask);

uint64_t UserData(Tag tag, Operation* operation) {
  return reinterpret_cast<uintptr_t>(operation) | static_cast<uint64_t>(tag);
}

Operation* OperationOf(uint64_t user_data) {
  return reinterpret_cast<Operation*>(user_data & ~kTagMask);  // it was a pointer
}

class RingLoop final : public Loop {
 public:
  // `ring` is set up, and taken over once the loop is whole.
  explicit RingLoop(const io_uring& ring) : ring_(ring) {}
  ~RingLoop() override;
  RingLoop(const RingLoop&) = delete;
  RingLoop& operator=(const RingLoop&) = delete;

  int wake_descriptor() const { return wake_.descriptor(); }

  void Read(File& file, uint64_t offset, base::MutableByteSpan into, Operation* operation) override;
  void Write(File& file, uint64_t offset, base::ByteSpan bytes, Durable durable,
             Operation* operation) override;
  void Watch(int descriptor, Readiness readiness, Operation* operation) override;
  void Cancel(Operation* watch) override;
  size_t RunOnce(int64_t max_wait_us) override;
  void Wake() override { wake_.Wake(WakeSignal::called); }
  const LoopDescription& description() const override { return description_; }
  size_t in_flight() const override { return in_flight_; }

 private:
  void StartTransfer(File& file, uint64_t offset, std::byte* data, uint64_t length,
                     Direction direction, bool durable, Operation* operation);
  void SubmitPiece(Operation* operation);
  void SubmitCancel(uint64_t user_data);
  void ArmWakeRead();
  io_uring_sqe* GetSqe();
  void Submit();
  void SubmitAndWait(const Deadline& deadline);
  void Reap();
  void Take(uint64_t user_data, int32_t answer);
  void TakeTransfer(Operation* operation, int32_t answer);
  void ResubmitUnfinished();
  size_t CallDone();

  io_uring ring_;
  // Blocking on purpose: the ring waits for it, and would answer EAGAIN for a non-blocking one.
  WakeSignal wake_{EFD_CLOEXEC};
  uint64_t wake_count_ = 0;  // where the eventfd is read into
  bool wake_armed_ = false;
  std::thread::id wake_armed_by_;
  size_t in_flight_ = 0;
  size_t transfers_in_kernel_ = 0;
  OperationList unfinished_;  // transfers whose next piece is to be submitted
  OperationList ended_;       // whose `done` is to be called
  LoopDescription description_{true, "io_uring"};
};

// The kernel may still write into buffers that their owners are about to free: waits for the
// transfers. Watches just go.
RingLoop::~RingLoop() {
  while (transfers_in_kernel_ > 0) {
    io_uring_submit_and_wait(&ring_, 1);
    Reap();
  }
  io_uring_queue_exit(&ring_);
}

void RingLoop::Read(File& file, uint64_t offset, base::MutableByteSpan into, Operation* operation) {
  StartTransfer(file, offset, into.data(), into.size(), Direction::read, false, operation);
}

void RingLoop::Write(File& file, uint64_t offset, base::ByteSpan bytes, Durable durable,
                     Operation* operation) {
  StartTransfer(file, offset, const_cast<std::byte*>(bytes.data()), bytes.size(), Direction::write,
                durable == Durable::yes, operation);
}

void RingLoop::StartTransfer(File& file, uint64_t offset, std::byte* data, uint64_t length,
                             Direction direction, bool durable, Operation* operation) {
  TIDEMARK_CHECK(operation->done != nullptr);
  const SystemFile& system_file = SystemFile::From(file);
  system_file.CheckAligned(offset, {data, length});
  operation->loop = {};
  operation->loop.file = &file;
  operation->loop.data = data;
  operation->loop.offset = offset;
  operation->loop.length = length;
  operation->loop.descriptor = system_file.descriptor();
  operation->loop.kind = static_cast<uint8_t>(direction);
  operation->loop.durable = durable;
  ++in_flight_;
  SubmitPiece(operation);
}

TransferProgress ProgressOf(const Operation& operation) {
  const uint32_t unit = operation.loop.file->direct() ? operation.loop.file->block_bytes() : 1;
  return {static_cast<Direction>(operation.loop.kind), unit, operation.loop.length,
          operation.loop.transferred};
}

void RingLoop::SubmitPiece(Operation* operation) {
  const TransferProgress progress = ProgressOf(*operation);
  std::byte* const data = operation->loop.data + progress.transferred;
  const uint64_t offset = operation->loop.offset + progress.transferred;
  const auto length = static_cast<unsigned>(progress.NextPieceBytes());
  io_uring_sqe* const sqe = GetSqe();
  if (progress.direction == Direction::read) {
    io_uring_prep_read(sqe, operation->loop.descriptor, data, length, offset);
  } else {
    io_uring_prep_write(sqe, operation->loop.descriptor, data, length, offset);
    // Older than io_uring itself: no kernel that has a ring refuses the flag.
    if (operation->loop.durable) sqe->rw_flags = RWF_DSYNC;
  }
  io_uring_sqe_set_data64(sqe, UserData(Tag::transfer, operation));
  ++transfers_in_kernel_;
}

void RingLoop::Watch(int descriptor, Readiness readiness, Operation* operation) {
  TIDEMARK_CHECK(operation->done != nullptr);
  operation->loop = {};
  operation->loop.descriptor = descriptor;
  operation->loop.events = static_cast<uint32_t>(readiness);
  ++in_flight_;
  io_uring_sqe* const sqe = GetSqe();
  io_uring_prep_poll_add(sqe, descriptor, operation->loop.events);
  io_uring_sqe_set_data64(sqe, UserData(Tag::watch, operation));
}

// The queue keeps the order, so that a watch which the kernel has not even seen is found too. One
// that has just ended is not found, which is fine.
void RingLoop::Cancel(Operation* watch) { SubmitCancel(UserData(Tag::watch, watch)); }

void RingLoop::SubmitCancel(uint64_t user_data) {
  io_uring_sqe* const sqe = GetSqe();
  io_uring_prep_cancel64(sqe, user_data, 0);
  io_uring_sqe_set_data64(sqe, UserData(Tag::cancel, nullptr));
}

// The kernel ends the read through the thread that armed it, when that next enters the kernel.
// After the loop was handed over, that thread may not do so for long: the read is taken back and
// armed anew.
void RingLoop::ArmWakeRead() {
  const auto here = std::this_thread::get_id();
  if (wake_armed_ && wake_armed_by_ == here) return;
  if (wake_armed_) SubmitCancel(UserData(Tag::wake_read, nullptr));
  wake_armed_ = true;
  wake_armed_by_ = here;
  io_uring_sqe* const sqe = GetSqe();
  io_uring_prep_read(sqe, wake_.descriptor(), &wake_count_, sizeof wake_count_, 0);
  io_uring_sqe_set_data64(sqe, UserData(Tag::wake_read, nullptr));
}

// When the queue is full, the kernel takes what is in it. If it does not want to, completions have
// to be taken off first; they are only noted here, since `done` is for RunOnce() to call.
io_uring_sqe* RingLoop::GetSqe() {
  for (;;) {
    if (io_uring_sqe* const sqe = io_uring_get_sqe(&ring_)) return sqe;
    Submit();
    if (io_uring_sq_space_left(&ring_) > 0) continue;
    Reap();
    sched_yield();
  }
}

// What the kernel may answer when it cannot go on right now; anything else is a mistake of ours.
bool IsTemporary(int answer) {
  return answer == -EAGAIN || answer == -EBUSY || answer == -EINTR || answer == -ETIME ||
         answer == -ENOMEM;
}

void RingLoop::Submit() {
  if (io_uring_sq_ready(&ring_) == 0) return;
  const int answer = io_uring_submit(&ring_);
  TIDEMARK_CHECK(answer >= 0 || IsTemporary(answer));
}

void RingLoop::SubmitAndWait(const Deadline& deadline) {
  io_uring_cqe* cqe = nullptr;
  int answer = 0;
  if (deadline.never()) {
    answer = io_uring_submit_and_wait(&ring_, 1);
  } else {
    const int64_t left_us = deadline.LeftUs();
    __kernel_timespec timeout{};
    timeout.tv_sec = left_us / 1'000'000;
    timeout.tv_nsec = left_us % 1'000'000 * 1000;
    answer = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  }
  TIDEMARK_CHECK(answer >= 0 || IsTemporary(answer));
}

size_t RingLoop::RunOnce(int64_t max_wait_us) {
  const Deadline deadline(max_wait_us);
  for (;;) {
    ResubmitUnfinished();
    // BeginWait() comes last: after it, every Wake() writes the eventfd.
    if (ended_.empty() && !deadline.Passed() && wake_.BeginWait()) {
      ArmWakeRead();
      SubmitAndWait(deadline);
    } else {
      Submit();
    }
    const bool woken = (wake_.Take() & WakeSignal::called) != 0;
    Reap();
    if (!ended_.empty() || woken || deadline.Passed()) break;
  }
  return CallDone();
}

void RingLoop::Reap() {
  constexpr unsigned kBatch = 64;
  std::array<io_uring_cqe*, kBatch> batch{};
  // Enters the kernel when that holds completions back: ones that overflowed, or cooperative ones.
  while (const unsigned count = io_uring_peek_batch_cqe(&ring_, batch.data(), kBatch)) {
    for (unsigned i = 0; i < count; ++i) Take(batch[i]->user_data, batch[i]->res);
    io_uring_cq_advance(&ring_, count);
  }
}

void RingLoop::Take(uint64_t user_data, int32_t answer) {
  Operation* const operation = OperationOf(user_data);
  switch (static_cast<Tag>(user_data & kTagMask)) {
    case Tag::transfer:
      TakeTransfer(operation, answer);
      break;
    case Tag::watch:
      operation->result = answer;
      ended_.PushBack(operation);
      break;
    case Tag::wake_read:
      // Also when it was cancelled: by us, or by the kernel because the thread that armed it has
      // ended. A second one that is still armed does no harm.
      wake_armed_ = false;
      break;
    case Tag::cancel:
      break;
  }
}

void RingLoop::TakeTransfer(Operation* operation, int32_t answer) {
  --transfers_in_kernel_;
  TransferProgress progress = ProgressOf(*operation);
  const auto result = Advance(&progress, answer);
  operation->loop.transferred = progress.transferred;
  if (result) {
    operation->result = *result;
    ended_.PushBack(operation);
  } else {
    unfinished_.PushBack(operation);
  }
}

void RingLoop::ResubmitUnfinished() {
  while (Operation* const operation = unfinished_.PopFront()) SubmitPiece(operation);
}

size_t RingLoop::CallDone() {
  OperationList now;  // what ends meanwhile is for the next RunOnce(), so that this one returns
  now.Append(&ended_);
  size_t called = 0;
  while (Operation* const operation = now.PopFront()) {
    --in_flight_;
    ++called;
    operation->done(operation);
  }
  return called;
}

}  // namespace

std::variant<std::unique_ptr<Loop>, RingRefusal> MakeRingLoop() {
  io_uring ring{};
  if (auto refusal = SetUpRing(&ring)) return *refusal;
  auto loop = std::make_unique<RingLoop>(ring);
  if (loop->wake_descriptor() < 0) return RingRefusal{"eventfd", -loop->wake_descriptor(), ""};
  return std::unique_ptr<Loop>(std::move(loop));
}

}  // namespace tidemark::io
