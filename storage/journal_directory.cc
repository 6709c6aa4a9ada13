// The directory of a commit: encoding and decoding of its entries (docs/formats.md, "Directory").
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/varint.h"
#include "storage/journal_format.h"

namespace tidemark::storage {
namespace {

constexpr uint8_t kKindMask = 0x3f;
constexpr uint8_t kSameTopicBit = 0x40;
constexpr uint8_t kCarriedBit = 0x80;

constexpr uint64_t kMaxOffset = std::numeric_limits<int64_t>::max();

Error CorruptDirectory(std::string what) {
  return Error(ErrorCode::corrupt, "journal: " + std::move(what));
}

bool IsKind(uint8_t kind) {
  return kind >= static_cast<uint8_t>(FrameKind::records) &&
         kind <= static_cast<uint8_t>(FrameKind::topic_deleted);
}

// The four numbers of an entry. nullptr: they end early or are impossible.
const std::byte* GetNumbers(const std::byte* from, const std::byte* end, DirectoryEntry* entry) {
  uint64_t partition = 0;
  uint64_t first_offset = 0;
  uint64_t offsets = 0;
  for (uint64_t* number : {&partition, &first_offset, &offsets, &entry->data_bytes}) {
    from = base::GetUnsignedVarint(from, end, number);
    if (from == nullptr) return nullptr;
  }
  if (partition > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) return nullptr;
  if (first_offset > kMaxOffset || offsets > kMaxOffset - first_offset) return nullptr;
  entry->partition = static_cast<int32_t>(partition);
  entry->first_offset = static_cast<int64_t>(first_offset);
  entry->end_offset = static_cast<int64_t>(first_offset + offsets);
  return from;
}

// One entry; `*entry` holds the one before (its topic id, if `has_previous`). nullptr as above.
const std::byte* GetEntry(const std::byte* from, const std::byte* end, bool has_previous,
                          DirectoryEntry* entry) {
  const auto bits = static_cast<uint8_t>(*from++);
  if (!IsKind(bits & kKindMask)) return nullptr;
  entry->kind = static_cast<FrameKind>(bits & kKindMask);
  entry->carried = (bits & kCarriedBit) != 0;
  if ((bits & kSameTopicBit) != 0) {
    if (!has_previous) return nullptr;
  } else {
    base::Uuid& id = entry->topic_id;
    if (static_cast<size_t>(end - from) < id.bytes.size()) return nullptr;
    std::memcpy(id.bytes.data(), from, id.bytes.size());
    from += id.bytes.size();
  }
  return GetNumbers(from, end, entry);
}

bool TombstoneHolds(const DirectoryEntry& entry) {
  return entry.kind != FrameKind::topic_deleted ||
         (entry.partition == 0 && entry.first_offset == 0 && entry.end_offset == 0 &&
          entry.data_bytes == 0);
}

}  // namespace

void DirectoryEncoder::Clear() {
  bytes_.clear();
  last_topic_.reset();
}

void DirectoryEncoder::Add(const DirectoryEntry& entry) {
  TIDEMARK_CHECK(entry.partition >= 0 && entry.first_offset >= 0 &&
                 entry.end_offset >= entry.first_offset);
  const bool same_topic = last_topic_ == entry.topic_id;
  std::byte buffer[kMaxEntryBytes];
  const int kind = static_cast<int>(entry.kind) | (same_topic ? kSameTopicBit : 0) |
                   (entry.carried ? kCarriedBit : 0);
  std::byte* to = buffer;
  *to++ = static_cast<std::byte>(kind);
  if (!same_topic) to = std::copy(entry.topic_id.bytes.begin(), entry.topic_id.bytes.end(), to);
  to = base::PutUnsignedVarint(to, static_cast<uint64_t>(entry.partition));
  to = base::PutUnsignedVarint(to, static_cast<uint64_t>(entry.first_offset));
  to = base::PutUnsignedVarint(to, static_cast<uint64_t>(entry.end_offset - entry.first_offset));
  to = base::PutUnsignedVarint(to, entry.data_bytes);
  bytes_.insert(bytes_.end(), buffer, to);
  last_topic_ = entry.topic_id;
}

Result<std::vector<DirectoryEntry>> DecodeDirectory(base::ByteSpan bytes, uint64_t data_bytes) {
  std::vector<DirectoryEntry> entries;
  DirectoryEntry entry;
  uint64_t left = data_bytes;
  const std::byte* from = bytes.data();
  const std::byte* const end = from + bytes.size();
  while (from != end) {
    from = GetEntry(from, end, !entries.empty(), &entry);
    if (from == nullptr || !TombstoneHolds(entry)) {
      return CorruptDirectory("entry " + std::to_string(entries.size()) +
                              " of a directory is impossible");
    }
    if (entry.data_bytes > left)
      return CorruptDirectory("a directory names more data than there is");
    left -= entry.data_bytes;
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace tidemark::storage
