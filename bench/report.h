// What a benchmark has to reach, checked and told: as lines for people, as JSON for scripts.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tidemark::bench {

using Json = nlohmann::ordered_json;

class Bars {
 public:
  void AtLeast(const std::string& what, double value, double limit);
  void AtMost(const std::string& what, double value, double limit);
  // "PASS   what: value, at least limit"
  void Print() const;
  Json ToJson() const;

 private:
  struct Bar {
    std::string what;
    double value = 0;
    double limit = 0;
    bool at_least = true;
    bool passed() const { return at_least ? value >= limit : value <= limit; }
  };
  std::vector<Bar> bars_;
};

// How busy the machine was: its load average and number of processors, for the reader's caution.
std::string LoadText();

}  // namespace tidemark::bench
