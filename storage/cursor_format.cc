#include "storage/cursor_format.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/utf8.h"

namespace tidemark::storage {
namespace {

constexpr int16_t kKeyVersion = 1;          // 0 has the same fields
constexpr int16_t kValueVersion = 3;        // 4 is written in another way
constexpr int16_t kExpiryVersion = 1;       // the only one with a time at which the offset expires
constexpr int16_t kLeaderEpochVersion = 3;  // the first one with a leader epoch

template <typename T>
void Put(T value, std::string* to) {
  char bytes[sizeof value];
  base::StoreBig(bytes, value);
  to->append(bytes, sizeof bytes);
}

void PutText(std::string_view text, std::string* to) {
  TIDEMARK_CHECK(text.size() <= INT16_MAX);
  Put(static_cast<int16_t>(text.size()), to);
  to->append(text);
}

// Fields one behind the other. After the first that is not there all are missing.
class FieldsFrom {
 public:
  explicit FieldsFrom(std::string_view bytes) : left_(bytes) {}

  template <typename T>
  T Get() {
    if (left_.size() < sizeof(T)) {
      Fail();
      return T{};
    }
    const T value = base::LoadBig<T>(left_.data());
    left_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view GetText() {
    const auto length = Get<int16_t>();
    if (length < 0 || static_cast<size_t>(length) > left_.size()) {
      Fail();
      return {};
    }
    const std::string_view text = left_.substr(0, static_cast<size_t>(length));
    left_.remove_prefix(text.size());
    return text;
  }
  // Whether all was there, and nothing behind it.
  bool whole() const { return !failed_ && left_.empty(); }

 private:
  void Fail() {
    failed_ = true;
    left_ = {};
  }
  std::string_view left_;
  bool failed_ = false;
};

bool IsControl(uint32_t point) { return point < 0x20 || (point >= 0x7f && point < 0xa0); }

// A char of Java is a UTF-16 unit.
uint32_t AddToHash(uint32_t hash, uint32_t point) {
  if (point < 0x10000) return hash * 31 + point;
  const uint32_t above = point - 0x10000;
  return (hash * 31 + (0xd800 + (above >> 10))) * 31 + (0xdc00 + (above & 0x3ff));
}

}  // namespace

std::string EncodeCursorKey(const CursorKey& key) {
  std::string bytes;
  Put(kKeyVersion, &bytes);
  PutText(key.group, &bytes);
  PutText(key.topic, &bytes);
  Put(key.partition, &bytes);
  return bytes;
}

std::string EncodeCursorValue(const CursorValue& value) {
  std::string bytes;
  Put(kValueVersion, &bytes);
  Put(value.offset, &bytes);
  Put(value.leader_epoch, &bytes);
  PutText(value.metadata, &bytes);
  Put(value.commit_timestamp_ms, &bytes);
  return bytes;
}

Result<std::optional<CursorKey>> DecodeCursorKey(Bytes bytes) {
  FieldsFrom fields(bytes);
  const auto version = fields.Get<int16_t>();
  if (bytes.size() >= sizeof version && version > kKeyVersion) return std::optional<CursorKey>();
  CursorKey key;
  key.group = fields.GetText();
  key.topic = fields.GetText();
  key.partition = fields.Get<int32_t>();
  if (fields.whole() && version >= 0 && key.partition >= 0) return std::optional(key);
  return Error(ErrorCode::corrupt, "the key is not one of an offset commit");
}

Result<CursorValue> DecodeCursorValue(Bytes bytes) {
  FieldsFrom fields(bytes);
  const auto version = fields.Get<int16_t>();
  if (bytes.size() >= sizeof version && version > kValueVersion) {
    return Error(ErrorCode::unsupported, "version " + std::to_string(version) +
                                             " of an offset commit is newer than this program");
  }
  CursorValue value;
  value.offset = fields.Get<int64_t>();
  if (version >= kLeaderEpochVersion) value.leader_epoch = fields.Get<int32_t>();
  value.metadata = fields.GetText();
  value.commit_timestamp_ms = fields.Get<int64_t>();
  if (version == kExpiryVersion) (void)fields.Get<int64_t>();
  if (fields.whole() && version >= 0 && value.offset >= 0) return value;
  return Error(ErrorCode::corrupt, "the value is not one of an offset commit");
}

std::optional<base::Uuid> FindTopicId(const HeaderRange& headers) {
  for (const Header& header : headers) {
    base::Uuid id;
    if (header.key != kTopicIdHeader || !header.value || header.value->size() != id.bytes.size())
      continue;
    const auto bytes = base::AsBytes(*header.value);
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    return id;
  }
  return std::nullopt;
}

int32_t PartitionForGroup(std::string_view group, int32_t partitions) {
  uint32_t hash = 0;
  for (size_t at = 0; at < group.size();) {
    const auto point = base::NextCodePoint(group, &at);
    if (!point) break;  // no name that was let in
    hash = AddToHash(hash, *point);
  }
  // The absolute value; of the least number, which has none, 0.
  const auto number = static_cast<int32_t>(hash);
  const int32_t positive = number == INT32_MIN ? 0 : (number < 0 ? -number : number);
  return positive % partitions;
}

Status CheckGroupName(std::string_view group) {
  const auto refuse = [](const std::string& what) {
    return Error(ErrorCode::invalid_argument, "the name of a group " + what);
  };
  if (group.empty()) return refuse("must not be empty");
  if (group.size() > kMaxGroupBytes) {
    return refuse("has " + std::to_string(kMaxGroupBytes) + " bytes at most, not " +
                  std::to_string(group.size()));
  }
  for (size_t at = 0; at < group.size();) {
    const auto point = base::NextCodePoint(group, &at);
    if (!point) return refuse("must be UTF-8");
    if (IsControl(*point)) return refuse("must not hold control characters");
  }
  return {};
}

Status CheckCursorMetadata(std::string_view metadata) {
  if (metadata.size() > kMaxCursorMetadataBytes) {
    return Error(ErrorCode::invalid_argument,
                 "the metadata of an offset has " + std::to_string(kMaxCursorMetadataBytes) +
                     " bytes at most, not " + std::to_string(metadata.size()));
  }
  if (base::IsUtf8(metadata)) return {};
  return Error(ErrorCode::invalid_argument, "the metadata of an offset must be UTF-8");
}

}  // namespace tidemark::storage
