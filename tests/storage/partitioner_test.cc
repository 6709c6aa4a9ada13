// The partition of a key is the one that Kafka's clients choose.
#include "storage/partitioner.h"

#include <string>

#include <gtest/gtest.h>

namespace tidemark::storage {
namespace {

// The vectors of UtilsTest.testMurmur2 in Kafka's client.
TEST(Murmur2, IsKafkas) {
  EXPECT_EQ(Murmur2("21"), -973932308);
  EXPECT_EQ(Murmur2("foobar"), -790332482);
  EXPECT_EQ(Murmur2("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(Murmur2("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(Murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(Murmur2("abc"), 479470107);
}

TEST(PartitionForKey, DropsTheSignBeforeDividing) {
  EXPECT_EQ(PartitionForKey("21", 1000), (-973932308 & 0x7fffffff) % 1000);
  EXPECT_EQ(PartitionForKey("abc", 1000), 479470107 % 1000);
}

TEST(PartitionForKey, IsAlwaysAPartition) {
  for (int32_t partitions = 1; partitions <= 64; ++partitions) {
    for (int key = 0; key < 200; ++key) {
      const int32_t partition =
          PartitionForKey("sensors/thermo-" + std::to_string(key), partitions);
      EXPECT_GE(partition, 0);
      EXPECT_LT(partition, partitions);
    }
  }
  EXPECT_EQ(PartitionForKey("", 1), 0);
}

// Bytes of a rest are unsigned: "\xff" must not smear ones over its neighbours.
TEST(PartitionForKey, BytesAreUnsigned) {
  EXPECT_NE(Murmur2("\xff\x01"), Murmur2("\xff\xff"));
  EXPECT_NE(Murmur2(std::string_view("\0\0", 2)), Murmur2(std::string_view("\0", 1)));
}

}  // namespace
}  // namespace tidemark::storage
