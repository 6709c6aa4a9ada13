#include "base/uuid.h"

#include <unordered_set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/bytes.h"

namespace tidemark::base {
namespace {

Uuid FromHalves(uint64_t high, uint64_t low) {
  Uuid id;
  StoreBig(id.bytes.data(), high);
  StoreBig(id.bytes.data() + 8, low);
  return id;
}

// Kafka's own: Uuid.ZERO_UUID, Uuid.METADATA_TOPIC_ID and an id of its documentation.
TEST(Uuid, IsWrittenAsKafkaDoes) {
  EXPECT_EQ(Uuid{}.ToBase64(), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(FromHalves(0, 1).ToBase64(), "AAAAAAAAAAAAAAAAAAAAAQ");
  EXPECT_EQ(FromHalves(~uint64_t{0}, ~uint64_t{0}).ToBase64(), "_____________________w");
  EXPECT_EQ(FromHalves(0x0001020304050607, 0x08090a0b0c0d0e0f).ToBase64(),
            "AAECAwQFBgcICQoLDA0ODw");
}

RC_GTEST_PROP(Uuid, ComesBackFromItsText, (uint64_t high, uint64_t low)) {
  const Uuid id = FromHalves(high, low);
  const std::string text = id.ToBase64();
  RC_ASSERT(text.size() == 22u);
  RC_ASSERT(Uuid::FromBase64(text) == id);
}

RC_GTEST_PROP(Uuid, RandomOnesAreOfVersion4AndFitACommandLine, (uint64_t low)) {
  const uint64_t first_bits = *rc::gen::inRange<uint64_t>(0, 64);
  const Uuid id = Uuid::FromRandom(first_bits << 58, low);
  RC_ASSERT((id.bytes[6] & std::byte{0xf0}) == std::byte{0x40});
  RC_ASSERT((id.bytes[8] & std::byte{0xc0}) == std::byte{0x80});
  RC_ASSERT(id.ToBase64().front() != '-');
  RC_ASSERT(!id.is_nil());
}

TEST(Uuid, RefusesTextThatIsNone) {
  const std::string good = "AAECAwQFBgcICQoLDA0ODw";
  ASSERT_TRUE(Uuid::FromBase64(good));
  EXPECT_FALSE(Uuid::FromBase64(""));
  EXPECT_FALSE(Uuid::FromBase64(good.substr(1)));
  EXPECT_FALSE(Uuid::FromBase64(good + "A"));
  EXPECT_FALSE(Uuid::FromBase64(good + "=="));
  EXPECT_FALSE(Uuid::FromBase64("AAECAwQFBgcICQoLDA0OD+"));  // base64, but not of URLs
  EXPECT_FALSE(Uuid::FromBase64("AAECAwQFBgcICQoLDA0OD "));
  EXPECT_FALSE(Uuid::FromBase64("AAECAwQFBgcICQoLDA0ODx"));  // spare bits that are set
}

TEST(Uuid, ServesAsAKey) {
  std::unordered_set<Uuid> ids;
  for (uint64_t i = 0; i < 100; ++i) ids.insert(FromHalves(i, 2 * i));
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_TRUE(ids.contains(FromHalves(7, 14)));
  EXPECT_LT(FromHalves(1, 0), FromHalves(2, 0));
}

}  // namespace
}  // namespace tidemark::base
