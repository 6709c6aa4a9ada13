// Any bytes as a seal, with a right checksum or without: an Error, or a seal that is written as the
// same bytes again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "storage/seal_format.h"

namespace tidemark::storage {
namespace {

void TrySeal(base::ByteSpan bytes) {
  const auto seal = DecodeSeal(bytes);
  if (!seal.ok()) return;
  TIDEMARK_CHECK(seal->end_offset > seal->base_offset);
  TIDEMARK_CHECK(seal->block_checksums.size() == SealBlocks(seal->log_bytes, seal->block_bytes));
  const std::vector<std::byte> again = EncodeSeal(*seal);
  TIDEMARK_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
}

// What a checksum would keep away: the fields behind it are the fuzzer's.
void TryChecked(base::ByteSpan fields) {
  constexpr std::string_view kMagic = "TMSEALED";
  const auto magic = base::AsBytes(kMagic);
  std::vector<std::byte> bytes(magic.begin(), magic.end());
  bytes.insert(bytes.end(), fields.begin(), fields.end());
  const uint64_t checksum = base::Xxh3(bytes);
  bytes.resize(bytes.size() + sizeof checksum);
  base::StoreLittle(bytes.data() + bytes.size() - sizeof checksum, checksum);
  TrySeal(bytes);
}

}  // namespace
}  // namespace tidemark::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  tidemark::storage::TrySeal(bytes);
  tidemark::storage::TryChecked(bytes);
  return 0;
}
