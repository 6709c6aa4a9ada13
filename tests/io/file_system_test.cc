#include "io/file_system.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "io/disk_space.h"
#include "tests/io/temporary_directory.h"

namespace tidemark::io {
namespace {

class FileSystemTest : public testing::Test {
 protected:
  std::unique_ptr<File> Open(const std::string& name, OpenOptions options) {
    auto file = files_.Open(directory_.File(name), options);
    EXPECT_TRUE(file) << file.error().ToString();
    return file ? *std::move(file) : nullptr;
  }
  std::unique_ptr<File> OpenNew(const std::string& name) {
    return Open(name, {.write = true, .create = true});
  }
  std::string Content(const std::string& name) {
    const auto content = ReadWholeFile(files_, directory_.File(name), 1 << 20);
    return content ? *content : content.error().ToString();
  }

  TemporaryDirectory directory_;
  FileSystem& files_ = SystemFiles();
};

TEST_F(FileSystemTest, ReadsWhatItWrote) {
  const auto file = OpenNew("f");
  EXPECT_EQ(*file->Size(), 0u);
  ASSERT_TRUE(file->WriteAt(3, base::AsBytes("abc"), Durable::no));
  ASSERT_TRUE(file->WriteAt(6, base::AsBytes("def"), Durable::yes));
  ASSERT_TRUE(file->Flush());
  EXPECT_EQ(*file->Size(), 9u);
  std::vector<std::byte> room(20);
  EXPECT_EQ(*file->ReadAt(0, room), 9u);
  EXPECT_EQ(base::AsText({room.data(), 9}), std::string_view("\0\0\0abcdef", 9));
  EXPECT_EQ(*file->ReadAt(9, room), 0u);
  EXPECT_EQ(file->path(), directory_.File("f"));
}

TEST_F(FileSystemTest, OpensOnlyAsAskedFor) {
  const auto missing = files_.Open(directory_.File("none"), {.write = true});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::io_error);
  EXPECT_EQ(missing.error().system_errno(), ENOENT);
  EXPECT_EQ(missing.error().ToString(),
            "io_error: " + directory_.File("none") + ": open failed (No such file or directory)");

  ASSERT_TRUE(OpenNew("f")->WriteAt(0, base::AsBytes("abc"), Durable::no));
  EXPECT_EQ(*OpenNew("f")->Size(), 3u);
  const auto read_only = Open("f", {});
  const Status written = read_only->WriteAt(8192, base::AsBytes("abcd"), Durable::no);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().ToString(),
            "io_error: " + directory_.File("f") +
                ": write of 4 bytes at 8192 failed (Bad file descriptor)");
  EXPECT_EQ(*Open("f", {.write = true, .truncate = true})->Size(), 0u);
}

TEST_F(FileSystemTest, TellsThatTheDiskIsFull) {
  auto full = files_.Open("/dev/full", {.write = true});
  if (!full) GTEST_SKIP() << full.error().ToString();
  for (const Durable durable : {Durable::no, Durable::yes}) {
    const Status written = (*full)->WriteAt(0, base::AsBytes("x"), durable);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code(), ErrorCode::disk_full);
    EXPECT_EQ(written.error().system_errno(), ENOSPC);
  }
}

TEST_F(FileSystemTest, TruncatesAndExtends) {
  const auto file = OpenNew("f");
  ASSERT_TRUE(file->WriteAt(0, base::AsBytes("abcdef"), Durable::no));
  ASSERT_TRUE(file->Truncate(2));
  EXPECT_EQ(Content("f"), "ab");
  ASSERT_TRUE(file->Truncate(4));
  EXPECT_EQ(Content("f"), std::string("ab\0\0", 4));
}

TEST_F(FileSystemTest, AllocationGivesBlocksAndKeepsWhatIsThere) {
  const auto file = OpenNew("f");
  ASSERT_TRUE(file->WriteAt(0, base::AsBytes("abc"), Durable::no));
  const Status allocated = file->Allocate(0, 1 << 20);
  ASSERT_TRUE(allocated) << allocated.error().ToString();
  EXPECT_EQ(*file->Size(), 1u << 20);
  EXPECT_EQ(Content("f").substr(0, 4), std::string("abc\0", 4));
}

