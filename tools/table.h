// What JSON holds, for people: a table of an array's objects.
#pragma once

#include <string>
#include <vector>

#include "tools/local_protocol.h"
#include "tools/output.h"

namespace tidemark::tools {

// A text without its quotes; anything else as JSON has it.
std::string TextOf(const Json& value);

// The named fields of `rows` in columns, with titles; numbers to the right.
void WriteTable(const Json& rows, const std::vector<std::string>& fields, Output* output);

}  // namespace tidemark::tools
