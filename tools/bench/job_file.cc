#include "tools/bench/job_file.h"

#include <algorithm>

namespace tidemark::tools {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

class Parser {
 public:
  explicit Parser(std::string name) : name_(std::move(name)) {}
  Result<std::vector<Job>> Parse(std::string_view text);

 private:
  Status TakeLine(std::string_view line);
  Status TakeSection(std::string_view title);
  Error Wrong(const std::string& why) const {
    return Error(ErrorCode::invalid_argument, name_ + ":" + std::to_string(line_) + ": " + why);
  }

  std::string name_;
  int line_ = 0;
  Job global_;
  Job* section_ = nullptr;  // what keys are for: global_ or the last of jobs_
  std::vector<Job> jobs_;
};

Status Parser::TakeSection(std::string_view title) {
  if (title.empty() || title.back() != ']') return Wrong("a section's title ends with ']'");
  const std::string_view name = Trim(title.substr(0, title.size() - 1));
  if (name.empty()) return Wrong("a section needs a name");
  if (name == "global") {
    section_ = &global_;
    return {};
  }
  const auto same = [&](const Job& job) { return job.name == name; };
  if (std::any_of(jobs_.begin(), jobs_.end(), same)) {
    return Wrong("there is a job named '" + std::string(name) + "' already");
  }
  jobs_.push_back(global_);
  section_ = &jobs_.back();
  section_->name = name;
  return {};
}

Status Parser::TakeLine(std::string_view line) {
  line = Trim(line);
  if (line.empty() || line.front() == '#' || line.front() == ';') return {};
  if (line.front() == '[') return TakeSection(line.substr(1));
  if (section_ == nullptr) return Wrong("a key before the first [section]");
  const size_t equals = line.find('=');
  const bool alone = equals == std::string_view::npos;
  const std::string_view key = Trim(line.substr(0, equals));
  const std::string_view value = alone ? std::string_view("1") : Trim(line.substr(equals + 1));
  if (key == "name") return Wrong("a job's name is the title of its section");
  const Status set = SetKey(*section_, key, value);
  return set.ok() ? set : Status(Wrong(set.error().message()));
}

Result<std::vector<Job>> Parser::Parse(std::string_view text) {
  while (!text.empty()) {
    ++line_;
    const size_t end = text.find('\n');
    const Status taken = TakeLine(text.substr(0, end));
    if (!taken.ok()) return taken.error();
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  if (jobs_.empty()) return Wrong("there is no job: no [section] other than [global]");
  return std::move(jobs_);
}

}  // namespace

Result<std::vector<Job>> ParseJobFile(const std::string& name, std::string_view text) {
  return Parser(name).Parse(text);
}

}  // namespace tidemark::tools
