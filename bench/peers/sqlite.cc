// SQLite: one table whose rowid is partition and offset in one, so that appending to one partition
// is SQLite's own fast path; an index by partition and time where it is asked for. One connection
// behind a mutex: several would wait for each other by polling.
#include <sqlite3.h>

#include <mutex>
#include <utility>

#include "bench/peers/peer.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

constexpr unsigned kOffsetBits = 40;
int64_t RowOf(uint32_t partition, uint64_t offset) {
  return static_cast<int64_t>((uint64_t{partition} << kOffsetBits) | offset);
}

class Statement {
 public:
  Statement(sqlite3* db, const char* text) : db_(db) {
    Check(sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr));
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void Bind(int at, int64_t value) { Check(sqlite3_bind_int64(statement_, at, value)); }
  // The bytes must live until the next Reset().
  void Bind(int at, std::string_view bytes) {
    Check(sqlite3_bind_blob64(statement_, at, bytes.data(), bytes.size(), SQLITE_STATIC));
  }
  bool Step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) Check(code);
    return code == SQLITE_ROW;
  }
  void Reset() { Check(sqlite3_reset(statement_)); }
  void Run() {
    Step();
    Reset();
  }
  int64_t Number(int column) { return sqlite3_column_int64(statement_, column); }
  std::string_view Blob(int column) {
    const void* bytes = sqlite3_column_blob(statement_, column);
    return {static_cast<const char*>(bytes),
            static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  void Check(int code) {
    if (code != SQLITE_OK) GiveUp(std::string("SQLite: ") + sqlite3_errmsg(db_));
  }
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
};

class Sqlite : public Peer {
 public:
  Sqlite(const StoreOptions& options, const char* pragmas) : by_time_(options.by_time) {
    const std::string path = options.folder + "/records.sqlite";
    if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) GiveUp("SQLite: " + path);
    Run(pragmas);
    if (by_time_) {
      Run("CREATE TABLE IF NOT EXISTS records(id INTEGER PRIMARY KEY, part INTEGER, time INTEGER, "
          "value BLOB);"
          "CREATE INDEX IF NOT EXISTS times ON records(part, time)");
      insert_ = std::make_unique<Statement>(db_, "INSERT INTO records VALUES(?1, ?3, ?4, ?2)");
      by_time_query_ = std::make_unique<Statement>(
          db_, "SELECT id FROM records WHERE part = ?1 AND time >= ?2 ORDER BY time, id LIMIT 1");
    } else {
      Run("CREATE TABLE IF NOT EXISTS records(id INTEGER PRIMARY KEY, value BLOB)");
      insert_ = std::make_unique<Statement>(db_, "INSERT INTO records VALUES(?1, ?2)");
    }
    begin_ = std::make_unique<Statement>(db_, "BEGIN IMMEDIATE");
    commit_ = std::make_unique<Statement>(db_, "COMMIT");
    range_ = std::make_unique<Statement>(
        db_, "SELECT value FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id");
    one_ = std::make_unique<Statement>(db_, "SELECT value FROM records WHERE id = ?1");
  }
  ~Sqlite() override { Free(); }
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;

  // The settings of a connection decide how safe a commit is.
  void Append(std::span<const PeerRecord> records, Safety /*safety*/) override {
    const std::lock_guard lock(mutex_);
    const bool several = records.size() > 1;
    if (several) begin_->Run();
    for (const PeerRecord& record : records) {
      JoinKeyAndValue(record, &joined_);
      insert_->Bind(1, RowOf(record.partition, record.offset));
      insert_->Bind(2, joined_);
      if (by_time_) {
        insert_->Bind(3, int64_t{record.partition});
        insert_->Bind(4, record.timestamp_ms);
      }
      insert_->Run();
    }
    if (several) commit_->Run();
  }

  uint64_t ReadAll(uint32_t partition) override {
    range_->Bind(1, RowOf(partition, 0));
    range_->Bind(2, RowOf(partition + 1, 0));
    uint64_t count = 0;
    for (; range_->Step(); ++count) LookAt(range_->Blob(0));
    range_->Reset();
    return count;
  }

  std::string ReadOne(uint32_t partition, uint64_t offset) override {
    one_->Bind(1, RowOf(partition, offset));
    if (!one_->Step()) GiveUp("SQLite: a record is missing");
    std::string value(one_->Blob(0));
    one_->Reset();
    return value;
  }

  uint64_t FirstAtOrAfter(uint32_t partition, int64_t timestamp_ms) override {
    by_time_query_->Bind(1, int64_t{partition});
    by_time_query_->Bind(2, timestamp_ms);
    if (!by_time_query_->Step()) GiveUp("SQLite: no record at or after a time");
    const int64_t row = by_time_query_->Number(0);
    by_time_query_->Reset();
    return static_cast<uint64_t>(row) & ((uint64_t{1} << kOffsetBits) - 1);
  }

  // Closing the last connection copies the WAL into the database and flushes it.
  void Close() override { Free(); }

 private:
  void Run(const char* text) {
    char* why = nullptr;
    if (sqlite3_exec(db_, text, nullptr, nullptr, &why) != SQLITE_OK) {
      GiveUp(std::string("SQLite: ") + (why == nullptr ? text : why));
    }
  }
  void Free() {
    if (db_ == nullptr) return;
    for (auto* statement : {&insert_, &begin_, &commit_, &range_, &one_, &by_time_query_}) {
      statement->reset();
    }
    if (sqlite3_close(db_) != SQLITE_OK) GiveUp("SQLite: closing has failed");
    db_ = nullptr;
  }

  bool by_time_;
  std::mutex mutex_;
  sqlite3* db_ = nullptr;
  std::string joined_;
  std::unique_ptr<Statement> insert_;
  std::unique_ptr<Statement> begin_;
  std::unique_ptr<Statement> commit_;
  std::unique_ptr<Statement> range_;
  std::unique_ptr<Statement> one_;
  std::unique_ptr<Statement> by_time_query_;
};

