// Seeded workloads: the same seed gives the same readings, on every machine and in every version.
#pragma once

#include <cstdint>
#include <queue>
#include <string>
#include <vector>

namespace tidemark::tools {

// Random numbers whose sequence is part of this file's contract (the standard library's
// distributions differ from one library to the next): splitmix64.
class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  // 0 <= number < bound
  uint64_t Below(uint64_t bound);
  // 0 <= number < 1
  double Unit();
  // Normally distributed, mean 0, standard deviation 1.
  double Normal();

 private:
  uint64_t state_;
};

struct Reading {
  std::string device;        // "thermo-0017": the MQTT client
  std::string key;           // "sensors/thermo-0017": the MQTT topic
  std::string value;         // {"device":"thermo-0017","t":21.37,"h":48.2,"ts":1732272000123}
  int64_t timestamp_ms = 0;  // as the device's clock has it
  int64_t arrival_ms = 0;    // when it comes in
};

// *thermometers*: devices that each send a reading every 10 to 60 seconds; t is a random walk with
// steps of N(0, 0.05), h uniform noise of one decimal, ts jittered by 0 to 999 ms. Time is
// simulated: readings come in its order, to the second, from `start_ms` on.
class Thermometers {
 public:
  struct Options {
    uint32_t devices = 100;
    uint64_t seed = 1;
    int64_t start_ms = 1'732'272'000'000;
  };
  static constexpr uint32_t kMaxDevices = 1'000'000;

  explicit Thermometers(const Options& options);
  // The next reading; lives until the next call.
  const Reading& Next();

 private:
  struct Due {
    int64_t at_ms = 0;
    uint32_t device = 0;
    // Greatest first is what a std::priority_queue wants; the earliest is what we want.
    bool operator<(const Due& other) const {
      return at_ms != other.at_ms ? at_ms > other.at_ms : device > other.device;
    }
  };
  int64_t NextInterval();

  SeededRandom random_;
  std::vector<double> temperatures_;
  std::priority_queue<Due> due_;
  Reading reading_;
};

}  // namespace tidemark::tools