TEST_F(FileSystemTest, OneOpenLocksOutAnother) {
  auto first = OpenNew("f");
  const auto second = OpenNew("f");  // in the same process, but an open file of its own
  ASSERT_TRUE(first->Lock());
  ASSERT_TRUE(first->Lock());  // it has it already
  const Status refused = second->Lock();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::locked);
  EXPECT_NE(refused.error().message().find(directory_.File("f")), std::string::npos);
  first.reset();
  EXPECT_TRUE(second->Lock());
}

TEST_F(FileSystemTest, DirectFilesAreReadAndWrittenInBlocks) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto opened = files_.Open(directory_.File("d"), {.write = true, .create = true, .direct = true});
  if (!opened) {
    EXPECT_EQ(opened.error().code(), ErrorCode::unsupported);
    GTEST_SKIP() << opened.error().ToString();
  }
  File& file = **opened;
  EXPECT_TRUE(file.direct());
  const size_t block = file.block_bytes();
  EXPECT_GE(block, 4096u);
  const AlignedBuffer out = AllocateAligned(2 * block, block);
  std::memset(out.get(), 0x17, 2 * block);
  ASSERT_TRUE(file.WriteAt(block, {out.get(), 2 * block}, Durable::yes));
  const AlignedBuffer in = AllocateAligned(4 * block, block);
  EXPECT_EQ(*file.ReadAt(0, {in.get(), 4 * block}), 3 * block);
  EXPECT_EQ(std::memcmp(in.get() + block, out.get(), 2 * block), 0);
  EXPECT_DEATH(static_cast<void>(file.WriteAt(1, {out.get(), block}, Durable::no)), "offset");
  EXPECT_DEATH(static_cast<void>(file.WriteAt(0, {out.get() + 1, block}, Durable::no)), "data");
  EXPECT_DEATH(static_cast<void>(file.WriteAt(0, {out.get(), block - 1}, Durable::no)), "size");
}

// tmpfs refused it until Linux 6.6, procfs always does.
TEST_F(FileSystemTest, DirectOpenIsUnsupportedWhereRefused) {
  const auto refused = files_.Open("/proc/self/status", {.direct = true});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unsupported);
  EXPECT_NE(refused.error().message().find("O_DIRECT"), std::string::npos);
}

TEST_F(FileSystemTest, ListsByName) {
  OpenNew("b");
  OpenNew("a");
  ASSERT_TRUE(files_.MakeDirectory(directory_.File("c")));
  ASSERT_TRUE(files_.MakeDirectory(directory_.File("c")));  // is there already
  ASSERT_EQ(symlink("c", directory_.File("d").c_str()), 0);
  const auto entries = files_.List(directory_.path());
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 4u);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_FALSE((*entries)[0].is_directory);
  EXPECT_EQ((*entries)[1].name, "b");
  EXPECT_EQ((*entries)[2].name, "c");
  EXPECT_TRUE((*entries)[2].is_directory);
  EXPECT_TRUE((*entries)[3].is_directory);
  EXPECT_FALSE(files_.List(directory_.File("none")));
}

TEST_F(FileSystemTest, AFileIsNoDirectory) {
  OpenNew("f");
  const Status made = files_.MakeDirectory(directory_.File("f"));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().system_errno(), EEXIST);
  EXPECT_FALSE(*files_.Exists(directory_.File("f/inside")));
}

TEST_F(FileSystemTest, RenamesAndRemoves) {
  ASSERT_TRUE(OpenNew("a")->WriteAt(0, base::AsBytes("new"), Durable::no));
  ASSERT_TRUE(OpenNew("b")->WriteAt(0, base::AsBytes("old"), Durable::no));
  ASSERT_TRUE(files_.Rename(directory_.File("a"), directory_.File("b")));
  EXPECT_EQ(Content("b"), "new");
  EXPECT_FALSE(*files_.Exists(directory_.File("a")));
  EXPECT_TRUE(*files_.Exists(directory_.File("b")));
  const Status missing = files_.Rename(directory_.File("a"), directory_.File("c"));
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find(directory_.File("c")), std::string::npos);

  ASSERT_TRUE(files_.Remove(directory_.File("b")));
  EXPECT_FALSE(files_.Remove(directory_.File("b")));
  ASSERT_TRUE(files_.MakeDirectory(directory_.File("d")));
  OpenNew("d/f");
  EXPECT_FALSE(files_.Remove(directory_.File("d")));  // not empty
  ASSERT_TRUE(files_.Remove(directory_.File("d/f")));
  EXPECT_TRUE(files_.Remove(directory_.File("d")));
}

