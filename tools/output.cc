#include "tools/output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "base/clock.h"
#include "tools/stop_signal.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

constexpr int64_t kProgressIntervalUs = 1'000'000;

// The message without its code in front where the code is only our own way to branch.
std::string Describe(const Error& error) {
  if (error.code() != ErrorCode::invalid_argument || error.message().empty()) {
    return error.ToString();
  }
  return error.message();
}

// How much may be written at once without standing still.
size_t WriteBytes(int descriptor) {
  struct stat about {};
  if (::fstat(descriptor, &about) != 0) return PIPE_BUF;
  const bool has_reader =
      S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode) || ::isatty(descriptor) == 1;
  return has_reader ? PIPE_BUF : SIZE_MAX;
}

}  // namespace

Output::Output(int descriptor) : descriptor_(descriptor), write_bytes_(WriteBytes(descriptor)) {}

// A write into a pipe stands still until all of it is taken, and a stop signal would go unnoticed.
// So it is waited for beforehand, and no more is written than a pipe that takes something takes at
// once (pipe(7): PIPE_BUF bytes).
Status Output::Flush() {
  std::string_view left = buffer_;
  while (!left.empty() && !finished()) {
    if (WaitWritable(descriptor_) == WaitResult::stopped) {
      closed_ = true;
      break;
    }
    const ssize_t written = ::write(descriptor_, left.data(), std::min(left.size(), write_bytes_));
    if (written >= 0) {
      left.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      closed_ = true;
    } else if (errno != EINTR && errno != EAGAIN) {  // EAGAIN: somebody made it non-blocking
      failed_errno_ = errno;
    }
  }
  buffer_.clear();
  if (failed_errno_ != 0) {
    return Error(ErrorCode::io_error, "standard output cannot be written", failed_errno_);
  }
  return {};
}

int Finish(Output& output, int exit_code) {
  const Status flushed = output.Flush();
  return flushed.ok() ? exit_code : Fail(flushed.error());
}

void PrintError(std::string_view text) {
  const std::string line = "tidemark: " + OneLine(text) + "\n";
  (void)std::fwrite(line.data(), 1, line.size(), stderr);
}

void PrintError(const Error& error) { PrintError(Describe(error)); }

int Fail(const Error& error) {
  PrintError(error);
  return kExitFailed;
}

int Fail(std::string_view text) {
  PrintError(text);
  return kExitFailed;
}

Progress::Progress()
    : terminal_(::isatty(STDERR_FILENO) == 1),
      next_us_(base::SystemClock().MonotonicUs() + kProgressIntervalUs) {}

void Progress::Update(uint64_t count, std::string_view what) {
  if (!terminal_) return;
  const int64_t now_us = base::SystemClock().MonotonicUs();
  if (now_us < next_us_) return;
  next_us_ = now_us + kProgressIntervalUs;
  shown_ = true;
  (void)std::fprintf(stderr, "\r%llu %.*s\033[K", static_cast<unsigned long long>(count),
                     static_cast<int>(what.size()), what.data());
}

void Progress::Clear() {
  if (!shown_) return;
  shown_ = false;
  (void)std::fputs("\r\033[K", stderr);
}

}  // namespace tidemark::tools
