// Records and batches for the tests of tools/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "record/batch.h"

namespace tidemark::tools {

struct TestRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<Header> headers = {};
};

// A batch of records from offset 0 on, with timestamps from `base_timestamp_ms` on, one a
// millisecond.
inline std::string MakeBatch(const std::vector<TestRecord>& records,
                             int64_t base_timestamp_ms = 1000, int16_t attributes = 0) {
  std::vector<std::byte> encoded;
  record::BatchHeader header;
  header.attributes = attributes;
  header.base_timestamp_ms = header.max_timestamp_ms = base_timestamp_ms;
  for (const TestRecord& test : records) {
    Record record;
    if (test.key) record.key = *test.key;
    if (test.value) record.value = *test.value;
    record.headers = test.headers;
    const int32_t delta = header.record_count++;
    const size_t start = encoded.size();
    const size_t bytes = record::EncodedRecordBytes(record, delta, delta);
    encoded.resize(start + bytes);
    (void)record::EncodeRecord(encoded.data() + start, record, delta, delta, bytes);
    header.last_offset_delta = delta;
    header.max_timestamp_ms = base_timestamp_ms + delta;
  }
  record::Compressor compressor;
  std::vector<std::byte> batch;
  const auto written =
      record::AppendBatch(header, encoded, record::Codec::none, 0, &compressor, &batch);
  EXPECT_TRUE(written.ok());
  return std::string(base::AsText(batch));
}

}  // namespace tidemark::tools
