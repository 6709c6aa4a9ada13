// Records as they stand in a batch: writing them, checking them, and walking over checked ones.
#include "tidemark/record.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "base/check.h"
#include "base/varint.h"
#include "record/batch.h"

namespace tidemark {
namespace record {
namespace {

// How a null key or value is written in place of its length.
constexpr int64_t kNullLength = -1;

size_t FieldBytes(Bytes field) {
  return base::VarintSize(static_cast<int64_t>(field.size())) + field.size();
}
size_t FieldBytes(const std::optional<Bytes>& field) {
  return field ? FieldBytes(*field) : base::VarintSize(kNullLength);
}

// The size of a record without its length prefix.
size_t BodyBytes(const Record& record, int64_t timestamp_delta, int32_t offset_delta) {
  size_t bytes = 1 + base::VarintSize(timestamp_delta) + base::VarintSize(offset_delta) +
                 FieldBytes(record.key) + FieldBytes(record.value) +
                 base::VarintSize(static_cast<int64_t>(record.headers.size()));
  for (const Header& header : record.headers) {
    bytes += FieldBytes(header.key) + FieldBytes(header.value);
  }
  return bytes;
}

// The body of a record that takes so many bytes with its length prefix.
size_t BodyOf(size_t encoded_bytes) {
  size_t prefix = 1;
  while (base::VarintSize(static_cast<int64_t>(encoded_bytes - prefix)) != prefix) ++prefix;
  return encoded_bytes - prefix;
}

std::byte* PutField(std::byte* to, Bytes field) {
  to = base::PutVarint(to, static_cast<int64_t>(field.size()));
  if (!field.empty()) std::memcpy(to, field.data(), field.size());
  return to + field.size();
}
std::byte* PutField(std::byte* to, const std::optional<Bytes>& field) {
  return field ? PutField(to, *field) : base::PutVarint(to, kNullLength);
}

// Reads fields of one record and never beyond it. A failed read leaves the reason in `fault`.
class FieldReader {
 public:
  FieldReader(const std::byte* at, const std::byte* end) : at_(at), end_(end) {}

  const std::byte* at() const { return at_; }
  const char* fault() const { return fault_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

  // An int32 as Kafka reads it: in five bytes at most.
  bool ReadInt32(int32_t* value) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) [[likely]] {
      *value = static_cast<int32_t>(base::UnZigZag(static_cast<uint64_t>(*at_++)));
      return true;
    }
    uint64_t raw = 0;
    at_ = base::GetUnsignedVarint(at_, at_ + std::min(left(), base::kMaxVarintBytes), &raw);
    if (at_ == nullptr || raw > std::numeric_limits<uint32_t>::max()) return Fail("bad varint");
    *value = static_cast<int32_t>(base::UnZigZag(raw));
    return true;
  }

  bool ReadInt64(int64_t* value) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) [[likely]] {
      *value = base::UnZigZag(static_cast<uint64_t>(*at_++));
      return true;
    }
    at_ = base::GetVarlong(at_, end_, value);
    return at_ != nullptr || Fail("bad varint");
  }

  bool Skip(int32_t bytes) {
    if (bytes < 0 || static_cast<size_t>(bytes) > left())
      return Fail("a field runs past its record");
    at_ += bytes;
    return true;
  }

  // Any negative length is a null to Kafka.
  bool SkipNullable() {
    int32_t length = 0;
    return ReadInt32(&length) && (length < 0 || Skip(length));
  }

  bool SkipHeaders() {
    int32_t count = 0;
    if (!ReadInt32(&count)) return false;
    if (count < 0 || static_cast<size_t>(count) > left()) return Fail("impossible header count");
    for (; count > 0; --count) {
      int32_t key_length = 0;
      if (!ReadInt32(&key_length) || !Skip(key_length) || !SkipNullable()) return false;
    }
    return true;
  }

  bool Fail(const char* fault) {
    fault_ = fault;
    return false;
  }

 private:
  const std::byte* at_;
  const std::byte* end_;
  const char* fault_ = nullptr;
};

Error Corrupt(int32_t index, int32_t count, const char* fault) {
  return Error(ErrorCode::corrupt, "batch: record " + std::to_string(index) + " of " +
                                       std::to_string(count) + ": " + fault);
}

struct RecordDeltas {
  int64_t timestamp = 0;
  int32_t offset = 0;
};

