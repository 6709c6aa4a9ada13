// What a benchmark has found, as fio shows it.
#pragma once

#include <string>
#include <vector>

#include "tools/bench/runner.h"
#include "tools/local_protocol.h"

namespace tidemark::tools {

std::string BenchText(const std::vector<GroupResult>& groups);
// docs/bench.md names the fields.
Json BenchJson(const std::vector<GroupResult>& groups);
// "[w=412k rec/s] 37.0 % eta 6 s"
std::string ProgressText(const GroupProgress& progress);

}  // namespace tidemark::tools
