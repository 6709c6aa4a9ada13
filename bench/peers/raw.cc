// The device itself, without a log on it: what plain system calls bring on the same disk.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "bench/peers/peer.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr uint64_t kJournalBytes = uint64_t{64} << 20;  // as large as Tidemark's
constexpr size_t kBulkBytes = size_t{1} << 20;

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};
using AlignedBytes = std::unique_ptr<char[], FreeMemory>;

AlignedBytes Aligned(size_t bytes) {
  AlignedBytes memory(static_cast<char*>(std::aligned_alloc(kBlockBytes, bytes)));
  if (!memory) GiveUp("out of memory");
  std::memset(memory.get(), 0, bytes);
  return memory;
}

class RawFile {
 public:
  RawFile(const std::string& path, int flags)
      : descriptor_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    if (descriptor_ < 0) GiveUpWithErrno("open");
  }
  ~RawFile() { close(descriptor_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;
  void Write(const char* bytes, size_t length, uint64_t at) const {
    const ssize_t answer = pwrite(descriptor_, bytes, length, static_cast<off_t>(at));
    if (answer != static_cast<ssize_t>(length)) GiveUpWithErrno("pwrite");
  }
  size_t Read(char* bytes, size_t length, uint64_t at) const {
    const ssize_t answer = pread(descriptor_, bytes, length, static_cast<off_t>(at));
    if (answer < 0) GiveUpWithErrno("pread");
    return static_cast<size_t>(answer);
  }
  void Cut(uint64_t length) const {
    if (ftruncate(descriptor_, static_cast<off_t>(length)) != 0) GiveUpWithErrno("ftruncate");
  }
  void Flush() const {
    if (fdatasync(descriptor_) != 0) GiveUpWithErrno("fdatasync");
  }

 private:
  int descriptor_;
};

// Overwrites a file that was zero-filled before, a block and a flush for each record.
class RawOverwrites : public Peer {
 public:
  explicit RawOverwrites(const StoreOptions& options)
      : file_(options.folder + "/overwritten", O_RDWR | O_CREAT), buffer_(Aligned(kBulkBytes)) {
    for (uint64_t at = 0; at < kJournalBytes; at += kBulkBytes) {
      file_.Write(buffer_.get(), kBulkBytes, at);
    }
    file_.Flush();
  }

  void Append(std::span<const PeerRecord> records, Safety /*safety*/) override {
    size_t used = 0;
    for (const PeerRecord& record : records) {
      std::memcpy(buffer_.get() + used, record.value.data(), record.value.size());
      used += record.value.size();
    }
    Write(used);
  }

  // The records of all that wait share a write and its flush.
  InFlightResult RunInFlight(const InFlight& load) override {
    InFlightResult result;
    const double start = NowSeconds();
    for (; result.seconds < load.seconds; result.seconds = NowSeconds() - start) {
      size_t used = 0;
      for (uint32_t i = 0; i < load.count; ++i) {
        const std::string& value = load.values[i % load.values.size()];
        if (used + value.size() > kBulkBytes) GiveUp("raw device: too much in flight");
        std::memcpy(buffer_.get() + used, value.data(), value.size());
        used += value.size();
      }
      Write(used);
      result.acknowledged += load.count;
    }
    return result;
  }

  void Close() override {}

 private:
  void Write(size_t used) {
    const size_t length = (used + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    if (position_ + length > kJournalBytes) position_ = 0;
    file_.Write(buffer_.get(), length, position_);
    file_.Flush();
    position_ += length;
  }
  RawFile file_;
  AlignedBytes buffer_;
  uint64_t position_ = 0;
};

// Writes a file of nothing but values, all of one size, past the page cache, and reads it back
// through the page cache.
class RawSequential : public Peer {
 public:
  explicit RawSequential(const StoreOptions& options)
      : file_(options.folder + "/values", O_RDWR | O_CREAT | O_DIRECT),
        read_file_(options.folder + "/values", O_RDONLY),
        length_file_(options.folder + "/value_bytes", O_RDWR | O_CREAT),
        buffer_(Aligned(kBulkBytes)) {
    length_file_.Read(reinterpret_cast<char*>(&value_bytes_), sizeof value_bytes_, 0);
  }

  void Append(std::span<const PeerRecord> records, Safety /*safety*/) override {
    for (const PeerRecord& record : records) {
      value_bytes_ = record.value.size();
      const char* from = record.value.data();
      for (size_t left = record.value.size(); left > 0;) {
        const size_t part = std::min(left, kBulkBytes - used_);
        std::memcpy(buffer_.get() + used_, from, part);
        used_ += part;
        from += part;
        left -= part;
        if (used_ == kBulkBytes) WriteBuffer();
      }
    }
  }

  uint64_t ReadAll(uint32_t /*partition*/) override {
    uint64_t count = 0;
    uint64_t at = 0;
    const size_t piece = kBulkBytes / value_bytes_ * value_bytes_;
    for (size_t got = piece; got == piece; at += got) {
      got = read_file_.Read(buffer_.get(), piece, at);
      for (size_t place = 0; place + value_bytes_ <= got; place += value_bytes_, ++count) {
        LookAt({buffer_.get() + place, value_bytes_});
      }
    }
    return count;
  }

  std::string ReadOne(uint32_t /*partition*/, uint64_t offset) override {
    std::string value(value_bytes_, '\0');
    read_file_.Read(value.data(), value_bytes_, offset * value_bytes_);
    return value;
  }

  void Close() override {
    const uint64_t bytes = position_ + used_;
    if (bytes == 0) return;  // it was opened for reading
    if (used_ > 0) WriteBuffer();
    file_.Cut(bytes);  // O_DIRECT writes whole blocks
    length_file_.Write(reinterpret_cast<const char*>(&value_bytes_), sizeof value_bytes_, 0);
    file_.Flush();
  }

 private:
  void WriteBuffer() {
    const size_t length = (used_ + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    file_.Write(buffer_.get(), length, position_);
    position_ += length;
    used_ = 0;
  }
  RawFile file_;
  RawFile read_file_;
  RawFile length_file_;
  AlignedBytes buffer_;
  size_t used_ = 0;
  uint64_t position_ = 0;
  uint64_t value_bytes_ = 0;
};

}  // namespace

System RawDeviceSystem() {
  System system{"raw device", "", {}};
  system.variants.push_back(
      {.system = system.name,
       .setting = "pwrite + fdatasync of 4 KiB, over zeros (b: of all that wait)",
       .works = kOneByOne | kInFlight,
       .safety = Safety::durable,
       .open = [](const StoreOptions& options) -> std::unique_ptr<Peer> {
         return std::make_unique<RawOverwrites>(options);
       }});
  system.variants.push_back({.system = system.name,
                             .setting = "O_DIRECT writes of 1 MiB; plain reads",
                             .works = kBulk | kReadAll | kReadOne,
                             .open = [](const StoreOptions& options) -> std::unique_ptr<Peer> {
                               return std::make_unique<RawSequential>(options);
                             }});
  return system;
}

}  // namespace tidemark::bench
