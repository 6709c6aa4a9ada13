// A partition's folder for tests of segments, batches to fill it, and Kafka's index rule written
// down a second time, straight from Kafka's recovery of a segment, to compare with.
#pragma once

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "record/batch.h"
#include "storage/segment.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/recording_file_system.h"

namespace tidemark::storage {

using Bytestring = std::vector<std::byte>;

// A batch of `offsets` offsets and `value_bytes` bytes in its one record, with a timestamp.
struct MadeBatch {
  record::BatchHeader header;
  Bytestring bytes;
};
inline MadeBatch MakeBatch(int64_t base_offset, int32_t offsets, int64_t timestamp_ms,
                           size_t value_bytes) {
  const std::string value(value_bytes, 'v');
  Record record;
  record.value = value;
  Bytestring encoded(record::EncodedRecordBytes(record, 0, offsets - 1));
  record::EncodeRecord(encoded.data(), record, 0, offsets - 1, encoded.size());
  record::BatchHeader header;
  header.base_offset = base_offset;
  header.last_offset_delta = offsets - 1;
  header.base_timestamp_ms = header.max_timestamp_ms = timestamp_ms;
  header.record_count = 1;
  MadeBatch batch;
  batch.header =
      *record::AppendBatch(header, encoded, record::Codec::none, 0, nullptr, &batch.bytes);
  return batch;
}

inline Bytestring ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = base::AsBytes(text);
  return {bytes.begin(), bytes.end()};
}
inline void WriteBytes(const std::string& path, const Bytestring& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << base::AsText(bytes);
}

// What LogSegment.recover() of Kafka leaves in the index files of a segment, from its .log.
struct KafkaIndexes {
  Bytestring offsets;
  Bytestring times;
};
inline KafkaIndexes KafkaRecovers(const Bytestring& log, int64_t base_offset,
                                  uint32_t interval_bytes) {
  KafkaIndexes made;
  int64_t last_time = -1;
  const auto put = [](auto value, Bytestring* to) {
    to->resize(to->size() + sizeof value);
    base::StoreBig(to->data() + to->size() - sizeof value, value);
  };
  const auto maybe_put_time = [&](int64_t time, int64_t offset) {
    if (time <= last_time) return;
    put(time, &made.times);
    put(static_cast<int32_t>(offset - base_offset), &made.times);
    last_time = time;
  };
  uint64_t valid_bytes = 0;
  uint64_t last_index_entry = 0;
  int64_t greatest = -1;
  int64_t offset_of_greatest = 0;
  while (valid_bytes < log.size()) {
    const auto header = *record::DecodeBatchHeader(base::ByteSpan(log).subspan(valid_bytes));
    if (header.max_timestamp_ms > greatest) {
      greatest = header.max_timestamp_ms;
      offset_of_greatest = header.last_offset();
    }
    if (valid_bytes - last_index_entry > interval_bytes) {
      put(static_cast<int32_t>(header.last_offset() - base_offset), &made.offsets);
      put(static_cast<int32_t>(valid_bytes), &made.offsets);
      maybe_put_time(greatest, offset_of_greatest);
      last_index_entry = valid_bytes;
    }
    valid_bytes += header.total_bytes();
  }
  maybe_put_time(greatest, offset_of_greatest);
  return made;
}

class SegmentFixture : public ::testing::Test {
 protected:
  static constexpr uint32_t kInterval = 4096;
  static constexpr int64_t kNoRoll = int64_t{1} << 30;
  inline static const WriterTerms kTerms{{base::Uuid::FromRandom(7, 8), 3}, kInterval};
  // As if a batch of one offset came every 100 ms of the engine clock, and took 50.
  static AppendTimes TimesOf(const record::BatchHeader& header) {
    return {header.base_offset * 100, header.last_offset() * 100 + 50};
  }

  std::string Path(int64_t base_offset, SegmentFile kind) const {
    return SegmentPath(folder(), base_offset, kind);
  }
  const std::string& folder() const { return directory_.path(); }
  Bytestring LogOf(int64_t base_offset) const {
    return ReadBytes(Path(base_offset, SegmentFile::log));
  }

  std::unique_ptr<SegmentWriter> Resume(int64_t base_offset, uint64_t flushed_bytes) {
    auto writer = SegmentWriter::Resume(files_, folder(), base_offset, flushed_bytes, kTerms);
    EXPECT_TRUE(writer.ok()) << writer.error().ToString();
    return *std::move(writer);
  }
  static AppendedBatch Append(SegmentWriter& writer, const MadeBatch& batch,
                              int64_t segment_bytes = kNoRoll) {
    const auto appended =
        writer.Append(batch.header, batch.bytes, TimesOf(batch.header), segment_bytes);
    EXPECT_TRUE(appended.ok()) << appended.error().ToString();
    return *appended;
  }
  static void ExpectOk(const Status& status) {
    EXPECT_TRUE(status.ok()) << status.error().ToString();
  }

  // A finished segment of `batches` batches of two offsets and about 1,100 bytes, a millisecond
  // apart.
  void MakeSegment(int64_t base_offset, int batches) {
    const auto writer = Resume(-1, 0);
    for (int i = 0; i < batches; ++i) {
      Append(*writer, MakeBatch(base_offset + int64_t{2} * i, 2, 1000 + i, 1024));
    }
    ExpectOk(writer->Finish());
  }
  void ExpectIndexesAsKafkaMakesThem(int64_t base_offset) {
    const KafkaIndexes kafka = KafkaRecovers(LogOf(base_offset), base_offset, kInterval);
    EXPECT_EQ(ReadBytes(Path(base_offset, SegmentFile::offset_index)), kafka.offsets);
    EXPECT_EQ(ReadBytes(Path(base_offset, SegmentFile::time_index)), kafka.times);
  }

  io::TemporaryDirectory directory_;
  test_support::RecordingFileSystem files_;
};

}  // namespace tidemark::storage
