// Which batches get index entries: against cases worked out by hand, against Kafka's recovery told
// again in a few lines, and against what lookups need.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "index/offset_index.h"
#include "tests/support/limits.h"

namespace tidemark::index {
namespace {

using Batch = IndexBuilder::Batch;

struct Indexes {
  std::vector<OffsetEntry> offsets;
  std::vector<TimeEntry> times;  // the final one included
  bool operator==(const Indexes&) const = default;
};

Indexes Build(const std::vector<Batch>& log, int64_t base_offset, uint32_t interval_bytes) {
  IndexBuilder builder(base_offset, interval_bytes);
  OffsetIndex offsets;
  TimeIndex times;
  for (const Batch& batch : log) {
    const IndexBuilder::Due due = builder.Add(batch);
    if (due.offset_entry) offsets.Add(*due.offset_entry);
    EXPECT_TRUE(!due.time_entry || times.MaybeAdd(*due.time_entry));
  }
  if (const auto last = builder.Final()) (void)times.MaybeAdd(*last);
  return {{offsets.entries().begin(), offsets.entries().end()},
          {times.entries().begin(), times.entries().end()}};
}

// What Kafka's recovery of a segment does, as plainly as it can be said.
Indexes Model(const std::vector<Batch>& log, int64_t base_offset, uint32_t interval_bytes) {
  Indexes indexes;
  uint64_t indexed_position = 0;
  TimeEntry greatest{-1, 0};
  const auto add_time = [&] {
    const int64_t last = indexes.times.empty() ? -1 : indexes.times.back().timestamp_ms;
    if (greatest.timestamp_ms > last) indexes.times.push_back(greatest);
  };
  for (const Batch& batch : log) {
    const auto offset = static_cast<int32_t>(batch.last_offset - base_offset);
    if (batch.max_timestamp_ms > greatest.timestamp_ms) greatest = {batch.max_timestamp_ms, offset};
    if (batch.position - indexed_position > interval_bytes) {
      indexes.offsets.push_back({offset, static_cast<int32_t>(batch.position)});
      add_time();
      indexed_position = batch.position;
    }
  }
  add_time();
  return indexes;
}

TEST(IndexBuilderTest, AnEmptySegmentHasNoEntries) {
  IndexBuilder builder(1000, 4096);
  EXPECT_EQ(builder.Final(), std::nullopt);
}

TEST(IndexBuilderTest, EntriesComeOnceMoreThanTheIntervalStandsBefore) {
  const std::vector<Batch> log = {
      {0, 4096, 1000, 50},      // the first is never indexed
      {4096, 1, 1001, 60},      // 4,096 bytes before it are not more than 4,096
      {4097, 10000, 1011, 55},  // indexed; the greatest timestamp is the second batch's
      {14097, 100, 1012, 60},   // indexed; no later timestamp, no time entry
      {14197, 100, 1013, 70},   // not indexed, but the final time entry
  };
  EXPECT_EQ(Build(log, 1000, 4096), (Indexes{{{11, 4097}, {12, 14097}}, {{60, 1}, {70, 13}}}));
}

TEST(IndexBuilderTest, AnIntervalOfZeroIndexesAllButTheFirst) {
  EXPECT_EQ(Build({{0, 61, 0, 1}, {61, 61, 5, 1}, {122, 61, 6, 2}}, 0, 0),
            (Indexes{{{5, 61}, {6, 122}}, {{1, 0}, {2, 6}}}));
}

// Kafka begins with "no timestamp", -1: what is not later is not indexed.
TEST(IndexBuilderTest, TimesBefore1970AreNotIndexed) {
  EXPECT_EQ(Build({{0, 100, 3, kMinInt64}, {100, 100, 7, -1}, {200, 100, 9, -2}}, 0, 10),
            (Indexes{{{7, 100}, {9, 200}}, {}}));
  EXPECT_EQ(Build({{0, 100, 3, -5}, {100, 100, 7, 0}, {200, 100, 9, -2}}, 0, 10),
            (Indexes{{{7, 100}, {9, 200}}, {{0, 7}}}));
}

TEST(IndexBuilderTest, ATimestampInTheFarFutureHidesTheRest) {
  EXPECT_EQ(Build({{0, 100, 3, kMaxInt64}, {100, 100, 7, 5}, {200, 100, 9, 6}}, 0, 10),
            (Indexes{{{7, 100}, {9, 200}}, {{kMaxInt64, 3}}}));
}

TEST(IndexBuilderTest, WhatAnEntryCannotNameIsPassedOver) {
  const int64_t base = 100;
  const Batch first{0, 100, 105, 1};
  const Indexes nothing{{}, {{1, 5}}};
  EXPECT_EQ(Build({first, {100, 100, base + (int64_t{1} << 31), 9}}, base, 10), nothing);
  EXPECT_EQ(Build({first, {100, 100, 99, 9}}, base, 10), nothing);
  EXPECT_EQ(Build({first, {100, 100, 105, 9}}, base, 10), nothing);
  EXPECT_EQ(Build({first, {uint64_t{1} << 31, 100, 110, 9}}, base, 10), nothing);
  EXPECT_EQ(Build({first, {100, 100, kMinInt64, 9}}, base, 10), nothing);
  // The next one that can be named is.
  EXPECT_EQ(Build({first, {100, 100, 99, 9}, {200, 100, 106, 3}}, base, 10),
            (Indexes{{{6, 200}}, {{3, 6}}}));
  EXPECT_EQ(Build({{0, 100, kMaxInt64, 9}}, -5, 10), (Indexes{{}, {}}));
}

struct ArbitraryLog {
  std::vector<Batch> batches;
  int64_t base_offset = 0;
};

ArbitraryLog PickLog() {
  ArbitraryLog log;
  log.base_offset = *rc::gen::inRange<int64_t>(0, int64_t{1} << 60);
  const auto count = *rc::gen::inRange<size_t>(0, 60);
  const bool arbitrary_times = *rc::gen::arbitrary<bool>();
  uint64_t position = 0;
  int64_t next_offset = log.base_offset;
  for (size_t i = 0; i < count; ++i) {
    Batch batch;
    batch.position = position;
    batch.bytes = *rc::gen::inRange<uint64_t>(61, 3000);
    batch.last_offset = next_offset + *rc::gen::inRange<int64_t>(0, 20);
    batch.max_timestamp_ms =
        arbitrary_times ? *rc::gen::arbitrary<int64_t>() : *rc::gen::inRange<int64_t>(-10, 100);
    position += batch.bytes;
    next_offset = batch.last_offset + 1;
    log.batches.push_back(batch);
  }
  return log;
}

RC_GTEST_PROP(IndexBuilderProperty, BuildsWhatKafkasRecoveryBuilds, ()) {
  const ArbitraryLog log = PickLog();
  const auto interval = *rc::gen::element<uint32_t>(0, 1, 61, 500, 4096, 1 << 20, UINT32_MAX);
  RC_ASSERT(Build(log.batches, log.base_offset, interval) ==
            Model(log.batches, log.base_offset, interval));
}

// A scan from where the offset index points finds the batch that holds an offset.
RC_GTEST_PROP(IndexBuilderProperty, FloorNeverPointsBehindTheBatch, ()) {
  const ArbitraryLog log = PickLog();
  RC_PRE(!log.batches.empty());
  OffsetIndex index;
  for (const OffsetEntry& entry : Build(log.batches, log.base_offset, 500).offsets)
    index.Add(entry);
  const auto wanted =
      *rc::gen::inRange<int64_t>(log.base_offset, log.batches.back().last_offset + 1);
  const auto holder = std::find_if(log.batches.begin(), log.batches.end(),
                                   [&](const Batch& b) { return b.last_offset >= wanted; });
  const auto floor = index.Floor(static_cast<int32_t>(wanted - log.base_offset));
  const auto position = floor ? static_cast<uint64_t>(floor->position) : 0;
  RC_ASSERT(position <= holder->position);
}

// So that a search by time may begin behind an entry that is older than what it wants.
RC_GTEST_PROP(IndexBuilderProperty, NothingUpToATimeEntrysOffsetIsLaterThanItsTimestamp, ()) {
  const ArbitraryLog log = PickLog();
  for (const TimeEntry& entry : Build(log.batches, log.base_offset, 500).times) {
    for (const Batch& batch : log.batches) {
      if (batch.last_offset > log.base_offset + entry.relative_offset) break;
      RC_ASSERT(batch.max_timestamp_ms <= entry.timestamp_ms);
    }
  }
}

}  // namespace
}  // namespace tidemark::index
