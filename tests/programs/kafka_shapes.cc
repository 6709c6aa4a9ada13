// Writes records of every shape into a store, for tests that show it to Kafka.
//
//   prog_kafka_shapes DATA_DIR ROUND clean|killed
//
// Makes the topics that are missing, appends a round of records to each, and waits until all are
// durable; then kills itself, or closes the store cleanly and has it compacted. What was
// appended is told on stdout first, a line each, so that a test need not ask the store itself:
//
//   TOPIC PARTITION OFFSET TIMESTAMP KEY VALUE HEADERS
//
// with tabs between; TIMESTAMP is - where the store decides it; KEY and VALUE are in hex, - for
// null; HEADERS are NAME=VALUE, in hex, with commas between.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/engine.h"

namespace {

using tidemark::Engine;
using tidemark::Partition;
using tidemark::TopicConfig;

constexpr int64_t kFirstTimeMs = 1'732'272'000'000;
constexpr auto kPollPause = std::chrono::milliseconds(20);
// What is waited for must come; so long means that it does not.
constexpr auto kPatience = std::chrono::seconds(60);

struct OwnHeader {
  std::string name;
  std::optional<std::string> value;
};

struct Shape {
  std::optional<std::string> key;
  std::optional<std::string> value;
  int64_t timestamp_ms = 0;
  std::vector<OwnHeader> headers;
};

struct ShapedTopic {
  std::string name;
  int32_t partitions = 1;
  std::vector<std::pair<std::string, std::string>> settings;
  int records = 0;  // of a round
  Shape (*shape)(int number) = nullptr;
};

// Each later than the one before, but for one in ten.
int64_t TimeOf(int number) {
  const int64_t late_ms = number % 10 == 7 ? 30'000 : 0;
  return kFirstTimeMs + int64_t{250} * number - late_ms;
}

std::string Reading(int number) {
  return R"({"device":"thermo-)" + std::to_string(number % 100) + R"(","t":)" +
         std::to_string(20 + number * 7919 % 1000 / 100) + "}";
}

Shape PlainShape(int number) {
  return {"sensors/thermo-" + std::to_string(number % 100), Reading(number), TimeOf(number), {}};
}

// None to three, among them some of one name, without a value, and with nothing in it.
Shape HeaderShape(int number) {
  Shape shape = PlainShape(number);
  const std::vector<OwnHeader> headers = {{"mqtt.client", "thermo-" + std::to_string(number)},
                                          {"mqtt.client", ""},
                                          {"r", std::nullopt}};
  shape.headers.assign(headers.begin(), headers.begin() + number % 4);
  return shape;
}

// Keys and values that are null, empty, text, or all bytes that there are; one of them at time 0.
Shape NullShape(int number) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  const std::vector<std::optional<std::string>> contents = {std::nullopt, "", "text", bytes};
  return {contents[static_cast<size_t>(number % 4)],
          contents[static_cast<size_t>(number / 4 % 4)],
          number == 3 ? 0 : TimeOf(number),
          {}};
}

Shape LargeShape(int number) {
  Shape shape = PlainShape(number);
  std::string& value = *shape.value;
  uint64_t state = static_cast<uint64_t>(number) + 1;
  while (value.size() < 200'000) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    value += "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+"[state >> 58U];
  }
  return shape;
}

// Fifty keys, again and again; now and then one is deleted.
Shape StatusShape(int number) {
  Shape shape = PlainShape(number);
  shape.key = "device-" + std::to_string(number % 50);
  if (number % 17 == 0) shape.value.reset();
  return shape;
}

const std::vector<ShapedTopic>& Topics() {
  static const std::vector<ShapedTopic> kTopics = {
      {"plain", 2, {{"compression.type", "none"}, {"segment.bytes", "1048576"}}, 40000, PlainShape},
      {"zstd", 2, {{"segment.bytes", "65536"}}, 20000, PlainShape},
      {"headers", 1, {}, 1000, HeaderShape},
      {"nulls", 1, {}, 320, NullShape},
      {"large", 1, {{"compression.type", "none"}}, 12, LargeShape},
      {"appendtime", 1, {{"message.timestamp.type", "LogAppendTime"}}, 500, PlainShape},
      {"single", 1, {}, 1, PlainShape},
      {"empty", 2, {}, 0, PlainShape},
      {"compacted",
       1,
       {{"cleanup.policy", "compact"},
        {"segment.bytes", "262144"},
        {"compression.type", "none"},
        {"min.cleanable.dirty.ratio", "0.01"}},
       20000,
       StatusShape},
  };
  return kTopics;
}

[[noreturn]] void Die(const std::string& what) {
  std::cerr << "kafka_shapes: " << what << "\n";
  std::exit(1);
}

std::string Hex(const std::optional<std::string>& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  if (!bytes) return "-";
  std::string hex;
  for (const char byte : *bytes) {
    hex += kDigits[static_cast<unsigned char>(byte) >> 4U];
    hex += kDigits[static_cast<unsigned char>(byte) & 15U];
  }
  return hex;
}

