#include "tools/workloads.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <queue>

#include <fmt/core.h>

namespace tidemark::tools {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;

// Bytes as a small controller sends them: little-endian, whatever this machine is.
template <typename T>
void PutLittleEndian(T number, std::string* bytes) {
  uint64_t bits = 0;
  static_assert(sizeof number <= sizeof bits);
  std::memcpy(&bits, &number, sizeof number);
  for (size_t i = 0; i < sizeof number; ++i) {
    bytes->push_back(static_cast<char>(bits >> (8 * i)));
  }
}

class ThermometersWorkload : public Workload {
 public:
  explicit ThermometersWorkload(const WorkloadOptions& options)
      : thermometers_({.devices = options.devices == 0 ? 100 : options.devices,
                       .seed = options.seed,
                       .start_ms = options.start_ms}) {}
  const Reading& Next() override { return thermometers_.Next(); }

 private:
  Thermometers thermometers_;
};

// Who sends when: a heap of devices with a period each.
class Schedule {
 public:
  void Add(int64_t first_us, int64_t period_us) {
    due_.push({first_us, periods_us_.size()});
    periods_us_.push_back(period_us);
  }
  // The next sender, and when.
  std::pair<size_t, int64_t> Next() {
    const Due due = due_.top();
    due_.pop();
    due_.push({due.at_us + periods_us_[due.sender], due.sender});
    return {due.sender, due.at_us};
  }

 private:
  struct Due {
    int64_t at_us = 0;
    size_t sender = 0;
    bool operator<(const Due& other) const {
      return at_us != other.at_us ? at_us > other.at_us : sender > other.sender;
    }
  };
  std::priority_queue<Due> due_;
  std::vector<int64_t> periods_us_;
};

class PlantWorkload : public Workload {
 public:
  explicit PlantWorkload(const WorkloadOptions& options)
      : random_(options.seed), start_ms_(options.start_ms) {
    const uint32_t count = options.devices == 0 ? 1'000 : options.devices;
    for (uint32_t i = 0; i < count; ++i) {
      Tag tag;
      tag.name = fmt::format("plant/line-{:02}/tag-{:04}", i / 100, i);
      tag.bytes = kLeastBytes + random_.Below(kMostBytes - kLeastBytes + 1);
      for (double& value : tag.values) value = 100 * random_.Unit();
      tags_.push_back(std::move(tag));
      const auto period_us = static_cast<int64_t>(1e6 / (1 + 9 * random_.Unit()));
      schedule_.Add(static_cast<int64_t>(random_.Below(static_cast<uint64_t>(period_us))),
                    period_us);
    }
  }

  // A counter, the time, and as many measured values as there is room for, the last cut off.
  const Reading& Next() override {
    const auto [sender, at_us] = schedule_.Next();
    Tag& tag = tags_[sender];
    reading_.device = fmt::format("plc-{:02}", sender / 100);
    reading_.key = tag.name;
    reading_.timestamp_ms = start_ms_ + at_us / 1'000;
    reading_.arrival_ms = reading_.timestamp_ms;
    reading_.value.clear();
    PutLittleEndian(++tag.sequence, &reading_.value);
    PutLittleEndian(start_ms_ * 1'000 + at_us, &reading_.value);
    for (double& value : tag.values) {
      value += 0.01 * random_.Normal();
      PutLittleEndian(value, &reading_.value);
    }
    reading_.value.resize(tag.bytes);
    return reading_;
  }

 private:
  static constexpr uint64_t kLeastBytes = 20;
  static constexpr uint64_t kMostBytes = 60;
  struct Tag {
    std::string name;
    size_t bytes = 0;
    uint32_t sequence = 0;
    std::array<double, 6> values{};  // with counter and time 60 bytes
  };
  SeededRandom random_;
  int64_t start_ms_;
  Schedule schedule_;
  std::vector<Tag> tags_;
  Reading reading_;
};

class VibrationWorkload : public Workload {
 public:
  explicit VibrationWorkload(const WorkloadOptions& options)
      : random_(options.seed), start_ms_(options.start_ms) {
    const uint32_t count = options.devices == 0 ? 10 : options.devices;
    for (uint32_t i = 0; i < count; ++i) {
      hertz_.push_back(25 + 50 * random_.Unit());
      constexpr int64_t kPeriodUs = 100'000;
      schedule_.Add(static_cast<int64_t>(random_.Below(kPeriodUs)), kPeriodUs);
    }
  }

  // 16-bit samples of a machine that turns: a tone, its second harmonic, and noise.
  const Reading& Next() override {
    constexpr size_t kLeastSamples = 512;
    constexpr size_t kMostSamples = 2'048;
    constexpr double kSamplesPerSecond = 20'480;
    const auto [sender, at_us] = schedule_.Next();
    reading_.device = fmt::format("vibration-{:02}", sender);
    reading_.key = "machines/" + reading_.device;
    reading_.timestamp_ms = start_ms_ + at_us / 1'000;
    reading_.arrival_ms = reading_.timestamp_ms;
    reading_.value.clear();
    const uint64_t samples = kLeastSamples + random_.Below(kMostSamples - kLeastSamples + 1);
    for (uint64_t i = 0; i < samples; ++i) {
      const double seconds =
          static_cast<double>(at_us) / 1e6 + static_cast<double>(i) / kSamplesPerSecond;
      const double angle = 2 * std::numbers::pi * hertz_[sender] * seconds;
      const double sample =
          4'000 * std::sin(angle) + 1'000 * std::sin(2 * angle) + 60 * random_.Normal();
      PutLittleEndian(static_cast<int16_t>(sample), &reading_.value);
    }
    return reading_;
  }

