// Records of any kind for property tests, and the means to encode and to compare them.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <rapidcheck.h>

#include "base/bytes.h"
#include "record/batch.h"
#include "tidemark/record.h"

namespace tidemark::record {

// As Header and Record, but owning their bytes.
struct OwnedHeader {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const OwnedHeader&) const = default;
};

struct OwnedRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  int64_t timestamp_ms = 0;
  int64_t offset = 0;
  std::vector<OwnedHeader> headers;
  bool operator==(const OwnedRecord&) const = default;
};

inline std::optional<Bytes> AsView(const std::optional<std::string>& text) {
  return text ? std::optional<Bytes>(*text) : std::nullopt;
}

inline std::optional<std::string> Owned(const std::optional<Bytes>& bytes) {
  return bytes ? std::optional<std::string>(*bytes) : std::nullopt;
}

inline OwnedRecord Owned(const RecordView& view) {
  OwnedRecord record{Owned(view.key), Owned(view.value), view.timestamp_ms, view.offset, {}};
  for (const Header& header : view.headers) {
    record.headers.push_back({std::string(header.key), Owned(header.value)});
  }
  return record;
}

inline std::vector<OwnedRecord> ReadAll(const RecordRange::Encoded& encoded) {
  std::vector<OwnedRecord> records;
  for (const RecordView& view : RecordRange(encoded)) records.push_back(Owned(view));
  return records;
}

inline void AppendRecord(const OwnedRecord& owned, int64_t base_offset, int64_t base_timestamp_ms,
                         std::vector<std::byte>* output) {
  std::vector<Header> headers;
  for (const OwnedHeader& header : owned.headers) {
    headers.push_back({header.key, AsView(header.value)});
  }
  const Record record{AsView(owned.key), AsView(owned.value), owned.timestamp_ms, headers};
  const int64_t timestamp_delta = record::TimestampDelta(owned.timestamp_ms, base_timestamp_ms);
  const auto offset_delta = static_cast<int32_t>(owned.offset - base_offset);
  const size_t start = output->size();
  const size_t bytes = EncodedRecordBytes(record, timestamp_delta, offset_delta);
  output->resize(start + bytes);
  std::byte* const end =
      EncodeRecord(output->data() + start, record, timestamp_delta, offset_delta, bytes);
  RC_ASSERT(end == output->data() + output->size());
}

inline std::vector<std::byte> EncodeAll(const std::vector<OwnedRecord>& records,
                                        int64_t base_offset, int64_t base_timestamp_ms) {
  std::vector<std::byte> output;
  for (const OwnedRecord& record : records) {
    AppendRecord(record, base_offset, base_timestamp_ms, &output);
  }
  return output;
}

// The header that fits `records`, which are not empty and begin at or behind `base_offset`.
inline BatchHeader HeaderFor(const std::vector<OwnedRecord>& records, int64_t base_offset) {
  BatchHeader header;
  header.base_offset = base_offset;
  header.last_offset_delta = static_cast<int32_t>(records.back().offset - base_offset);
  header.base_timestamp_ms = records.front().timestamp_ms;
  header.max_timestamp_ms = records.front().timestamp_ms;
  for (const OwnedRecord& record : records) {
    header.max_timestamp_ms = std::max(header.max_timestamp_ms, record.timestamp_ms);
  }
  header.record_count = static_cast<int32_t>(records.size());
  return header;
}

inline std::ostream& operator<<(std::ostream& out, const OwnedRecord& record) {
  return out << "{offset " << record.offset << ", timestamp " << record.timestamp_ms << ", key of "
             << (record.key ? static_cast<int64_t>(record.key->size()) : -1) << " bytes, value of "
             << (record.value ? static_cast<int64_t>(record.value->size()) : -1) << " bytes, "
             << record.headers.size() << " headers}";
}

}  // namespace tidemark::record

namespace rc {

template <>
struct Arbitrary<std::optional<std::string>> {
  static Gen<std::optional<std::string>> arbitrary() {
    return gen::map(gen::maybe(gen::arbitrary<std::string>()), [](Maybe<std::string> text) {
      return text ? std::optional<std::string>(*std::move(text)) : std::nullopt;
    });
  }
};

template <>
struct Arbitrary<tidemark::record::OwnedHeader> {
  static Gen<tidemark::record::OwnedHeader> arbitrary() {
    using tidemark::record::OwnedHeader;
    return gen::build<OwnedHeader>(gen::set(&OwnedHeader::key), gen::set(&OwnedHeader::value));
  }
};

// One record; its offset is how many offsets are left out in front of it, mostly none.
template <>
struct Arbitrary<tidemark::record::OwnedRecord> {
  static Gen<tidemark::record::OwnedRecord> arbitrary() {
    using tidemark::record::OwnedRecord;
    const auto gap = gen::weightedOneOf<int64_t>({{8, gen::just(int64_t{0})},
                                                  {2, gen::inRange<int64_t>(1, 100)},
                                                  {1, gen::inRange<int64_t>(1, 1 << 24)}});
    const auto timestamp = gen::weightedOneOf<int64_t>(
        {{4, gen::inRange<int64_t>(1732272000000, 1732272600000)}, {1, gen::arbitrary<int64_t>()}});
    return gen::build<OwnedRecord>(gen::set(&OwnedRecord::key), gen::set(&OwnedRecord::value),
                                   gen::set(&OwnedRecord::timestamp_ms, timestamp),
                                   gen::set(&OwnedRecord::offset, gap),
                                   gen::set(&OwnedRecord::headers));
  }
};

}  // namespace rc

namespace tidemark::record {

// At least one record, with offsets that increase from `base_offset` on.
inline rc::Gen<std::vector<OwnedRecord>> ArbitraryRecords(int64_t base_offset) {
  const auto records = rc::gen::nonEmpty(
      rc::gen::container<std::vector<OwnedRecord>>(rc::gen::arbitrary<OwnedRecord>()));
  return rc::gen::map(records, [base_offset](std::vector<OwnedRecord> gaps) {
    int64_t next = base_offset;
    for (OwnedRecord& record : gaps) {
      record.offset += next;
      next = record.offset + 1;
    }
    return gaps;
  });
}

}  // namespace tidemark::record
