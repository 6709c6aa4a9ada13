// A journal through many lives: commits, checkpoints, power cuts in the middle of a write that
// leave any of its sectors behind, rotting blocks, and the next opening that goes on behind what a
// scan has found. After each: every acknowledged commit is there, whole, in order, and nothing
// else.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/journal_format.h"
#include "storage/journal_scan.h"
#include "tests/support/journal_image.h"

namespace tidemark::storage {
namespace {

using test_support::JournalImage;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kSector = 512;  // what a disk writes whole or not at all

class Lives {
 public:
  explicit Lives(unsigned seed) : random_(seed), image_(Below(20) + 6) {}

  void Live(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) {
      const uint64_t what = Below(10);
      if (what < 6) {
        Append();
      } else if (what < 8) {
        image_.StartAt(image_.checkpoint.start_sequence +
                       Below(next_ - image_.checkpoint.start_sequence + 1));
      } else if (what < 9) {
        CrashWhileWriting();
      } else {
        Reopen(Expected());
      }
    }
  }

  // One acknowledged commit rots; all others must come through.
  void Rot() {
    const uint64_t first = image_.checkpoint.start_sequence;
    if (next_ - first < 2) return;
    const uint64_t sequence = first + Below(next_ - first - 1);  // not the last: that may be torn
    const JournalImage::Commit& commit = image_.At(sequence);
    JournalImage rotten = image_;
    for (uint64_t i = Below(3) + 1; i > 0; --i) {
      rotten.Flip(commit.position + Below(commit.header.unpadded_bytes()));
    }
    const std::string text = rotten.ScanNow().text;
    for (uint64_t other = first; other < next_; ++other) {
      if (other == sequence) continue;
      const std::string end = torn_.contains(other) ? "" : " ";  // perhaps "(last)"
      ASSERT_THAT(" " + text, HasSubstr(" " + Name(other) + end)) << "rotten: " << sequence;
    }
    ASSERT_THAT(text, Not(HasSubstr("WRONG")));
    ASSERT_THAT(text, HasSubstr("| next " + std::to_string(next_)));
  }

 private:
  uint64_t Below(uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_);
  }

  std::string Name(uint64_t sequence) const {
    return std::to_string(sequence) + (torn_.contains(sequence) ? ":data-damaged" : "");
  }
  // All that was acknowledged.
  std::string Expected() const {
    std::string text;
    for (uint64_t sequence = image_.checkpoint.start_sequence; sequence < next_; ++sequence) {
      text += Name(sequence) + " ";
    }
    return text;
  }

  bool Append() {
    const uint64_t blocks = Below(3) + 1;
    if (!image_.HasRoom(blocks)) return false;
    if (Below(8) == 0) {
      image_.AppendEmpty();
    } else {
      image_.AppendBlocks(blocks);
    }
    ++next_;
    return true;
  }

  void CrashWhileWriting() {
    const std::vector<std::byte> before = image_.bytes;
    const std::string acknowledged = Expected();
    if (!Append()) return;
    const uint64_t sequence = --next_;
    const JournalImage::Commit& commit = image_.At(sequence);
    for (uint64_t at = commit.position; at < commit.end(); at += kSector) {
      if (Below(2) == 0) continue;
      std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(at), kSector,
                  image_.bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    Reopen(acknowledged);
  }

  void Reopen(const std::string& acknowledged) {
    const std::string next = std::to_string(next_);
    const JournalImage::Scan scan = image_.ScanNow();
    const std::string cut_off = acknowledged + "| next " + next;
    const std::string& now = scan.text;
    if (now.starts_with(acknowledged + next)) {
      // The write that was cut off had got far enough to count.
      ASSERT_THAT(now, AnyOf(acknowledged + next + " | next " + std::to_string(next_ + 1),
                             acknowledged + next + ":data-damaged(last) | next " +
                                 std::to_string(next_ + 1)));
      if (now.find("(last)") != std::string::npos) torn_.insert(next_);
      ++next_;
    } else if (torn_.contains(next_ - 1) && image_.checkpoint.start_sequence < next_ &&
               now.find("(last)") != std::string::npos) {
      // Nothing has been written since: the last commit is still unwitnessed.
      ASSERT_EQ(now, acknowledged.substr(0, acknowledged.size() - 1) + "(last) | next " + next);
    } else {
      ASSERT_THAT(now, AnyOf(cut_off, cut_off + " torn"));
    }
    ASSERT_EQ(scan.end.next_sequence, next_);
    // Without the checkpoint the log may start earlier; it ends the same.
    const JournalImage::Scan blind = image_.ScanWithoutCheckpoint();
    if (next_ > image_.checkpoint.start_sequence) {
      ASSERT_EQ(blind.end.next_sequence, next_) << blind.text;
      ASSERT_EQ(blind.end.previous_checksum, scan.end.previous_checksum);
    }
    image_.Reopen(scan.end);
  }

  std::mt19937_64 random_;
  JournalImage image_;
  uint64_t next_ = 1;
  std::set<uint64_t> torn_;  // cut-off writes that count, without their data
};

TEST(JournalCrashTest, AcknowledgedCommitsSurviveAnyLife) {
  for (unsigned seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lives lives(seed);
    for (int i = 0; i < 10; ++i) {
      lives.Live(10);
      if (HasFatalFailure()) return;
      lives.Rot();
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tidemark::storage