// Checks everything in one record behind its length prefix.
bool CheckBody(FieldReader* reader, RecordDeltas* deltas) {
  if (!reader->Skip(1)) return false;  // attributes: Kafka defines none and ignores what is there
  if (!reader->ReadInt64(&deltas->timestamp) || !reader->ReadInt32(&deltas->offset)) return false;
  if (!reader->SkipNullable() || !reader->SkipNullable()) return false;  // key, value
  if (!reader->SkipHeaders()) return false;
  return reader->left() == 0 || reader->Fail("bytes are left over in it");
}

// Checks the record at `position`, which moves behind it. Returns what is wrong; nullptr: nothing.
const char* CheckRecord(base::ByteSpan records, size_t* position, RecordDeltas* deltas) {
  FieldReader reader(records.data() + *position, records.data() + records.size());
  int32_t length = 0;
  if (!reader.ReadInt32(&length)) return reader.fault();
  const std::byte* const body = reader.at();
  if (!reader.Skip(length)) return "it runs past the batch";
  FieldReader fields(body, reader.at());
  if (!CheckBody(&fields, deltas)) return fields.fault();
  *position = static_cast<size_t>(reader.at() - records.data());
  return nullptr;
}

// Decodes records of the shape that nearly all have, a good part of the work of reading a log: it
// does not ask at each byte whether there is another one, since kSlackBytes follow. What it does
// not take, wrong or only unusual, is left to CheckBody().
class PlainReader {
 public:
  explicit PlainReader(base::ByteSpan records)
      : data_(records.data()),
        size_(records.size()),
        last_(records.size() < kSlackBytes ? 0 : records.size() - kSlackBytes) {}

  // The record at `at`: true, and `at` behind it, if it is whole and right by itself.
  bool Take(size_t* at, RecordDeltas* deltas) const {
    if (*at >= last_) return false;
    size_t position = *at;
    uint32_t length = 0;
    uint32_t timestamp = 0;
    uint32_t offset = 0;
    if (!Read(&position, &length) || IsNegative(length)) return false;
    const size_t end = position + length / 2;
    ++position;  // attributes
    if (!Read(&position, &timestamp) || !Read(&position, &offset)) return false;
    if (!SkipField(&position) || !SkipField(&position)) return false;  // key, value
    if (!SkipHeaders(&position) || position != end || end > size_) return false;
    deltas->timestamp = base::UnZigZag(timestamp);
    deltas->offset = static_cast<int32_t>(base::UnZigZag(offset));
    *at = end;
    return true;
  }

 private:
  // More than what is read between two looks at how much is left: five numbers and a byte.
  static constexpr size_t kSlackBytes = 32;
  static constexpr size_t kMaxNumberBytes = 4;
  static_assert(5 * kMaxNumberBytes + 1 < kSlackBytes);

  static bool IsNegative(uint32_t zigzag) { return (zigzag & 1) != 0; }

  // A number of at most kMaxNumberBytes, as it stands there (zigzag).
  bool Read(size_t* position, uint32_t* value) const {
    auto byte = static_cast<uint32_t>(data_[*position]);
    ++*position;
    *value = byte & 0x7f;
    for (unsigned shift = 7; byte >= 0x80; shift += 7) {
      if (shift == 7 * kMaxNumberBytes) return false;
      byte = static_cast<uint32_t>(data_[*position]);
      ++*position;
      *value |= (byte & 0x7f) << shift;
    }
    return true;
  }
  bool SkipField(size_t* position) const {
    uint32_t length = 0;
    if (!Read(position, &length)) return false;
    if (!IsNegative(length)) *position += length / 2;
    return *position < last_;
  }
  bool SkipHeaders(size_t* position) const {
    uint32_t count = 0;
    if (!Read(position, &count) || IsNegative(count)) return false;
    for (count /= 2; count > 0; --count) {
      uint32_t key_length = 0;
      if (*position >= last_ || !Read(position, &key_length) || IsNegative(key_length))
        return false;
      *position += key_length / 2;
      if (*position >= last_ || !SkipField(position)) return false;
    }
    return true;
  }

  const std::byte* data_;
  size_t size_;
  size_t last_;  // behind the last place where so many bytes follow
};

// Takes a record, `summary->count` others before it, into the summary.
void Count(const RecordDeltas& deltas, RecordsSummary* summary) {
  const bool first = summary->count == 0;
  if (first) summary->first_offset_delta = deltas.offset;
  if (first || deltas.timestamp > summary->max_timestamp_delta) {
    summary->max_timestamp_delta = deltas.timestamp;
    summary->max_timestamp_offset_delta = deltas.offset;
  }
  summary->last_offset_delta = deltas.offset;
}

}  // namespace

