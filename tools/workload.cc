#include "tools/workload.h"

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <numbers>

#include "base/check.h"

namespace tidemark::tools {
namespace {

constexpr uint64_t kMinIntervalSeconds = 10;
constexpr uint64_t kMaxIntervalSeconds = 60;
constexpr uint64_t kJitterMs = 1'000;
constexpr double kStepDegrees = 0.05;
// Rooms: where walks begin, and the span of the humidity in tenths of a percent.
constexpr double kColdestStart = 15.0;
constexpr double kStartSpan = 10.0;
constexpr uint64_t kDriestTenths = 300;
constexpr uint64_t kHumidityTenths = 400;

}  // namespace

uint64_t SeededRandom::Next() {
  state_ += 0x9e3779b97f4a7c15;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// The bias of a plain remainder is below bound / 2^64: nothing at the bounds used here.
uint64_t SeededRandom::Below(uint64_t bound) { return Next() % bound; }

double SeededRandom::Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

// Box-Muller; the second number of a pair is not kept, so that the state stays one integer.
double SeededRandom::Normal() {
  const double u = 1.0 - Unit();  // never 0, whose logarithm is none
  const double v = Unit();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

Thermometers::Thermometers(const Options& options) : random_(options.seed) {
  TIDEMARK_CHECK(options.devices > 0 && options.devices <= kMaxDevices);
  temperatures_.reserve(options.devices);
  for (uint32_t device = 0; device < options.devices; ++device) {
    temperatures_.push_back(kColdestStart + kStartSpan * random_.Unit());
    due_.push({options.start_ms + NextInterval(), device});
  }
}

int64_t Thermometers::NextInterval() {
  const uint64_t seconds =
      kMinIntervalSeconds + random_.Below(kMaxIntervalSeconds - kMinIntervalSeconds + 1);
  return static_cast<int64_t>(seconds * 1'000);
}

const Reading& Thermometers::Next() {
  const Due due = due_.top();
  due_.pop();
  due_.push({due.at_ms + NextInterval(), due.device});

  double& temperature = temperatures_[due.device];
  temperature += kStepDegrees * random_.Normal();
  const uint64_t humidity = kDriestTenths + random_.Below(kHumidityTenths);
  reading_.timestamp_ms = due.at_ms + static_cast<int64_t>(random_.Below(kJitterMs));
  reading_.arrival_ms = reading_.timestamp_ms;

  char device[16];
  (void)std::snprintf(device, sizeof device, "thermo-%04" PRIu32, due.device);
  char value[128];
  const int length = std::snprintf(
      value, sizeof value,
      R"({"device":"%s","t":%.2f,"h":%)" PRIu64 R"(.%)" PRIu64 R"(,"ts":%)" PRId64 "}", device,
      temperature, humidity / 10, humidity % 10, reading_.timestamp_ms);
  reading_.device = device;
  reading_.key = "sensors/" + reading_.device;
  reading_.value.assign(value, static_cast<size_t>(length));
  return reading_;
}

}  // namespace tidemark::tools