 private:
  SeededRandom random_;
  int64_t start_ms_;
  Schedule schedule_;
  std::vector<double> hertz_;
  Reading reading_;
};

// A minute for each day: readings are made for the day, put in order of their devices, and given a
// time of arrival within the minute.
class BurstWorkload : public Workload {
 public:
  explicit BurstWorkload(const WorkloadOptions& options)
      : thermometers_(options), day_begins_ms_(options.start_ms - kDayMs), ahead_(TakeReading()) {}

  const Reading& Next() override {
    if (next_ == day_.size()) TakeDay();
    return day_[next_++];
  }

 private:
  Reading TakeReading() { return thermometers_.Next(); }
  void TakeDay() {
    day_.clear();
    next_ = 0;
    day_begins_ms_ += kDayMs;
    for (; ahead_.timestamp_ms < day_begins_ms_ + kDayMs; ahead_ = TakeReading()) {
      day_.push_back(ahead_);
    }
    std::stable_sort(day_.begin(), day_.end(),
                     [](const Reading& a, const Reading& b) { return a.device < b.device; });
    constexpr size_t kMinuteMs = 60'000;
    for (size_t i = 0; i < day_.size(); ++i) {
      day_[i].arrival_ms =
          day_begins_ms_ + kDayMs + static_cast<int64_t>(i * kMinuteMs / day_.size());
    }
  }

  ThermometersWorkload thermometers_;
  int64_t day_begins_ms_;
  Reading ahead_;
  std::vector<Reading> day_;
  size_t next_ = 0;
};

class StatusWorkload : public Workload {
 public:
  explicit StatusWorkload(const WorkloadOptions& options)
      : random_(options.seed),
        keys_(options.devices == 0 ? 10'000 : options.devices),
        now_ms_(options.start_ms) {}

  const Reading& Next() override {
    static constexpr std::array<const char*, 4> kStates = {"idle", "running", "blocked", "failed"};
    now_ms_ += static_cast<int64_t>(random_.Below(3));
    const uint64_t unit = random_.Below(keys_);
    reading_.device = fmt::format("unit-{:05}", unit);
    reading_.key = "status/" + reading_.device;
    reading_.value = fmt::format(R"({{"state":"{}","load":{:.2f},"since":{}}})",
                                 kStates[random_.Below(kStates.size())], random_.Unit(), now_ms_);
    reading_.timestamp_ms = now_ms_;
    reading_.arrival_ms = now_ms_;
    return reading_;
  }

 private:
  SeededRandom random_;
  uint64_t keys_;
  int64_t now_ms_;
  Reading reading_;
};

class SkewWorkload : public Workload {
 public:
  explicit SkewWorkload(const WorkloadOptions& options)
      : thermometers_(options), random_(options.seed ^ 0x736b6577) {}

  const Reading& Next() override {
    constexpr uint64_t kShares = 10'000;
    constexpr uint64_t kIn2106 = 1;
    constexpr uint64_t kIn1970 = kIn2106 + 10;
    constexpr uint64_t kLate = kIn1970 + 100;
    reading_ = thermometers_.Next();
    reading_.arrival_ms = reading_.timestamp_ms;
    const uint64_t share = random_.Below(kShares);
    if (share < kIn2106) {
      reading_.timestamp_ms = 4'294'967'295'000;  // the last second of 32 bits
    } else if (share < kIn1970) {
      reading_.timestamp_ms = 0;
    } else if (share < kLate) {
      reading_.timestamp_ms -= 2 * kHourMs;
    } else {
      constexpr double kMostLagMs = 5'000;
      constexpr double kMedianLagMs = 400;
      reading_.timestamp_ms -=
          static_cast<int64_t>(std::min(kMedianLagMs * std::exp(random_.Normal()), kMostLagMs));
    }
    return reading_;
  }

 private:
  ThermometersWorkload thermometers_;
  SeededRandom random_;
  Reading reading_;
};

template <typename T>
std::unique_ptr<Workload> Make(const WorkloadOptions& options) {
  return std::make_unique<T>(options);
}

struct NamedWorkload {
  const char* name;
  std::unique_ptr<Workload> (*make)(const WorkloadOptions& options);
};
constexpr std::array<NamedWorkload, 6> kWorkloads = {{{"thermometers", Make<ThermometersWorkload>},
                                                      {"plant", Make<PlantWorkload>},
                                                      {"vibration", Make<VibrationWorkload>},
                                                      {"burst", Make<BurstWorkload>},
                                                      {"status", Make<StatusWorkload>},
                                                      {"skew", Make<SkewWorkload>}}};

}  // namespace

std::vector<std::string> WorkloadNames() {
  std::vector<std::string> names;
  for (const NamedWorkload& workload : kWorkloads) names.emplace_back(workload.name);
  return names;
}

Result<std::unique_ptr<Workload>> MakeWorkload(std::string_view name,
                                               const WorkloadOptions& options) {
  std::string all;
  for (const NamedWorkload& workload : kWorkloads) {
    if (name == workload.name) return workload.make(options);
    all += all.empty() ? workload.name : std::string(", ") + workload.name;
  }
  return Error(ErrorCode::invalid_argument,
               "there is no workload '" + std::string(name) + "'; there are: " + all);
}

}  // namespace tidemark::tools
