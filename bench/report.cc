#include "bench/report.h"

#include <unistd.h>

#include <fstream>

#include <fmt/core.h>

namespace tidemark::bench {

void Bars::AtLeast(const std::string& what, double value, double limit) {
  bars_.push_back({what, value, limit, true});
}

void Bars::AtMost(const std::string& what, double value, double limit) {
  bars_.push_back({what, value, limit, false});
}

void Bars::Print() const {
  for (const Bar& bar : bars_) {
    fmt::print("{:<6} {}: {:.4g}, {} {:.4g}\n", bar.passed() ? "PASS" : "BELOW", bar.what,
               bar.value, bar.at_least ? "at least" : "at most", bar.limit);
  }
}

Json Bars::ToJson() const {
  Json list = Json::array();
  for (const Bar& bar : bars_) {
    list.push_back({{"what", bar.what},
                    {"value", bar.value},
                    {bar.at_least ? "at_least" : "at_most", bar.limit},
                    {"passed", bar.passed()}});
  }
  return list;
}

std::string LoadText() {
  std::ifstream file("/proc/loadavg");
  std::string minute;
  file >> minute;
  return "load " + minute + " on " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + " processors";
}

}  // namespace tidemark::bench
