// Large files that lose their last name: they are cut to pieces where nobody else has them, and
// stay whole where somebody does.
#include "io/last_name.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "io/file_system.h"
#include "tests/io/temporary_directory.h"

namespace tidemark::io {
namespace {

namespace fs = std::filesystem;
constexpr size_t kLargeBytes = size_t{3} << 20;

class LastNameTest : public testing::Test {
 protected:
  LastNameTest() { Write("large", content_); }

  void Write(const std::string& name, std::string_view content) {
    auto file = files_.Open(directory_.File(name), {.write = true, .create = true});
    ASSERT_TRUE(file) << file.error().ToString();
    ASSERT_TRUE((*file)->WriteAt(0, base::AsBytes(content), Durable::no));
  }
  // Of the file that this process has open without a name.
  uintmax_t BytesWithoutAName() const {
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const std::string path = fs::read_symlink(entry.path(), gone).string();
      if (path == directory_.File("large") + " (deleted)") return fs::file_size(entry.path());
    }
    ADD_FAILURE() << "it is not open";
    return 0;
  }
  void ExpectWhole(File& file) {
    std::string read(kLargeBytes, '\0');
    const auto bytes = file.ReadAt(0, std::as_writable_bytes(std::span(read)));
    ASSERT_TRUE(bytes);
    EXPECT_EQ(*bytes, kLargeBytes);
    EXPECT_TRUE(read == content_);
  }

  TemporaryDirectory directory_;
  FileSystem& files_ = SystemFiles();
  const std::string content_ = std::string(kLargeBytes, 'x');
};

TEST_F(LastNameTest, WhatNobodyElseHasIsCutShort) {
  const LastName name(directory_.File("large"));
  ASSERT_TRUE(fs::remove(directory_.File("large")));
  EXPECT_EQ(BytesWithoutAName(), kLargeBytes);
  name.FreeInPieces();
  EXPECT_LT(BytesWithoutAName(), kLargeBytes / 2);
}

TEST_F(LastNameTest, AFileThatStillHasItsNameStaysWhole) {
  const LastName name(directory_.File("large"));
  name.FreeInPieces();
  EXPECT_EQ(fs::file_size(directory_.File("large")), kLargeBytes);
}

TEST_F(LastNameTest, WhatAReaderHasOpenStaysWholeForIt) {
  auto removed = files_.Open(directory_.File("large"), {});
  ASSERT_TRUE(removed);
  ASSERT_TRUE(files_.Remove(directory_.File("large")));
  ExpectWhole(**removed);

  Write("large", content_);
  Write("other", "other");
  auto replaced = files_.Open(directory_.File("large"), {});
  ASSERT_TRUE(replaced);
  ASSERT_TRUE(files_.Rename(directory_.File("other"), directory_.File("large")));
  ExpectWhole(**replaced);
  EXPECT_EQ(fs::file_size(directory_.File("large")), 5u);
}

// As a backup by `cp --link` makes it.
TEST_F(LastNameTest, ASecondNameKeepsTheContent) {
  fs::create_hard_link(directory_.File("large"), directory_.File("backup"));
  ASSERT_TRUE(files_.Remove(directory_.File("large")));
  EXPECT_EQ(fs::file_size(directory_.File("backup")), kLargeBytes);

  Write("other", "other");
  fs::create_hard_link(directory_.File("backup"), directory_.File("second"));
  ASSERT_TRUE(files_.Rename(directory_.File("other"), directory_.File("backup")));
  EXPECT_EQ(fs::file_size(directory_.File("second")), kLargeBytes);
}

TEST_F(LastNameTest, ASymbolicLinkGoesAndItsFileStays) {
  fs::create_symlink(directory_.File("large"), directory_.File("link"));
  ASSERT_TRUE(files_.Remove(directory_.File("link")));
  EXPECT_EQ(fs::file_size(directory_.File("large")), kLargeBytes);
}

}  // namespace
}  // namespace tidemark::io