// It changes nothing, whatever is there or not, and may be let go at any time.
TEST_F(FileSystemTest, ReadsDirectoriesAhead) {
  ASSERT_TRUE(files_.MakeDirectory(directory_.File("d")));
  OpenNew("d/f");
  const std::vector<std::string> wanted(100, directory_.File("d"));
  const auto let_go = files_.WillList(wanted);
  const auto ahead = files_.WillList({directory_.File("none"), directory_.File("d")});
  EXPECT_NE(ahead, nullptr);
  const auto listed = files_.List(directory_.File("d"));
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ(listed->front().name, "f");
}

TEST_F(FileSystemTest, FlushesDirectoriesAndFileSystems) {
  EXPECT_TRUE(files_.FlushDirectory(directory_.path()));
  EXPECT_TRUE(files_.FlushAll(directory_.path()));
  EXPECT_FALSE(files_.FlushDirectory(directory_.File("none")));
  EXPECT_FALSE(files_.FlushAll(directory_.File("none")));
}

TEST_F(FileSystemTest, ReplacesAFileWhole) {
  ASSERT_TRUE(ReplaceFile(files_, directory_.File("f"), "first"));
  EXPECT_EQ(Content("f"), "first");
  ASSERT_TRUE(ReplaceFile(files_, directory_.File("f"), "2"));
  EXPECT_EQ(Content("f"), "2");
  EXPECT_EQ(files_.List(directory_.path())->size(), 1u);
}

TEST_F(FileSystemTest, AReplacementThatFailsLeavesTheOldFile) {
  ASSERT_TRUE(files_.MakeDirectory(directory_.File("d")));
  OpenNew("d/f");
  const Status replaced = ReplaceFile(files_, directory_.File("d"), "content");
  ASSERT_FALSE(replaced);
  EXPECT_TRUE(*files_.Exists(directory_.File("d/f")));
  EXPECT_FALSE(ReplaceFile(files_, directory_.File("none/f"), "content"));
}

TEST_F(FileSystemTest, ReadsAWholeFileUpToItsLimit) {
  ASSERT_TRUE(ReplaceFile(files_, directory_.File("f"), "12345"));
  EXPECT_EQ(*ReadWholeFile(files_, directory_.File("f"), 5), "12345");
  const auto too_large = ReadWholeFile(files_, directory_.File("f"), 4);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code(), ErrorCode::corrupt);
  EXPECT_FALSE(ReadWholeFile(files_, directory_.File("none"), 4));
}

TEST_F(FileSystemTest, KnowsTheSpaceOfADisk) {
  const auto space = files_.Space(directory_.path());
  ASSERT_TRUE(space);
  EXPECT_GT(space->total_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_FALSE(space->type.empty());
  const auto proc = files_.Space("/proc");
  ASSERT_TRUE(proc);
  EXPECT_EQ(proc->type, "0x00009fa0");  // no place for a store, so without a name
  EXPECT_FALSE(files_.Space(directory_.File("none")));
}

TEST(OverlayUpperDirectory, IsFoundAmongTheOptions) {
  EXPECT_EQ(OverlayUpperDirectory("rw,lowerdir=/a:/b,upperdir=/u/diff,workdir=/w"), "/u/diff");
  EXPECT_EQ(OverlayUpperDirectory("upperdir=/u"), "/u");
  EXPECT_EQ(OverlayUpperDirectory("rw,upperdir=/with\\,comma,workdir=/w"), "/with,comma");
  EXPECT_EQ(OverlayUpperDirectory("rw,lowerdir=/a"), "");
}

TEST(AllocateAligned, IsAlignedAndZeroed) {
  for (const size_t alignment : {size_t{8}, size_t{512}, size_t{4096}, size_t{65536}}) {
    for (const size_t size : {size_t{1}, size_t{4096}, size_t{1} << 20}) {
      const AlignedBuffer buffer = AllocateAligned(size, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.get()) % alignment, 0u);
      EXPECT_EQ(buffer[0], std::byte{0});
      buffer[size - 1] = std::byte{1};
    }
  }
}

TEST(JoinPath, PutsOneSlashBetween) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
}

}  // namespace
}  // namespace tidemark::io
