// The named workloads, each by its name. Like *thermometers* (workload.h) they are seeded, and
// their time is simulated: records come in the order in which they arrive, from `start_ms` on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/error.h"
#include "tools/workload.h"

namespace tidemark::tools {

class Workload {
 public:
  virtual ~Workload() = default;
  // The next reading; lives until the next call.
  virtual const Reading& Next() = 0;
};

struct WorkloadOptions {
  uint32_t devices = 0;  // 0: as many as the workload has of itself
  uint64_t seed = 1;
  int64_t start_ms = 1'732'272'000'000;
};

//   thermometers  100 devices, each a JSON reading every 10 to 60 s
//   plant         1,000 tags at 1 to 10 Hz, 20 to 60 bytes, binary
//   vibration     10 devices, 1 to 4 KB of samples at 10 Hz, binary
//   burst         a day of *thermometers*, that each device has kept and now sends, one after the
//                 other, within a minute
//   status        10,000 keys, of each of which only the last value is of use
//   skew          *thermometers* with devices' clocks as they are: a lag of 0 to 5 s (log-normal),
//                 1 % two hours late, 0.1 % at 1970, 0.01 % in 2106
std::vector<std::string> WorkloadNames();

// invalid_argument for another name, which lists these.
Result<std::unique_ptr<Workload>> MakeWorkload(std::string_view name,
                                               const WorkloadOptions& options);

}  // namespace tidemark::tools
