#include "ingest/route.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "ingest/mqtt_packet.h"

namespace tidemark::ingest {
namespace {

constexpr size_t kMaxTopicBytes = 65'535;  // what MQTT's length field can say
constexpr size_t kMaxLogTopicBytes = 249;  // Kafka's rule for topic names

// Takes the next level off the front of `rest`; false when there was none left.
bool NextLevel(std::string_view* rest, bool* more, std::string_view* level) {
  if (!*more) return false;
  const size_t slash = rest->find('/');
  *level = rest->substr(0, slash);
  *more = slash != std::string_view::npos;
  rest->remove_prefix(*more ? slash + 1 : rest->size());
  return true;
}

Error Invalid(std::string message) {
  return Error(ErrorCode::invalid_argument, std::move(message));
}

bool IsLogTopicName(std::string_view name) {
  if (name.empty() || name.size() > kMaxLogTopicBytes || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Status CheckRoute(const Route& route) {
  if (Status filter = CheckTopicFilter(route.filter); !filter.ok()) return filter;
  if (!IsLogTopicName(route.log_topic)) {
    return Invalid("\"" + route.log_topic +
                   "\" is not a topic name (letters, digits, . _ -, at most " +
                   std::to_string(kMaxLogTopicBytes) + ")");
  }
  if (route.key == KeySource::level && route.level >= kMaxTopicBytes) {
    return Invalid("key level " + std::to_string(route.level) + " is more than a topic can have");
  }
  return {};
}

Bytes KeyOf(const Route& route, std::string_view topic, std::string_view client_id) {
  if (route.key == KeySource::topic) return topic;
  if (route.key == KeySource::client) return client_id;
  std::string_view rest = topic;
  std::string_view level;
  bool more = true;
  for (uint32_t i = 0; NextLevel(&rest, &more, &level); ++i) {
    if (i == route.level) return level;
  }
  return topic;
}

}  // namespace

Status ParseRouteKey(std::string_view text, Route* route) {
  constexpr std::string_view kLevel = "level ";
  if (text == "topic") {
    route->key = KeySource::topic;
    return {};
  }
  if (text == "client") {
    route->key = KeySource::client;
    return {};
  }
  uint32_t level = 0;
  if (text.starts_with(kLevel)) {
    const char* end = text.data() + text.size();
    const auto [stopped, code] = std::from_chars(text.data() + kLevel.size(), end, level);
    if (code == std::errc() && stopped == end) {
      route->key = KeySource::level;
      route->level = level;
      return {};
    }
  }
  return Invalid("key \"" + std::string(text) + "\" is none of: topic, client, level N");
}

Status CheckTopicFilter(std::string_view filter) {
  const std::string quoted = "filter \"" + std::string(filter) + "\" ";
  if (filter.empty()) return Invalid("an empty filter (MQTT-4.7.3-1)");
  if (filter.size() > kMaxTopicBytes) return Invalid("a filter of more than 65535 bytes");
  if (!IsMqttText(filter)) return Invalid(quoted + "is not UTF-8 (MQTT-1.5.3-1)");
  std::string_view level;
  bool more = true;
  while (NextLevel(&filter, &more, &level)) {
    if (level.size() > 1 && level.find_first_of("+#") != std::string_view::npos) {
      return Invalid(quoted +
                     "has a wildcard beside other characters (MQTT-4.7.1-2, MQTT-4.7.1-3)");
    }
    if (level == "#" && more) return Invalid(quoted + "goes on behind # (MQTT-4.7.1-2)");
  }
  return {};
}

bool TopicMatches(std::string_view filter, std::string_view topic) {
  if (topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#'))) return false;
  std::string_view wanted;
  std::string_view level;
  bool filter_more = true;
  bool topic_more = true;
  while (NextLevel(&filter, &filter_more, &wanted)) {
    if (wanted == "#") return true;  // the parent level too: "sport/#" matches "sport"
    if (!NextLevel(&topic, &topic_more, &level)) return false;
    if (wanted != "+" && wanted != level) return false;
  }
  return !topic_more;
}

Result<RouteTable> RouteTable::Make(std::vector<Route> routes, Route fallback) {
  fallback.filter = "#";
  routes.push_back(std::move(fallback));
  for (size_t i = 0; i < routes.size(); ++i) {
    const Status status = CheckRoute(routes[i]);
    if (status.ok()) continue;
    const std::string which =
        i + 1 == routes.size() ? "default route" : "route " + std::to_string(i + 1);
    return Invalid(which + ": " + status.error().message());
  }
  return RouteTable(std::move(routes));
}

RouteTable::Match RouteTable::Find(std::string_view topic, std::string_view client_id) const {
  const size_t fallback = routes_.size() - 1;
  size_t route = 0;
  while (route < fallback && !TopicMatches(routes_[route].filter, topic)) ++route;
  return {route, KeyOf(routes_[route], topic, client_id)};
}

}  // namespace tidemark::ingest
