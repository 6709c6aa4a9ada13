#include "tools/config.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>

#include <toml++/toml.h>

#include "io/file_system.h"
#include "io/socket.h"
#include "storage/cursor_format.h"
#include "storage/manifest.h"
#include "tools/text.h"

namespace tidemark::tools {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;
constexpr int64_t kMaxPartitions = 100'000;  // more is a typing error on a gateway

class Parser {
 public:
  Parser(const std::string& file_name, ServeConfig* config)
      : file_name_(file_name), config_(config) {}

  Status Parse(const toml::table& root);
  Error At(const toml::source_region& where, const std::string& message) const {
    return Error(ErrorCode::invalid_argument,
                 file_name_ + ":" + std::to_string(where.begin.line) + ": " + message);
  }

 private:
  // Takes one value in; an Error says what is wrong with it, without its place.
  using Setter = std::function<Status(const toml::node&)>;
  struct Key {
    std::string_view name;
    Setter set;
  };

  Status ReadTable(const toml::node& node, const std::string& section,
                   std::initializer_list<Key> keys) const;
  // An array of tables, each given to `read`.
  static Setter Tables(std::function<Status(const toml::node&)> read);

  // `error`, met in `node`; one from further inside knows its place already.
  Error Place(const Error& error, const toml::node& node, const std::string& before) const {
    const bool placed = error.message().starts_with(file_name_ + ":");
    return placed ? error : At(node.source(), before + error.message());
  }

  Status ReadStorage(const toml::node& node);
  Status ReadMqtt(const toml::node& node);
  Status ReadRoute(const toml::node& node);
  Status ReadTopic(const toml::node& node);
  Status ReadSettings(const toml::node& node, const std::string& prefix, TopicConfig* config) const;

  const std::string& file_name_;
  ServeConfig* config_;
};

Error Wrong(std::string expected) {
  return Error(ErrorCode::invalid_argument, "must be " + std::move(expected));
}

// Setters of plain values.

std::function<Status(const toml::node&)> Size(uint64_t least, uint64_t* to) {
  return [=](const toml::node& node) -> Status {
    std::optional<uint64_t> size;
    if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
      size = static_cast<uint64_t>(*number);
    } else if (const auto text = node.value_exact<std::string_view>()) {
      const auto parsed = ParseSize(*text);
      if (!parsed.ok()) return parsed.error();
      size = *parsed;
    }
    if (!size) return Wrong("a number of bytes or a size like \"64MiB\"");
    if (*size < least) return Wrong("at least " + std::to_string(least) + " bytes");
    *to = *size;
    return {};
  };
}

std::function<Status(const toml::node&)> SizeOrZero(uint64_t least, uint64_t* to) {
  return [=](const toml::node& node) -> Status {
    uint64_t size = 0;
    if (Status set = Size(0, &size)(node); !set.ok()) return set;
    if (size != 0 && size < least)
      return Wrong("0 or at least " + std::to_string(least) + " bytes");
    *to = size;
    return {};
  };
}

