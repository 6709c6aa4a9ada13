#include "tests/sim/model.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace tidemark::sim {
namespace {

constexpr int kMaxHeaders = 3;

// Bytes that follow from `number`. Compressible or not, by chance.
std::string BytesFor(Random& random, uint64_t number, uint64_t size) {
  std::string bytes = std::to_string(number) + ":";
  bytes.resize(std::max<uint64_t>(bytes.size(), size), static_cast<char>('a' + number % 26));
  if (random.OneIn(2)) return bytes;
  Random noise(number);
  const size_t start = std::to_string(number).size() + 1;
  for (size_t at = start; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = noise.Next();
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  return bytes;
}

// One digest over several fields: each with its length, a null with one that none has.
class Digest {
 public:
  void Add(const std::optional<Bytes>& field) {
    const uint64_t length = field ? field->size() : UINT64_MAX;
    value_ = base::Xxh3(base::AsBytes(field.value_or(Bytes())), value_ * 31 + length);
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

template <typename AnyRecord>
uint64_t DigestOfAny(const AnyRecord& record) {
  Digest digest;
  digest.Add(record.key);
  digest.Add(record.value);
  for (const Header& header : record.headers) {
    digest.Add(header.key);
    digest.Add(header.value);
  }
  return digest.value();
}

}  // namespace

// --- A partition ---------------------------------------------------------------------------------

int64_t ModelPartition::end() const {
  auto end = static_cast<int64_t>(records_.size());
  for (const Gap& gap : gaps_) end += gap.end_offset - gap.first_offset;
  return end;
}

ModelRecord* ModelPartition::At(int64_t offset) {
  int64_t index = offset;
  for (const Gap& gap : gaps_) {
    if (offset < gap.first_offset) break;
    if (offset < gap.end_offset) return nullptr;
    index -= gap.end_offset - gap.first_offset;
  }
  const bool there = index >= 0 && index < static_cast<int64_t>(records_.size());
  return there ? &records_[static_cast<size_t>(index)] : nullptr;
}

void ModelPartition::CutTo(int64_t end_offset) {
  int64_t kept = end_offset;
  for (const Gap& gap : gaps_) {
    if (end_offset <= gap.first_offset) break;
    kept -= std::min(end_offset, gap.end_offset) - gap.first_offset;
  }
  records_.resize(static_cast<size_t>(kept));
  for (auto& [key, offsets] : offsets_of_key_)
    offsets.erase(std::lower_bound(offsets.begin(), offsets.end(), end_offset), offsets.end());
  std::erase_if(gaps_, [&](const Gap& gap) { return gap.first_offset >= end_offset; });
  if (!gaps_.empty() && gaps_.back().end_offset > end_offset) gaps_.back().end_offset = end_offset;
}

bool ModelPartition::IsSuperseded(int64_t offset, const ModelRecord& record,
                                  int64_t end_offset) const {
  const auto found = offsets_of_key_.find(record.key);
  if (found == offsets_of_key_.end()) return false;
  const auto next = std::upper_bound(found->second.begin(), found->second.end(), offset);
  return next != found->second.end() && *next < end_offset;
}

void ModelPartition::SkipTo(int64_t offset) {
  if (offset > end()) gaps_.push_back({end(), offset});
}

void ModelPartition::ForEach(
    int64_t first_offset, int64_t end_offset,
    const std::function<bool(int64_t offset, ModelRecord& record)>& visit) {
  int64_t offset = 0;
  auto gap = gaps_.begin();
  for (ModelRecord& record : records_) {
    for (; gap != gaps_.end() && gap->first_offset == offset; ++gap) offset = gap->end_offset;
    if (offset >= end_offset) return;
    if (offset >= first_offset && !visit(offset, record)) return;
    ++offset;
  }
}

// --- Records -------------------------------------------------------------------------------------

Record OwnRecord::view() const {
  Record record;
  if (key) record.key = *key;
  if (value) record.value = *value;
  record.timestamp_ms = timestamp_ms;
  record.headers = headers;
  return record;
}

OwnRecord MakeRecord(Random& random, uint64_t number, uint64_t value_bytes, int64_t timestamp_ms) {
  OwnRecord record;
  record.timestamp_ms = timestamp_ms;
  record.key = "key-" + std::to_string(number);  // tells two null values apart
  if (!random.OneIn(8)) record.value = BytesFor(random, number, value_bytes);
  for (uint64_t i = random.OneIn(4) ? random.Below(kMaxHeaders + 1) : 0; i > 0; --i) {
    record.header_bytes.emplace_back(
        "header-" + std::to_string(i),
        random.OneIn(3) ? std::nullopt : std::optional(std::to_string(number)));
  }
  for (const auto& [key, value] : record.header_bytes) {
    record.headers.push_back({key, value ? std::optional<Bytes>(*value) : std::nullopt});
  }
  return record;
}

uint64_t DigestOf(const Record& record) { return DigestOfAny(record); }
uint64_t DigestOf(const RecordView& record) { return DigestOfAny(record); }

}  // namespace tidemark::sim
