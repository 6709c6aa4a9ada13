#include "io/read_ahead.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>

#include "io/quiet_thread.h"

namespace tidemark::io {
namespace {

// A directory takes ten small reads, one after the other, of which a disk can do some at a time.
constexpr size_t kThreads = 4;
constexpr size_t kBufferBytes = size_t{16} << 10;  // on the stack

}  // namespace

DirectoriesAhead::DirectoriesAhead(std::vector<std::string> directories)
    : directories_(std::move(directories)) {
  for (size_t i = 0; i < kThreads; ++i) {
    std::optional<std::thread> thread = StartQuietThread("tidemark-ahead", [this] { Run(); });
    if (thread) threads_.push_back(*std::move(thread));
  }
}

DirectoriesAhead::~DirectoriesAhead() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
}

// What fails here is told to who lists the directory. No memory is allocated: a thread's first
// allocation takes memory that the process does not get rid of.
void DirectoriesAhead::Run() {
  std::array<char, kBufferBytes> buffer;
  for (size_t i = next_++; i < directories_.size() && !stopping_; i = next_++) {
    const int descriptor = open(directories_[i].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) continue;
    while (!stopping_ && getdents64(descriptor, buffer.data(), buffer.size()) > 0) {
    }
    close(descriptor);
  }
}

}  // namespace tidemark::io
