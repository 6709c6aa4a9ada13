// LevelDB: records under partition and offset; a time index is a second key without a value.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <utility>

#include "bench/peers/peer.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

void MustLevel(const leveldb::Status& status) {
  if (!status.ok()) GiveUp("LevelDB: " + status.ToString());
}

std::string_view View(const leveldb::Slice& slice) { return {slice.data(), slice.size()}; }

constexpr char kRecordPrefix = 'r';
constexpr char kTimePrefix = 't';

class LevelDb : public Peer {
 public:
  explicit LevelDb(const StoreOptions& options) : by_time_(options.by_time) {
    constexpr size_t kCacheBytes = size_t{32} << 20;  // as much as Tidemark may take
    cache_.reset(leveldb::NewLRUCache(kCacheBytes));
    leveldb::Options settings;
    settings.create_if_missing = true;
    settings.block_cache = cache_.get();
    leveldb::DB* db = nullptr;
    MustLevel(leveldb::DB::Open(settings, options.folder, &db));
    db_.reset(db);
  }

  void Append(std::span<const PeerRecord> records, Safety safety) override {
    leveldb::WriteBatch batch;
    std::string value;
    for (const PeerRecord& record : records) {
      JoinKeyAndValue(record, &value);
      batch.Put(Key(record.partition, record.offset), value);
      if (by_time_) {
        batch.Put(kTimePrefix + TimeKey(record.partition, record.timestamp_ms, record.offset), {});
      }
    }
    leveldb::WriteOptions options;
    options.sync = safety == Safety::durable;
    MustLevel(db_->Write(options, &batch));
  }

  uint64_t ReadAll(uint32_t partition) override {
    const std::string end = Key(partition + 1, 0);
    const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(leveldb::ReadOptions()));
    uint64_t count = 0;
    for (at->Seek(Key(partition, 0)); at->Valid() && View(at->key()) < end; at->Next(), ++count) {
      LookAt(View(at->value()));
    }
    MustLevel(at->status());
    return count;
  }

  std::string ReadOne(uint32_t partition, uint64_t offset) override {
    std::string value;
    MustLevel(db_->Get(leveldb::ReadOptions(), Key(partition, offset), &value));
    return value;
  }

  uint64_t FirstAtOrAfter(uint32_t partition, int64_t timestamp_ms) override {
    const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(leveldb::ReadOptions()));
    at->Seek(kTimePrefix + TimeKey(partition, timestamp_ms, 0));
    if (!at->Valid()) GiveUp("LevelDB: no record at or after a time");
    return OffsetOfTimeKey(View(at->key()));
  }

  void Close() override {
    leveldb::WriteBatch nothing;
    leveldb::WriteOptions options;
    options.sync = true;
    MustLevel(db_->Write(options, &nothing));
    db_.reset();
  }

 private:
  std::string Key(uint32_t partition, uint64_t offset) const {
    return by_time_ ? kRecordPrefix + RecordKey(partition, offset) : RecordKey(partition, offset);
  }
  bool by_time_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<leveldb::DB> db_;
};

std::unique_ptr<Peer> OpenLevelDb(const StoreOptions& options) {
  return std::make_unique<LevelDb>(options);
}

}  // namespace

System LevelDbSystem() {
  System system{
      "LevelDB",
      std::to_string(leveldb::kMajorVersion) + "." + std::to_string(leveldb::kMinorVersion),
      {}};
  system.variants.push_back({.system = system.name,
                             .setting = "durable: sync=true",
                             .works = kOneByOne | kInFlight | kKill | kSpaceEach | kSpaceWindow,
                             .safety = Safety::durable,
                             .open = OpenLevelDb});
  system.variants.push_back(
      {.system = system.name,
       .setting = "default: log, no sync; batches of 1,000 in bulk",
       .works = kOneByOne | kBulk | kReadAll | kReadOne | kReadByTime | kMemory,
       .open = OpenLevelDb});
  return system;
}

}  // namespace tidemark::bench
