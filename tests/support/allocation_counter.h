// How often the present thread has asked for memory by operator new, which is replaced in a program
// that uses this. Not under the sanitizers, whose own operator must stay.
#pragma once

#include <cstdint>

namespace tidemark {

uint64_t AllocationsOfThisThread();

}  // namespace tidemark
