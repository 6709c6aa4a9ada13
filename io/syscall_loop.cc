// The loop over plain system calls: epoll for descriptors, threads for the disk.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <memory>
#include <vector>

#include "base/check.h"
#include "io/deadline.h"
#include "io/io_threads.h"
#include "io/loop_kinds.h"
#include "io/operation_list.h"
#include "io/system_error.h"
#include "io/system_file.h"
#include "io/transfer.h"
#include "io/wake_signal.h"

namespace tidemark::io {
namespace {

static_assert(static_cast<uint32_t>(Readiness::readable) == EPOLLIN);
static_assert(static_cast<uint32_t>(Readiness::writable) == EPOLLOUT);

// Reported whether asked for or not, to every watch of the descriptor.
constexpr uint32_t kAlwaysReported = EPOLLERR | EPOLLHUP;

class SyscallLoop final : public Loop {
 public:
  // `poll`: an epoll descriptor, taken over.
  SyscallLoop(int poll, const std::string& reason);
  ~SyscallLoop() override { close(poll_); }
  SyscallLoop(const SyscallLoop&) = delete;
  SyscallLoop& operator=(const SyscallLoop&) = delete;

  // Sets the wake-up; 0 or errno.
  int Prepare();

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
  struct Watched {
    Operation* readable = nullptr;
    Operation* writable = nullptr;
    bool registered = false;  // in the epoll set, as far as we know: closing a descriptor ends it

    uint32_t events() const {
      return (readable != nullptr ? uint32_t{EPOLLIN} : 0u) |
             (writable != nullptr ? uint32_t{EPOLLOUT} : 0u);
    }
    Operation*& slot(uint32_t event) { return event == EPOLLIN ? readable : writable; }
  };

  void StartTransfer(File& file, uint64_t offset, std::byte* data, uint64_t length,
                     Direction direction, bool durable, Operation* operation);
  int Register(int descriptor, Watched* watched) const;
  void Fire(Watched* watched, uint32_t event, uint32_t reported);
  void PollDescriptors(int timeout_ms);
  size_t CallDone();

