// A disk whose power can be cut, mounted for real processes (FUSE).
//
//   prog_power_disk MOUNT_POINT IMAGE_FOLDER SEED [no-direct]
//
// Holds at first what IMAGE_FOLDER has. `no-direct`: refuses O_DIRECT. Says "mounted" on stdout,
// then takes commands from stdin, a line each, and answers each with a line:
//
//   cut                  what was not flushed is lost, or part of it (power_disk.h); from
//                        now on every call fails with EIO; what is left is in IMAGE_FOLDER when it
//                        answers
//   fail-flush ENDING    the next flush of a file or folder whose name ends so fails with EIO
//   counts               what was asked for so far
//
// At the end of stdin it unmounts and exits; without a cut IMAGE_FOLDER stays as it was. Exit 77:
// nothing can be mounted here.
#include <sys/mount.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/power/image.h"
#include "tests/power/power_mount.h"

namespace {

using tidemark::power::CutReport;
using tidemark::power::Mounted;
using tidemark::power::PowerDisk;

constexpr int kCannotMount = 77;
constexpr std::chrono::microseconds kLatency(300);  // of a flush: a good SD card or a slow SSD
constexpr std::string_view kNoDirect = "no-direct";

void CutAndSave(const Mounted& mounted) {
  const CutReport report = mounted.disk.Cut();
  if (!tidemark::power::SaveImage(mounted.disk, mounted.image_folder)) {
    std::cout << "failed: " << mounted.image_folder << ": " << std::strerror(errno) << std::endl;
    return;
  }
  std::cout << "cut units=" << report.units << " units_lost=" << report.units_lost
            << " unit_bytes=" << report.unit_bytes << " sizes=" << report.sizes
            << " sizes_lost=" << report.sizes_lost << " names=" << report.names
            << " names_lost=" << report.names_lost << std::endl;
}

void Obey(const std::string& command, const Mounted& mounted) {
  constexpr std::string_view kFailFlush = "fail-flush ";
  PowerDisk& disk = mounted.disk;
  if (command == "cut") {
    CutAndSave(mounted);
  } else if (command.starts_with(kFailFlush)) {
    disk.FailNextFlush(command.substr(kFailFlush.size()));
    std::cout << "armed" << std::endl;
  } else if (command == "counts") {
    std::cout << "counts durable_writes=" << disk.durable_writes() << " flushes=" << disk.flushes()
              << " directory_flushes=" << disk.directory_flushes()
              << " failed_flushes=" << disk.failed_flushes() << std::endl;
  } else {
    std::cout << "failed: no such command: " << command << std::endl;
  }
}

bool ParseNumber(std::string_view text, uint64_t* number) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return failure == std::errc() && end == text.data() + text.size();
}

int Main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  uint64_t seed = 0;
  const bool direct = arguments.size() < 4;
  if (arguments.size() < 3 || arguments.size() > 4 || !ParseNumber(arguments[2], &seed) ||
      (!direct && arguments[3] != kNoDirect)) {
    std::fputs("usage: prog_power_disk MOUNT_POINT IMAGE_FOLDER SEED [no-direct]\n", stderr);
    return 2;
  }
  PowerDisk disk(seed, kLatency);
  Mounted mounted{disk, arguments[1], direct};
  if (!tidemark::power::LoadImage(mounted.image_folder, &disk)) {
    std::perror(mounted.image_folder.c_str());
    return 1;
  }

  const fuse_lowlevel_ops operations = tidemark::power::MountOperations();
  char* options[] = {argv[0]};
  fuse_args fuse_arguments = FUSE_ARGS_INIT(1, options);
  fuse_session* const session =
      fuse_session_new(&fuse_arguments, &operations, sizeof operations, &mounted);
  if (session == nullptr || fuse_session_mount(session, arguments[0].c_str()) != 0) {
    return kCannotMount;
  }
  std::thread([session] {
    fuse_loop_config* const config = fuse_loop_cfg_create();
    fuse_session_loop_mt(session, config);
  }).detach();
  std::cout << "mounted" << std::endl;
  for (std::string command; std::getline(std::cin, command);) Obey(command, mounted);
  // Not as libfuse does it, which closes a descriptor that its own threads still read from. Whoever
  // is not root leaves a mount behind that is dead, for fusermount3.
  static_cast<void>(umount2(arguments[0].c_str(), MNT_DETACH));
  // Not a return: those threads may be within a call. With the last descriptor of /dev/fuse the
  // kernel gives up what is still asked of this disk.
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) { return Main(argc, argv); }
