#include "tools/bench/cpu_use.h"

#include <sys/resource.h>

namespace tidemark::tools {
namespace {

CpuUse UsedBy(int who) {
  rusage use{};
  (void)getrusage(who, &use);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {seconds(use.ru_utime), seconds(use.ru_stime)};
}

}  // namespace

CpuUse ThreadCpu() { return UsedBy(RUSAGE_THREAD); }
CpuUse ProcessCpu() { return UsedBy(RUSAGE_SELF); }

}  // namespace tidemark::tools