size_t EncodedRecordBytes(const Record& record, int64_t timestamp_delta, int32_t offset_delta) {
  const size_t body = BodyBytes(record, timestamp_delta, offset_delta);
  return base::VarintSize(static_cast<int64_t>(body)) + body;
}

std::byte* EncodeRecord(std::byte* to, const Record& record, int64_t timestamp_delta,
                        int32_t offset_delta, size_t encoded_bytes) {
  const size_t body = BodyOf(encoded_bytes);
  TIDEMARK_CHECK(body <= static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  to = base::PutVarint(to, static_cast<int64_t>(body));
  *to++ = std::byte{0};  // attributes
  to = base::PutVarint(to, timestamp_delta);
  to = base::PutVarint(to, offset_delta);
  to = PutField(to, record.key);
  to = PutField(to, record.value);
  to = base::PutVarint(to, static_cast<int64_t>(record.headers.size()));
  for (const Header& header : record.headers) {
    to = PutField(to, header.key);
    to = PutField(to, header.value);
  }
  return to;
}

Result<RecordsSummary> CheckRecords(base::ByteSpan records, int32_t count,
                                    int32_t last_offset_delta) {
  RecordsSummary summary;
  const PlainReader plain(records);
  size_t position = 0;
  int64_t previous_offset = -1;
  for (; summary.count < count; ++summary.count) {
    RecordDeltas deltas;
    if (!plain.Take(&position, &deltas)) {
      const char* const fault = CheckRecord(records, &position, &deltas);
      if (fault != nullptr) return Corrupt(summary.count, count, fault);
    }
    if (deltas.offset <= previous_offset || deltas.offset > last_offset_delta) {
      return Corrupt(summary.count, count, "its offset is not behind the one before, or too far");
    }
    previous_offset = deltas.offset;
    Count(deltas, &summary);
  }
  if (count < 0 || position != records.size())
    return Corrupt(count, count, "bytes are left over behind it");
  return summary;
}

}  // namespace record

namespace {

// The reads below trust their bytes: CheckRecords has been there before.

uint64_t ReadUnsigned(const char** at) {
  auto byte = static_cast<uint8_t>(*(*at)++);
  if (byte < 0x80) [[likely]]
    return byte;
  uint64_t value = byte & 0x7f;
  byte = static_cast<uint8_t>(*(*at)++);
  value |= static_cast<uint64_t>(byte & 0x7f) << 7;
  if (byte < 0x80) [[likely]]
    return value;
  for (unsigned shift = 14;; shift += 7) {
    byte = static_cast<uint8_t>(*(*at)++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

int64_t ReadSigned(const char** at) { return base::UnZigZag(ReadUnsigned(at)); }

// Made in its place: returned, it would be written in parts and copied as a whole at once, for
// which a processor waits until the parts have left its store buffer.
void ReadNullable(const char** at, std::optional<Bytes>* field) {
  const int64_t length = ReadSigned(at);
  if (length < 0) {
    field->reset();
    return;
  }
  field->emplace(*at, static_cast<size_t>(length));
  *at += length;
}

// Sums of what came from outside wrap, as in Kafka's Java, instead of being undefined.
int64_t WrappingAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace

void HeaderRange::Iterator::Decode() {
  if (left_ <= 0) return;
  const int64_t key_bytes = ReadSigned(&position_);
  header_.key = Bytes(position_, static_cast<size_t>(key_bytes));
  position_ += key_bytes;
  ReadNullable(&position_, &header_.value);
}

RecordRange::Iterator::Iterator(const Encoded& encoded)
    : encoded_(encoded), position_(encoded.records), left_(encoded.count) {
  Settle();
}

void RecordRange::Iterator::Advance() {
  --left_;
  Settle();
}

void RecordRange::Iterator::Settle() {
  for (; left_ > 0; --left_) {
    const int64_t length = ReadSigned(&position_);
    const char* at = position_ + 1;  // past the attributes
    position_ += length;
    const int64_t timestamp_delta = ReadSigned(&at);
    const int64_t offset = WrappingAdd(encoded_.base_offset, ReadSigned(&at));
    if (offset < encoded_.first_offset) continue;
    if (offset >= encoded_.end_offset) break;
    view_.offset = offset;
    view_.timestamp_ms = encoded_.append_timestamp_ms
                             ? *encoded_.append_timestamp_ms
                             : WrappingAdd(encoded_.base_timestamp_ms, timestamp_delta);
    ReadNullable(&at, &view_.key);
    ReadNullable(&at, &view_.value);
    const auto header_count = static_cast<int32_t>(ReadSigned(&at));
    view_.headers = HeaderRange(at, header_count);
    return;
  }
  left_ = 0;
}

}  // namespace tidemark
