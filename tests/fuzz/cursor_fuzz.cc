// Any bytes as the key and the value of an offset commit: an Error, or what is written again and
// read again as the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "storage/cursor_format.h"

namespace tidemark::storage {
namespace {

void TryKey(std::string_view bytes) {
  const auto key = DecodeCursorKey(bytes);
  if (!key.ok() || !*key) return;
  TIDEMARK_CHECK((*key)->partition >= 0);
  const std::string again = EncodeCursorKey(**key);
  const auto decoded = DecodeCursorKey(again);
  TIDEMARK_CHECK(decoded.ok() && *decoded == *key);
  TIDEMARK_CHECK(again.substr(sizeof(int16_t)) == bytes.substr(sizeof(int16_t)));
  const int32_t partition = PartitionForGroup((*key)->group, 50);
  TIDEMARK_CHECK(partition >= 0 && partition < 50);
  if (CheckGroupName((*key)->group).ok()) TIDEMARK_CHECK(!(*key)->group.empty());
}

void TryValue(std::string_view bytes) {
  const auto value = DecodeCursorValue(bytes);
  if (!value.ok()) return;
  TIDEMARK_CHECK(value->offset >= 0);
  const std::string again = EncodeCursorValue(*value);
  const auto decoded = DecodeCursorValue(again);
  TIDEMARK_CHECK(decoded.ok() && *decoded == *value);
  (void)CheckCursorMetadata(value->metadata);
}

}  // namespace
}  // namespace tidemark::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  tidemark::storage::TryKey(bytes);
  tidemark::storage::TryValue(bytes);
  return 0;
}
