// What `tidemark verify` and `tidemark repair` say, and how they end: as fsck does.
#pragma once

#include <string>

#include "storage/verify.h"
#include "tools/local_protocol.h"
#include "tools/output.h"

namespace tidemark::tools {

inline constexpr int kVerifyClean = 0;
inline constexpr int kVerifyRepaired = 1;
inline constexpr int kVerifyDamageLeft = 4;
inline constexpr int kVerifyUnreadable = 8;
inline constexpr int kVerifyUsage = 16;

// What is left after `report`: the sum of kVerifyDamageLeft and kVerifyUnreadable, if any.
int VerifyExitCode(const storage::VerifyReport& report);
Json FindingJson(const storage::Finding& finding);
// What was looked at, and whether it is in order: the last line.
Json SummaryJson(const storage::VerifyReport& report);

}  // namespace tidemark::tools
