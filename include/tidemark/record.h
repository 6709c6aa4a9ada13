// A record: what is appended to a partition and read back from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

namespace tidemark {

// Bytes that somebody else owns. Keys and values are bytes, not text: any value of a char may
// occur.
using Bytes = std::string_view;

struct Header {
  Bytes key;
  std::optional<Bytes> value;
};

// A timestamp of "when it arrives": the engine puts its wall clock there.
inline constexpr int64_t kTimestampOfArrival = INT64_MIN;

// The header that keeps a record's own timestamp, in decimal milliseconds, where its topic did not
// believe it (message.timestamp.before.max.ms and .after.max.ms).
inline constexpr Bytes kOwnTimestampHeader = "tidemark.timestamp";

// What a caller appends. The bytes are copied before Append() returns.
struct Record {
  std::optional<Bytes> key;
  std::optional<Bytes> value;
  int64_t timestamp_ms = kTimestampOfArrival;  // milliseconds since 1970, may be negative
  std::span<const Header> headers;
};

// The headers of a record that was read, decoded while one walks over them. The bytes were checked
// when their batch was, so that walking cannot fail.
class HeaderRange {
 public:
  class Iterator {
   public:
    using value_type = Header;
    using pointer = const Header*;
    using reference = const Header&;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    Iterator() = default;
    Iterator(const char* position, int32_t left) : position_(position), left_(left) { Decode(); }
    const Header& operator*() const { return header_; }
    const Header* operator->() const { return &header_; }
    Iterator& operator++() {
      --left_;
      Decode();
      return *this;
    }
    bool operator==(const Iterator& other) const { return left_ == other.left_; }

   private:
    void Decode();
    const char* position_ = nullptr;
    int32_t left_ = 0;
    Header header_;
  };

  HeaderRange() = default;
  HeaderRange(const char* encoded, int32_t count) : encoded_(encoded), count_(count) {}
  Iterator begin() const { return {encoded_, count_}; }
  Iterator end() const { return {}; }
  int32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }

 private:
  const char* encoded_ = nullptr;
  int32_t count_ = 0;
};

// A record that was read. Its bytes belong to the reader and live until that reader's next call.
struct RecordView {
  int64_t offset = 0;
  int64_t timestamp_ms = 0;
  std::optional<Bytes> key;
  std::optional<Bytes> value;
  HeaderRange headers;
};

// The records of one batch, decoded while one walks over them: those with
// first_offset <= offset < end_offset. The bytes were checked when the batch was read.
class RecordRange {
 public:
  struct Encoded {
    const char* records = nullptr;  // the first record's first byte, uncompressed
    int32_t count = 0;              // records that stand there
    int64_t base_offset = 0;
    int64_t base_timestamp_ms = 0;
    // LogAppendTime: every record's timestamp is the batch's greatest.
    std::optional<int64_t> append_timestamp_ms;
    int64_t first_offset = INT64_MIN;
    int64_t end_offset = INT64_MAX;
  };

  class Iterator {
   public:
    using value_type = RecordView;
    using pointer = const RecordView*;
    using reference = const RecordView&;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    Iterator() = default;
    explicit Iterator(const Encoded& encoded);
    const RecordView& operator*() const { return view_; }
    const RecordView* operator->() const { return &view_; }
    Iterator& operator++() {
      Advance();
      return *this;
    }
    bool operator==(const Iterator& other) const { return left_ == other.left_; }

   private:
    void Advance();
    void Settle();  // decodes at position_, passing over what is outside the range
    Encoded encoded_;
    const char* position_ = nullptr;
    int32_t left_ = 0;  // records from the current one to the last; 0 at the end
    RecordView view_;
  };

  RecordRange() = default;
  explicit RecordRange(const Encoded& encoded) : encoded_(encoded) {}
  Iterator begin() const { return Iterator(encoded_); }
  Iterator end() const { return {}; }

 private:
  Encoded encoded_;
};

}  // namespace tidemark
