// A whole world for one engine: files on a SimDisk, a loop whose operations end in any order, a
// worker that is as slow as the seed likes, and clocks that move only when somebody waits.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/environment.h"
#include "tests/sim/random.h"
#include "tests/sim/sim_disk.h"

namespace tidemark::sim {

class SimFileSystem final : public io::FileSystem {
 public:
  explicit SimFileSystem(SimDisk& disk) : disk_(disk) {}

  Result<std::unique_ptr<io::File>> Open(const std::string& path, io::OpenOptions options) override;
  Result<bool> Exists(const std::string& path) override;
  Result<std::vector<io::DirectoryEntry>> List(const std::string& directory) override;
  Status MakeDirectory(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status FlushDirectory(const std::string& directory) override;
  Status FlushAll(const std::string& directory) override;
  Result<io::DiskSpace> Space(const std::string& directory) override;

 private:
  SimDisk& disk_;
};

class SimClock final : public base::Clock {
 public:
  int64_t WallMs() override { return wall_us_ / 1000; }
  int64_t MonotonicUs() override { return monotonic_us_; }
  void Pass(int64_t us) {
    monotonic_us_ += us;
    wall_us_ += us;
    passed_us_ += us;
  }
  void JumpWall(int64_t ms) { wall_us_ += ms * 1000; }
  // All in all: what no clock of the machine knows.
  int64_t passed_us() const { return passed_us_; }
  // The machine was started anew: the monotonic clock begins somewhere else.
  void Restart() {
    monotonic_us_ = 1'000'000;
    ++boots_;
  }
  std::string boot() const { return std::to_string(boots_); }

 private:
  int64_t wall_us_ = int64_t{1'700'000'000} * 1'000'000;
  int64_t monotonic_us_ = 1'000'000;
  int64_t passed_us_ = 0;
  int boots_ = 0;
};

class SimWorker;

class SimLoop final : public io::Loop {
 public:
  SimLoop(SimDisk& disk, SimClock& clock, Random& random)
      : disk_(disk), clock_(clock), random_(random) {}
  void set_worker(SimWorker* worker) { worker_ = worker; }
  // What is in flight when the world ends: torn by a power cut. The kernel lands what a killed
  // process has started, but a file that nobody holds locked any more may by then be open anew.
  void Die(Death death);
  // Called by a later life now and then: a write of a killed process lands.
  void LandLate();

  void Read(io::File& file, uint64_t offset, base::MutableByteSpan into,
            io::Operation* operation) override;
  void Write(io::File& file, uint64_t offset, base::ByteSpan bytes, io::Durable durable,
             io::Operation* operation) override;
  void Watch(int descriptor, io::Readiness readiness, io::Operation* operation) override;
  void Cancel(io::Operation* watch) override;
  size_t RunOnce(int64_t max_wait_us) override;
  void Wake() override { woken_ = true; }
  const io::LoopDescription& description() const override { return description_; }
  size_t in_flight() const override { return queue_.size(); }
  // A wait without an end was asked for, with nothing that could end it.
  bool stuck() const { return stuck_; }

 private:
  struct Entry {
    io::Operation* operation = nullptr;
    io::File* file = nullptr;
    uint64_t offset = 0;
    base::MutableByteSpan into;
    base::ByteSpan bytes;
    io::Durable durable = io::Durable::no;
    bool write = false;
  };
  struct Late {
    InodePointer file;
    uint64_t offset = 0;
    std::vector<std::byte> bytes;
  };
  void EndOne();

  SimDisk& disk_;
  SimClock& clock_;
  Random& random_;
  SimWorker* worker_ = nullptr;
  io::LoopDescription description_{false, "simulated"};
  std::deque<Entry> queue_;
  std::vector<Late> late_;
  bool woken_ = false;
  bool stuck_ = false;
};

class SimWorker final : public io::Worker {
 public:
  SimWorker(SimLoop& loop, Random& random) : loop_(loop), random_(random) {}
  // Pieces run at once, inside Submit(), or whenever the loop waits or the seed says so.
  void set_prompt(bool prompt) { prompt_ = prompt; }

  void Submit(std::function<void()> work, std::function<void()> done) override;
  size_t RunDone() override;
  size_t pending() const override { return waiting_.size() + ended_.size() + running_; }
  // Runs the oldest piece. False: there is none.
  bool RunOne();
  bool has_ended() const { return !ended_.empty(); }

 private:
  struct Piece {
    std::function<void()> work;
    std::function<void()> done;
  };
  SimLoop& loop_;
  Random& random_;
  bool prompt_ = false;
  std::deque<Piece> waiting_;
  std::deque<std::function<void()>> ended_;
  size_t running_ = 0;
};

struct SimWorld {
  SimWorld(DiskProfile profile, uint64_t seed);
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;
  io::Environment environment();
  // From here on all chance comes from this seed.
  void Reseed(uint64_t seed) { random = Random(seed); }

  Random random;
  Random identities;  // of stores and topics
  SimDisk disk;
  SimFileSystem files;
  SimClock clock;
  SimLoop loop;
  SimWorker worker;
};

}  // namespace tidemark::sim
