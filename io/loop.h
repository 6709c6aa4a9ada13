// One loop: disk operations, sockets and wake-ups of one thread, in io_uring where the kernel
// allows it and in plain system calls with a few I/O threads where not. Both behave alike.
//
// An operation is a struct that its owner embeds and keeps alive until `done` was called (exactly
// once, from RunOnce(), on the loop's thread). All calls but Wake() belong to that one thread; the
// loop may be handed to another thread while nothing is in flight.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "io/file_system.h"
#include "tidemark/error.h"

namespace tidemark::io {

struct Operation {
  // Called when the operation has ended. `result` is then: the bytes transferred (reads: fewer than
  // asked only at the end of the file; writes: all of them), the poll events of a watch, or -errno.
  void (*done)(Operation* operation) = nullptr;
  void* owner = nullptr;  // for `done` to find its way home
  int64_t result = 0;

  // The loop's own, not to be touched between start and `done`.
  struct {
    File* file = nullptr;
    std::byte* data = nullptr;
    uint64_t offset = 0;
    uint64_t length = 0;
    uint64_t transferred = 0;
    int descriptor = -1;
    uint32_t events = 0;
    uint8_t kind = 0;
    bool durable = false;
    Operation* next = nullptr;
  } loop;
};

// Why a loop is of its kind, for the log: "io_uring" or "syscalls (io_uring_setup: Operation not
// permitted; kernel.io_uring_disabled is 2)".
struct LoopDescription {
  bool uses_io_uring = false;
  std::string text;
};

enum class Readiness : uint32_t { readable = 1, writable = 4 };  // POLLIN, POLLOUT

class Loop {
 public:
  virtual ~Loop() = default;

  // Disk. Short transfers are continued by the loop. Operations may end in any order.
  virtual void Read(File& file, uint64_t offset, base::MutableByteSpan into,
                    Operation* operation) = 0;
  virtual void Write(File& file, uint64_t offset, base::ByteSpan bytes, Durable durable,
                     Operation* operation) = 0;

  // Sockets: `done` is called once the descriptor is ready (or in error or hung up: also
  // readiness). One shot. At most one watch of each readiness a descriptor.
  virtual void Watch(int descriptor, Readiness readiness, Operation* operation) = 0;
  // Ends a watch before its time: `done` is called with -ECANCELED, or as usual if it was just
  // ready, in a later RunOnce(); until then neither the operation nor the descriptor may be let go.
  virtual void Cancel(Operation* watch) = 0;

  // Hands what was started to the kernel, waits up to `max_wait_us` (0: not at all, negative: for
  // ever) for at least one completion or Wake(), and calls `done` for all that have ended. Returns
  // how many. A signal does not end the wait, but its handler may Wake().
  virtual size_t RunOnce(int64_t max_wait_us) = 0;

  // From any thread and from signal handlers: makes a RunOnce() that waits, or the next one, return
  // soon.
  virtual void Wake() = 0;

  virtual const LoopDescription& description() const = 0;
  // Operations started whose `done` was not yet called.
  virtual size_t in_flight() const = 0;
};

enum class LoopKind { automatic, io_uring, syscalls };

// `automatic` takes io_uring and falls back to syscalls where the kernel refuses it; the
// environment variable TIDEMARK_IO (io_uring or syscalls) decides in its place. A kind asked for by
// name that cannot be had is an error.
Result<std::unique_ptr<Loop>> MakeLoop(LoopKind kind);

}  // namespace tidemark::io
