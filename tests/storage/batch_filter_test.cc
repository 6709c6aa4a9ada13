// What compaction leaves of a batch: record by record, and that everything else stays what it was.
#include "storage/batch_filter.h"

#include <set>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <snappy.h>

#include "base/crc32c.h"
#include "tests/record/arbitrary.h"

namespace tidemark::testing {
namespace {

using storage::BatchFilter;
using storage::FilteredBatch;
using storage::FilterTerms;

using record::BatchHeader;
using record::OwnedRecord;
using Kind = FilteredBatch::Kind;

constexpr int64_t kBatchBase = 1000;
constexpr int64_t kBatchTime = 1'732'272'000'000;

struct KeyedBatch {
  BatchHeader header;
  std::vector<std::byte> bytes;
};

KeyedBatch EncodeBatch(const std::vector<OwnedRecord>& records, BatchHeader header,
                       record::Codec codec = record::Codec::zstd) {
  KeyedBatch encoded;
  record::Compressor compressor;
  auto written = record::AppendBatch(
      header, record::EncodeAll(records, header.base_offset, header.base_timestamp_ms), codec, 1,
      &compressor, &encoded.bytes);
  EXPECT_TRUE(written.ok());
  encoded.header = *written;
  return encoded;
}

// Records at kBatchBase, kBatchBase + 1 ...; a value of "-": none.
std::vector<OwnedRecord> KeyedRecords(
    const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<OwnedRecord> records;
  for (const auto& [key, value] : pairs) {
    OwnedRecord record;
    record.key = key;
    if (value != "-") record.value = value;
    record.offset = kBatchBase + static_cast<int64_t>(records.size());
    record.timestamp_ms = kBatchTime + 10 * static_cast<int64_t>(records.size());
    records.push_back(record);
  }
  return records;
}

KeyedBatch EncodeRecords(const std::vector<OwnedRecord>& records) {
  return EncodeBatch(records, record::HeaderFor(records, kBatchBase));
}

FilterTerms TermsWithout(std::set<std::string> keys) {
  FilterTerms terms;
  terms.superseded = [keys = std::move(keys)](Bytes key, int64_t) {
    return keys.contains(std::string(key));
  };
  terms.now_ms = kBatchTime;
  terms.delete_retention_ms = 500;
  return terms;
}

struct WhatIsLeft {
  FilteredBatch what;
  std::vector<std::byte> bytes;
  std::vector<OwnedRecord> records;
};

WhatIsLeft FilterIt(const KeyedBatch& batch, const FilterTerms& terms) {
  WhatIsLeft filtered;
  BatchFilter filter;
  auto done = filter.Filter(batch.header, batch.bytes, terms, 1, &filtered.bytes);
  EXPECT_TRUE(done.ok()) << done.error().ToString();
  filtered.what = *done;
  EXPECT_EQ(filtered.what.kind == Kind::rewritten, !filtered.bytes.empty());
  if (filtered.what.kind == Kind::unchanged) filtered.bytes = batch.bytes;
  if (filtered.what.kind == Kind::gone) return filtered;
  record::Compressor compressor;
  std::vector<std::byte> buffer;
  const auto opened =
      record::OpenBatch(filtered.bytes, record::kMaxDecompressedBatchBytes, &compressor, &buffer);
  EXPECT_TRUE(opened.ok()) << opened.error().ToString();
  EXPECT_EQ(opened->header, filtered.what.header);
  filtered.records = record::ReadAll(opened->encoded());
  return filtered;
}

TEST(BatchFilterTest, WhatIsSupersededGoesAndTheRestStaysWhereItIs) {
  const auto records = KeyedRecords({{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}});
  const KeyedBatch batch = EncodeRecords(records);
  const WhatIsLeft left = FilterIt(batch, TermsWithout({"a", "c"}));
  EXPECT_EQ(left.what.kind, Kind::rewritten);
  EXPECT_EQ(left.what.removed, 3U);
  EXPECT_EQ(left.records, std::vector<OwnedRecord>({records[1]}));
  EXPECT_EQ(left.what.header.base_offset, kBatchBase);
  EXPECT_EQ(left.what.header.last_offset(), kBatchBase + 3);
  EXPECT_EQ(left.what.header.max_timestamp_ms, records[1].timestamp_ms);
}

TEST(BatchFilterTest, ABatchOfWhichNothingGoesIsNotTouched) {
  const KeyedBatch batch = EncodeRecords(KeyedRecords({{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(FilterIt(batch, TermsWithout({"x"})).what.kind, Kind::unchanged);
}

TEST(BatchFilterTest, ABatchOfWhichAllGoesIsGone) {
  const KeyedBatch batch = EncodeRecords(KeyedRecords({{"a", "1"}, {"b", "2"}}));
  const WhatIsLeft left = FilterIt(batch, TermsWithout({"a", "b"}));
  EXPECT_EQ(left.what.kind, Kind::gone);
  EXPECT_EQ(left.what.removed, 2U);
}

TEST(BatchFilterTest, AnEmptiedBatchOfAProducerStaysAsAnEmptyOne) {
  const auto records = KeyedRecords({{"a", "1"}, {"b", "2"}});
  BatchHeader header = record::HeaderFor(records, kBatchBase);
  header.producer_id = 7;
  header.producer_epoch = 1;
  header.base_sequence = 40;
  const WhatIsLeft left = FilterIt(EncodeBatch(records, header), TermsWithout({"a", "b"}));
  EXPECT_EQ(left.what.kind, Kind::rewritten);
  EXPECT_TRUE(left.records.empty());
  EXPECT_EQ(left.what.header.producer_id, 7);
  EXPECT_EQ(left.what.header.producer_epoch, 1);
  EXPECT_EQ(left.what.header.base_sequence, 40);
  EXPECT_EQ(left.what.header.last_offset(), kBatchBase + 1);
  // Once more: it is what it is.
  EXPECT_EQ(FilterIt({left.what.header, left.bytes}, TermsWithout({"a"})).what.kind,
            Kind::unchanged);
}

TEST(BatchFilterTest, AnEmptyBatchOfNobodyIsGone) {
  BatchHeader header;
  header.base_offset = kBatchBase;
  header.last_offset_delta = 5;
  EXPECT_EQ(FilterIt(EncodeBatch({}, header), TermsWithout({})).what.kind, Kind::gone);
}

TEST(BatchFilterTest, RecordsWithoutAKeyStay) {
  auto records = KeyedRecords({{"a", "1"}, {"a", "2"}});
  records[0].key.reset();
  const WhatIsLeft left = FilterIt(EncodeRecords(records), TermsWithout({"a", ""}));
  EXPECT_EQ(left.records, std::vector<OwnedRecord>({records[0]}));
}

TEST(BatchFilterTest, WhatStandsBehindTheEndStays) {
  const auto records = KeyedRecords({{"a", "1"}, {"a", "2"}, {"a", "3"}});
  FilterTerms terms = TermsWithout({"a"});
  terms.end_offset = kBatchBase + 1;
  const WhatIsLeft left = FilterIt(EncodeRecords(records), terms);
  EXPECT_EQ(left.records, std::vector<OwnedRecord>({records[1], records[2]}));
}

TEST(BatchFilterTest, ControlBatchesAndThoseOfATransactionStayWhole) {
  const auto records = KeyedRecords({{"a", "1"}, {"a", "-"}});
  for (const int16_t bit : {record::kControlBit, record::kTransactionalBit}) {
    BatchHeader header = record::HeaderFor(records, kBatchBase);
    header.attributes = bit;
    EXPECT_EQ(FilterIt(EncodeBatch(records, header), TermsWithout({"a"})).what.kind,
              Kind::unchanged);
  }
}

TEST(BatchFilterTest, TombstonesGetAHorizonAndGoBehindIt) {
  const auto records = KeyedRecords({{"a", "1"}, {"b", "-"}, {"c", "3"}});
  FilterTerms terms = TermsWithout({"a"});
  const WhatIsLeft dated = FilterIt(EncodeRecords(records), terms);
  EXPECT_EQ(dated.what.kind, Kind::rewritten);
  EXPECT_TRUE(dated.what.header.has_delete_horizon());
  EXPECT_EQ(dated.what.header.base_timestamp_ms, kBatchTime + 500);
  EXPECT_EQ(dated.what.delete_horizon_ms, kBatchTime + 500);
  // Key, value, offset and timestamp are what they were.
  EXPECT_EQ(dated.records, std::vector<OwnedRecord>({records[1], records[2]}));

  const KeyedBatch batch{dated.what.header, dated.bytes};
  terms.now_ms = kBatchTime + 499;
  const WhatIsLeft kept = FilterIt(batch, terms);
  EXPECT_EQ(kept.what.kind, Kind::unchanged);  // never a later horizon
  EXPECT_EQ(kept.what.delete_horizon_ms, kBatchTime + 500);
  terms.now_ms = kBatchTime + 500;
  terms.tombstones_age = false;
  EXPECT_EQ(FilterIt(batch, terms).what.kind, Kind::unchanged);
  terms.tombstones_age = true;
  terms.end_offset = kBatchBase + 1;  // the tombstone is not in question
  EXPECT_EQ(FilterIt(batch, terms).what.kind, Kind::unchanged);
  terms.end_offset = kBatchBase + 2;
  const WhatIsLeft left = FilterIt(batch, terms);
  EXPECT_EQ(left.records, std::vector<OwnedRecord>({records[2]}));
  EXPECT_EQ(left.what.delete_horizon_ms, std::nullopt);
}

TEST(BatchFilterTest, NoHorizonWhereATombstoneIsNotCleanOrMayNotAge) {
  const KeyedBatch batch = EncodeRecords(KeyedRecords({{"a", "-"}, {"b", "-"}}));
  FilterTerms terms = TermsWithout({});
  terms.end_offset = kBatchBase + 1;
  EXPECT_EQ(FilterIt(batch, terms).what.kind, Kind::unchanged);
  terms.end_offset = kBatchBase + 2;
  terms.tombstones_age = false;
  EXPECT_EQ(FilterIt(batch, terms).what.kind, Kind::unchanged);
  terms.tombstones_age = true;
  EXPECT_EQ(FilterIt(batch, terms).what.kind, Kind::rewritten);
}

TEST(BatchFilterTest, LogAppendTimeStays) {
  const auto records = KeyedRecords({{"a", "1"}, {"b", "-"}});
  BatchHeader header = record::HeaderFor(records, kBatchBase);
  header.attributes = record::kLogAppendTimeBit;
  header.max_timestamp_ms = kBatchTime + 77;
  const WhatIsLeft left = FilterIt(EncodeBatch(records, header), TermsWithout({"a"}));
  EXPECT_TRUE(left.what.header.log_append_time());
  EXPECT_TRUE(left.what.header.has_delete_horizon());
  ASSERT_EQ(left.records.size(), 1U);
  EXPECT_EQ(left.records[0].timestamp_ms, kBatchTime + 77);
}

TEST(BatchFilterTest, KeysAreVisitedInOrderUntilEnough) {
  auto records = KeyedRecords({{"a", "1"}, {"b", "2"}, {"c", "-"}});
  records[1].key.reset();
  const KeyedBatch batch = EncodeRecords(records);
  BatchFilter filter;
  std::vector<std::pair<std::string, int64_t>> seen;
  const auto all = [&](Bytes key, int64_t offset) {
    seen.emplace_back(key, offset);
    return true;
  };
  ASSERT_TRUE(filter.ForEachKey(batch.header, batch.bytes, all).ok());
  EXPECT_EQ(seen, (std::vector<std::pair<std::string, int64_t>>{{"a", kBatchBase},
                                                                {"c", kBatchBase + 2}}));
  int visits = 0;
  const auto one = [&](Bytes, int64_t) { return ++visits < 1; };
  ASSERT_TRUE(filter.ForEachKey(batch.header, batch.bytes, one).ok());
  EXPECT_EQ(visits, 1);
}

// As a producer that compresses with snappy has written it.
KeyedBatch SnappyBatch(const std::vector<OwnedRecord>& records) {
  KeyedBatch batch =
      EncodeBatch(records, record::HeaderFor(records, kBatchBase), record::Codec::none);
  std::string compressed;
  const std::string_view plain =
      base::AsText(base::ByteSpan(batch.bytes).subspan(record::kBatchHeaderBytes));
  snappy::Compress(plain.data(), plain.size(), &compressed);
  const base::ByteSpan records_bytes = base::AsBytes(compressed);
  batch.bytes.resize(record::kBatchHeaderBytes);
  batch.bytes.insert(batch.bytes.end(), records_bytes.begin(), records_bytes.end());
  batch.header.attributes = static_cast<int16_t>(record::Codec::snappy);
  batch.header.batch_length =
      static_cast<int32_t>(batch.bytes.size() - record::kBatchLengthOverhead);
  record::EncodeBatchHeader(batch.header, batch.bytes.data());
  batch.header.crc = base::Crc32c(base::ByteSpan(batch.bytes).subspan(record::kCrcCoversFrom));
  record::EncodeBatchHeader(batch.header, batch.bytes.data());
  return batch;
}

TEST(BatchFilterTest, ACodecThatIsNotWrittenBecomesZstd) {
  const std::string value(200, 'x');
  const auto records = KeyedRecords({{"a", "1"}, {"b", value}, {"c", value}});
  const KeyedBatch batch = SnappyBatch(records);
  const WhatIsLeft left = FilterIt(batch, TermsWithout({"a"}));
  EXPECT_EQ(left.what.kind, Kind::rewritten);
  EXPECT_EQ(left.what.header.codec(), record::Codec::zstd);
  EXPECT_EQ(left.records, std::vector<OwnedRecord>({records[1], records[2]}));
  EXPECT_EQ(left.what.header.base_offset, kBatchBase);
  EXPECT_EQ(left.what.header.last_offset(), batch.header.last_offset());
  EXPECT_EQ(FilterIt(batch, TermsWithout({"x"})).what.kind, Kind::unchanged);
}

TEST(BatchFilterTest, ABatchThatCannotBeDecompressedIsTold) {
  const auto records = KeyedRecords({{"a", "1"}});
  KeyedBatch batch =
      EncodeBatch(records, record::HeaderFor(records, kBatchBase), record::Codec::none);
  batch.header.attributes = static_cast<int16_t>(record::Codec::snappy);
  BatchFilter filter;
  std::vector<std::byte> output;
  EXPECT_EQ(
      filter.Filter(batch.header, batch.bytes, TermsWithout({"a"}), 1, &output).error().code(),
      ErrorCode::corrupt);
}

// Whatever the records are: exactly those that are asked for go, and nothing else changes.
RC_GTEST_PROP(BatchFilterTest, LeavesTheOthersAsTheyWere, ()) {
  const auto records = *record::ArbitraryRecords(kBatchBase);
  const auto codec = *rc::gen::element(record::Codec::none, record::Codec::zstd);
  std::set<int64_t> going;
  for (const OwnedRecord& record : records) {
    if (*rc::gen::arbitrary<bool>()) going.insert(record.offset);
  }
  FilterTerms terms;
  terms.superseded = [&](Bytes, int64_t offset) { return going.contains(offset); };
  terms.tombstones_age = *rc::gen::arbitrary<bool>();
  terms.now_ms = *rc::gen::arbitrary<int32_t>();
  terms.end_offset = *rc::gen::inRange<int64_t>(kBatchBase, records.back().offset + 2);
  std::vector<OwnedRecord> expected;
  for (const OwnedRecord& record : records) {
    if (!record.key || record.offset >= terms.end_offset || !going.contains(record.offset))
      expected.push_back(record);
  }
  const KeyedBatch batch = EncodeBatch(records, record::HeaderFor(records, kBatchBase), codec);
  const WhatIsLeft left = FilterIt(batch, terms);
  if (left.what.kind == Kind::gone) {
    RC_ASSERT(expected.empty());
    return;
  }
  RC_ASSERT(left.records == expected);
  RC_ASSERT(left.what.header.base_offset == batch.header.base_offset);
  RC_ASSERT(left.what.header.last_offset() == batch.header.last_offset());
  RC_ASSERT(left.what.removed == records.size() - expected.size());
}

}  // namespace
}  // namespace tidemark::testing
