#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/io/loop_fixture.h"
#include "tests/io/temporary_directory.h"

namespace tidemark::io {
namespace {

class LoopDiskTest : public LoopTest {
 protected:
  std::unique_ptr<File> Open(const std::string& name, OpenOptions options) {
    auto file = SystemFiles().Open(directory_.File(name), options);
    EXPECT_TRUE(file) << file.error().ToString();
    return file ? *std::move(file) : nullptr;
  }
  std::unique_ptr<File> OpenNew(const std::string& name) {
    return Open(name, {.write = true, .create = true});
  }

  TemporaryDirectory directory_;
};

TIDEMARK_BOTH_LOOPS(LoopDiskTest);

TEST_P(LoopDiskTest, ReadsWhatItWrote) {
  const auto file = OpenNew("f");
  const std::string text = "the line that the water reached";
  TestOperation write;
  loop_->Write(*file, 100, base::AsBytes(text), Durable::no, &write);
  EXPECT_EQ(loop_->in_flight(), 1u);
  EXPECT_EQ(Finish(&write), static_cast<int64_t>(text.size()));
  EXPECT_EQ(loop_->in_flight(), 0u);

  std::string read_back(text.size(), '?');
  TestOperation read;
  loop_->Read(*file, 100, std::as_writable_bytes(std::span(read_back)), &read);
  EXPECT_EQ(Finish(&read), static_cast<int64_t>(text.size()));
  EXPECT_EQ(read_back, text);
}

TEST_P(LoopDiskTest, CallsDoneOnlyFromRunOnce) {
  const auto file = OpenNew("f");
  TestOperation write;
  loop_->Write(*file, 0, base::AsBytes("x"), Durable::yes, &write);
  EXPECT_FALSE(write.ended());
  EXPECT_EQ(Finish(&write), 1);
}

TEST_P(LoopDiskTest, ReadsFewerBytesOnlyAtTheEndOfTheFile) {
  const auto file = OpenNew("f");
  ASSERT_TRUE(file->WriteAt(0, base::AsBytes("0123456789"), Durable::no));
  std::vector<std::byte> room(100);
  TestOperation inside, across, behind;
  loop_->Read(*file, 2, std::span(room).first(3), &inside);
  EXPECT_EQ(Finish(&inside), 3);
  loop_->Read(*file, 7, room, &across);
  EXPECT_EQ(Finish(&across), 3);
  EXPECT_EQ(base::AsText({room.data(), 3}), "789");
  loop_->Read(*file, 10, room, &behind);
  EXPECT_EQ(Finish(&behind), 0);
}

TEST_P(LoopDiskTest, TransfersOfNothingEndToo) {
  const auto file = OpenNew("f");
  TestOperation read, write;
  loop_->Read(*file, 0, {}, &read);
  loop_->Write(*file, 0, {}, Durable::yes, &write);
  EXPECT_EQ(Finish(&read), 0);
  EXPECT_EQ(Finish(&write), 0);
}

// More than the ring's queues hold, so that those fill up.
TEST_P(LoopDiskTest, EndsEachOfManyOperationsOnce) {
  constexpr size_t kCount = 5000;
  const auto file = OpenNew("f");
  std::vector<uint64_t> values(kCount);
  std::iota(values.begin(), values.end(), 1);
  std::vector<TestOperation> writes(kCount), reads(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    loop_->Write(*file, i * sizeof(uint64_t), std::as_bytes(std::span(&values[i], 1)), Durable::no,
                 &writes[i]);
  }
  EXPECT_EQ(loop_->in_flight(), kCount);
  size_t ended = 0;
  while (ended < kCount) ended += loop_->RunOnce(-1);
  EXPECT_EQ(ended, kCount);
  EXPECT_EQ(loop_->in_flight(), 0u);

  std::vector<uint64_t> read_back(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    loop_->Read(*file, i * sizeof(uint64_t), std::as_writable_bytes(std::span(&read_back[i], 1)),
                &reads[i]);
  }
  while (loop_->in_flight() > 0) loop_->RunOnce(-1);
  EXPECT_EQ(read_back, values);
  const auto was_whole = [](const TestOperation& operation) {
    return operation.times_done == 1 && operation.result == sizeof(uint64_t);
  };
  EXPECT_TRUE(std::all_of(writes.begin(), writes.end(), was_whole));
  EXPECT_TRUE(std::all_of(reads.begin(), reads.end(), was_whole));
}

TEST_P(LoopDiskTest, OperationsMayBeStartedFromDone) {
  struct Chain : Operation {
    Loop* loop = nullptr;
    File* file = nullptr;
    uint64_t written = 0;
  };
  const auto file = OpenNew("f");
  Chain chain;
  chain.loop = loop_.get();
  chain.file = file.get();
  chain.done = [](Operation* operation) {
    auto* const self = static_cast<Chain*>(operation);
    ASSERT_EQ(self->result, 1);
    if (++self->written == 10) return;
    self->loop->Write(*self->file, self->written, base::AsBytes("x"), Durable::no, self);
  };
  loop_->Write(*file, 0, base::AsBytes("x"), Durable::no, &chain);
  while (loop_->in_flight() > 0) loop_->RunOnce(-1);
  EXPECT_EQ(*file->Size(), 10u);
}

TEST_P(LoopDiskTest, WritesDurablyOnADirectFile) {
  auto opened =
      SystemFiles().Open(directory_.File("d"), {.write = true, .create = true, .direct = true});
  if (!opened) GTEST_SKIP() << opened.error().ToString();
  File& file = **opened;
  const size_t block = file.block_bytes();
  const AlignedBuffer out = AllocateAligned(4 * block, block);
  std::memset(out.get(), 0x5a, 4 * block);
  TestOperation write;
  loop_->Write(file, block, {out.get(), 4 * block}, Durable::yes, &write);
  EXPECT_EQ(Finish(&write), static_cast<int64_t>(4 * block));

  // Up to the end and beyond it, which is a short read.
  const AlignedBuffer in = AllocateAligned(8 * block, block);
  TestOperation read;
  loop_->Read(file, 0, {in.get(), 8 * block}, &read);
  EXPECT_EQ(Finish(&read), static_cast<int64_t>(5 * block));
  EXPECT_EQ(in[block - 1], std::byte{0});
  EXPECT_EQ(std::memcmp(in.get() + block, out.get(), 4 * block), 0);
}

// A file whose end is inside a block: the kernel answers with an odd length, from which a direct
// read could not go on.
TEST_P(LoopDiskTest, ReadsTheOddEndOfAFileDirectly) {
  const auto file = OpenNew("d");
  const std::string content(10'000, 'x');
  ASSERT_TRUE(file->WriteAt(0, base::AsBytes(content), Durable::yes));
  auto direct = SystemFiles().Open(directory_.File("d"), {.direct = true});
  if (!direct) GTEST_SKIP() << direct.error().ToString();
  const size_t block = (*direct)->block_bytes();
  const AlignedBuffer in = AllocateAligned(4 * block, block);
  TestOperation read;
  loop_->Read(**direct, 0, {in.get(), 4 * block}, &read);
  EXPECT_EQ(Finish(&read), 10'000);
}

TEST_P(LoopDiskTest, AbortsOnADirectTransferThatIsNotAligned) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto opened =
      SystemFiles().Open(directory_.File("d"), {.write = true, .create = true, .direct = true});
  if (!opened) GTEST_SKIP() << opened.error().ToString();
  const size_t block = (*opened)->block_bytes();
  const AlignedBuffer memory = AllocateAligned(2 * block, block);
  TestOperation operation;
  EXPECT_DEATH(loop_->Write(**opened, 512, {memory.get(), block}, Durable::yes, &operation),
               "offset");
  EXPECT_DEATH(loop_->Write(**opened, 0, {memory.get() + 8, block}, Durable::yes, &operation),
               "data");
  EXPECT_DEATH(loop_->Read(**opened, 0, {memory.get(), 100}, &operation), "size");
}

TEST_P(LoopDiskTest, TellsThatTheDiskIsFull) {
  auto full = SystemFiles().Open("/dev/full", {.write = true});
  if (!full) GTEST_SKIP() << full.error().ToString();
  for (const Durable durable : {Durable::no, Durable::yes}) {
    TestOperation write;
    loop_->Write(**full, 0, base::AsBytes("x"), durable, &write);
    EXPECT_EQ(Finish(&write), -ENOSPC);
  }
}

TEST_P(LoopDiskTest, TellsThatAFileCannotBeWritten) {
  static_cast<void>(OpenNew("f"));
  const auto file = Open("f", {});
  TestOperation write;
  loop_->Write(*file, 0, base::AsBytes("x"), Durable::no, &write);
  EXPECT_EQ(Finish(&write), -EBADF);
}

TEST_P(LoopDiskTest, MayBeHandedToAnotherThread) {
  const auto file = OpenNew("f");
  const auto write_one = [&](uint64_t offset) {
    TestOperation write;
    loop_->Write(*file, offset, base::AsBytes("x"), Durable::yes, &write);
    EXPECT_EQ(Finish(&write), 1);
  };
  write_one(0);
  loop_->RunOnce(1);  // waits, so that its wake-up is armed by this thread
  std::thread([&] {
    write_one(1);
    loop_->RunOnce(1);
  }).join();
  // The thread that armed the wake-up last is gone; this one is woken all the same.
  std::thread waker([&] { loop_->Wake(); });
  loop_->RunOnce(-1);
  waker.join();
  write_one(2);
  EXPECT_EQ(*file->Size(), 3u);
}

// The first thread lives on, but stays out of the kernel.
TEST_P(LoopDiskTest, IsWokenWhileItsFirstThreadIsBusy) {
  loop_->RunOnce(1);
  std::atomic<bool> woken = false;
  std::thread waiter([&] {
    loop_->RunOnce(-1);
    woken = true;
  });
  std::thread waker([&] { loop_->Wake(); });
  while (!woken) {
  }
  waker.join();
  waiter.join();
}

TEST_P(LoopDiskTest, EndsWithTransfersInFlight) {
  const auto file = OpenNew("f");
  std::vector<std::byte> content(1 << 20, std::byte{7});
  std::vector<TestOperation> writes(8);
  for (size_t i = 0; i < writes.size(); ++i) {
    loop_->Write(*file, i * content.size(), content, Durable::no, &writes[i]);
  }
  loop_->RunOnce(0);
  loop_.reset();  // afterwards nobody reads `content` any more
}

}  // namespace
}  // namespace tidemark::io
