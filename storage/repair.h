// Mending a store: what can be made anew is, what is damaged goes to quarantine/, nothing is
// deleted. Takes the store's lock. Blocks.
#pragma once

#include <string>
#include <vector>

#include "io/environment.h"
#include "storage/verify.h"
#include "tidemark/error.h"
#include "tidemark/options.h"

namespace tidemark::storage {

struct RepairReport {
  std::vector<std::string> actions;  // done, or (`dry_run`) to be done
  VerifyReport before;
  VerifyReport after;  // what is left; with `dry_run` as before
};

// locked when somebody has the store open.
Result<RepairReport> RepairStore(const io::Environment& environment, const EngineOptions& options,
                                 bool dry_run);

}  // namespace tidemark::storage
