// .log files: record batches, in the manner of Kafka's DumpLogSegments.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "record/batch.h"
#include "storage/segment.h"
#include "tools/dump.h"

namespace tidemark::tools {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;
// A batch that is larger is checked piece by piece, but its records are not shown.
constexpr uint64_t kMaxShownBatchBytes = record::kMaxDecompressedBatchBytes;

const char* TrueFalse(bool value) { return value ? "true" : "false"; }

const char* TimestampType(const record::BatchHeader& header) {
  return header.log_append_time() ? "LogAppendTime" : "CreateTime";
}

class LogDump {
 public:
  LogDump(const DumpFile& file, DumpReport* report)
      : file_(file), report_(*report), chunk_(kChunkBytes) {}

  void Run();

 private:
  Result<base::ByteSpan> Read(uint64_t position, size_t bytes);
  Result<bool> HasItsCrc(const record::BatchHeader& header);
  bool DumpBatch();
  void ShowBatch(const record::BatchHeader& header, bool valid);
  void ShowRecords(const record::BatchHeader& header);
  bool HeaderStandsAt(uint64_t position);
  bool IsUnfinishedEnd() const;
  bool Resync(const std::string& damage);

  const DumpFile& file_;
  DumpReport& report_;
  uint64_t position_ = 0;
  int64_t next_offset_ = 0;  // no batch from here on may begin below it

