// What the commands write: data to stdout, one-line errors and progress to stderr.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tidemark/error.h"

namespace tidemark::tools {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Data for stdout, gathered into large writes. When the reader has gone away (`tidemark ... |
// head`), or takes nothing more though a stop signal has come, closed() turns true and everything
// further is dropped without a word; any other failure is an error. SIGPIPE must be ignored (main
// does).
class Output {
 public:
  explicit Output(int descriptor = 1);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() { (void)Flush(); }

  void Write(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= kFlushBytes) (void)Flush();
  }
  // Writes out what was gathered. The first failure is kept and told again by every later call.
  Status Flush();
  bool closed() const { return closed_; }
  // Nothing more needs to be produced: the reader is gone or writing has failed.
  bool finished() const { return closed_ || failed_errno_ != 0; }
  int descriptor() const { return descriptor_; }

 private:
  static constexpr size_t kFlushBytes = size_t{64} << 10;
  int descriptor_;
  size_t write_bytes_;
  std::string buffer_;
  bool closed_ = false;
  int failed_errno_ = 0;
};

// Ends a command: flushes `output` and gives `exit_code`, or kExitFailed with a message when stdout
// could not be written.
int Finish(Output& output, int exit_code);

// One line on stderr: "tidemark: TEXT".
void PrintError(std::string_view text);
void PrintError(const Error& error);
// PrintError and kExitFailed.
int Fail(const Error& error);
int Fail(std::string_view text);

// A line on stderr that is overwritten about once a second while work goes on, and only on a
// terminal.
class Progress {
 public:
  Progress();
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // Says "COUNT WHAT" when it is time to.
  void Update(uint64_t count, std::string_view what);
  // Removes the line, so that something else can be written.
  void Clear();

 private:
  bool terminal_;
  bool shown_ = false;
  int64_t next_us_ = 0;
};

}  // namespace tidemark::tools
