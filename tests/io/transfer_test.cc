// How the kernel's pieces make a whole. Short transfers cannot be ordered from a real disk.
#include "io/transfer.h"

#include <cerrno>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tidemark::io {
namespace {

TransferProgress Of(Direction direction, uint32_t unit_bytes, uint64_t length) {
  return {direction, unit_bytes, length, 0};
}

TEST(Transfer, EndsWhenAllIsThere) {
  auto progress = Of(Direction::write, 1, 100);
  EXPECT_EQ(Advance(&progress, 40), std::nullopt);
  EXPECT_EQ(progress.NextPieceBytes(), 60u);
  EXPECT_EQ(Advance(&progress, 60), 100);
}

TEST(Transfer, GoesOnAfterAnInterruption) {
  auto progress = Of(Direction::read, 1, 100);
  EXPECT_EQ(Advance(&progress, -EINTR), std::nullopt);
  EXPECT_EQ(Advance(&progress, -EAGAIN), std::nullopt);
  EXPECT_EQ(progress.transferred, 0u);
}

TEST(Transfer, EndsWithTheError) {
  auto progress = Of(Direction::write, 1, 100);
  EXPECT_EQ(Advance(&progress, 40), std::nullopt);
  EXPECT_EQ(Advance(&progress, -ENOSPC), -ENOSPC);
}

TEST(Transfer, AReadEndsWithTheFile) {
  auto progress = Of(Direction::read, 1, 100);
  EXPECT_EQ(Advance(&progress, 40), std::nullopt);
  EXPECT_EQ(Advance(&progress, 0), 40);
}

TEST(Transfer, ADirectReadEndsInsideABlock) {
  auto progress = Of(Direction::read, 4096, 12'288);
  EXPECT_EQ(Advance(&progress, 4096), std::nullopt);
  EXPECT_EQ(Advance(&progress, 100), 4196);
}

TEST(Transfer, ADirectWriteGoesOnAtAWholeBlock) {
  auto progress = Of(Direction::write, 4096, 12'288);
  EXPECT_EQ(Advance(&progress, 4096 + 512), std::nullopt);
  EXPECT_EQ(progress.transferred, 4096u);
  EXPECT_EQ(Advance(&progress, 8192), 12'288);
}

TEST(Transfer, AWriteThatGetsNowhereFails) {
  auto progress = Of(Direction::write, 1, 100);
  EXPECT_EQ(Advance(&progress, 0), -EIO);
  auto direct = Of(Direction::write, 4096, 8192);
  EXPECT_EQ(Advance(&direct, 512), -EIO);
}

TEST(Transfer, NothingIsWholeAtOnce) {
  auto progress = Of(Direction::write, 1, 0);
  EXPECT_EQ(Advance(&progress, 0), 0);
}

TEST(Transfer, PiecesStayBelowTheKernelsLimit) {
  EXPECT_EQ(Of(Direction::write, 4096, uint64_t{5} << 30).NextPieceBytes(), kMaxPieceBytes);
}

RC_GTEST_PROP(Transfer, AnyPiecesMakeTheWhole, ()) {
  const auto unit = static_cast<uint32_t>(1 << *rc::gen::element(0, 9, 12));
  const uint64_t length = unit * *rc::gen::inRange<uint64_t>(1, 50);
  auto progress = Of(*rc::gen::element(Direction::read, Direction::write), unit, length);
  for (;;) {
    RC_ASSERT(progress.transferred % unit == 0u);
    const uint64_t units = progress.NextPieceBytes() / unit;
    const uint64_t moved = unit * *rc::gen::inRange<uint64_t>(1, units + 1);
    if (const auto result = Advance(&progress, static_cast<int64_t>(moved))) {
      RC_ASSERT(*result == static_cast<int64_t>(length));
      break;
    }
  }
}

}  // namespace
}  // namespace tidemark::io
