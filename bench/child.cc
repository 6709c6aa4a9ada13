#include "bench/child.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "bench/support.h"

namespace tidemark::bench {
namespace {

pid_t Fork() {
  (void)std::fflush(nullptr);  // else the child would print what waits in our buffers, too
  const pid_t child = fork();
  if (child < 0) GiveUp("fork");
  return child;
}

cpu_set_t SetOf(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(processor), &set);
  return set;
}

template <typename Visit>
void VisitFiles(const std::string& folder, Visit visit) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) visit(entry.path().native());
  }
}

}  // namespace

Json RunInChild(const std::function<Json()>& work) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) GiveUp("pipe");
  const pid_t child = Fork();
  if (child == 0) {
    close(ends[0]);
    const std::string text = work().dump();
    const bool told = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) GiveUp("a run has failed");
  return Json::parse(text);
}

void RunUntilKilled(const std::function<void()>& work) {
  const pid_t child = Fork();
  if (child == 0) {
    work();
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) GiveUp("filling a store has failed");
}

void BindToProcessor(int processor) {
  const cpu_set_t set = SetOf(processor);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    GiveUp("this process cannot be bound to processor " + std::to_string(processor));
  }
}

void BindThreadsToProcessor(int processor) {
  const cpu_set_t set = SetOf(processor);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    const int thread = std::stoi(entry.path().filename().native());
    static_cast<void>(sched_setaffinity(thread, sizeof set, &set));  // it may have ended
  }
}

uint64_t AnonymousMemoryBytes() { return ProcessMemoryBytes("RssAnon"); }

uint64_t DiskBytes(const std::string& folder) {
  constexpr uint64_t kStatBlockBytes = 512;
  uint64_t bytes = 0;
  VisitFiles(folder, [&](const std::string& path) {
    struct stat facts {};
    if (stat(path.c_str(), &facts) == 0) {
      bytes += static_cast<uint64_t>(facts.st_blocks) * kStatBlockBytes;
    }
  });
  return bytes;
}

void MakeFolder(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) GiveUp("no folder " + path + ": " + failed.message());
}

bool DropPageCache() {
  sync();
  const int descriptor = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool dropped = write(descriptor, "3", 1) == 1;
  close(descriptor);
  return dropped;
}

// Without the holes: LMDB's map is tens of GiB of them.
void WarmPageCache(const std::string& folder) {
  constexpr size_t kPieceBytes = size_t{1} << 20;
  std::vector<char> piece(kPieceBytes);
  VisitFiles(folder, [&](const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    off_t at = 0;
    while ((at = lseek(file, at, SEEK_DATA)) >= 0) {
      const off_t hole = lseek(file, at, SEEK_HOLE);
      while (at < hole) {
        const ssize_t got = pread(file, piece.data(), piece.size(), at);
        if (got <= 0) break;
        at += got;
      }
      if (at < hole) break;
    }
    close(file);
  });
}

}  // namespace tidemark::bench