  int poll_;
  WakeSignal wake_{EFD_CLOEXEC | EFD_NONBLOCK};
  std::vector<Watched> watched_;  // by descriptor
  size_t watches_ = 0;            // pending ones
  size_t in_flight_ = 0;
  OperationList ended_;  // whose `done` is to be called
  LoopDescription description_;
  IoThreads threads_{&wake_};  // last, so that its threads end first
};

SyscallLoop::SyscallLoop(int poll, const std::string& reason) : poll_(poll) {
  description_.text = reason.empty() ? "syscalls" : "syscalls (" + reason + ")";
}

int SyscallLoop::Prepare() {
  if (wake_.descriptor() < 0) return -wake_.descriptor();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write is one event, so that it need never be read
  event.data.fd = wake_.descriptor();
  return epoll_ctl(poll_, EPOLL_CTL_ADD, wake_.descriptor(), &event) == 0 ? 0 : errno;
}

void SyscallLoop::Read(File& file, uint64_t offset, base::MutableByteSpan into,
                       Operation* operation) {
  StartTransfer(file, offset, into.data(), into.size(), Direction::read, false, operation);
}

void SyscallLoop::Write(File& file, uint64_t offset, base::ByteSpan bytes, Durable durable,
                        Operation* operation) {
  StartTransfer(file, offset, const_cast<std::byte*>(bytes.data()), bytes.size(), Direction::write,
                durable == Durable::yes, operation);
}

void SyscallLoop::StartTransfer(File& file, uint64_t offset, std::byte* data, uint64_t length,
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
  threads_.Submit(operation);
}

void SyscallLoop::Watch(int descriptor, Readiness readiness, Operation* operation) {
  TIDEMARK_CHECK(operation->done != nullptr);
  operation->loop = {};
  operation->loop.descriptor = descriptor;
  operation->loop.events = static_cast<uint32_t>(readiness);
  ++in_flight_;
  if (descriptor < 0) {
    operation->result = -EBADF;
    ended_.PushBack(operation);
    return;
  }
  const auto index = static_cast<size_t>(descriptor);
  if (index >= watched_.size()) watched_.resize(index + 1);
  Watched* const watched = &watched_[index];
  Operation*& slot = watched->slot(operation->loop.events);
  TIDEMARK_CHECK(slot == nullptr);
  slot = operation;
  ++watches_;
  const int failure = Register(descriptor, watched);
  if (failure == 0) return;
  slot = nullptr;
  --watches_;
  // EPERM: a file of a kind that is always ready.
  operation->result = failure == EPERM ? int64_t{operation->loop.events} : -int64_t{failure};
  ended_.PushBack(operation);
}

// Makes the epoll set ask for what `watched` waits for, once. Returns 0 or errno.
int SyscallLoop::Register(int descriptor, Watched* watched) const {
  const uint32_t events = watched->events();
  if (events == 0) {
    // Also when the descriptor was closed: then it is out already.
    if (watched->registered) epoll_ctl(poll_, EPOLL_CTL_DEL, descriptor, nullptr);
    watched->registered = false;
    return 0;
  }
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.fd = descriptor;
  const int first = watched->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  int failure = epoll_ctl(poll_, first, descriptor, &event) == 0 ? 0 : errno;
  // The number may stand for another file by now, which the set does not hold; or for one that it
  // still holds.
  if (failure == ENOENT || failure == EEXIST) {
    const int other = failure == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    failure = epoll_ctl(poll_, other, descriptor, &event) == 0 ? 0 : errno;
  }
  watched->registered = failure == 0;
  return failure;
}

void SyscallLoop::Cancel(Operation* watch) {
  const int descriptor = watch->loop.descriptor;
  if (descriptor < 0 || static_cast<size_t>(descriptor) >= watched_.size()) return;
  Watched* const watched = &watched_[static_cast<size_t>(descriptor)];
  Operation*& slot = watched->slot(watch->loop.events);
  if (slot != watch) return;  // it has ended already and only waits for its `done`
  slot = nullptr;
  --watches_;
  Register(descriptor, watched);  // cannot fail for asking less
  watch->result = -ECANCELED;
  ended_.PushBack(watch);
}

void SyscallLoop::Fire(Watched* watched, uint32_t event, uint32_t reported) {
  Operation*& slot = watched->slot(event);
  const uint32_t result = reported & (event | kAlwaysReported);
  if (slot == nullptr || result == 0) return;
  slot->result = result;
  ended_.PushBack(slot);
  slot = nullptr;
  --watches_;
}

void SyscallLoop::PollDescriptors(int timeout_ms) {
  std::array<epoll_event, 64> events{};
  const int count = epoll_wait(poll_, events.data(), int{events.size()}, timeout_ms);
  // A signal, or work that the kernel has for this thread, such as tearing down a ring.
  TIDEMARK_CHECK(count >= 0 || errno == EINTR);
  for (size_t i = 0; i < static_cast<size_t>(std::max(0, count)); ++i) {
    const int descriptor = events[i].data.fd;
    if (descriptor == wake_.descriptor()) continue;
    Watched* const watched = &watched_[static_cast<size_t>(descriptor)];
    Fire(watched, EPOLLIN, events[i].events);
    Fire(watched, EPOLLOUT, events[i].events);
    // One shot: what is left has to be asked for anew.
    if (watched->events() != 0) Register(descriptor, watched);
  }
}

// epoll counts in milliseconds: rounded up, since waking too early would spin.
int TimeoutMs(const Deadline& deadline) {
  if (deadline.never()) return -1;
  const int64_t milliseconds = (deadline.LeftUs() + 999) / 1000;
  return static_cast<int>(std::min<int64_t>(milliseconds, std::numeric_limits<int>::max()));
}

size_t SyscallLoop::RunOnce(int64_t max_wait_us) {
  const Deadline deadline(max_wait_us);
  for (;;) {
    // BeginWait() comes last: after it, every completion and every Wake() writes the eventfd.
    threads_.TakeEnded(&ended_);
    if (ended_.empty() && !deadline.Passed() && wake_.BeginWait()) {
      PollDescriptors(TimeoutMs(deadline));
    } else if (watches_ > 0) {
      PollDescriptors(0);
    }
    const bool woken = (wake_.Take() & WakeSignal::called) != 0;
    threads_.TakeEnded(&ended_);
    if (!ended_.empty() || woken || deadline.Passed()) break;
  }
  return CallDone();
}

size_t SyscallLoop::CallDone() {
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

Result<std::unique_ptr<Loop>> MakeSyscallLoop(const std::string& reason) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  if (poll < 0) return SystemError(errno, "making an epoll descriptor failed");
  auto loop = std::make_unique<SyscallLoop>(poll, reason);
  const int failure = loop->Prepare();
  if (failure != 0) return SystemError(failure, "making an eventfd for the loop failed");
  return std::unique_ptr<Loop>(std::move(loop));
}

}  // namespace tidemark::io
