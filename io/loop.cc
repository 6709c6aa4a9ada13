#include "io/loop.h"

#include <cstdlib>
#include <utility>
#include <variant>

#include "io/loop_kinds.h"

namespace tidemark::io {
namespace {

constexpr const char* kKindVariable = "TIDEMARK_IO";

// The kind that the environment asks for in place of `automatic`; `automatic` when it asks for
// none.
Result<LoopKind> KindFromEnvironment() {
  const char* const value = std::getenv(kKindVariable);
  if (value == nullptr || *value == '\0') return LoopKind::automatic;
  const std::string_view name = value;
  if (name == "io_uring") return LoopKind::io_uring;
  if (name == "syscalls") return LoopKind::syscalls;
  return Error(ErrorCode::invalid_argument, std::string("environment variable ") + kKindVariable +
                                                " is \"" + value +
                                                "\": it may be io_uring or syscalls");
}

}  // namespace

Result<std::unique_ptr<Loop>> MakeLoop(LoopKind kind) {
  std::string reason;
  if (kind == LoopKind::automatic) {
    const Result<LoopKind> chosen = KindFromEnvironment();
    if (!chosen) return chosen.error();
    kind = *chosen;
    if (kind == LoopKind::syscalls) reason = std::string(kKindVariable) + "=syscalls";
  }
  if (kind == LoopKind::syscalls) return MakeSyscallLoop(reason);

  auto ring = MakeRingLoop();
  if (auto* const made = std::get_if<std::unique_ptr<Loop>>(&ring)) return std::move(*made);
  const auto& refusal = std::get<RingRefusal>(ring);
  if (kind == LoopKind::automatic) return MakeSyscallLoop(refusal.ToString());
  return Error(ErrorCode::unsupported, "io_uring was asked for, but " + refusal.ToString(),
               refusal.system_errno);
}

}  // namespace tidemark::io
