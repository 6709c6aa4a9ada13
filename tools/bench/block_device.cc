#include "tools/bench/block_device.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace tidemark::tools {
namespace {

// Of the counters, whatever the device's sectors are (Documentation/block/stat.rst of Linux).
constexpr uint64_t kSectorBytes = 512;
constexpr int kSectorsWrittenField = 6;

}  // namespace

BlockDevice::BlockDevice(const std::string& folder) {
  struct stat facts {};
  if (stat(folder.c_str(), &facts) != 0) {
    missing_ = folder + ": " + std::generic_category().message(errno);
    return;
  }
  const std::string number =
      std::to_string(major(facts.st_dev)) + ":" + std::to_string(minor(facts.st_dev));
  std::error_code failed;
  const auto target = std::filesystem::canonical("/sys/dev/block/" + number, failed);
  if (failed) {
    missing_ = folder + " is on no block device with counters (" + number + ")";
    return;
  }
  folder_ = target.native();
  name_ = target.filename().native();
}

uint64_t BlockDevice::BytesWritten() const {
  if (!missing_.empty()) return 0;
  std::ifstream counters(folder_ + "/stat");
  uint64_t value = 0;
  for (int field = 0; field <= kSectorsWrittenField; ++field) counters >> value;
  return counters ? value * kSectorBytes : 0;
}

}  // namespace tidemark::tools
