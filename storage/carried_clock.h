// The engine clock from one opening to the next within a boot of the machine: the file `clock`.
//
// The engine clock never steps back, and across boots it stands still while the store is closed,
// since nobody can say for how long that was. Within a boot the machine's monotonic clock can. Each
// opening notes the two side by side; the next one under the same boot adds what has passed since.
//
// Nothing here is flushed: what a power cut takes is of another boot anyway. The file of an older
// opening must never count, or records would age by time that they have not seen: it names its
// incarnation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/context.h"

namespace tidemark::storage {

struct CarriedClock {
  std::string boot;  // no white space
  uint64_t incarnation = 0;
  int64_t monotonic_us = 0;
  int64_t engine_clock_ms = 0;
  bool operator==(const CarriedClock&) const = default;
};

std::string EncodeCarriedClock(const CarriedClock& clock);
// nullopt: damaged, or of another version.
std::optional<CarriedClock> DecodeCarriedClock(std::string_view text);

// What the engine clock is now, by what the opening of `last_incarnation` has left. nullopt: that
// says nothing.
std::optional<int64_t> CarriedEngineClockMs(Context& context, uint64_t last_incarnation);
// For the next opening. A failure costs it no more than the time in between.
void CarryEngineClock(Context& context, uint64_t incarnation);

}  // namespace tidemark::storage
