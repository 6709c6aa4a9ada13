// RocksDB: records under partition and offset; a time index is a second key without a value.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

#include <utility>

#include "bench/peers/peer.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

void MustRocks(const rocksdb::Status& status) {
  if (!status.ok()) GiveUp("RocksDB: " + status.ToString());
}

// In front of the keys of the two kinds when there is a time index.
constexpr char kRecords = 'r';
constexpr char kTimes = 't';

class RocksDb : public Peer {
 public:
  explicit RocksDb(const StoreOptions& options) : by_time_(options.by_time) {
    rocksdb::Options settings;
    settings.create_if_missing = true;
    rocksdb::BlockBasedTableOptions table;
    constexpr size_t kCacheBytes = size_t{32} << 20;  // as much as Tidemark may take
    table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
    settings.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    MustRocks(rocksdb::DB::Open(settings, options.folder, &db));
    db_.reset(db);
  }

  void Append(std::span<const PeerRecord> records, Safety safety) override {
    rocksdb::WriteBatch batch;
    std::string value;
    for (const PeerRecord& record : records) {
      JoinKeyAndValue(record, &value);
      batch.Put(Key(record.partition, record.offset), value);
      if (by_time_) {
        batch.Put(kTimes + TimeKey(record.partition, record.timestamp_ms, record.offset), {});
      }
    }
    rocksdb::WriteOptions options;
    options.sync = safety == Safety::durable;
    MustRocks(db_->Write(options, &batch));
  }

  uint64_t ReadAll(uint32_t partition) override {
    rocksdb::ReadOptions options;
    const std::string end = Key(partition + 1, 0);
    const rocksdb::Slice upper(end);
    options.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options));
    uint64_t count = 0;
    for (at->Seek(Key(partition, 0)); at->Valid(); at->Next(), ++count) {
      LookAt(at->value().ToStringView());
    }
    MustRocks(at->status());
    return count;
  }

  std::string ReadOne(uint32_t partition, uint64_t offset) override {
    std::string value;
    MustRocks(db_->Get(rocksdb::ReadOptions(), Key(partition, offset), &value));
    return value;
  }

  uint64_t FirstAtOrAfter(uint32_t partition, int64_t timestamp_ms) override {
    const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(rocksdb::ReadOptions()));
    at->Seek(kTimes + TimeKey(partition, timestamp_ms, 0));
    if (!at->Valid()) GiveUp("RocksDB: no record at or after a time");
    return OffsetOfTimeKey(at->key().ToStringView());
  }

  void Close() override {
    MustRocks(db_->SyncWAL());
    MustRocks(db_->Close());
    db_.reset();
  }

 private:
  std::string Key(uint32_t partition, uint64_t offset) const {
    return by_time_ ? kRecords + RecordKey(partition, offset) : RecordKey(partition, offset);
  }
  bool by_time_;
  std::unique_ptr<rocksdb::DB> db_;
};

std::unique_ptr<Peer> OpenRocksDb(const StoreOptions& options) {
  return std::make_unique<RocksDb>(options);
}

}  // namespace

System RocksDbSystem() {
  System system{"RocksDB", rocksdb::GetRocksVersionAsString(), {}};
  system.variants.push_back({.system = system.name,
                             .setting = "durable: sync=true",
                             .works = kOneByOne | kInFlight | kKill | kSpaceEach | kSpaceWindow,
                             .safety = Safety::durable,
                             .open = OpenRocksDb});
  system.variants.push_back(
      {.system = system.name,
       .setting = "default: WAL, no sync; batches of 1,000 in bulk",
       .works = kOneByOne | kBulk | kReadAll | kReadOne | kReadByTime | kMemory,
       .open = OpenRocksDb});
  return system;
}

}  // namespace tidemark::bench
