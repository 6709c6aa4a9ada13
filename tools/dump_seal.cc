// .seal files: what a finished segment's files were when it was finished.
#include <algorithm>
#include <string>
#include <vector>

#include "base/hash.h"
#include "storage/seal_format.h"
#include "tools/dump.h"

namespace tidemark::tools {
namespace {

Json ToJson(const storage::FileSum& sum) {
  Json object;
  object["bytes"] = sum.bytes;
  object["xxh3"] = base::ChecksumText(sum.checksum);
  return object;
}

std::string ToText(const storage::FileSum& sum) {
  return std::to_string(sum.bytes) + " xxh3: " + base::ChecksumText(sum.checksum);
}

Json ToJson(const storage::Seal& seal) {
  Json object;
  object["type"] = "seal";
  object["version"] = seal.version();
  object["topic_id"] = seal.owner.topic_id.ToBase64();
  object["partition"] = seal.owner.partition;
  object["base_offset"] = seal.base_offset;
  object["end_offset"] = seal.end_offset;
  object["batches"] = seal.batch_count;
  object["records"] = seal.record_count;
  object["least_base_timestamp"] = seal.least_base_timestamp_ms;
  object["max_timestamp"] = seal.max_timestamp_ms;
  object["first_append_ms"] = seal.appended.first_ms;
  object["last_append_ms"] = seal.appended.last_ms;
  object["offset_index"] = ToJson(seal.offset_index);
  object["time_index"] = ToJson(seal.time_index);
  object["log_bytes"] = seal.log_bytes;
  object["block_bytes"] = seal.block_bytes;
  if (seal.compacted) {
    object["clean_end_offset"] = seal.compacted->clean_end_offset;
    object["last_delete_horizon_ms"] = seal.compacted->last_delete_horizon_ms;
  }
  object["blocks"] = Json::array();
  for (const uint64_t checksum : seal.block_checksums)
    object["blocks"].push_back(base::ChecksumText(checksum));
  return object;
}

std::string ToText(const storage::Seal& seal) {
  std::string text = "seal version: " + std::to_string(seal.version()) +
                     " topicId: " + seal.owner.topic_id.ToBase64() +
                     " partition: " + std::to_string(seal.owner.partition) +
                     " baseOffset: " + std::to_string(seal.base_offset) +
                     " endOffset: " + std::to_string(seal.end_offset) +
                     " batches: " + std::to_string(seal.batch_count) +
                     " records: " + std::to_string(seal.record_count) +
                     " leastBaseTimestamp: " + std::to_string(seal.least_base_timestamp_ms) +
                     " maxTimestamp: " + std::to_string(seal.max_timestamp_ms) +
                     " firstAppendMs: " + std::to_string(seal.appended.first_ms) +
                     " lastAppendMs: " + std::to_string(seal.appended.last_ms);
  if (seal.compacted) {
    text += "\n| cleanEndOffset: " + std::to_string(seal.compacted->clean_end_offset) +
            " lastDeleteHorizonMs: " + std::to_string(seal.compacted->last_delete_horizon_ms);
  }
  text += "\n| index bytes: " + ToText(seal.offset_index);
  text += "\n| timeindex bytes: " + ToText(seal.time_index);
  text += "\n| log bytes: " + std::to_string(seal.log_bytes) +
          " blockBytes: " + std::to_string(seal.block_bytes);
  for (size_t block = 0; block < seal.block_checksums.size(); ++block) {
    text += "\n| | position: " + std::to_string(block * uint64_t{seal.block_bytes}) +
            " xxh3: " + base::ChecksumText(seal.block_checksums[block]);
  }
  return text;
}

}  // namespace

void DumpSeal(const DumpFile& file, DumpReport* report) {
  std::vector<std::byte> bytes(std::min<uint64_t>(file.bytes, storage::kMaxSealBytes + 1));
  const auto got = file.file->ReadAt(0, bytes);
  if (!got.ok()) return report->Unreadable(got.error());
  bytes.resize(*got);
  const auto seal = storage::DecodeSeal(bytes);
  if (!seal.ok()) return report->Damage(0, seal.error().message());
  report->Add(ToJson(*seal), ToText(*seal));
  if (seal->base_offset != BaseOffsetOf(file.name))
    report->Damage(0, "seal: it is that of another segment than its name says");
}

}  // namespace tidemark::tools
