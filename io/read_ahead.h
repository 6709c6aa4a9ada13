// The kernel is made to read directories before somebody lists them.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "io/file_system.h"

namespace tidemark::io {

class DirectoriesAhead final : public ReadAhead {
 public:
  explicit DirectoriesAhead(std::vector<std::string> directories);
  ~DirectoriesAhead() override;
  DirectoriesAhead(const DirectoriesAhead&) = delete;
  DirectoriesAhead& operator=(const DirectoriesAhead&) = delete;

 private:
  void Run();

  const std::vector<std::string> directories_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tidemark::io
