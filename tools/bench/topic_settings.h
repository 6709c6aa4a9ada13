// The settings of its topic that a job names. A new topic has its defaults for the others, one that
// is there already keeps what it has.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/error.h"
#include "tidemark/options.h"

namespace tidemark::tools {

class TopicSettings {
 public:
  TopicSettings() = default;
  // All that differ from the defaults.
  explicit TopicSettings(const TopicConfig& config);

  // `key` and `value` as TopicConfig::Set() has them, and its errors.
  Status Set(std::string_view key, std::string_view value);
  // "KEY=VALUE KEY=VALUE ...", with blanks between, and sizes like 8MiB. Nothing is set if one of
  // them is wrong.
  Status SetAll(std::string_view text);

  // `config` with what is set here in place of its own.
  TopicConfig Over(TopicConfig config) const;

  // The value of one, its default if it is not set.
  std::string TextOf(std::string_view key) const;
  // All that differ from the defaults, as SetAll() takes them, in the order of
  // TopicConfig::ToPairs().
  std::string Text() const;

 private:
  std::vector<std::pair<std::string, std::string>> settings_;  // the last of a key counts
};

}  // namespace tidemark::tools
