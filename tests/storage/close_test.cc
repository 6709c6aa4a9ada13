// Engine::Close() leaves the processor to the worker that it waits for.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/environment.h"
#include "storage/open.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/fault_world.h"
#include "tidemark/engine.h"

namespace tidemark::storage {
namespace {

using io::TemporaryDirectory;
using testing::FaultWorld;

// A loop that knows whether it was told to wait.
class WatchedLoop : public io::Loop {
 public:
  explicit WatchedLoop(io::Loop& inner) : inner_(inner) {}
  void Read(io::File& file, uint64_t offset, base::MutableByteSpan into,
            io::Operation* operation) override {
    inner_.Read(file, offset, into, operation);
  }
  void Write(io::File& file, uint64_t offset, base::ByteSpan bytes, io::Durable durable,
             io::Operation* operation) override {
    inner_.Write(file, offset, bytes, durable, operation);
  }
  void Watch(int descriptor, io::Readiness readiness, io::Operation* operation) override {
    inner_.Watch(descriptor, readiness, operation);
  }
  void Cancel(io::Operation* watch) override { inner_.Cancel(watch); }
  size_t RunOnce(int64_t max_wait_us) override {
    waited = waited || max_wait_us != 0;
    return inner_.RunOnce(0);
  }
  void Wake() override { inner_.Wake(); }
  const io::LoopDescription& description() const override { return inner_.description(); }
  size_t in_flight() const override { return inner_.in_flight(); }

  bool waited = false;

 private:
  io::Loop& inner_;
};

// Works only while the loop waits, as a thread of low priority on a single processor does.
class StarvedWorker : public io::Worker {
 public:
  explicit StarvedWorker(WatchedLoop& loop) : loop_(loop) {}
  void Submit(std::function<void()> work, std::function<void()> done) override {
    loop_.waited = false;
    work_.emplace_back(std::move(work), std::move(done));
  }
  size_t RunDone() override {
    if (work_.empty()) return 0;
    constexpr int kManyTurns = 100;
    if (!loop_.waited && ++turns_without_wait_ < kManyTurns) return 0;
    if (!loop_.waited) ADD_FAILURE() << "the engine spins while it has nothing to do";
    turns_without_wait_ = 0;
    std::vector<std::pair<std::function<void()>, std::function<void()>>> work;
    work.swap(work_);
    for (auto& [run, done] : work) {
      run();
      done();
    }
    return work.size();
  }
  size_t pending() const override { return work_.size(); }

 private:
  WatchedLoop& loop_;
  std::vector<std::pair<std::function<void()>, std::function<void()>>> work_;
  int turns_without_wait_ = 0;
};

TEST(CloseTest, WaitsForTheWorkerWithoutSpinning) {
  const TemporaryDirectory directory;
  FaultWorld world;
  const io::Environment inner = world.environment();
  WatchedLoop loop(inner.loop);
  StarvedWorker worker(loop);
  const io::Environment environment{
      inner.files, loop, worker, inner.clock, inner.random64, inner.process_id, inner.boot};
  EngineOptions options;
  options.data_dir = directory.File("store");
  auto engine = OpenEngine(environment, options);
  ASSERT_TRUE(engine) << engine.error().ToString();
  auto topic = (*engine)->CreateTopic("readings", 1, TopicConfig());
  ASSERT_TRUE(topic) << topic.error().ToString();
  const std::string value(1000, 'x');
  Record record;
  record.value = value;
  constexpr int kRecords = 1000;  // several runs, which are packed while closing
  for (int i = 0; i < kRecords; ++i) {
    ASSERT_TRUE((*topic)->partition(0)->Append(record, Durability::buffered));
  }
  // Its commit moves the durable end, and nobody asks for that.
  const Status closed = (*engine)->Close();
  EXPECT_TRUE(closed.ok());
}

}  // namespace
}  // namespace tidemark::storage
