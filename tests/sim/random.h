// Random numbers that one seed decides, the same on every machine and with every library.
#pragma once

#include <cstdint>

namespace tidemark::sim {

// splitmix64: any seed will do, also 0, 1, 2...
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t mixed = (state_ += 0x9e3779b97f4a7c15ULL);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }
  // 0 to below - 1.
  uint64_t Below(uint64_t below) { return below == 0 ? 0 : Next() % below; }
  bool OneIn(uint64_t count) { return Below(count) == 0; }
  // Small numbers mostly, large ones now and then: up to `most`.
  uint64_t Skewed(uint64_t most) { return Below(Below(most + 1) + 1); }

 private:
  uint64_t state_;
};

// A seed for part `part` of what `seed` decides.
inline uint64_t DeriveSeed(uint64_t seed, uint64_t part) {
  Random random(seed ^ (part * 0xd6e8feb86659fd93ULL));
  return random.Next();
}

}  // namespace tidemark::sim