  std::vector<std::byte> chunk_;
  uint64_t chunk_position_ = 0;
  size_t chunk_bytes_ = 0;
  std::vector<std::byte> batch_;
  std::vector<std::byte> decompressed_;
  record::Compressor compressor_;
};

// At most `bytes` (no more than a chunk) from `position` on: fewer at the file's end.
Result<base::ByteSpan> LogDump::Read(uint64_t position, size_t bytes) {
  const uint64_t chunk_end = chunk_position_ + chunk_bytes_;
  if (position < chunk_position_ || position + bytes > chunk_end) {
    const auto got = file_.file->ReadAt(position, chunk_);
    if (!got.ok()) return got.error();
    chunk_position_ = position;
    chunk_bytes_ = *got;
  }
  const auto known = base::ByteSpan(chunk_).first(chunk_bytes_);
  const auto from = known.subspan(static_cast<size_t>(position - chunk_position_));
  return from.first(std::min(bytes, from.size()));
}

Result<bool> LogDump::HasItsCrc(const record::BatchHeader& header) {
  uint64_t at = position_ + record::kCrcCoversFrom;
  const uint64_t end = position_ + header.total_bytes();
  uint32_t crc = 0;
  while (at < end) {
    const auto bytes = Read(at, static_cast<size_t>(std::min<uint64_t>(kChunkBytes, end - at)));
    if (!bytes.ok()) return bytes.error();
    if (bytes->empty()) return false;
    crc = base::Crc32c(*bytes, crc);
    at += bytes->size();
  }
  return crc == header.crc;
}

void LogDump::ShowBatch(const record::BatchHeader& header, bool valid) {
  const char* time = TimestampType(header);
  const auto number = [](auto value) { return std::to_string(value); };
  const int64_t horizon = header.base_timestamp_ms;
  const int32_t last_sequence =
      header.base_sequence < 0 ? -1 : header.base_sequence + header.last_offset_delta;
  const std::string text =
      "baseOffset: " + number(header.base_offset) + " lastOffset: " + number(header.last_offset()) +
      " count: " + number(header.record_count) + " baseSequence: " + number(header.base_sequence) +
      " lastSequence: " + number(last_sequence) + " producerId: " + number(header.producer_id) +
      " producerEpoch: " + number(header.producer_epoch) +
      " partitionLeaderEpoch: " + number(header.leader_epoch) +
      " isTransactional: " + TrueFalse(header.transactional()) +
      " isControl: " + TrueFalse(header.control()) + " deleteHorizonMs: " +
      (header.has_delete_horizon() ? "OptionalLong[" + number(horizon) + "]"
                                   : "OptionalLong.empty") +
      " position: " + number(position_) + " " + time + ": " + number(header.max_timestamp_ms) +
      " size: " + number(header.total_bytes()) + " magic: " + number(int{header.magic}) +
      " compresscodec: " + std::string(record::CodecName(header.codec())) +
      " crc: " + number(header.crc) + " isvalid: " + TrueFalse(valid);
  Json object;
  if (report_.json()) {
    object["type"] = "batch";
    object["base_offset"] = header.base_offset;
    object["last_offset"] = header.last_offset();
    object["count"] = header.record_count;
    object["base_sequence"] = header.base_sequence;
    object["producer_id"] = header.producer_id;
    object["producer_epoch"] = header.producer_epoch;
    object["leader_epoch"] = header.leader_epoch;
    object["transactional"] = header.transactional();
    object["control"] = header.control();
    if (header.has_delete_horizon()) object["delete_horizon"] = horizon;
    object["position"] = position_;
    object["timestamp_type"] = time;
    object["max_timestamp"] = header.max_timestamp_ms;
    object["size"] = header.total_bytes();
    object["magic"] = header.magic;
    object["codec"] = record::CodecName(header.codec());
    object["crc"] = header.crc;
    object["valid"] = valid;
  }
  report_.Add(object, text);
}

void LogDump::ShowRecords(const record::BatchHeader& header) {
  if (header.total_bytes() > kMaxShownBatchBytes) {
    return report_.Note("the records of a batch of " + std::to_string(header.total_bytes()) +
                        " bytes are not shown");
  }
  batch_.resize(static_cast<size_t>(header.total_bytes()));
  const auto got = file_.file->ReadAt(position_, batch_);
  if (!got.ok()) return report_.Unreadable(got.error());
  const auto batch =
      record::OpenBatch(base::ByteSpan(batch_).first(*got), record::kMaxDecompressedBatchBytes,
                        &compressor_, &decompressed_);
  if (!batch.ok()) return report_.Damage(position_, batch.error().message());
  for (const RecordView& record : RecordRange(batch->encoded())) {
    report_.AddRecord(record, "| ", TimestampType(header));
    if (report_.finished()) return;
  }
}

// Whether a batch may begin there, or the file ends: what stood before had the right length then.
bool LogDump::HeaderStandsAt(uint64_t position) {
  if (position == file_.bytes) return true;
  const auto bytes = Read(position, record::kBatchHeaderBytes);
  return bytes.ok() && record::DecodeBatchHeader(*bytes).ok();
}

// While somebody writes, the last batch may be there in part.
bool LogDump::IsUnfinishedEnd() const {
  if (!file_.store_in_use) return false;
  const auto next = storage::FindNextIntactBatch(*file_.file, position_, file_.bytes, next_offset_);
  return next.ok() && !next->has_value();
}

// Tells the damage and goes to the next intact batch; false: there is none.
bool LogDump::Resync(const std::string& damage) {
  const auto next =
      storage::FindNextIntactBatch(*file_.file, position_ + 1, file_.bytes, next_offset_);
  if (!next.ok()) {
    report_.Damage(position_, damage);
    report_.Unreadable(next.error());
    return false;
  }
  if (!*next) {
    report_.Damage(position_, damage + "; no intact batch follows");
    return false;
  }
  report_.Damage(position_, damage + "; the next intact batch begins at " +
                                std::to_string((*next)->position) + " with offset " +
                                std::to_string((*next)->header.base_offset));
  position_ = (*next)->position;
  return true;
}

// The batch at position_; false: there is nothing more to be had.
bool LogDump::DumpBatch() {
  const auto bytes = Read(position_, record::kBatchHeaderBytes);
  if (!bytes.ok()) {
    report_.Unreadable(bytes.error());
    return false;
  }
  const auto header = record::DecodeBatchHeader(*bytes);
  const bool whole = header.ok() && header->total_bytes() <= file_.bytes - position_;
  if (!whole && IsUnfinishedEnd()) {
    report_.Note("behind position " + std::to_string(position_) + " is being written");
    return false;
  }
  if (!header.ok()) return Resync(header.error().message());
  if (!whole) {
    return Resync("a batch of " + std::to_string(header->total_bytes()) +
                  " bytes is cut off after " + std::to_string(file_.bytes - position_));
  }
  const auto valid = HasItsCrc(*header);
  if (!valid.ok()) {
    report_.Unreadable(valid.error());
    return false;
  }
  ShowBatch(*header, *valid);
  const uint64_t next = position_ + header->total_bytes();
  if (!*valid && !HeaderStandsAt(next))
    return Resync("the checksum is wrong, and perhaps the length");
  if (!*valid) {
    report_.Damage(position_, "the checksum of the batch is wrong");
  } else {
    if (header->base_offset < next_offset_) {
      report_.Damage(position_, "the batch's base offset " + std::to_string(header->base_offset) +
                                    " is below " + std::to_string(next_offset_));
    }
    next_offset_ = std::max(next_offset_, header->next_offset());
    if (report_.with_records()) ShowRecords(*header);
  }
  position_ = next;
  return true;
}

void LogDump::Run() {
  const int64_t base_offset = BaseOffsetOf(file_.name);
  next_offset_ = base_offset;
  if (!report_.json()) {
    report_.Add({}, "Log starting offset: " + std::to_string(base_offset));
  }
  while (position_ < file_.bytes && !report_.finished()) {
    if (!DumpBatch()) return;
  }
}

}  // namespace

void DumpLog(const DumpFile& file, DumpReport* report) { LogDump(file, report).Run(); }

}  // namespace tidemark::tools
