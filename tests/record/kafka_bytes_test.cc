// Batches that Apache Kafka 4.1 wrote (its MemoryRecordsBuilder, withEndTransactionMarker and
// writeEmptyHeader), against which this code must hold.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "record/batch.h"
#include "tests/record/arbitrary.h"

namespace tidemark::record {
namespace {

constexpr int64_t kTimestamp = 1732272000123;

std::vector<std::byte> FromHex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

// Three records in a zstd frame that does not tell its size, under a delete horizon.
constexpr std::string_view kZstdWithHorizon =
    "00000000000001f4000000a10000000602dd425a86004400000004000001a3185c5000000001935375144b00000000"
    "0000004d0002000000280000000328b52ffd005824030024058e0100898ebacef803002673656e736f72732f746865"
    "726d6f2d30303137447b22646576696365223a22222c2274223a32312e33377d04027102310272014a00b9feb9cef8"
    "0304018e0100e9eeb9cef803080500c8c1044a514cfade96409d349e65010000";

// The marker that ends a transaction: a control batch of one record.
constexpr std::string_view kCommitMarker =
    "00000000000003840000004200000006029f94bf6d0030000000000000019353750c7b0000019353750c7b00000000"
    "0000004d0002ffffffff000000012000000008000000010c00000000000c00";

// What compaction leaves of a batch of which only the producer's last sequence still matters.
constexpr std::string_view kEmptied =
    "00000000000001f400000031000000060236b586d3001800000009ffffffffffffffff0000019353750c7b00000000"
    "0000004d00020000002800000000";

class KafkaBytesTest : public testing::Test {
 protected:
  OpenedBatch Open(std::string_view hex) {
    bytes_ = FromHex(hex);
    auto batch = OpenBatch(bytes_, kMaxDecompressedBatchBytes, &compressor_, &buffer_);
    if (!batch.ok()) {
      ADD_FAILURE() << batch.error().message();
      return {};
    }
    EXPECT_EQ(batch->header.total_bytes(), bytes_.size());
    EXPECT_EQ(batch->header.leader_epoch, 6);
    EXPECT_EQ(batch->header.producer_id, 77);
    EXPECT_EQ(batch->header.producer_epoch, 2);
    return *batch;
  }

 private:
  Compressor compressor_;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> buffer_;
};

TEST_F(KafkaBytesTest, ZstdUnderADeleteHorizon) {
  const OpenedBatch batch = Open(kZstdWithHorizon);
  EXPECT_EQ(batch.header.codec(), Codec::zstd);
  EXPECT_TRUE(batch.header.has_delete_horizon());
  EXPECT_EQ(batch.header.base_timestamp_ms, 1800000000000);
  EXPECT_EQ(batch.header.max_timestamp_ms, kTimestamp + 2000);
  EXPECT_EQ(batch.header.base_sequence, 40);
  const std::vector<OwnedHeader> headers = {{"q", "1"}, {"r", std::nullopt}};
  const std::string key = "sensors/thermo-0017";
  const std::string value = R"({"device":"thermo-0017","t":21.37})";
  EXPECT_EQ(ReadAll(batch.encoded()),
            (std::vector<OwnedRecord>{{key, value, kTimestamp, 500, headers},
                                      {key, std::nullopt, kTimestamp + 1000, 502, headers},
                                      {key, value, kTimestamp + 2000, 504, headers}}));
}

TEST_F(KafkaBytesTest, EndOfATransaction) {
  const OpenedBatch batch = Open(kCommitMarker);
  EXPECT_TRUE(batch.header.control());
  EXPECT_TRUE(batch.header.transactional());
  EXPECT_EQ(batch.header.base_sequence, -1);
  const auto records = ReadAll(batch.encoded());
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].offset, 900);
  EXPECT_EQ(records[0].key, std::string("\0\0\0\1", 4));          // version 0, commit
  EXPECT_EQ(records[0].value, std::string("\0\0\0\0\0\x0c", 6));  // version 0, epoch 12
}

TEST_F(KafkaBytesTest, EmptiedByCompaction) {
  const OpenedBatch batch = Open(kEmptied);
  EXPECT_EQ(batch.header.record_count, 0);
  EXPECT_EQ(batch.header.next_offset(), 510);
  EXPECT_TRUE(batch.header.log_append_time());
  EXPECT_EQ(batch.header.base_timestamp_ms, -1);
  EXPECT_EQ(batch.header.max_timestamp_ms, kTimestamp);
  EXPECT_TRUE(ReadAll(batch.encoded()).empty());
}

}  // namespace
}  // namespace tidemark::record
