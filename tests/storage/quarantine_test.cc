// Copies of what was found damaged: made once, however often an opening is cut off on its way.
#include "storage/quarantine.h"

#include <filesystem>
#include <map>
#include <string>

#include "tests/support/damage_fixture.h"
#include "tests/support/fault_world.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;

class QuarantineTest : public DamageFixture {
 protected:
  QuarantineTest() : quarantine_(world_.environment(), options_.data_dir) {
    fs::create_directories(options_.data_dir);
    for (size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<char>(i * i >> 7);
    WriteFile(PathOf("source"), content_);
  }

  void Copy(uint64_t from, uint64_t to, const std::string& note = "a note") {
    auto file = io::SystemFiles().Open(PathOf("source"), {});
    ASSERT_TRUE(file) << file.error().ToString();
    const Status copied = quarantine_.Copy(**file, from, to, "damaged-5", note);
    EXPECT_TRUE(copied.ok()) << copied.error().ToString();
  }
  // By name behind the time.
  std::multimap<std::string, std::string> Kept() {
    std::multimap<std::string, std::string> kept;
    for (const auto& entry : fs::directory_iterator(PathOf("quarantine"))) {
      const std::string name = entry.path().filename().string();
      kept.emplace(name.substr(name.find('-') + 1), ReadFile(entry.path().string()));
    }
    return kept;
  }
  std::string OnlyCopy() {
    for (const auto& entry : fs::directory_iterator(PathOf("quarantine"))) {
      if (entry.path().string().ends_with("damaged-5")) return entry.path().string();
    }
    return "none";
  }
  std::string Range(size_t from, size_t to) const { return content_.substr(from, to - from); }

  FaultWorld world_;  // without any
  std::string content_ = std::string(700'001, '\0');
  storage::Quarantine quarantine_;
};
using Files = std::multimap<std::string, std::string>;

TEST_F(QuarantineTest, TheSameBytesAreKeptOnce) {
  Copy(5'000, 600'000);
  const Files once = {{"damaged-5", Range(5'000, 600'000)}, {"damaged-5.txt", "a note\n"}};
  EXPECT_TRUE(Kept() == once);
  Copy(5'000, 600'000);
  EXPECT_TRUE(Kept() == once);
}

TEST_F(QuarantineTest, ACopyThatWasCutOffIsEnded) {
  Copy(5'000, UINT64_MAX);
  const Files whole = {{"damaged-5", content_.substr(5'000)}, {"damaged-5.txt", "a note\n"}};
  EXPECT_TRUE(Kept() == whole);
  for (const size_t bytes : {0u, 1u, 4'096u, 300'000u, 695'000u}) {
    fs::resize_file(OnlyCopy(), bytes);
    fs::remove(OnlyCopy() + ".txt");
    Copy(5'000, UINT64_MAX);
    EXPECT_TRUE(Kept() == whole) << bytes;
  }
}

// Killed before it flushed the folders, an opening has left a copy that the power cut may yet take.
TEST_F(QuarantineTest, ACopyThatIsThereIsMadeDurable) {
  Copy(5'000, 600'000);
  for (const std::string& folder : {PathOf("quarantine"), options_.data_dir}) {
    world_.plan = [&](Call call, const std::string& path) {
      return call == Call::flush_directory && path == folder ? EIO : 0;
    };
    auto file = io::SystemFiles().Open(PathOf("source"), {});
    ASSERT_TRUE(file);
    EXPECT_FALSE(quarantine_.Copy(**file, 5'000, 600'000, "damaged-5", "a note").ok()) << folder;
  }
}

// An index that was empty, say, and later was not.
TEST_F(QuarantineTest, AWholeOneThatIsShorterStaysWithItsNote) {
  Copy(5'000, 5'000, "empty");
  Copy(5'000, 9'000, "shorter");
  Copy(5'000, 90'000, "longer");
  EXPECT_EQ(Kept().size(), 6u);
  size_t notes = 0;
  for (const auto& [name, bytes] : Kept())
    notes += bytes == "empty\n" || bytes == "shorter\n" || bytes == "longer\n";
  EXPECT_EQ(notes, 3u);
}

TEST_F(QuarantineTest, WhatHoldsSomethingElseStays) {
  Copy(5'000, 600'000);
  const std::string first = Range(5'000, 600'000);
  content_[599'999] ^= 1;
  WriteFile(PathOf("source"), content_);
  Copy(5'000, 600'000);  // one byte is another
  Copy(5'000, 599'000);  // the other two hold more
  const Files kept = Kept();
  EXPECT_EQ(kept.size(), 6u);
  size_t copies = 0;
  for (const auto& [name, bytes] : kept) {
    copies += bytes == first;
    copies += bytes == Range(5'000, 600'000);
    copies += bytes == Range(5'000, 599'000);
  }
  EXPECT_EQ(copies, 3u);
}

}  // namespace
}  // namespace tidemark::testing
