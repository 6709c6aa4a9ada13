// LMDB: one B+ tree of records under partition and offset, a second one by time where it is asked
// for. One partition is appended with MDB_APPEND.
#include <lmdb.h>

#include <utility>

#include "bench/peers/peer.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

void MustLmdb(int code, const char* what) {
  if (code != MDB_SUCCESS) GiveUp(std::string("LMDB: ") + what + ": " + mdb_strerror(code));
}

MDB_val Val(const std::string& bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view View(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

class Transaction {
 public:
  Transaction(MDB_env* env, unsigned flags) {
    MustLmdb(mdb_txn_begin(env, nullptr, flags, &txn_), "mdb_txn_begin");
  }
  ~Transaction() {
    if (txn_ != nullptr) mdb_txn_abort(txn_);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  MDB_txn* get() const { return txn_; }
  void Commit() {
    MustLmdb(mdb_txn_commit(txn_), "mdb_txn_commit");
    txn_ = nullptr;
  }

 private:
  MDB_txn* txn_ = nullptr;
};

// A read transaction that is renewed from read to read, with a cursor: what LMDB advises.
class ReadCursor {
 public:
  ReadCursor(MDB_env* env, MDB_dbi tree) : transaction_(env, MDB_RDONLY) {
    MustLmdb(mdb_cursor_open(transaction_.get(), tree, &cursor_), "mdb_cursor_open");
    mdb_txn_reset(transaction_.get());
  }
  ~ReadCursor() { mdb_cursor_close(cursor_); }
  ReadCursor(const ReadCursor&) = delete;
  ReadCursor& operator=(const ReadCursor&) = delete;

  void Begin() {
    MustLmdb(mdb_txn_renew(transaction_.get()), "mdb_txn_renew");
    MustLmdb(mdb_cursor_renew(transaction_.get(), cursor_), "mdb_cursor_renew");
  }
  void End() { mdb_txn_reset(transaction_.get()); }
  // Whether there is one; MDB_SET_RANGE and the like need `*key`.
  bool Get(MDB_val* key, MDB_val* value, MDB_cursor_op what) {
    const int code = mdb_cursor_get(cursor_, key, value, what);
    if (code != MDB_NOTFOUND) MustLmdb(code, "mdb_cursor_get");
    return code == MDB_SUCCESS;
  }

 private:
  Transaction transaction_;
  MDB_cursor* cursor_ = nullptr;
};

class Lmdb : public Peer {
 public:
  Lmdb(const StoreOptions& options, unsigned flags)
      : by_time_(options.by_time), in_order_(options.partitions == 1), flags_(flags) {
    MustLmdb(mdb_env_create(&env_), "mdb_env_create");
    constexpr size_t kMapBytes = size_t{32} << 30;
    constexpr MDB_dbi kTrees = 2;
    MustLmdb(mdb_env_set_mapsize(env_, kMapBytes), "mdb_env_set_mapsize");
    MustLmdb(mdb_env_set_maxdbs(env_, kTrees), "mdb_env_set_maxdbs");
    constexpr mdb_mode_t kMode = 0600;
    MustLmdb(mdb_env_open(env_, options.folder.c_str(), flags, kMode), "mdb_env_open");
    Transaction transaction(env_, 0);
    MustLmdb(mdb_dbi_open(transaction.get(), "records", MDB_CREATE, &records_), "mdb_dbi_open");
    if (by_time_) {
      MustLmdb(mdb_dbi_open(transaction.get(), "times", MDB_CREATE, &times_), "mdb_dbi_open");
    }
    transaction.Commit();
  }
  ~Lmdb() override { Free(); }
  Lmdb(const Lmdb&) = delete;
  Lmdb& operator=(const Lmdb&) = delete;

  void Append(std::span<const PeerRecord> records, Safety safety) override {
    Transaction transaction(env_, 0);
    std::string key;
    std::string joined;
    for (const PeerRecord& record : records) {
      key.clear();
      AppendBigEndian(record.partition, sizeof record.partition, &key);
      AppendBigEndian(record.offset, sizeof record.offset, &key);
      JoinKeyAndValue(record, &joined);
      Put(transaction.get(), records_, key, joined);
      if (by_time_) {
        Put(transaction.get(), times_,
            TimeKey(record.partition, record.timestamp_ms, record.offset), {});
      }
    }
    transaction.Commit();
    if (safety == Safety::durable && (flags_ & MDB_NOSYNC) != 0) {
      MustLmdb(mdb_env_sync(env_, 1), "mdb_env_sync");
    }
  }

  uint64_t ReadAll(uint32_t partition) override {
    ReadCursor cursor(env_, records_);
    cursor.Begin();
    const std::string start = RecordKey(partition, 0);
    const std::string end = RecordKey(partition + 1, 0);
    MDB_val key = Val(start);
    MDB_val value{};
    uint64_t count = 0;
    bool there = cursor.Get(&key, &value, MDB_SET_RANGE);
    for (; there && View(key) < end; there = cursor.Get(&key, &value, MDB_NEXT), ++count) {
      LookAt(View(value));
    }
    cursor.End();
    return count;
  }

  std::string ReadOne(uint32_t partition, uint64_t offset) override {
    if (!one_) one_ = std::make_unique<ReadCursor>(env_, records_);
    one_->Begin();
    const std::string wanted = RecordKey(partition, offset);
    MDB_val key = Val(wanted);
    MDB_val value{};
    if (!one_->Get(&key, &value, MDB_SET)) GiveUp("LMDB: a record is missing");
    std::string copy(View(value));
    one_->End();
    return copy;
  }

  uint64_t FirstAtOrAfter(uint32_t partition, int64_t timestamp_ms) override {
    if (!one_) one_ = std::make_unique<ReadCursor>(env_, times_);
    one_->Begin();
    const std::string wanted = TimeKey(partition, timestamp_ms, 0);
    MDB_val key = Val(wanted);
    MDB_val value{};
    if (!one_->Get(&key, &value, MDB_SET_RANGE)) GiveUp("LMDB: no record at or after a time");
    const uint64_t offset = OffsetOfTimeKey(View(key));
    one_->End();
    return offset;
  }

  void Close() override {
    MustLmdb(mdb_env_sync(env_, 1), "mdb_env_sync");
    Free();
  }

 private:
  void Put(MDB_txn* transaction, MDB_dbi tree, const std::string& key,
           const std::string& bytes) const {
    MDB_val key_val = Val(key);
    MDB_val value = Val(bytes);
    // Threads that wait for the one writer do not come in order.
    int code = mdb_put(transaction, tree, &key_val, &value, in_order_ ? MDB_APPEND : 0);
    if (code == MDB_KEYEXIST) code = mdb_put(transaction, tree, &key_val, &value, 0);
    MustLmdb(code, "mdb_put");
  }
  void Free() {
    one_.reset();
    if (env_ != nullptr) mdb_env_close(env_);
    env_ = nullptr;
  }

  bool by_time_;
  bool in_order_;
  unsigned flags_;
  MDB_env* env_ = nullptr;
  MDB_dbi records_ = 0;
  MDB_dbi times_ = 0;
  std::unique_ptr<ReadCursor> one_;  // of the one tree that this process reads single records of
};

std::unique_ptr<Peer> OpenSynced(const StoreOptions& options) {
  return std::make_unique<Lmdb>(options, 0U);
}
std::unique_ptr<Peer> OpenUnsynced(const StoreOptions& options) {
  return std::make_unique<Lmdb>(options, unsigned{MDB_NOSYNC | MDB_WRITEMAP});
}

}  // namespace

System LmdbSystem() {
  System system{"LMDB",
                std::to_string(MDB_VERSION_MAJOR) + "." + std::to_string(MDB_VERSION_MINOR) + "." +
                    std::to_string(MDB_VERSION_PATCH),
                {}};
  system.variants.push_back({.system = system.name,
                             .setting = "default, which is durable",
                             .works = kOneByOne | kInFlight | kKill | kSpaceEach | kSpaceWindow,
                             .safety = Safety::durable,
                             .open = OpenSynced});
  system.variants.push_back(
      {.system = system.name,
       .setting = "durable, one transaction for all threads that wait",
       .works = kInFlight,
       .safety = Safety::durable,
       .open = [](const StoreOptions& options) { return GatherWrites(OpenSynced(options)); }});
  constexpr size_t kRecordsOfTransaction = 10'000;
  system.variants.push_back({.system = system.name,
                             .setting = "default, 10,000 a transaction, MDB_APPEND",
                             .works = kBulk,
                             .safety = Safety::durable,
                             .bulk_records = kRecordsOfTransaction,
                             .open = OpenSynced});
  system.variants.push_back({.system = system.name,
                             .setting = "MDB_NOSYNC|MDB_WRITEMAP, 10,000 a transaction, MDB_APPEND",
                             .works = kBulk | kReadAll | kReadOne | kReadByTime | kMemory,
                             .bulk_records = kRecordsOfTransaction,
                             .open = OpenUnsynced});
  return system;
}

}  // namespace tidemark::bench