template <typename Integer>
std::function<Status(const toml::node&)> Number(int64_t least, int64_t most, Integer* to) {
  return [=](const toml::node& node) -> Status {
    const auto number = node.value_exact<int64_t>();
    if (!number || *number < least || *number > most) {
      return Wrong("a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    *to = static_cast<Integer>(*number);
    return {};
  };
}

std::function<Status(const toml::node&)> Flag(bool* to) {
  return [=](const toml::node& node) -> Status {
    const auto flag = node.value_exact<bool>();
    if (!flag) return Wrong("true or false");
    *to = *flag;
    return {};
  };
}

// A text that `check` accepts.
std::function<Status(const toml::node&)> Text(std::function<Status(const std::string&)> check) {
  return [check = std::move(check)](const toml::node& node) -> Status {
    const auto text = node.value_exact<std::string>();
    return text ? check(*text) : Status(Wrong("a text"));
  };
}

// Of a log topic.
std::function<Status(const toml::node&)> Name(std::string* to) {
  return Text([to](const std::string& text) -> Status {
    if (Status named = storage::CheckTopicName(text); !named.ok()) return named;
    if (text == storage::kCursorTopic) return Wrong("another name than that of the internal topic");
    *to = text;
    return {};
  });
}

Status ParseIoEngine(const std::string& text, IoEngine* engine) {
  if (text == "automatic") {
    *engine = IoEngine::automatic;
  } else if (text == "io_uring") {
    *engine = IoEngine::io_uring;
  } else if (text == "syscalls") {
    *engine = IoEngine::syscalls;
  } else {
    return Wrong("automatic, io_uring or syscalls");
  }
  return {};
}

Status ParseLogLevel(const std::string& text, std::string* level) {
  for (const char* known : {"debug", "info", "warning", "error"}) {
    if (text != known) continue;
    *level = text;
    return {};
  }
  return Wrong("debug, info, warning or error");
}

// "ADDR:PORT" or an array of such.
Status ReadListen(const toml::node& node, std::vector<std::string>* to) {
  const Error wrong = Wrong("\"ADDR:PORT\" or an array of such");
  std::vector<std::string> found;
  if (const auto one = node.value_exact<std::string>()) {
    found.push_back(*one);
  } else if (const toml::array* array = node.as_array()) {
    for (const toml::node& element : *array) {
      const auto text = element.value_exact<std::string>();
      if (!text) return wrong;
      found.push_back(*text);
    }
  } else {
    return wrong;
  }
  for (const std::string& text : found) {
    const auto address = io::ParseAddress(text);
    if (!address.ok()) return address.error();
  }
  *to = std::move(found);
  return {};
}

Status Parser::ReadTable(const toml::node& node, const std::string& section,
                         std::initializer_list<Key> keys) const {
  const toml::table* table = node.as_table();
  if (table == nullptr) return At(node.source(), section + " must be a table");
  for (auto&& [key, value] : *table) {
    const std::string_view word = key.str();
    const std::string name =
        section.empty() ? std::string(word) : section + "." + std::string(word);
    const auto* known =
        std::find_if(keys.begin(), keys.end(), [word](const Key& one) { return one.name == word; });
    if (known == keys.end()) return At(key.source(), "unknown key '" + OneLine(name) + "'");
    const Status set = known->set(value);
    if (!set.ok()) return Place(set.error(), value, name + ": ");
  }
  return {};
}

Parser::Setter Parser::Tables(std::function<Status(const toml::node&)> read) {
  return [read = std::move(read)](const toml::node& node) -> Status {
    const toml::array* array = node.as_array();
    if (array == nullptr) return Wrong("an array of tables");
    for (const toml::node& element : *array) {
      Status done = read(element);
      if (!done.ok()) return done;
    }
    return {};
  };
}

Status Parser::ReadStorage(const toml::node& node) {
  constexpr int64_t kMostScrubHours = int64_t{100} * 365 * 24;
  EngineOptions& storage = config_->storage;
  Status read = ReadTable(
      node, "storage",
      {{"journal_bytes", Size(kMinJournalBytes, &storage.journal_bytes)},
       {"memory_bytes", Size(kMinMemoryBytes, &storage.memory_bytes)},
       {"store_bytes", SizeOrZero(kMinStoreBytes, &storage.store_bytes)},
       {"cursor_partitions", Number(1, kMaxPartitions, &storage.cursor_partitions)},
       {"scrub_bytes_per_second", Size(0, &storage.scrub_bytes_per_second)},
       {"compaction_memory_bytes", Size(0, &storage.compaction_memory_bytes)},
       {"compaction_bytes_per_second", Size(0, &storage.compaction_bytes_per_second)},
       {"scrub_interval_hours", Number(0, kMostScrubHours, &storage.scrub_interval_hours)},
       {"io_engine",
        Text([&](const std::string& text) { return ParseIoEngine(text, &storage.io_engine); })}});
  // Known only now: the other key may stand behind it, or be missing.
  if (read.ok() && storage.compaction_memory_bytes > storage.memory_bytes / 2) {
    return At(node.as_table()->get("compaction_memory_bytes")->source(),
              "storage.compaction_memory_bytes: must be at most half of storage.memory_bytes, " +
                  std::to_string(storage.memory_bytes / 2) + " bytes");
  }
  return read;
}

Status Parser::ReadMqtt(const toml::node& node) {
  constexpr int64_t kMostConnections = 1'000'000;
  constexpr int64_t kLargestPacket =
      268'435'460;  // what MQTT's length field can say, with its header
  ServeConfig& config = *config_;
  return ReadTable(
      node, "mqtt",
      {{"listen", [&](const toml::node& value) { return ReadListen(value, &config.mqtt_listen); }},
       {"allow_anonymous", Flag(&config.mqtt_allow_anonymous)},
       {"max_connections", Number(1, kMostConnections, &config.mqtt_max_connections)},
       {"max_packet_bytes", Number(16, kLargestPacket, &config.mqtt_max_packet_bytes)},
       {"topic", Name(&config.mqtt_default_route.log_topic)},
       {"key", Text([&](const std::string& text) {
          return ingest::ParseRouteKey(text, &config.mqtt_default_route);
        })},
       {"route", Tables([this](const toml::node& route) { return ReadRoute(route); })}});
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): it loses track of std::function in a list

Status Parser::ReadRoute(const toml::node& node) {
  ingest::Route route;
  const auto read_filter = [&](const std::string& text) -> Status {
    route.filter = text;
    return ingest::CheckTopicFilter(text);
  };
  Status read = ReadTable(node, "mqtt.route",
                          {{"filter", Text(read_filter)},
                           {"topic", Name(&route.log_topic)},
                           {"key", Text([&](const std::string& text) {
                              return ingest::ParseRouteKey(text, &route);
                            })}});
  if (read.ok()) config_->mqtt_routes.push_back(std::move(route));
  return read;
}

// Settings have dots in their names, which TOML reads as nested tables unless the name is quoted.
Status Parser::ReadSettings(const toml::node& node, const std::string& prefix,
                            TopicConfig* config) const {
  const toml::table* table = node.as_table();
  if (table == nullptr) return Wrong("a table of Kafka's topic settings");
  for (auto&& [key, value] : *table) {
    const std::string name = prefix + std::string(key.str());
    Status set;
    if (value.is_table()) {
      set = ReadSettings(value, name + ".", config);
    } else if (const auto text = value.value_exact<std::string>()) {
      set = config->Set(name, NormalizeSettingValue(name, *text));
    } else if (const auto number = value.value_exact<int64_t>()) {
      set = config->Set(name, std::to_string(*number));
    } else {
      set = Error(ErrorCode::invalid_argument, name + ": must be a text or a whole number");
    }
    if (!set.ok()) return Place(set.error(), value, "");
  }
  return {};
}

Status Parser::ReadTopic(const toml::node& node) {
  TopicToCreate topic;
  Status read = ReadTable(node, "topic",
                          {{"name", Name(&topic.name)},
                           {"partitions", Number(1, kMaxPartitions, &topic.partitions)},
                           {"settings", [&](const toml::node& value) {
                              return ReadSettings(value, "", &topic.config);
                            }}});
  if (!read.ok()) return read;
  if (topic.name.empty()) return At(node.source(), "topic.name is missing");
  for (const TopicToCreate& other : config_->topics) {
    if (other.name == topic.name) {
      return At(node.source(), "topic '" + topic.name + "' is there twice");
    }
  }
  config_->topics.push_back(std::move(topic));
  return {};
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): as above

Status Parser::Parse(const toml::table& root) {
  const auto read_log = [this](const toml::node& node) {
    return ReadTable(node, "log", {{"level", Text([this](const std::string& text) {
                                      return ParseLogLevel(text, &config_->log_level);
                                    })}});
  };
  return ReadTable(root, "",
                   {{"storage", [this](const toml::node& node) { return ReadStorage(node); }},
                    {"mqtt", [this](const toml::node& node) { return ReadMqtt(node); }},
                    {"log", read_log},
                    {"topic", Tables([this](const toml::node& node) { return ReadTopic(node); })}});
}

}  // namespace

Result<ServeConfig> ParseConfig(std::string_view text, const std::string& file_name) {
  ServeConfig config;
  Parser parser(file_name, &config);
  // The library reports by exceptions only, as Debian builds it.
  try {
    const toml::table root = toml::parse(text);
    const Status parsed = parser.Parse(root);
    if (!parsed.ok()) return parsed.error();
  } catch (const toml::parse_error& error) {
    return parser.At(error.source(), std::string(error.description()));
  } catch (const std::exception& error) {
    return Error(ErrorCode::invalid_argument, file_name + ": " + error.what());
  }
  return config;
}

Result<ServeConfig> ReadConfig(const std::string& path) {
  const auto text = io::ReadWholeFile(io::SystemFiles(), path, kMaxFileBytes);
  if (!text.ok()) return text.error();
  return ParseConfig(*text, path);
}

}  // namespace tidemark::tools
