// Readers that follow while their place moves from memory into one segment after the other.
#include "tests/support/store_fixture.h"

namespace tidemark::testing {
namespace {

using ReaderTest = StoreFixture;

// Found by kills under load: a reader that had read a segment, went on in the tail and came back to
// the next segment took the bytes it still held for that one's, and told intact records as lost.
// The tests had found nothing because their readers stayed behind, or their segments were large.
TEST_F(ReaderTest, GoesFromTheTailIntoTheNextSegment) {
  Open();
  TopicConfig config;
  config.segment_bytes = int64_t{64} << 10;
  Partition& partition = MakeTopic("t", config);
  auto reader = engine_->OpenReader(partition, 0);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  int64_t next = 0;
  for (int64_t burst : {40'000, 40'000, 40'000}) {
    const int64_t first = next;
    for (const int64_t end = next + burst; next < end; ++next) Append(partition, ValueOf(next));
    PollUntilDurable(partition);
    ExpectInOrder(ReadToEnd(**reader), first, next);
  }
}

}  // namespace
}  // namespace tidemark::testing
