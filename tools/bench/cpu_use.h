// Processor time.
#pragma once

namespace tidemark::tools {

struct CpuUse {
  double user_s = 0;
  double system_s = 0;

  CpuUse& operator+=(const CpuUse& other) {
    user_s += other.user_s;
    system_s += other.system_s;
    return *this;
  }
  CpuUse operator-(const CpuUse& before) const {
    return {user_s - before.user_s, system_s - before.system_s};
  }
};

// What the calling thread, or all threads of this process, have used so far.
CpuUse ThreadCpu();
CpuUse ProcessCpu();

}  // namespace tidemark::tools
