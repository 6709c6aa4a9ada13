// The records of the internal topic __consumer_offsets, in Kafka's formats: how far the consumers
// of a group have come in a partition. docs/formats.md lists the fields. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/uuid.h"
#include "tidemark/error.h"
#include "tidemark/record.h"

namespace tidemark::storage {

inline constexpr std::string_view kCursorTopic = "__consumer_offsets";

// The longest name of a group.
inline constexpr size_t kMaxGroupBytes = 255;
// The longest note that a consumer leaves with an offset: Kafka's offset.metadata.max.bytes.
inline constexpr size_t kMaxCursorMetadataBytes = 4096;

// The id of the log topic, 16 bytes, stands in a header of the record: a topic that is deleted and
// made again under its name has another one. Kafka passes over the header.
inline constexpr std::string_view kTopicIdHeader = "tidemark.topic.id";

// What is decoded points into the bytes that it was decoded from.
struct CursorKey {
  std::string_view group;
  std::string_view topic;
  int32_t partition = 0;
  bool operator==(const CursorKey&) const = default;
};

struct CursorValue {
  int64_t offset = 0;         // of the next record that is wanted
  int32_t leader_epoch = -1;  // of the last record consumed; -1: not known
  std::string_view metadata;
  int64_t commit_timestamp_ms = 0;
  bool operator==(const CursorValue&) const = default;
};

// Texts must be shorter than 32 KiB.
std::string EncodeCursorKey(const CursorKey& key);
std::string EncodeCursorValue(const CursorValue& value);

// nullopt: the key is of another kind, such as the members of a group. Otherwise corrupt when it is
// not exactly one that Kafka writes.
Result<std::optional<CursorKey>> DecodeCursorKey(Bytes bytes);
// Versions 0 to 3; unsupported for a newer one.
Result<CursorValue> DecodeCursorValue(Bytes bytes);
// nullopt: the record was not written by us.
std::optional<base::Uuid> FindTopicId(const HeaderRange& headers);

// The partition of the internal topic that has a group's cursors, chosen as Kafka does: by the hash
// that Java gives the group's name.
int32_t PartitionForGroup(std::string_view group, int32_t partitions);

// Not empty, at most kMaxGroupBytes, UTF-8, no control characters; else invalid_argument.
Status CheckGroupName(std::string_view group);
// The same for what is left with an offset, which may be empty and have anything that is UTF-8.
Status CheckCursorMetadata(std::string_view metadata);

}  // namespace tidemark::storage
