// Tidemark beside what one would take instead: RocksDB, LevelDB, LMDB, SQLite, and the raw device.
//
//   bench_peers --dir FOLDER [--work a,b,c,d,e,f,g,h,i] [--system NAME,...] [--rounds N]
//               [--seconds S] [--json FILE] ...
//
// In each round every system has a run, in a process of its own, one after the other, so that a
// slow minute of the disk slows them all. What each work is, and how each system was set, is in
// docs/peers.md.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "bench/child.h"
#include "bench/peers/peer.h"
#include "bench/peers/results.h"
#include "bench/peers/works.h"
#include "bench/support.h"

namespace tidemark::bench {
namespace {

struct Options {
  WorkOptions work;
  std::vector<std::string> works;
  std::vector<std::string> systems;
  int rounds = 3;
  std::string json_file;
};

std::string SmallLetters(std::string text) {
  for (char& letter : text) letter = static_cast<char>(std::tolower(letter));
  return text;
}

bool Wanted(const std::vector<std::string>& list, const std::string& name) {
  return list.empty() || std::any_of(list.begin(), list.end(), [&](const std::string& entry) {
           return SmallLetters(entry) == SmallLetters(name);
         });
}

std::vector<System> WantedSystems(const std::vector<std::string>& names) {
  std::vector<System> systems = Systems();
  for (const std::string& name : names) {
    const bool known = std::any_of(systems.begin(), systems.end(), [&](const System& system) {
      return SmallLetters(system.name) == SmallLetters(name);
    });
    if (!known) GiveUp("no system named " + name + " was built in");
  }
  std::erase_if(systems, [&](const System& system) { return !Wanted(names, system.name); });
  return systems;
}

void CheckWorks(const std::vector<std::string>& letters) {
  for (const std::string& letter : letters) {
    const bool known = std::any_of(Works().begin(), Works().end(), [&](const WorkInfo& work) {
      return letter == std::string(1, work.letter);
    });
    if (!known) GiveUp("no work named " + letter);
  }
}

void TellProgress(const std::string& text) {
  if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r\033[K{}", text);
}

class Program {
 public:
  explicit Program(const Options& options)
      : options_(options),
        systems_(WantedSystems(options.systems)),
        scratch_(options.work.dir),
        machine_(MachineJson(scratch_.path(), systems_)) {}

  void Run() {
    for (const WorkInfo& work : Works()) {
      if (!Wanted(options_.works, std::string(1, work.letter))) continue;
      for (int round = 0; round < options_.rounds; ++round) RunRound(work, round);
      TellProgress("");
      results_.Print(std::string(1, work.letter));
      (void)std::fflush(stdout);
      WriteJson();  // a run that is cut short keeps what it has
    }
  }

 private:
  void RunRound(const WorkInfo& work, int round) {
    int number = 0;
    for (const System& system : systems_) {
      for (const Variant& variant : system.variants) {
        ++number;
        if ((variant.works & work.bits) == 0) continue;
        TellProgress(fmt::format("({}) {}: round {} of {}: {}, {}", work.letter, work.title,
                                 round + 1, options_.rounds, variant.system, variant.setting));
        results_.Add(std::string(1, work.letter), variant, RunOnce(work, variant, number));
      }
    }
  }

  Json RunOnce(const WorkInfo& work, const Variant& variant, int number) {
    const bool kept = *work.store != '\0';
    if (kept) {
      const std::string folder = fmt::format("{}/{}-{}", scratch_.path(), work.store, number);
      MakeFolder(folder);
      return work.run(variant, options_.work, folder);
    }
    const ScratchDir folder(scratch_.path());
    return work.run(variant, options_.work, folder.path());
  }

  void WriteJson() const {
    if (options_.json_file.empty()) return;
    std::ofstream file(options_.json_file);
    file << Json({{"program", "bench_peers"}, {"machine", machine_}, {"rows", results_.RowsJson()}})
                .dump(2)
         << "\n";
    if (!file.flush()) GiveUp("cannot write " + options_.json_file);
  }

  const Options& options_;
  std::vector<System> systems_;
  ScratchDir scratch_;
  Json machine_;
  Results results_;
};

void AddOptions(CLI::App& app, Options* options) {
  WorkOptions& work = options->work;
  app.add_option("--dir", work.dir, "Where a scratch folder is made")->capture_default_str();
  app.add_option("--work", options->works, "Letters of works; else all")->delimiter(',');
  app.add_option("--system", options->systems, "Names of systems; else all")->delimiter(',');
  app.add_option("--rounds", options->rounds, "Of each work")->capture_default_str();
  app.add_option("--seconds", work.seconds, "Of a run, where it is not told its records")
      ->capture_default_str();
  app.add_option("--cpu", work.processor, "Processor for bulk ingest and reading")
      ->capture_default_str();
  app.add_option("--record-bytes", work.value_bytes)->capture_default_str();
  app.add_option("--partitions", work.partitions, "Of a")->delimiter(',')->capture_default_str();
  app.add_option("--in-flight", work.in_flight, "Of b")->delimiter(',')->capture_default_str();
  app.add_option("--in-flight-partitions", work.in_flight_partitions, "Of b")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--bulk-records", work.bulk_records, "Of c and i")->capture_default_str();
  app.add_option("--read-records", work.read_records, "Of d, e and f")->capture_default_str();
  app.add_option("--log-bytes", work.log_bytes, "Sizes of logs, of g")
      ->delimiter(',')
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_flag("--keep-page-cache", work.keep_page_cache, "Do not drop it before the starts of g");
  app.add_option("--readings", work.readings, "Of h")->capture_default_str();
  app.add_option("--window-seconds", work.window_seconds, "Of h")->capture_default_str();
  app.add_option("--readings-per-second", work.readings_per_second, "Of h, within the window")
      ->capture_default_str();
  app.add_option("--json", options->json_file, "File for all figures");
}

}  // namespace
}  // namespace tidemark::bench

int main(int argc, char** argv) {
  CLI::App app{"Tidemark and its peers, in one run"};
  tidemark::bench::Options options;
  tidemark::bench::AddOptions(app, &options);
  CLI11_PARSE(app, argc, argv);
  tidemark::bench::CheckWorks(options.works);
  tidemark::bench::Program(options).Run();
  return 0;
}
