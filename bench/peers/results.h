// What bench_peers has measured: samples by row, printed as tables and as JSON. The form of the
// JSON is documented in docs/peers.md; bench/report reads it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/peers/peer.h"
#include "bench/report.h"
#include "bench/support.h"

namespace tidemark::bench {

// One figure of one run.
struct Measured {
  std::string case_name;
  std::string unit;
  bool higher_is_better = true;
  double value = 0;
  std::string notes;
  // For charts: a place on the axis that `series` names.
  std::optional<double> x;
  std::string series;
};
Json ToJson(const std::vector<Measured>& figures);

class Results {
 public:
  // What a run of ToJson() has told, of a work ("a") and a variant.
  void Add(const std::string& work, const Variant& variant, const Json& figures);
  // The rows of one work.
  void Print(const std::string& work) const;
  Json RowsJson() const;

 private:
  struct Row {
    std::string work;
    std::string case_name;
    std::string system;
    std::string setting;
    std::string unit;
    bool higher_is_better = true;
    Samples samples;
    std::string notes;
    Json x;
    std::string series;
  };
  Row& RowOf(const std::string& work, const Variant& variant, const Json& figure);
  // By Tidemark's first row of the same work, case and unit, round by round; empty without one.
  Samples Ratios(const Row& row) const;

  std::vector<Row> rows_;
};

// Processor, kernel, file system of `folder`, load, versions.
Json MachineJson(const std::string& folder, const std::vector<System>& systems);

}  // namespace tidemark::bench
