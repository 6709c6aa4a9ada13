#include "bench/device.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "bench/support.h"

namespace tidemark::bench {

double IdleBytesPerSecond(const BlockDevice& device, double seconds) {
  const uint64_t before = device.BytesWritten();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return static_cast<double>(device.BytesWritten() - before) / seconds;
}

RawCommits::RawCommits(const std::string& path, uint64_t file_bytes)
    : descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)),
      file_bytes_(file_bytes / kBlockBytes * kBlockBytes),
      block_(std::make_unique<char[]>(kBlockBytes)) {
  if (descriptor_ < 0) GiveUpWithErrno(path);
  Fill();
}

RawCommits::~RawCommits() { close(descriptor_); }

void RawCommits::Fill() const {
  const std::vector<char> zeros(size_t{1} << 20);
  for (uint64_t at = 0; at < file_bytes_; at += zeros.size()) {
    const size_t length = std::min<uint64_t>(zeros.size(), file_bytes_ - at);
    if (pwrite(descriptor_, zeros.data(), length, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(length)) {
      GiveUpWithErrno("filling the raw file");
    }
  }
  if (fsync(descriptor_) != 0) GiveUpWithErrno("flushing the raw file");
}

uint64_t RawCommits::Run(double seconds) {
  uint64_t commits = 0;
  for (const double end = NowSeconds() + seconds; NowSeconds() < end; ++commits) {
    ++written_;
    std::memcpy(block_.get(), &written_, sizeof written_);
    const ssize_t answer =
        pwrite(descriptor_, block_.get(), kBlockBytes, static_cast<off_t>(position_));
    if (answer != static_cast<ssize_t>(kBlockBytes)) GiveUpWithErrno("writing the raw file");
    if (fdatasync(descriptor_) != 0) GiveUpWithErrno("flushing the raw file");
    position_ = (position_ + kBlockBytes) % file_bytes_;
  }
  return commits;
}

}  // namespace tidemark::bench
