// Job files: fio's INI.
//
//   # a comment, as is what follows a ;
//   [global]           what all sections that follow begin with
//   runtime=10s
//   [append]           a job, under this name
//   rw=append
//   stonewall          a key alone is switched on
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/job.h"

namespace tidemark::tools {

// `name` is what errors call the file; they name the line as well. At least one job.
Result<std::vector<Job>> ParseJobFile(const std::string& name, std::string_view text);

}  // namespace tidemark::tools
