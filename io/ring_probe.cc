#include "io/ring_probe.h"

#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>

namespace tidemark::io {
namespace {

// One commit, a few reads, and a burst of sockets that turn readable; when it is full the loop
// submits early. 64 bytes each.
constexpr unsigned kSubmissionEntries = 256;
// Every watched socket may end in the same moment; more than this the kernel keeps aside. 16 bytes
// each.
constexpr unsigned kCompletionEntries = 4096;

constexpr std::array kNeededOpcodes = {IORING_OP_NOP, IORING_OP_READ, IORING_OP_WRITE,
                                       IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL};

// From the best to what every kernel has. TASKRUN: completions do not interrupt the thread, they
// are fetched when it enters the kernel (since 5.19). SINGLE_ISSUER and DEFER_TASKRUN are left out
// on purpose: they bind the ring to one thread, while an engine may be opened on one and polled on
// another, and measuring showed no gain.
constexpr std::array kSetupFlags = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0u};

// EXT_ARG: a wait with a timeout, without a timer of its own (5.11). NODROP: no completion is lost
// when the queue is full (5.5).
constexpr unsigned kNeededFeatures = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;

std::string HintForPermission() {
  std::ifstream setting("/proc/sys/kernel/io_uring_disabled");
  int value = 0;
  if (setting >> value && value != 0) {
    return "kernel.io_uring_disabled is " + std::to_string(value);
  }
  return "a seccomp filter forbids it, as the default ones of containers do";
}

std::string HintForMemory() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return "the kernel is short of memory";
  }
  return "the limit of locked memory (ulimit -l) is " + std::to_string(limit.rlim_cur / 1024) +
         " KiB";
}

RingRefusal Refused(const std::string& what, int system_errno) {
  std::string hint;
  switch (system_errno) {
    case EPERM:
    case EACCES:
      hint = HintForPermission();
      break;
    case ENOMEM:
      hint = HintForMemory();
      break;
    case ENOSYS:
      hint = "the kernel is older than 5.1, was built without it or hides it";
      break;
    case EMFILE:
      hint = "the limit of open files (ulimit -n) is reached";
      break;
    default:
      break;
  }
  return {what, system_errno, hint};
}

std::optional<RingRefusal> ProbeOpcodes(io_uring* ring) {
  struct FreeProbe {
    void operator()(io_uring_probe* probe) const { io_uring_free_probe(probe); }
  };
  const std::unique_ptr<io_uring_probe, FreeProbe> probe(io_uring_get_probe_ring(ring));
  if (!probe) return RingRefusal{"io_uring_register", 0, "the kernel is older than 5.6"};
  for (const auto opcode : kNeededOpcodes) {
    if (io_uring_opcode_supported(probe.get(), opcode) == 0) {
      return RingRefusal{"io_uring", 0, "the kernel lacks its operation " + std::to_string(opcode)};
    }
  }
  return std::nullopt;
}

// One turn through the ring: a filter may allow setting up and forbid entering.
std::optional<RingRefusal> ProbeTurn(io_uring* ring) {
  io_uring_sqe* const sqe = io_uring_get_sqe(ring);
  io_uring_prep_nop(sqe);
  const int submitted = io_uring_submit_and_wait(ring, 1);
  if (submitted < 0) return Refused("io_uring_enter", -submitted);
  io_uring_cqe* cqe = nullptr;
  const int answer = io_uring_peek_cqe(ring, &cqe);
  if (answer != 0) return Refused("io_uring_enter", -answer);
  io_uring_cqe_seen(ring, cqe);
  return std::nullopt;
}

std::optional<RingRefusal> Probe(io_uring* ring) {
  if ((ring->features & kNeededFeatures) != kNeededFeatures) {
    return RingRefusal{"io_uring", 0, "the kernel is older than 5.11"};
  }
  if (auto refusal = ProbeOpcodes(ring)) return refusal;
  return ProbeTurn(ring);
}

}  // namespace

std::string RingRefusal::ToString() const {
  std::string text = what;
  if (system_errno != 0) text += ": " + std::system_category().message(system_errno);
  if (!hint.empty()) text += "; " + hint;
  return text;
}

std::optional<RingRefusal> SetUpRing(io_uring* ring) {
  int answer = 0;
  for (const unsigned flags : kSetupFlags) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | flags;
    parameters.cq_entries = kCompletionEntries;
    answer = io_uring_queue_init_params(kSubmissionEntries, ring, &parameters);
    if (answer != -EINVAL) break;  // EINVAL: flags that this kernel does not know
  }
  if (answer < 0) return Refused("io_uring_setup", -answer);
  auto refusal = Probe(ring);
  if (refusal) io_uring_queue_exit(ring);
  return refusal;
}

}  // namespace tidemark::io
