// From the start of `tidemark serve` over a large log to its first acknowledged record.
#pragma once

#include <string>

namespace tidemark::bench {

// Starts `binary serve --data folder`, publishes one reading with QoS 1 as soon as it says that it
// is ready, and stops it cleanly (SIGTERM).
struct FirstRecord {
  double ready_ms = 0;         // from just before the process was made
  double acknowledged_ms = 0;  // the same
};
FirstRecord ServeOnce(const std::string& binary, const std::string& folder);

}  // namespace tidemark::bench