void Tell(const Partition& partition, int64_t offset, const Shape& shape) {
  const bool append_time =
      partition.topic().config().timestamp_type == tidemark::TimestampType::log_append_time;
  std::string line = partition.topic().name() + "\t" + std::to_string(partition.index()) + "\t" +
                     std::to_string(offset) + "\t" +
                     (append_time ? "-" : std::to_string(shape.timestamp_ms)) + "\t" +
                     Hex(shape.key) + "\t" + Hex(shape.value) + "\t";
  for (const OwnHeader& header : shape.headers) {
    if (line.back() != '\t') line += ',';
    line += Hex(header.name) + "=" + Hex(header.value);
  }
  std::cout << line << "\n";
}

TopicConfig ConfigOf(const ShapedTopic& topic) {
  TopicConfig config;
  for (const auto& [key, value] : topic.settings) {
    if (const auto set = config.Set(key, value); !set.ok()) Die(set.error().ToString());
  }
  return config;
}

void AppendOne(Engine& engine, Partition& partition, const Shape& shape) {
  std::vector<tidemark::Header> headers;
  for (const OwnHeader& header : shape.headers) headers.push_back({header.name, header.value});
  const tidemark::Record record{shape.key, shape.value, shape.timestamp_ms, headers};
  while (true) {
    const auto offset = partition.Append(record, tidemark::Durability::buffered);
    if (offset.ok()) return Tell(partition, *offset, shape);
    if (offset.error().code() != tidemark::ErrorCode::busy) Die(offset.error().ToString());
    engine.Poll(kPollPause);
  }
}

void AppendRound(Engine& engine, const ShapedTopic& shaped, int round) {
  tidemark::Topic* topic = engine.FindTopic(shaped.name);
  if (topic == nullptr) {
    const auto made = engine.CreateTopic(shaped.name, shaped.partitions, ConfigOf(shaped));
    if (!made.ok()) Die(made.error().ToString());
    topic = *made;
  }
  for (int i = 0; i < shaped.records; ++i) {
    const int number = round * shaped.records + i;
    AppendOne(engine, *topic->partition(number % shaped.partitions), shaped.shape(number));
    if (i % 100 == 0) engine.Poll(std::chrono::microseconds(0));
  }
}

template <typename Condition>
void PollUntil(Engine& engine, const char* what, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (!engine.health().ok()) Die(engine.health().error().ToString());
    if (std::chrono::steady_clock::now() > deadline)
      Die(std::string("waited in vain until ") + what);
    engine.Poll(kPollPause);
  }
}

bool AllIsDurable(const Engine& engine) {
  for (const tidemark::Topic* topic : engine.Topics()) {
    for (int32_t i = 0; i < topic->partition_count(); ++i) {
      if (topic->partition(i)->durable_end_offset() < topic->partition(i)->end_offset())
        return false;
    }
  }
  return true;
}

std::unique_ptr<Engine> Open(const std::string& data_dir) {
  tidemark::EngineOptions options;
  options.data_dir = data_dir;
  options.journal_bytes = tidemark::kMinJournalBytes;
  options.compaction_bytes_per_second = uint64_t{1} << 30;
  auto opened = Engine::Open(options);
  if (!opened.ok()) Die(opened.error().ToString());
  return *std::move(opened);
}

void Close(Engine& engine) {
  const auto closed = engine.Close();
  if (!closed.ok()) Die(closed.error().ToString());
}

// It looks once a second whether there is something to do.
void WaitUntilCompactionRests(Engine& engine) {
  using std::chrono::steady_clock;
  constexpr auto kRests = std::chrono::seconds(6);
  uint64_t bytes = 0;
  auto last_work = steady_clock::now();
  PollUntil(engine, "compaction rests", [&] {
    const uint64_t bytes_now = engine.stats().compaction_bytes;
    if (bytes_now != bytes) last_work = steady_clock::now();
    bytes = bytes_now;
    return steady_clock::now() - last_work >= kRests;
  });
}

int Run(const std::string& data_dir, int round, bool killed) {
  auto engine = Open(data_dir);
  for (const ShapedTopic& topic : Topics()) AppendRound(*engine, topic, round);
  PollUntil(*engine, "all is durable", [&] { return AllIsDurable(*engine); });
  std::cout.flush();
  if (killed) return std::raise(SIGKILL);
  // What stands in memory is not compacted: a clean stop brings it into segments.
  Close(*engine);
  engine.reset();
  engine = Open(data_dir);
  WaitUntilCompactionRests(*engine);
  Close(*engine);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) Die("usage: prog_kafka_shapes DATA_DIR ROUND clean|killed");
  return Run(argv[1], std::stoi(argv[2]), std::string(argv[3]) == "killed");
}
