// Log lines of a frontend, bounded: strangers on the network decide how many there would be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/engine.h"

namespace tidemark::ingest {

class NoticeLog {
 public:
  static constexpr int64_t kWindowUs = 10'000'000;
  static constexpr uint32_t kLinesPerWindow = 20;
  static constexpr size_t kMaxUntaken = 100;

  explicit NoticeLog(std::string prefix) : prefix_(std::move(prefix)) {}

  // Keeps the line, or counts it when this window has had its share.
  void Add(int64_t now_us, NoticeLevel level, std::string_view text);
  // Starts a new window when it is time, with a line about what was left out.
  void Advance(int64_t now_us);
  // When Advance() has something to say; INT64_MAX: nothing.
  int64_t NextDeadlineUs() const;
  // Lines since the last call, oldest first.
  std::vector<Notice> Take() { return std::exchange(lines_, {}); }

 private:
  std::string prefix_;
  std::vector<Notice> lines_;
  int64_t window_end_us_ = INT64_MIN;
  uint32_t in_window_ = 0;
  uint64_t left_out_ = 0;
};

// `bytes` in quotes for a log line: all but printable ASCII as \xNN, cut off after 64 bytes.
std::string Quoted(std::string_view bytes);

}  // namespace tidemark::ingest
