// Runs the simulator: one seed, or as many as fit into the time.
//
//   prog_simulate --seed N [--steps M] [--only 3,17,18]   replays; a failure is made smaller
//   prog_simulate --runs R | --seconds S | --crash-points C [--first N]
//                                                         seeds N, N + 1, ...; stops at a failure
//                 [--brief 1]                             ... and does not make it smaller
//
// Exit 0: nothing was broken. 1: a promise was broken; its history is on stdout.
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/simulation.h"

namespace {

using tidemark::sim::Outcome;
using tidemark::sim::SimulateOnly;

// For one run, which takes some tens of milliseconds; of the processor's time, since a soak may
// have to wait for it.
constexpr time_t kPatienceSeconds = 10;

void AllowSeconds(time_t seconds) {
  const itimerval allowed{{0, 0}, {seconds, 0}};
  setitimer(ITIMER_PROF, &allowed, nullptr);
}

struct Arguments {
  uint64_t seed = 0;
  bool one_seed = false;
  uint64_t first = 1;
  uint64_t steps = 120;
  uint64_t runs = UINT64_MAX;
  int64_t seconds = INT64_MAX;
  uint64_t crash_points = UINT64_MAX;
  std::vector<uint64_t> only;
  bool brief = false;  // tells the failure, and no more
};

// In a process of its own, since a failed check aborts.
bool Fails(uint64_t seed, const std::vector<uint64_t>& steps) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    AllowSeconds(kPatienceSeconds);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(3);
    _exit(SimulateOnly(seed, steps, false).failure ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

// Leaves out steps for as long as it still fails: halves first, then ever smaller pieces.
std::vector<uint64_t> Shrink(uint64_t seed, std::vector<uint64_t> steps) {
  for (size_t piece = std::max<size_t>(1, steps.size() / 2); piece > 0; piece /= 2) {
    for (size_t at = 0; at < steps.size();) {
      std::vector<uint64_t> fewer = steps;
      const auto begin = fewer.begin() + static_cast<std::ptrdiff_t>(at);
      fewer.erase(begin, begin + static_cast<std::ptrdiff_t>(std::min(piece, fewer.size() - at)));
      if (Fails(seed, fewer)) {
        steps = fewer;
      } else {
        at += piece;
      }
    }
  }
  return steps;
}

int Report(uint64_t seed, const std::vector<uint64_t>& steps) {
  std::printf("seed %lu fails; making it smaller\n", static_cast<unsigned long>(seed));
  const std::vector<uint64_t> fewer = Shrink(seed, steps);
  std::string list;
  for (const uint64_t step : fewer) list += (list.empty() ? "" : ",") + std::to_string(step);
  std::printf("replay: tests/simulate --seed %lu --only %s\n", static_cast<unsigned long>(seed),
              list.empty() ? "-" : list.c_str());
  std::fflush(stdout);
  const Outcome outcome = SimulateOnly(seed, fewer, true);  // an abort tells its own story
  for (const std::string& line : outcome.history) std::printf("%s\n", line.c_str());
  return 1;
}

bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--seed") {
      arguments->seed = value;
      arguments->one_seed = true;
    } else if (name == "--first") {
      arguments->first = value;
    } else if (name == "--steps") {
      arguments->steps = value;
    } else if (name == "--runs") {
      arguments->runs = value;
    } else if (name == "--seconds") {
      arguments->seconds = static_cast<int64_t>(value);
    } else if (name == "--crash-points") {
      arguments->crash_points = value;
    } else if (name == "--brief") {
      arguments->brief = value != 0;
    } else if (name == "--only") {
      for (char* at = argv[i + 1]; *at != '\0';) {
        char* end = at;
        const uint64_t step = std::strtoull(at, &end, 10);
        if (end == at) break;
        arguments->only.push_back(step);
        at = *end == ',' ? end + 1 : end;
      }
    } else {
      return false;
    }
  }
  const bool bounded = arguments->one_seed || arguments->runs != UINT64_MAX ||
                       arguments->seconds != INT64_MAX || arguments->crash_points != UINT64_MAX;
  return argc % 2 == 1 && bounded;
}

std::vector<uint64_t> StepsOf(const Arguments& arguments) {
  if (!arguments.only.empty()) return arguments.only;
  std::vector<uint64_t> steps(arguments.steps);
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = i;
  return steps;
}

uint64_t current_seed = 0;

// A failed check aborts, and a run that never ends is ended: whoever sees that needs the seed.
void TellSeed(int /*signal*/) {
  std::fprintf(stderr, "simulate: aborted, or without an end, in seed %lu\n",
               static_cast<unsigned long>(current_seed));
  _exit(1);
}

int Soak(const Arguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<uint64_t> steps = StepsOf(arguments);
  Outcome sum;
  uint64_t runs = 0;
  double seconds = 0;
  for (; runs < arguments.runs && sum.crash_points < arguments.crash_points; ++runs) {
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (seconds >= static_cast<double>(arguments.seconds)) break;
    current_seed = arguments.first + runs;
    AllowSeconds(kPatienceSeconds);
    const Outcome outcome = SimulateOnly(current_seed, steps, false);
    AllowSeconds(0);
    if (outcome.failure) {
      std::printf("seed %lu: %s\n", static_cast<unsigned long>(current_seed),
                  outcome.failure->c_str());
      if (arguments.brief) return 1;
      return Report(current_seed, steps);
    }
    sum.crash_points += outcome.crash_points;
    sum.openings += outcome.openings;
    sum.records += outcome.records;
    sum.checkpoints += outcome.checkpoints;
    sum.segments_compacted += outcome.segments_compacted;
    sum.around_journal_bytes += outcome.around_journal_bytes;
    for (const auto& [kind, count] : outcome.trouble) sum.trouble[kind] += count;
  }
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto number = [](uint64_t value) { return std::to_string(value); };
  std::string text = number(runs) + " runs from seed " + number(arguments.first) + ": " +
                     number(sum.crash_points) + " crash points, " + number(sum.openings) +
                     " openings, " + number(sum.records) + " records, " + number(sum.checkpoints) +
                     " checkpoints, " + number(sum.segments_compacted) + " compacted segments, " +
                     number(sum.around_journal_bytes >> 10) + " KiB around the journal";
  for (const auto& [kind, count] : sum.trouble) text += ", " + number(count) + " " + kind;
  std::printf("%s in %.1f s: %.0f crash points and %.0f runs a minute; nothing was broken\n",
              text.c_str(), seconds, static_cast<double>(sum.crash_points) / seconds * 60,
              static_cast<double>(runs) / seconds * 60);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, &arguments)) {
    std::fprintf(stderr,
                 "usage: prog_simulate --seed N [--steps M] [--only I,J,...]\n"
                 "       prog_simulate --runs R | --seconds S | --crash-points C\n"
                 "                     [--first N] [--steps M]\n");
    return 2;
  }
  std::signal(SIGABRT, TellSeed);
  std::signal(SIGPROF, TellSeed);
  if (!arguments.one_seed) return Soak(arguments);
  const std::vector<uint64_t> steps = StepsOf(arguments);
  if (Fails(arguments.seed, steps)) return Report(arguments.seed, steps);
  const Outcome outcome = SimulateOnly(arguments.seed, steps, true);
  for (const std::string& line : outcome.history) std::printf("%s\n", line.c_str());
  return 0;
}