// The cache is as large as what Tidemark may take.
constexpr const char* kWalFull =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32768";
constexpr const char* kWalNormal =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32768";

std::unique_ptr<Peer> OpenDefault(const StoreOptions& options) {
  return std::make_unique<Sqlite>(options, "");
}
std::unique_ptr<Peer> OpenWalFull(const StoreOptions& options) {
  return std::make_unique<Sqlite>(options, kWalFull);
}
std::unique_ptr<Peer> OpenWalNormal(const StoreOptions& options) {
  return std::make_unique<Sqlite>(options, kWalNormal);
}

}  // namespace

System SqliteSystem() {
  System system{"SQLite", sqlite3_libversion(), {}};
  system.variants.push_back({.system = system.name,
                             .setting = "durable: WAL, synchronous=FULL",
                             .works = kOneByOne | kInFlight | kKill | kSpaceEach | kSpaceWindow,
                             .safety = Safety::durable,
                             .open = OpenWalFull});
  system.variants.push_back({.system = system.name,
                             .setting = "default: rollback journal, synchronous=FULL",
                             .works = kOneByOne,
                             .safety = Safety::durable,
                             .open = OpenDefault});
  system.variants.push_back(
      {.system = system.name,
       .setting = "durable, one transaction for all threads that wait",
       .works = kInFlight,
       .safety = Safety::durable,
       .open = [](const StoreOptions& options) { return GatherWrites(OpenWalFull(options)); }});
  constexpr size_t kRecordsOfTransaction = 10'000;
  system.variants.push_back({.system = system.name,
                             .setting = "WAL, synchronous=NORMAL, 10,000 a transaction",
                             .works = kBulk | kReadAll | kReadOne | kReadByTime | kMemory,
                             .bulk_records = kRecordsOfTransaction,
                             .open = OpenWalNormal});
  return system;
}

}  // namespace tidemark::bench
