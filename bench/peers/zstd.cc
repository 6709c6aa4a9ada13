// zstd alone: how fast the batches that Tidemark has compressed can be decompressed, which nothing
// that reads them can exceed.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/bytes.h"
#include "bench/peers/peer.h"
#include "bench/support.h"
#include "record/batch.h"

namespace tidemark::bench {
namespace {

class ZstdAlone : public Peer {
 public:
  explicit ZstdAlone(StoreOptions options) : options_(std::move(options)) {}

  void Append(std::span<const PeerRecord> records, Safety safety) override {
    if (!writer_) writer_ = OpenTidemarkCore(options_);
    writer_->Append(records, safety);
  }
  // The files are read once, when it is first asked.
  uint64_t ReadAll(uint32_t /*partition*/) override {
    if (log_.empty()) LoadLog();
    uint64_t count = 0;
    base::ByteSpan rest(log_);
    while (!rest.empty()) {
      const record::BatchHeader header = Must(record::DecodeBatchHeader(rest));
      const base::ByteSpan batch = rest.first(header.total_bytes());
      constexpr size_t kMostBytes = size_t{64} << 20;
      Must(compressor_.Decompress(header.codec(), batch.subspan(record::kBatchHeaderBytes),
                                  kMostBytes, &decompressed_));
      count += static_cast<uint64_t>(header.record_count);
      rest = rest.subspan(batch.size());
    }
    return count;
  }
  void Close() override {
    if (writer_) writer_->Close();
    writer_.reset();
  }

 private:
  void LoadLog() {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.folder)) {
      const bool wanted = entry.path().extension() == ".log" &&
                          entry.path().parent_path().filename().native().starts_with("readings-");
      if (wanted) paths.push_back(entry.path().native());
    }
    std::sort(paths.begin(), paths.end());
    for (const std::string& path : paths) {
      std::ifstream file(path, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
      log_.insert(log_.end(), first, first + bytes.size());
    }
    if (log_.empty()) GiveUp("no batches are below " + options_.folder);
  }

  StoreOptions options_;
  std::unique_ptr<Peer> writer_;
  record::Compressor compressor_;
  std::vector<std::byte> log_;
  std::vector<std::byte> decompressed_;
};

}  // namespace

System ZstdSystem() {
  System system{"zstd itself", "", {}};
  system.variants.push_back({.system = system.name,
                             .setting = "its decompression of Tidemark's batches, nothing else",
                             .works = kReadAll,
                             .open = [](const StoreOptions& options) -> std::unique_ptr<Peer> {
                               return std::make_unique<ZstdAlone>(options);
                             }});
  return system;
}

}  // namespace tidemark::bench
