#include "tools/workload.h"

#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace tidemark::tools {
namespace {

TEST(SeededRandom, GivesTheNumbersOfSplitmix64) {
  SeededRandom random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317U);
  EXPECT_EQ(random.Next(), 3203168211198807973U);
}

TEST(SeededRandom, NormalHasMeanZeroAndDeviationOne) {
  SeededRandom random(7);
  constexpr int kDraws = 100'000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.Normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / kDraws), 1, 0.02);
}

TEST(Thermometers, TheSameSeedGivesTheSameReadings) {
  Thermometers a({.devices = 20, .seed = 42});
  Thermometers b({.devices = 20, .seed = 42});
  Thermometers other({.devices = 20, .seed = 43});
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const Reading& reading = a.Next();
    const Reading& same = b.Next();
    EXPECT_EQ(reading.value, same.value);
    EXPECT_EQ(reading.key, same.key);
    EXPECT_EQ(reading.timestamp_ms, same.timestamp_ms);
    differs = differs || other.Next().value != reading.value;
  }
  EXPECT_TRUE(differs);
}

// A change here changes what every measurement of ours was made with.
TEST(Thermometers, TheFirstReadingOfSeedOneStaysWhatItIs) {
  Thermometers thermometers({});
  const Reading& first = thermometers.Next();
  EXPECT_EQ(first.key, "sensors/thermo-0009");
  EXPECT_EQ(first.value,
            "{\"device\":\"thermo-0009\",\"t\":21.77,\"h\":53.7,\"ts\":1732272010275}");
}

TEST(Thermometers, ReadingsAreAsTheBriefHasThem) {
  Thermometers thermometers({});
  std::map<std::string, double> last_t;
  std::map<std::string, int64_t> last_ts;
  std::set<std::string> devices;
  for (int i = 0; i < 20'000; ++i) {
    const Reading& reading = thermometers.Next();
    const auto value = nlohmann::ordered_json::parse(reading.value);
    const std::string device = value["device"];
    EXPECT_EQ(reading.device, device);
    EXPECT_EQ(reading.key, "sensors/" + device);
    EXPECT_EQ(value["ts"], reading.timestamp_ms);
    const double h = value["h"];
    EXPECT_GE(h, 0);
    EXPECT_LE(h, 100);
    if (last_ts.contains(device)) {
      EXPECT_LT(std::abs(value["t"].get<double>() - last_t[device]), 0.05 * 7);
      const int64_t pause = reading.timestamp_ms - last_ts[device];
      EXPECT_GE(pause, 9'000);
      EXPECT_LE(pause, 61'000);
    }
    last_t[device] = value["t"];
    last_ts[device] = reading.timestamp_ms;
    devices.insert(device);
  }
  EXPECT_EQ(devices.size(), 100U);
  EXPECT_EQ(*devices.begin(), "thermo-0000");
  EXPECT_EQ(*devices.rbegin(), "thermo-0099");
}

}  // namespace
}  // namespace tidemark::tools
