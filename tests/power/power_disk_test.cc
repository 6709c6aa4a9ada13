// The disk itself, before a process is set on it: a test of power cuts is worth as much as the
// cuts.
#include "tests/power/power_disk.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/power/image.h"

namespace tidemark::power {
namespace {

constexpr auto kNoLatency = std::chrono::microseconds(0);
// Whatever must hold for every choice of the disk is asked of so many disks.
constexpr uint64_t kSeeds = 200;

std::string BytesOf(const Content& content) {
  std::string bytes(content.size(), '\0');
  content.Read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

NodePointer MakeFile(PowerDisk& disk, const std::string& name) {
  NodePointer file;
  EXPECT_EQ(disk.Make(*disk.root(), name, S_IFREG | 0644, &file), 0);
  return file;
}

// What a cut has left under a name in the root folder; null: nothing.
const Node* Left(const PowerDisk& disk, const std::string& name) {
  const auto found = disk.root()->medium_entries.find(name);
  return found == disk.root()->medium_entries.end() ? nullptr : found->second.get();
}

int Append(PowerDisk& disk, Node& file, std::string_view text, Durable durable = Durable::no) {
  Attributes attributes;
  EXPECT_EQ(disk.Describe(file, &attributes), 0);
  return disk.Write(file, attributes.size, base::AsBytes(text), durable, Access::buffered);
}

TEST(PowerDiskTest, WhatIsFlushedWithItsNameIsThereAfterEveryCut) {
  const std::string text(10'000, 'x');
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    PowerDisk disk(seed, kNoLatency);
    const NodePointer file = MakeFile(disk, "file");
    ASSERT_EQ(Append(disk, *file, text), 0);
    ASSERT_EQ(disk.Flush(*file, Access::buffered), 0);
    ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
    ASSERT_EQ(disk.Write(*file, 5'000, base::AsBytes("durable"), Durable::yes, Access::buffered),
              0);
    ASSERT_EQ(Append(disk, *file, std::string(10'000, 'y')), 0);
    disk.Cut();
    const Node* const left = Left(disk, "file");
    ASSERT_NE(left, nullptr) << "seed " << seed;
    std::string wanted = text;
    wanted.replace(5'000, 7, "durable");
    ASSERT_EQ(BytesOf(left->medium).substr(0, text.size()), wanted) << "seed " << seed;
  }
}

TEST(PowerDiskTest, WhatIsNotFlushedIsMostlyLostOrTorn) {
  const std::string before(8 * kPageBytes, 'a');
  const std::string after(8 * kPageBytes, 'b');
  uint64_t whole = 0;
  uint64_t torn = 0;
  uint64_t names_lost = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    PowerDisk disk(seed, kNoLatency);
    const NodePointer file = MakeFile(disk, "file");
    ASSERT_EQ(Append(disk, *file, before), 0);
    ASSERT_EQ(disk.Flush(*file, Access::buffered), 0);
    ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
    MakeFile(disk, "other");
    ASSERT_EQ(disk.Write(*file, 0, base::AsBytes(after), Durable::no, Access::buffered), 0);
    const CutReport report = disk.Cut();
    const std::string left = BytesOf(Left(disk, "file")->medium);
    ASSERT_EQ(left.size(), before.size());
    for (size_t at = 0; at < left.size(); at += kSectorBytes) {
      const std::string sector = left.substr(at, kSectorBytes);
      ASSERT_TRUE(sector == before.substr(0, kSectorBytes) ||
                  sector == after.substr(0, kSectorBytes));
    }
    if (left == after) ++whole;
    if (left != after && left != before) ++torn;
    if (Left(disk, "other") == nullptr) ++names_lost;
    ASSERT_EQ(report.units_lost > 0, left != after);
  }
  EXPECT_LT(whole, kSeeds / 10);
  EXPECT_GT(torn, kSeeds / 4);
  EXPECT_GT(names_lost, kSeeds / 4);
}

TEST(PowerDiskTest, AFlushOfAFileIsNoneOfItsName) {
  uint64_t lost = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    PowerDisk disk(seed, kNoLatency);
    const NodePointer file = MakeFile(disk, "file");
    ASSERT_EQ(Append(disk, *file, "text", Durable::yes), 0);
    disk.Cut();
    if (Left(disk, "file") == nullptr) ++lost;
  }
  EXPECT_GT(lost, kSeeds / 4);
}

TEST(PowerDiskTest, ARenameLeavesTheOneNameOrTheOther) {
  uint64_t old_names = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    PowerDisk disk(seed, kNoLatency);
    const NodePointer replaced = MakeFile(disk, "to");
    const NodePointer file = MakeFile(disk, "from");
    ASSERT_EQ(Append(disk, *file, "text", Durable::yes), 0);
    ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
    ASSERT_EQ(disk.Rename(*disk.root(), "from", *disk.root(), "to", /*replace=*/true), 0);
    NodePointer found;
    ASSERT_EQ(disk.LookUp(*disk.root(), "to", &found), 0);
    ASSERT_EQ(found, file);
    disk.Cut();
    const bool old_name = Left(disk, "from") == file.get();
    ASSERT_EQ(Left(disk, "to"), old_name ? replaced.get() : file.get());
    if (old_name) ++old_names;
  }
  EXPECT_GT(old_names, kSeeds / 4);
  EXPECT_LT(old_names, kSeeds);
}

TEST(PowerDiskTest, AFileThatWasCutShortReadsAsZerosWhereItGrowsAgain) {
  PowerDisk disk(1, kNoLatency);
  const NodePointer file = MakeFile(disk, "file");
  ASSERT_EQ(Append(disk, *file, std::string(6'000, 'x')), 0);
  ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
  ASSERT_EQ(disk.Flush(*file, Access::buffered), 0);
  ASSERT_EQ(disk.Resize(*file, 100), 0);
  ASSERT_EQ(disk.Allocate(*file, 6'000), 0);
  ASSERT_EQ(disk.Flush(*file, Access::buffered), 0);
  disk.Cut();
  EXPECT_EQ(BytesOf(Left(disk, "file")->medium), std::string(100, 'x') + std::string(5'900, '\0'));
}

// As the kernel does it: the pages count as clean, and a later flush has nothing to write.
TEST(PowerDiskTest, WhatAFailedFlushHasDroppedNoLaterFlushBringsBack) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    PowerDisk disk(seed, kNoLatency);
    const NodePointer file = MakeFile(disk, "journal");
    const NodePointer other = MakeFile(disk, "other");
    ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
    ASSERT_EQ(Append(disk, *file, std::string(kPageBytes, 'a'), Durable::yes), 0);
    disk.FailNextFlush("journal");
    ASSERT_EQ(disk.Write(*other, 0, base::AsBytes("x"), Durable::yes, Access::buffered), 0);
    ASSERT_EQ(disk.Write(*file, 0, base::AsBytes(std::string(kPageBytes, 'b')), Durable::yes,
                         Access::buffered),
              EIO);
    ASSERT_EQ(disk.failed_flushes(), 1u);
    std::string seen(1, '\0');
    size_t read = 0;
    ASSERT_EQ(disk.Read(*file, 0, std::as_writable_bytes(std::span(seen)), &read), 0);
    ASSERT_EQ(seen, "b");
    ASSERT_EQ(disk.Flush(*file, Access::buffered), 0);
    disk.Cut();
    ASSERT_EQ(BytesOf(Left(disk, "journal")->medium), std::string(kPageBytes, 'a'));
  }
}

// O_DIRECT: what is read is what the device has, and a later flush writes that.
TEST(PowerDiskTest, WhatAFailedDirectFlushLeavesToReadALaterFlushKeeps) {
  const std::string before(kPageBytes, 'a');
  const std::string after(kPageBytes, 'b');
  uint64_t kept = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    PowerDisk disk(seed, kNoLatency);
    const NodePointer file = MakeFile(disk, "journal");
    ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
    ASSERT_EQ(disk.Write(*file, 0, base::AsBytes(before), Durable::yes, Access::direct), 0);
    disk.FailNextFlush("journal");
    ASSERT_EQ(disk.Write(*file, 0, base::AsBytes(after), Durable::yes, Access::direct), EIO);
    const std::string seen = BytesOf(file->now);
    ASSERT_EQ(disk.Flush(*file, Access::direct), 0);
    disk.Cut();
    ASSERT_EQ(BytesOf(Left(disk, "journal")->medium), seen);
    if (seen == after) ++kept;
  }
  EXPECT_GT(kept, kSeeds / 4);
  EXPECT_LT(kept, kSeeds);
}

TEST(PowerDiskTest, AfterTheCutEverythingFails) {
  PowerDisk disk(1, kNoLatency);
  const NodePointer file = MakeFile(disk, "file");
  disk.Cut();
  NodePointer node;
  Attributes attributes;
  size_t read = 0;
  std::vector<std::pair<std::string, Attributes>> entries;
  EXPECT_EQ(disk.LookUp(*disk.root(), "file", &node), EIO);
  EXPECT_EQ(disk.Make(*disk.root(), "new", S_IFREG, &node), EIO);
  EXPECT_EQ(disk.Rename(*disk.root(), "file", *disk.root(), "new", true), EIO);
  EXPECT_EQ(disk.Remove(*disk.root(), "file", false), EIO);
  EXPECT_EQ(disk.List(*disk.root(), &entries), EIO);
  EXPECT_EQ(disk.FlushDirectory(*disk.root()), EIO);
  EXPECT_EQ(disk.Describe(*file, &attributes), EIO);
  EXPECT_EQ(disk.Resize(*file, 1), EIO);
  EXPECT_EQ(disk.Allocate(*file, 1), EIO);
  EXPECT_EQ(disk.Read(*file, 0, {}, &read), EIO);
  EXPECT_EQ(disk.Write(*file, 0, base::AsBytes("x"), Durable::no, Access::buffered), EIO);
  EXPECT_EQ(disk.Flush(*file, Access::buffered), EIO);
}

TEST(PowerDiskTest, AnImageIsWhatTheCutHasLeft) {
  const std::string folder = testing::TempDir() + "/power-disk-image";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  PowerDisk disk(1, kNoLatency);
  NodePointer directory;
  NodePointer file;
  ASSERT_EQ(disk.Make(*disk.root(), "folder", S_IFDIR | 0755, &directory), 0);
  ASSERT_EQ(disk.Make(*directory, "file", S_IFREG | 0600, &file), 0);
  ASSERT_EQ(Append(disk, *file, std::string(300 * kPageBytes + 1, 'x'), Durable::yes), 0);
  ASSERT_EQ(disk.FlushDirectory(*directory), 0);
  ASSERT_EQ(disk.FlushDirectory(*disk.root()), 0);
  disk.Cut();
  ASSERT_TRUE(SaveImage(disk, folder));

  PowerDisk next(2, kNoLatency);
  ASSERT_TRUE(LoadImage(folder, &next));
  ASSERT_EQ(next.LookUp(*next.root(), "folder", &directory), 0);
  ASSERT_EQ(next.LookUp(*directory, "file", &file), 0);
  EXPECT_EQ(BytesOf(file->now), BytesOf(file->medium));
  EXPECT_EQ(BytesOf(file->now), std::string(300 * kPageBytes + 1, 'x'));
  EXPECT_EQ(file->mode & 0777u, 0600u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tidemark::power
