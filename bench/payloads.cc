#include "bench/payloads.h"

#include <utility>

#include "tools/workload.h"

namespace tidemark::bench {
namespace {

std::string RandomBytes(size_t bytes, tools::SeededRandom* random) {
  std::string value(bytes, '\0');
  for (char& byte : value) byte = static_cast<char>(random->Next() & 0xff);
  return value;
}

// A reading as the device would send it, with a field that makes key and value so long together.
std::string PaddedReading(const tools::Reading& reading, size_t record_bytes) {
  const std::string field = R"(,"site":")";
  const std::string end = R"("})";
  std::string value = reading.value;
  const size_t wanted = record_bytes > reading.key.size() ? record_bytes - reading.key.size() : 1;
  if (value.size() - 1 + field.size() + end.size() <= wanted) {
    value.pop_back();
    value += field;
    const std::string name = "greenhouse north, ";
    for (size_t i = 0; value.size() + end.size() < wanted; ++i) value += name[i % name.size()];
    value += end;
  }
  value.resize(wanted, ' ');
  return value;
}

}  // namespace

Payloads::Payloads(PayloadKind kind, size_t record_bytes, size_t count, uint64_t seed) {
  tools::SeededRandom random(seed);
  tools::Thermometers thermometers({.seed = seed});
  items_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    if (kind == PayloadKind::random || (kind == PayloadKind::mixed && i % 2 == 1)) {
      items_.push_back({"", RandomBytes(record_bytes, &random)});
    } else {
      const tools::Reading& reading = thermometers.Next();
      items_.push_back({reading.key, PaddedReading(reading, record_bytes)});
    }
  }
}

}  // namespace tidemark::bench
