// tidemark datagen: simulated sensors.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "io/environment.h"
#include "tools/commands.h"
#include "tools/mqtt_client.h"
#include "tools/output.h"
#include "tools/record_sender.h"
#include "tools/stop_signal.h"
#include "tools/store_client.h"
#include "tools/text.h"
#include "tools/workloads.h"

namespace tidemark::tools {
namespace {

// Where readings go.
class Target {
 public:
  virtual ~Target() = default;
  virtual Status Take(const Reading& reading) = 0;
  // Sends what was kept back and looks after the connection, for up to `pause_ms`.
  virtual Status Rest(int pause_ms) = 0;
  virtual Status Finish() = 0;
  // How many are there for good, and the word for it.
  virtual uint64_t count() const = 0;
  virtual const char* verb() const = 0;
  // Nobody wants any more.
  virtual bool finished() const { return false; }
};

class StdoutTarget : public Target {
 public:
  Status Take(const Reading& reading) override {
    output_.Write(reading.key + "\t" + OneLine(reading.value) + "\n");
    ++count_;
    return {};
  }
  Status Rest(int pause_ms) override {
    Status flushed = output_.Flush();
    if (flushed.ok()) (void)WaitReadable(-1, pause_ms, true);
    return flushed;
  }
  Status Finish() override { return output_.Flush(); }
  uint64_t count() const override { return count_; }
  const char* verb() const override { return "written"; }
  bool finished() const override { return output_.finished(); }

 private:
  Output output_;
  uint64_t count_ = 0;
};

class MqttTarget : public Target {
 public:
  explicit MqttTarget(MqttClient::Options options) : client_(std::move(options)) {}
  Status Connect() { return client_.Connect(); }
  Status Take(const Reading& reading) override {
    return client_.Publish(reading.key, reading.value);
  }
  Status Rest(int pause_ms) override { return client_.Turn(pause_ms); }
  Status Finish() override { return client_.Finish(); }
  uint64_t count() const override { return client_.acknowledged(); }
  const char* verb() const override { return "acknowledged"; }

 private:
  MqttClient client_;
};

class StoreTarget : public Target {
 public:
  StoreTarget(std::unique_ptr<StoreClient> client, const std::string& topic)
      : client_(std::move(client)), sender_(*client_, {topic, std::nullopt, std::nullopt}) {}

  // As the reading would come in by MQTT at QoS 1, each device being a client.
  Status Take(const Reading& reading) override {
    const std::array<Header, 2> headers = {{{"mqtt.client", reading.device}, {"mqtt.qos", "1"}}};
    Record record;
    record.key = reading.key;
    record.value = reading.value;
    record.timestamp_ms = reading.timestamp_ms;
    record.headers = headers;
    return sender_.Add(record);
  }
  Status Rest(int pause_ms) override {
    Status flushed = sender_.Flush();
    if (flushed.ok()) (void)WaitReadable(-1, pause_ms, false);
    return flushed;
  }
  Status Finish() override {
    Status flushed = sender_.Flush();
    Status closed = client_->Close();
    return flushed.ok() ? closed : flushed;
  }
  uint64_t count() const override { return sender_.durable_records(); }
  const char* verb() const override { return "durable"; }

 private:
  std::unique_ptr<StoreClient> client_;
  RecordSender sender_;
};

Result<std::unique_ptr<Target>> MakeTarget(const DatagenCommand& command) {
  if (!command.mqtt.empty()) {
    MqttClient::Options options;
    options.address = command.mqtt;
    options.client_id = "datagen-" + std::to_string(io::CurrentProcessId());
    options.in_flight = command.in_flight;
    auto target = std::make_unique<MqttTarget>(std::move(options));
    const Status connected = target->Connect();
    if (!connected.ok()) return connected.error();
    return std::unique_ptr<Target>(std::move(target));
  }
  if (!command.data_dir.empty()) {
    auto client = StoreClient::Open({command.data_dir, false, false});
    if (!client.ok()) return client.error();
    const auto topic =
        (*client)->Ask(Json{{"request", "describe_topic"}, {"topic", command.topic}});
    if (!topic.ok()) return topic.error();
    return std::unique_ptr<Target>(
        std::make_unique<StoreTarget>(std::move(*client), command.topic));
  }
  return std::unique_ptr<Target>(std::make_unique<StdoutTarget>());
}

// When reading number `index` is due, at a steady rate.
int64_t DueUs(int64_t start_us, uint64_t index, double rate) {
  return start_us + static_cast<int64_t>(static_cast<double>(index) * 1e6 / rate);
}

Status Generate(const DatagenCommand& command, Target& target) {
  constexpr uint64_t kLookEvery = 256;  // readings between looks at the terminal
  const auto workload =
      MakeWorkload(command.workload, {.devices = command.devices, .seed = command.seed});
  if (!workload.ok()) return workload.error();
  Progress progress;
  const int64_t start_us = base::SystemClock().MonotonicUs();
  const uint64_t count = command.count.value_or(UINT64_MAX);
  for (uint64_t index = 0; index < count && !StopRequested() && !target.finished(); ++index) {
    while (command.rate > 0 && !StopRequested() && !target.finished()) {
      const int64_t early_us =
          DueUs(start_us, index, command.rate) - base::SystemClock().MonotonicUs();
      if (early_us <= 0) break;
      constexpr int64_t kLongestRestMs = 1'000;
      const int64_t rest_ms = std::min(early_us / 1'000 + 1, kLongestRestMs);
      Status rested = target.Rest(static_cast<int>(rest_ms));
      if (!rested.ok()) return rested;
    }
    Status taken = target.Take((*workload)->Next());
    if (!taken.ok()) return taken;
    if (index % kLookEvery == 0) progress.Update(target.count(), target.verb());
  }
  return {};
}

}  // namespace

int RunDatagen(const DatagenCommand& command) {
  InstallStopSignals();
  const auto target = MakeTarget(command);
  if (!target.ok()) return Fail(target.error());
  Status done = Generate(command, **target);
  const Status finished = (*target)->Finish();
  if (done.ok()) done = finished;
  (void)std::fprintf(stderr, "tidemark: %llu readings are %s\n",
                     static_cast<unsigned long long>((*target)->count()), (*target)->verb());
  return done.ok() ? kExitDone : Fail(done.error());
}

}  // namespace tidemark::tools
