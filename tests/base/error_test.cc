#include "tidemark/error.h"

#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace tidemark {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return Error(ErrorCode::invalid_argument, "odd");
  return value / 2;
}

TEST(Result, HoldsAValue) {
  const Result<int> result = Half(8);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(static_cast<bool>(result));
  EXPECT_EQ(*result, 4);
  EXPECT_EQ(result.value(), 4);
}

TEST(Result, HoldsAnError) {
  const Result<int> result = Half(7);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(result.error().message(), "odd");
  EXPECT_EQ(result.error().system_errno(), 0);
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 3);
}

TEST(Status, IsOkByDefault) {
  const Status status;
  EXPECT_TRUE(status.ok());
  const Status failed = Error(ErrorCode::busy);
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), ErrorCode::busy);
}

TEST(ResultDeathTest, AbortsWhenAskedForWhatIsNotThere) {
  EXPECT_DEATH(static_cast<void>(*Half(7)), "holds an error");
  EXPECT_DEATH(static_cast<void>(Half(8).error()), "holds a value");
  EXPECT_DEATH(static_cast<void>(Status().error()), "is ok");
}

TEST(Error, SaysEverythingThatIsKnown) {
  EXPECT_EQ(Error(ErrorCode::stopped).ToString(), "stopped");
  EXPECT_EQ(Error(ErrorCode::unknown_topic, "readings").ToString(), "unknown_topic: readings");
  EXPECT_EQ(Error(ErrorCode::disk_full, "data/journal: write failed", ENOSPC).ToString(),
            "disk_full: data/journal: write failed (No space left on device)");
}

TEST(ErrorCode, HasANameOfItsOwn) {
  std::set<std::string_view> names;
  int codes = 0;
  for (int code = 0; code <= static_cast<int>(ErrorCode::stopped); ++code, ++codes) {
    names.insert(ErrorCodeName(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(codes));
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(ErrorCodeName(ErrorCode::offset_out_of_range), "offset_out_of_range");
}

}  // namespace
}  // namespace tidemark
