#include "ingest/notice_log.h"

namespace tidemark::ingest {

void NoticeLog::Advance(int64_t now_us) {
  if (now_us < window_end_us_) return;
  window_end_us_ = now_us + kWindowUs;
  in_window_ = 0;
  // Lines that nobody takes must not pile up.
  if (left_out_ == 0 || lines_.size() >= kMaxUntaken) return;
  lines_.push_back({NoticeLevel::warning,
                    prefix_ + std::to_string(left_out_) + " more such lines were left out"});
  left_out_ = 0;
  in_window_ = 1;
}

void NoticeLog::Add(int64_t now_us, NoticeLevel level, std::string_view text) {
  Advance(now_us);
  if (in_window_ >= kLinesPerWindow || lines_.size() >= kMaxUntaken) {
    ++left_out_;
    return;
  }
  ++in_window_;
  lines_.push_back({level, prefix_ + std::string(text)});
}

int64_t NoticeLog::NextDeadlineUs() const { return left_out_ > 0 ? window_end_us_ : INT64_MAX; }

std::string Quoted(std::string_view bytes) {
  constexpr size_t kMaxBytes = 64;
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "\"";
  for (const char c : bytes.substr(0, kMaxBytes)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte >= 0x7F || c == '"' || c == '\\') {
      text += "\\x";
      text += kDigits[byte >> 4];
      text += kDigits[byte & 0x0FU];
    } else {
      text += c;
    }
  }
  return text + (bytes.size() > kMaxBytes ? "...\"" : "\"");
}

}  // namespace tidemark::ingest
