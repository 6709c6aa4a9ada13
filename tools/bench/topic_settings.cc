#include "tools/bench/topic_settings.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"
#include "tools/text.h"

namespace tidemark::tools {

TopicSettings::TopicSettings(const TopicConfig& config) {
  const auto defaults = TopicConfig().ToPairs();
  for (const auto& setting : config.ToPairs()) {
    if (std::find(defaults.begin(), defaults.end(), setting) == defaults.end())
      settings_.push_back(setting);
  }
}

Status TopicSettings::Set(std::string_view key, std::string_view value) {
  Status known = TopicConfig().Set(key, value);
  if (known.ok()) settings_.emplace_back(key, value);
  return known;
}

Status TopicSettings::SetAll(std::string_view text) {
  TopicSettings all = *this;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    const auto setting = ParseSetting(word);
    if (!setting.ok()) return setting.error();
    Status set = all.Set(setting->key, NormalizeSettingValue(setting->key, setting->value));
    if (!set.ok()) return set;
  }
  *this = std::move(all);
  return {};
}

TopicConfig TopicSettings::Over(TopicConfig config) const {
  for (const auto& [key, value] : settings_) TIDEMARK_CHECK(config.Set(key, value).ok());
  return config;
}

std::string TopicSettings::TextOf(std::string_view key) const {
  const auto all = Over({}).ToPairs();
  const auto found =
      std::find_if(all.begin(), all.end(), [key](const auto& one) { return one.first == key; });
  TIDEMARK_CHECK(found != all.end());
  return found->second;
}

std::string TopicSettings::Text() const {
  std::string text;
  for (const auto& [key, value] : TopicSettings(Over({})).settings_) {
    text += (text.empty() ? "" : " ") + key + "=" + value;
  }
  return text;
}

}  // namespace tidemark::tools
