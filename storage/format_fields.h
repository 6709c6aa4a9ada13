// Between the codecs of Tidemark's own formats: fields one behind the other, as the tables of
// docs/formats.md list them, and the checksum behind them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/uuid.h"

namespace tidemark::storage {

inline constexpr size_t kMagicBytes = 8;
inline constexpr size_t kChecksumBytes = sizeof(uint64_t);

class FieldWriter {
 public:
  explicit FieldWriter(std::byte* to) : begin_(to), to_(to) {}

  void Put(std::string_view magic) { PutBytes(base::AsBytes(magic)); }
  void Put(const base::Uuid& id) { PutBytes(id.bytes); }
  template <typename T>
  void Put(T value) {
    base::StoreLittle(to_, value);
    to_ += sizeof value;
  }
  // XXH3 of all that was written so far.
  uint64_t PutChecksum() {
    const uint64_t checksum = base::Xxh3({begin_, to_});
    Put(checksum);
    return checksum;
  }
  size_t written() const { return static_cast<size_t>(to_ - begin_); }

 private:
  void PutBytes(base::ByteSpan bytes) { to_ = std::copy(bytes.begin(), bytes.end(), to_); }

  std::byte* begin_;
  std::byte* to_;
};

// Reads them back. The caller has made sure that there are bytes enough.
class FieldReader {
 public:
  explicit FieldReader(const std::byte* from) : from_(from) {}

  template <typename T>
  void Get(T* value) {
    *value = base::LoadLittle<T>(from_);
    from_ += sizeof(T);
  }
  void Get(base::Uuid* id) {
    std::memcpy(id->bytes.data(), from_, id->bytes.size());
    from_ += id->bytes.size();
  }

 private:
  const std::byte* from_;
};

inline bool HasMagic(base::ByteSpan bytes, std::string_view magic) {
  return base::AsText(bytes.first(kMagicBytes)) == magic;
}

// Whether the last eight of `bytes` are the XXH3 of what stands before them.
inline bool EndsWithChecksum(base::ByteSpan bytes) {
  const size_t covered = bytes.size() - kChecksumBytes;
  return base::LoadLittle<uint64_t>(bytes.data() + covered) == base::Xxh3(bytes.first(covered));
}

}  // namespace tidemark::storage
